"""Holds, verdicts, tasks and events as JSON values, for a store or a queue. Pure.

Times are ISO 8601 in UTC, durations are seconds. Defaults are left out, so that an item is small.
Unknown fields are ignored, so that two versions can share a table for a while.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from ...clock import from_iso, to_iso
from ..model import Key, Scope
from .model import Answer, Grade, Happened, Kind, Phase, RunId, Verdict

T = TypeVar("T")


def to_json(value: Any) -> dict[str, Any]:
    """One of the dataclasses of ``model.py`` as a JSON object."""
    found = {}
    for each in dataclasses.fields(value):
        inner = getattr(value, each.name)
        if each.default is not dataclasses.MISSING and inner == each.default:
            continue
        if each.default_factory is not dataclasses.MISSING and not inner:
            continue
        found[each.name] = _plain(inner)
    return found


def from_json(kind: type[T], document: Mapping[str, Any]) -> T:
    """The value behind the output of ``to_json``. Raises ``ValueError`` for anything else."""
    try:
        return kind(
            **{
                each.name: _value(str(each.type), document[each.name])
                for each in dataclasses.fields(kind)  # type: ignore[arg-type]
                if each.name in document
            }
        )
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"no {kind.__name__}: {error}") from None


def run_to_json(run: RunId) -> list[str]:
    """A run, flat: account, region, the parts of its key, since when it has been up."""
    return [*run.scope, *run.key, to_iso(run.up_since)]


def run_from_json(parts: Sequence[str]) -> RunId:
    """The run again. Raises ``ValueError``."""
    texts = [str(part) for part in parts]
    if len(texts) != 8:
        raise ValueError("a run has eight parts")
    return RunId(Scope(*texts[:2]), Key(*texts[2:7]), from_iso(texts[7]))


def _plain(value: Any) -> Any:
    if isinstance(value, RunId):
        return run_to_json(value)
    if isinstance(value, Scope):
        return list(value)
    if isinstance(value, datetime):
        return to_iso(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): str(each) for name, each in value.items()}
    return to_json(value) if dataclasses.is_dataclass(value) else value


#: By the annotation of a field, which Python 3.9 can't evaluate.
_READ: Mapping[str, Callable[[Any], Any]] = {
    "RunId": run_from_json,
    "Scope": lambda parts: Scope(*parts),
    "datetime": from_iso,
    "timedelta": lambda seconds: timedelta(seconds=seconds),
    "Verdict": lambda document: from_json(Verdict, document),
    "Mapping[str, str]": dict,
    **{each.__name__: each for each in (Answer, Grade, Happened, Kind, Phase)},
    **{each.__name__: each for each in (str, int, float, bool)},
}


def _value(annotation: str, value: Any) -> Any:
    name, _, optional = annotation.partition(" | ")
    return None if optional and value is None else _READ[name](value)
