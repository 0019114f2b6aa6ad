"""The OpenAPI file for tests."""

from __future__ import annotations

import copy
from importlib import resources
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker

PREFIX = "/sagemaker-autoshutdown/api/"


def load() -> dict[str, Any]:
    """The whole document."""
    path = resources.files("sagemaker_autoshutdown.api") / "openapi.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def validator(schema: str) -> Draft202012Validator:
    """Checks values against one of the document's schemas, with no field beyond those named.

    Clients have to accept new fields; here, an undocumented field is a mistake.
    """
    document = copy.deepcopy(load())
    for part in document["components"]["schemas"].values():
        _close(part)
    document["$ref"] = f"#/components/schemas/{schema}"
    return Draft202012Validator(document, format_checker=FormatChecker())


def check(schema: str, value: Any) -> None:
    """Fails with every difference between ``value`` and the schema."""
    errors = [
        f"{error.json_path}: {error.message}" for error in validator(schema).iter_errors(value)
    ]
    assert not errors, "\n".join(errors)


def _close(part: Any) -> None:
    if isinstance(part, dict):
        if "allOf" in part:
            part["unevaluatedProperties"] = False
            return
        for child in part.values():
            _close(child)
        # Money is also a part of CostRow, where it must stay open.
        if "properties" in part and "usd" not in part["properties"]:
            part.setdefault("additionalProperties", False)
    elif isinstance(part, list):
        for child in part:
            _close(child)
