"""The panel and other clients are built against the OpenAPI file: it must not drift."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import pytest
from openapi_spec_validator import validate

from sagemaker_autoshutdown import __version__, model
from sagemaker_autoshutdown.settings.admin import MAX_SECONDS, MIN_SECONDS, USER_SETTINGS
from tests import spec

DOCUMENT = spec.load()
SCHEMAS = DOCUMENT["components"]["schemas"]


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_the_version_is_the_packages() -> None:
    assert DOCUMENT["info"]["version"] == __version__


@pytest.mark.parametrize(
    "enum",
    [
        model.HostKind,
        model.OwnerKind,
        model.AppType,
        model.AppStatus,
        model.State,
        model.Reason,
        model.WorkKind,
        model.PriceSource,
        model.EventKind,
    ],
)
def test_no_enum_lacks_a_value_of_the_code(enum: type[Enum]) -> None:
    assert SCHEMAS[enum.__name__]["enum"] == [member.value for member in enum]


def test_the_users_settings_are_those_of_the_code() -> None:
    change = SCHEMAS["SettingsChange"]["properties"]
    assert tuple(change) == USER_SETTINGS
    assert set(USER_SETTINGS) < set(SCHEMAS["Settings"]["properties"])
    for name in ("idle_timeout", "warning_time"):
        assert change[name]["minimum"] == MIN_SECONDS
        assert change[name]["maximum"] == MAX_SECONDS


def _examples() -> list[Any]:
    found = []
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            parts = [operation.get("requestBody", {}), *operation["responses"].values()]
            for part in parts:
                for media in part.get("content", {}).values():
                    for name, example in media.get("examples", {}).items():
                        if "$ref" in example:
                            example = DOCUMENT["components"]["examples"][
                                example["$ref"].rsplit("/", 1)[1]
                            ]
                        schema = media["schema"].get("$ref", "").rsplit("/", 1)[-1]
                        if schema:
                            found.append(
                                pytest.param(schema, example["value"], id=f"{method} {path} {name}")
                            )
    for name, response in DOCUMENT["components"]["responses"].items():
        for media in response["content"].values():
            if "example" in media:
                found.append(pytest.param("Error", media["example"], id=name))
    return found


@pytest.mark.parametrize(("schema", "value"), _examples())
def test_no_example_breaks_its_own_schema(schema: str, value: Any) -> None:
    spec.check(schema, value)


def test_every_component_is_used() -> None:
    text = json.dumps(DOCUMENT)
    for kind in ("schemas", "responses", "parameters", "examples"):
        for name in DOCUMENT["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text, f"{kind}/{name} is not used"


def test_every_field_and_operation_says_what_it_is() -> None:
    for name, schema in SCHEMAS.items():
        for field, part in schema.get("properties", {}).items():
            if isinstance(part, dict) and part.get("type") in ("number", "integer"):
                assert "description" in part or name == "SettingsChange", f"{name}.{field}"
    for item in DOCUMENT["paths"].values():
        for method, operation in item.items():
            if method != "parameters":
                assert operation["summary"]
                assert operation["operationId"]
