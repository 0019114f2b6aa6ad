"""Writes the reference of the REST API from ``openapi.yaml``.

It takes the place of the line ``<!-- rest-api -->`` in a page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx

import sagemaker_autoshutdown.api

MARK = "<!-- rest-api -->"
SPEC = Path(sagemaker_autoshutdown.api.__file__).with_name("openapi.yaml")
METHODS = ("get", "post", "put", "delete")
#: What each path begins with; the page says so once.
PREFIX = "/sagemaker-autoshutdown/api/"

Schema = dict[str, Any]


def reference() -> str:
    """Markdown: the conventions, then each request, then each schema."""
    return Reference(yaml.safe_load(SPEC.read_text(encoding="utf-8"))).markdown()


class Reference:
    """One OpenAPI document as Markdown."""

    def __init__(self, spec: Schema) -> None:
        self._spec = spec

    def markdown(self) -> str:
        """The whole reference."""
        parts = ["## Conventions", self._spec["info"]["description"].strip(), "## Requests"]
        for path, item in self._spec["paths"].items():
            shared = item.get("parameters", [])
            for method in METHODS:
                if method in item:
                    parts.extend(self._request(path, method, item[method], shared))
        parts.append("## Schemas")
        for name, schema in self._spec["components"]["schemas"].items():
            parts.extend(self._schema(name, schema))
        return "\n\n".join(parts)

    def _request(
        self, path: str, method: str, request: Schema, shared: list[Schema]
    ) -> Iterator[str]:
        yield f"### {method.upper()} {path.removeprefix(PREFIX)}"
        yield request["summary"]
        if "description" in request:
            yield request["description"].strip()
        parameters = [self._resolved(each) for each in [*shared, *request.get("parameters", [])]]
        if parameters:
            rows = [
                f"| `{each['name']}` | {each['in']} | {self._type(each['schema'])} "
                f"| {_cell(each.get('description', ''))} |"
                for each in parameters
            ]
            yield "\n".join(["| parameter | in | type | meaning |", "|---|---|---|---|", *rows])
        if "requestBody" in request:
            content = request["requestBody"]["content"]["application/json"]
            yield f"The body is JSON: {self._type(content['schema'])}."
            for example in self._examples(content):
                yield _json(example)
        rows = []
        for status, given in request["responses"].items():
            answer = self._resolved(given)
            types = [
                f"{self._type(content['schema'])} ({kind})"
                for kind, content in answer.get("content", {}).items()
            ]
            shown = "others" if status == "default" else status
            rows.append(
                f"| {shown} | {_cell(answer['description'])} | {', '.join(types) or 'no body'} |"
            )
        yield "\n".join(["| answer | when | body |", "|---|---|---|", *rows])
        success = next(
            self._resolved(answer)
            for status, answer in request["responses"].items()
            if status.startswith("2")
        )
        for content in success.get("content", {}).values():
            for example in self._examples(content):
                if isinstance(example, str):
                    yield f"```text\n{example.strip()}\n```"
                else:
                    yield _json(example)

    def _schema(self, name: str, schema: Schema) -> Iterator[str]:
        yield f"### {name}"
        if "description" in schema:
            yield schema["description"].strip()
        parts = schema.get("allOf", [schema])
        properties = {
            name: each for part in parts for name, each in part.get("properties", {}).items()
        }
        if properties:
            required = {name for part in parts for name in part.get("required", [])}
            rows = [
                f"| `{field}`{'' if field in required else ' (optional)'} | {self._type(each)} "
                f"| {_cell(self._description(each))} |"
                for field, each in properties.items()
            ]
            yield "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])
        for part in parts:
            if "$ref" in part:
                yield f"It also has the fields of {self._type(part)}."
        if not properties:
            yield f"Type: {self._type(schema)}."

    def _description(self, schema: Schema) -> str:
        """What a field means: its own words, else nothing; its type's words are at the type."""
        return str(schema.get("description", ""))

    def _type(self, schema: Schema) -> str:
        """A type as a phrase, with a link to a schema that has a name."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return " or ".join(self._type(each) for each in schema[key])
        if "enum" in schema:
            return ", ".join(f"`{value}`" for value in schema["enum"])
        types = schema.get("type", "object")
        names = types if isinstance(types, list) else [types]
        if "array" in names and "items" in schema:
            return f"array of {self._type(schema['items'])}"
        if names == ["object"] and schema.get("properties"):
            fields = ", ".join(f"`{name}`" for name in schema["properties"])
            return f"object with {fields}"
        return " or ".join(names)

    def _examples(self, content: Schema) -> Iterator[Any]:
        for each in content.get("examples", {}).values():
            yield self._resolved(each)["value"]

    def _resolved(self, given: Schema) -> Schema:
        if "$ref" not in given:
            return given
        found = self._spec
        for step in given["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return found


def _cell(text: str) -> str:
    """Text that fits into one cell of a table."""
    return re.sub(r"\s+", " ", text.strip()).replace("|", "\\|")


def _json(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2, default=str)}\n```"


def _fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = source[0].replace(MARK, reference()) if MARK in source[0] else source[0]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _fill_in)
    return {"parallel_read_safe": True}
