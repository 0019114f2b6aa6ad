"""AWS JSON 1.1 by botocore's own service model: validates requests, shapes answers.

This module translates between bytes and Python values; it knows no operation by name. botocore's
validator checks names, types, required members and lower bounds. The real service also checks the
rest of the model (upper bounds, enums, patterns), and so does `violations`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

from .errors import ApiError, invalid


@cache
def service_model(service: str) -> ServiceModel:
    """botocore's model of a service, such as ``sagemaker`` (about 0.3 s, the first time)."""
    model: ServiceModel = botocore.session.get_session().get_service_model(service)
    return model


def target_prefix(service: str) -> str:
    """The prefix of the operation's name in ``X-Amz-Target``."""
    return str(service_model(service).metadata["targetPrefix"])


def parse_request(operation: OperationModel, body: bytes) -> dict[str, Any]:
    """The request's parameters; SerializationException or ValidationException if they are bad."""
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        raise ApiError("SerializationException", "The body is not JSON") from None
    if not isinstance(document, dict):
        raise ApiError("SerializationException", "The body must be a JSON object")
    shape = operation.input_shape
    if shape is None:
        return {}
    parameters: dict[str, Any] = _from_json(shape, document)
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        raise invalid(report.generate_report())
    problems = list(violations(shape, parameters))
    if problems:
        noun = "error" if len(problems) == 1 else "errors"
        raise invalid(f"{len(problems)} validation {noun} detected: {'; '.join(problems)}")
    return parameters


def format_answer(operation: OperationModel, answer: dict[str, Any] | None) -> bytes:
    """The answer's body: only members of the model; members that are None are left out.

    An answer that the model forbids is an error of this program: ValueError.
    """
    shape = operation.output_shape
    if shape is None:
        if answer:
            raise ValueError(f"{operation.name} answers nothing, but got {sorted(answer)}")
        return b""
    pruned = _without_none(answer or {})
    report = ParamValidator().validate(pruned, shape)
    problems = [report.generate_report()] if report.has_errors() else []
    problems += (each for each in violations(shape, pruned) if not _is_newer_instance(each))
    if problems:
        raise ValueError(f"{operation.name} would answer against its model: {problems}")
    return json.dumps(_to_json(shape, pruned)).encode()


def _is_newer_instance(problem: str) -> bool:
    """AWS adds instance types that a client's model does not know yet, and returns them."""
    return "nstanceType'" in problem and "enum" in problem


def format_error(error: ApiError) -> bytes:
    """An error's body; clients read the code from ``__type``."""
    return json.dumps({"__type": error.code, "message": error.message}).encode()


def violations(shape: Shape, value: Any, where: str = "") -> Iterator[str]:
    """Violations that botocore's validator does not see, in AWS's words."""
    if isinstance(shape, StructureShape):
        for name, member in value.items():
            if name in shape.members:
                path = name[:1].lower() + name[1:]
                yield from violations(shape.members[name], member, f"{where}.{path}".lstrip("."))
        return
    if isinstance(shape, ListShape):
        for index, member in enumerate(value, 1):
            yield from violations(shape.member, member, f"{where}.{index}.member")
    elif isinstance(shape, MapShape):
        for key, member in value.items():
            yield from violations(shape.value, member, f"{where}.{key}.member")
    for constraint in _broken(shape, value):
        yield f"Value '{value}' at '{where}' failed to satisfy constraint: Member must {constraint}"


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    limits = shape.metadata
    kind = shape.type_name
    if kind == "string":
        if "max" in limits and len(value) > limits["max"]:
            yield f"have length less than or equal to {limits['max']}"
        if "enum" in limits and value not in limits["enum"]:
            yield f"satisfy enum value set: [{', '.join(limits['enum'])}]"
        pattern = _pattern(limits.get("pattern"))
        if pattern is not None and not pattern.fullmatch(value):
            yield f"satisfy regular expression pattern: {limits['pattern']}"
    elif kind in ("integer", "long", "float", "double"):
        if "max" in limits and value > limits["max"]:
            yield f"have value less than or equal to {limits['max']}"
    elif kind in ("list", "map") and "max" in limits and len(value) > limits["max"]:
        yield f"have length less than or equal to {limits['max']}"


#: Java's names for letters, numbers and spaces, which Python's own patterns do not have.
_CLASSES = {r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": r"\s"}


@cache
def _pattern(pattern: str | None) -> re.Pattern[str] | None:
    """The pattern, or None if Python can't use it (the models' patterns are Java's)."""
    if pattern is None:
        return None
    for java, python in _CLASSES.items():
        pattern = pattern.replace(java, python)
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _from_json(shape: Shape, value: Any) -> Any:
    """JSON → Python by the shape. Invalid values stay unchanged, for the validator to find."""
    kind = shape.type_name
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {
            name: _from_json(shape.members[name], member) if name in shape.members else member
            for name, member in value.items()
            if member is not None
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_from_json(shape.member, member) for member in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _from_json(shape.value, member) for key, member in value.items()}
    if kind == "timestamp" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, timezone.utc)
    if kind == "blob" and isinstance(value, str):
        return base64.b64decode(value)
    return value


def _to_json(shape: Shape, value: Any) -> Any:
    kind = shape.type_name
    if isinstance(shape, StructureShape):
        return {name: _to_json(shape.members[name], member) for name, member in value.items()}
    if isinstance(shape, ListShape):
        return [_to_json(shape.member, member) for member in value]
    if isinstance(shape, MapShape):
        return {key: _to_json(shape.value, member) for key, member in value.items()}
    if kind == "timestamp":
        # Seconds since 1970 with milliseconds, as AWS JSON 1.1 has them.
        return round(value.timestamp(), 3)
    if kind == "blob":
        return base64.b64encode(value).decode()
    return value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(member) for key, member in value.items() if member is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(member) for member in value]
    return value
