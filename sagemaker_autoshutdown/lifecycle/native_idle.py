"""Studio's own idle shutdown: for Code Editor, which our scripts don't cover, and, as a safety net,
for JupyterLab. Pure.

It is in a domain's default settings (``IdleSettings``). A line of our JupyterLab script keeps the
earlier value, by which it is restored.
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

#: The minutes that the API accepts.
SHORTEST, LONGEST = 60, 525_600

_OFF = {"LifecycleManagement": "DISABLED"}


@dataclass(frozen=True)
class NativeApp:
    """A type of apps that Studio itself can shut down."""

    #: For people, and in the script's line.
    name: str
    #: The path of its settings.
    member: str
    groups: tuple[str, ...]

    @property
    def _record(self) -> str:
        return f"# {self.name}'s idle shutdown: "

    def marked(self, script: str, record: Record | None) -> str:
        """The script with the record in it."""
        if record is None:
            return script
        first, _, rest = script.partition("\n")
        before = json.dumps(dict(record.before), sort_keys=True)
        return f"{first}\n{self._record}{record.minutes} minutes, before: {before}\n{rest}"

    def read(self, script: str) -> Record | None:
        """The record that `marked` left."""
        for line in attach.head_of(script):
            found = re.fullmatch(rf"{re.escape(self._record)}(\d+) minutes, before: (.+)", line)
            if found is not None:
                try:
                    return Record(int(found[1]), dict(json.loads(found[2])))
                except (TypeError, ValueError):
                    return None  # edited by hand
        return None

    def record_of(self, settings: Mapping[str, Any], script_of: Any) -> Record | None:
        """The record of our attached script; `script_of` returns an ARN's script."""
        arn = attach.current(Kind.SPACE, settings)
        return self.read(script_of(arn)) if arn is not None and attach.is_ours(arn) else None

    def changed(
        self, group: str, settings: Mapping[str, Any], old: Record | None, minutes: int | None
    ) -> Change:
        """The change that an install with `minutes`, or without it, makes to a group of a domain's
        settings.

        `old` is the record of the attached script. Values that somebody has changed since then
        stay.
        """
        here = _idle(settings.get(self.member) or {})
        is_ours = old is not None and here == _on(old.minutes)
        may_stay: tuple[str, ...] = ()
        before = old.before if old is not None and is_ours else here
        if minutes is not None:
            wanted, record = _on(minutes), Record(minutes, before)
            note = f"Studio's own idle shutdown of {self.name}: after {minutes} minutes"
        elif is_ours:
            wanted, record = dict(before) or _OFF, None
            if "IdleTimeoutInMinutes" not in wanted:
                path = "AppLifecycleManagement.IdleSettings.IdleTimeoutInMinutes"
                may_stay = (f"{group}.{self.member}.{path}",)
            note = f"Studio's own idle shutdown of {self.name} is restored to its earlier value"
        else:
            return Change(None, None)
        if wanted == here:
            return Change(None, record)
        return Change(wanted, record, f"{note} ({_described(here)} now)", may_stay)


CODE_EDITOR = NativeApp("Code Editor", "CodeEditorAppSettings", ("DefaultUserSettings",))
JUPYTERLAB = NativeApp(
    "JupyterLab", "JupyterLabAppSettings", ("DefaultUserSettings", "DefaultSpaceSettings")
)
APPS = (CODE_EDITOR, JUPYTERLAB)
#: A note about a safety net below ours.
NET = (
    "Studio's own idle shutdown takes silent training in JupyterLab for idle. Our server keeps it "
    "off while something is busy, kept or unknown (hold_off_native_idle), but only while that "
    "server lives"
)


@dataclass(frozen=True)
class Record:
    """The minutes that were set, and the ``IdleSettings`` that they replaced."""

    minutes: int
    before: Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """The planned change."""

    #: The new ``IdleSettings``; None if they stay as they are.
    idle: Mapping[str, Any] | None
    record: Record | None
    note: str = ""
    #: The paths that an update may leave unchanged, because it only adds.
    may_stay: tuple[str, ...] = ()

    def made_in(self, app: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the apps with the change."""
        if self.idle is None:
            return dict(app)
        managed = dict(app.get("AppLifecycleManagement") or {})
        return {**app, "AppLifecycleManagement": {**managed, "IdleSettings": dict(self.idle)}}


def minutes_of(seconds: float) -> int:
    """A duration in the API's form; `InvalidScript` if it is out of range."""
    minutes = math.ceil(seconds / 60)
    if not SHORTEST <= minutes <= LONGEST:
        raise InvalidScript(
            f"Studio's own idle shutdown takes from {SHORTEST} to {LONGEST} minutes, not {minutes}"
        )
    return minutes


def _on(minutes: int) -> dict[str, Any]:
    return {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": minutes}


def _idle(app: Mapping[str, Any]) -> dict[str, Any]:
    return dict((app.get("AppLifecycleManagement") or {}).get("IdleSettings") or {})


def _described(idle: Mapping[str, Any]) -> str:
    if idle.get("LifecycleManagement") != "ENABLED":
        return "off"
    return f"after {idle.get('IdleTimeoutInMinutes', SHORTEST)} minutes"
