"""Studio's own idle shutdown for Code Editor, which no script of ours is for. Pure.

It stands in a domain's default user settings (``IdleSettings`` of ``CodeEditorAppSettings``). What
stood there before is kept in a line of our JupyterLab script, by which it is taken back.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import attach
from .script import InvalidScript, Kind

#: The only settings that have it; there are no defaults of spaces for Code Editor.
GROUP = "DefaultUserSettings"
MEMBER = "CodeEditorAppSettings"
#: Minutes that the API takes.
SHORTEST, LONGEST = 60, 525_600

_RECORD = re.compile(r"# Code Editor's idle shutdown: (\d+) minutes, before: (.+)")
_MINUTES = f"{GROUP}.{MEMBER}.AppLifecycleManagement.IdleSettings.IdleTimeoutInMinutes"
_OFF = {"LifecycleManagement": "DISABLED"}


@dataclass(frozen=True)
class Record:
    """What was set, and the ``IdleSettings`` that it stands in place of."""

    minutes: int
    before: Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """What becomes of it."""

    #: The new settings of Code Editor's apps; None where they stay as they are.
    app: Mapping[str, Any] | None
    record: Record | None
    note: str = ""
    #: The paths that an update may leave as they are, since it only adds.
    may_stay: tuple[str, ...] = ()


def minutes_of(seconds: float) -> int:
    """A duration as the API takes it; `InvalidScript` where it does not."""
    minutes = math.ceil(seconds / 60)
    if not SHORTEST <= minutes <= LONGEST:
        raise InvalidScript(
            f"Studio's own idle shutdown takes from {SHORTEST} to {LONGEST} minutes, not {minutes}"
        )
    return minutes


def marked(script: str, record: Record | None) -> str:
    """The script with the record in it."""
    if record is None:
        return script
    first, _, rest = script.partition("\n")
    before = json.dumps(dict(record.before), sort_keys=True)
    mark = f"# Code Editor's idle shutdown: {record.minutes} minutes, before: {before}"
    return f"{first}\n{mark}\n{rest}"


def read(script: str) -> Record | None:
    """The record that `marked` left."""
    for line in attach.head_of(script):
        found = _RECORD.fullmatch(line)
        if found is not None:
            try:
                return Record(int(found[1]), dict(json.loads(found[2])))
            except (TypeError, ValueError):
                return None  # edited by hand
    return None


def changed(settings: Mapping[str, Any], old: Record | None, minutes: int | None) -> Change:
    """What an install with `minutes`, or without it, makes of a domain's settings.

    `old` is the record of what is attached there now. What somebody has changed since is left.
    """
    here = _idle(settings)
    is_ours = old is not None and here == _on(old.minutes)
    may_stay: tuple[str, ...] = ()
    before = old.before if old is not None and is_ours else here
    if minutes is not None:
        wanted, record = _on(minutes), Record(minutes, before)
        note = f"Studio's own idle shutdown of Code Editor: after {minutes} minutes"
    elif is_ours:
        wanted, record = dict(before) or _OFF, None
        may_stay = (_MINUTES,) if "IdleTimeoutInMinutes" not in wanted else ()
        note = "Studio's own idle shutdown of Code Editor is as it was before"
    else:
        return Change(None, None)
    if wanted == here:
        return Change(None, record)
    app = dict(settings.get(MEMBER) or {})
    managed = dict(app.get("AppLifecycleManagement") or {})
    return Change(
        {**app, "AppLifecycleManagement": {**managed, "IdleSettings": wanted}},
        record,
        f"{note} ({_described(here)} now)",
        may_stay,
    )


def record_of(settings: Mapping[str, Any], script_of: Any) -> Record | None:
    """The record of one of ours that is attached there; `script_of` gives an ARN's script."""
    arn = attach.current(Kind.SPACE, settings)
    return read(script_of(arn)) if arn is not None and attach.is_ours(arn) else None


def _on(minutes: int) -> dict[str, Any]:
    return {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": minutes}


def _idle(settings: Mapping[str, Any]) -> dict[str, Any]:
    app = settings.get(MEMBER) or {}
    return dict((app.get("AppLifecycleManagement") or {}).get("IdleSettings") or {})


def _described(idle: Mapping[str, Any]) -> str:
    if idle.get("LifecycleManagement") != "ENABLED":
        return "off"
    return f"after {idle.get('IdleTimeoutInMinutes', SHORTEST)} minutes"
