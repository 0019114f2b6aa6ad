"""Tells admins what a script installs, and with which settings. Pure.

A plan ends up in terminals and in pipelines' logs, so it shows no password or token.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from ..settings.admin import MAX_SECONDS, SageMakerAutoShutdown
from ..text import span
from .script import ScriptSettings

_NAMES = tuple(ScriptSettings().assignments())
_HIDDEN = "***"


@dataclass(frozen=True)
class Limits:
    """The settings of a script that decide what is shut down."""

    #: In seconds.
    idle_timeout: float
    dry_run: bool
    #: The source of settings that win over these; empty for none.
    settings_source: str


def limits_of(script: str) -> Limits | None:
    """The limits of one of ours; None if it was edited and can't be parsed."""
    told = _settings_of(script)
    if told is None:
        return None
    try:
        more = json.loads(told["MORE_SETTINGS"])
        idle_timeout = float(told["IDLE_TIMEOUT"])
        source = more.get("settings_source", "")
        return Limits(idle_timeout, more.get("dry_run") is True, str(source))
    except (AttributeError, ValueError):
        return None


def notes(script: str, old: str | None) -> list[str]:
    """Notes on a script, and on its differences from the one of ours that it replaces, if any."""
    said = [described(script), unchecked(script), unbounded(script)]
    said.append(replaced(old, script) if old is not None else "")
    return [each for each in said if each]


def described(script: str) -> str:
    """A sentence about one of ours; empty if it has no settings of ours."""
    told = _settings_of(script)
    if told is None:
        return ""
    terminals = "; an open terminal holds its app" if told["KEEP_TERMINALS"] == "true" else ""
    more = f"; also: {_shown(told['MORE_SETTINGS'])}" if told["MORE_SETTINGS"] != "{}" else ""
    source = _shown(told["WHEEL"] or told["INDEX_URL"]) or "the package index"
    secrets = (
        ". It holds a password or token, which everyone who may read the script can see"
        if any(_shown(value) != value for value in told.values())
        else ""
    )
    checked = "checked" if told["SHA256"] else "not checked"
    return (
        f"the script installs {told['VERSION']} from {source} (checksum {checked}). It shuts apps "
        f"down after {_span(told['IDLE_TIMEOUT'])} idle and warns users "
        f"{_span(told['WARNING_TIME'])} before{terminals}{more}{secrets}"
    )


def unchecked(script: str) -> str:
    """A warning if nothing tells the right wheel from another; else empty."""
    told = _settings_of(script)
    if told is None or not told["WHEEL"] or told["SHA256"]:
        return ""
    return (
        f"WARNING: the script installs any file at {_shown(told['WHEEL'])}, whoever put it there: "
        "give its checksum (--sha256 or --checksum-of)"
    )


def unbounded(script: str) -> str:
    """A note if users may set any limit; else empty."""
    told = _settings_of(script)
    try:
        more = json.loads(told["MORE_SETTINGS"]) if told is not None else None
    except ValueError:
        more = None
    if not isinstance(more, dict) or more.get("max_idle_timeout") is not None:
        return ""
    allowed = more.get("allow_user_settings", True)
    if allowed is not True and (not allowed or "idle_timeout" not in allowed):
        return ""
    return (
        f"users may set any limit up to {span(MAX_SECONDS)}: to bound it, add "
        "--set max_idle_timeout=SECONDS"
    )


def replaced(old: str, new: str) -> str:
    """The settings in which one of ours differs from its replacement; empty if they are the same.

    An option that is not given is its default, whatever was given the last time.
    """
    before, after = _settings_of(old), _settings_of(new)
    if before is None or after is None:
        return ""
    changed = [
        f"{name}={_shown(value) or 'none'}, now {_shown(after[name]) or 'none'}"
        for name, value in before.items()
        if name != "VERSION" and value != after[name]
    ]
    if not changed:
        return ""
    return (
        f"the installed script has other settings: {'; '.join(changed)}. Options that you do not "
        "give again return to their defaults"
    )


def _settings_of(script: str) -> Mapping[str, str] | None:
    """The settings at the top of one of ours; None if some are missing."""
    found = {}
    for name in _NAMES:
        # The last ones: a script that runs first may have variables of the same names.
        values = re.findall(rf"^{name}=(.*)$", script, re.MULTILINE)
        if not values:
            return None
        try:
            found[name] = "".join(shlex.split(values[-1]))
        except ValueError:
            return None
    return found


def _shown(value: str) -> str:
    """A setting's value without the passwords and tokens in it."""
    value = re.sub(r"(?<=//)[^/@\s]*@", f"{_HIDDEN}@", value)
    if value[:1] != "{":
        return value
    try:
        more = json.loads(value)
    except ValueError:
        return _HIDDEN  # edited by hand and unreadable
    secrets = SageMakerAutoShutdown.class_traits(secret=True).keys() & more.keys()
    if not secrets:
        return value
    more.update(dict.fromkeys(secrets, _HIDDEN))
    return json.dumps(more, separators=(",", ":"))


def _span(seconds: str) -> str:
    """The text itself, if it was edited and is not a number."""
    try:
        return span(float(seconds))
    except (OverflowError, ValueError):
        return seconds
