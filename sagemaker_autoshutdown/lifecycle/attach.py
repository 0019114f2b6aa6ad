"""The place of our lifecycle configuration in the settings of a domain or user profile. Pure.

A JupyterLab app runs the *built-in* lifecycle configuration of its settings and then the one that
its user chose. Ours is the built-in one: users need not choose it, and their choice stays. A
JupyterServer app of Studio Classic runs only one, its default. If the place is taken, our script
runs the earlier one first (`combined`) and then installs, so that nothing is lost.

Settings are dicts in the form of the API (``UserSettings``, ``DefaultSpaceSettings``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any

from .script import Kind, dense, made_by_command, normalized, part

#: Values that the API's patterns allow in place of an ARN, to remove it.
NO_ARN = "None"

_FIRST = re.compile(r"# Runs first: (\S+)")


def member(kind: Kind) -> str:
    """The member of the settings for the kind's apps."""
    return f"{kind.app_type}AppSettings"


def current(kind: Kind, settings: Mapping[str, Any]) -> str | None:
    """The ARN in our place, ours or another's."""
    app = settings.get(member(kind)) or {}
    if kind is Kind.SPACE:
        return _arn(app.get("BuiltInLifecycleConfigArn"))
    return _arn((app.get("DefaultResourceSpec") or {}).get("LifecycleConfigArn"))


def is_ours(arn: str | None) -> bool:
    """Whether an ARN names a lifecycle configuration that this command made."""
    return arn is not None and made_by_command(arn)


def native_idle(app_type: str, settings: Mapping[str, Any]) -> int | None:
    """The minutes after which Studio's own idle shutdown ends apps of a type; None if the
    settings do not switch it on."""
    app = settings.get(f"{app_type}AppSettings") or {}
    idle = (app.get("AppLifecycleManagement") or {}).get("IdleSettings") or {}
    if idle.get("LifecycleManagement") != "ENABLED":
        return None
    return int(idle.get("IdleTimeoutInMinutes") or 60)


def of_apps(kind: Kind, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the kind's apps."""
    return dict(settings.get(member(kind)) or {})


def attached(kind: Kind, app: Mapping[str, Any], arn: str) -> dict[str, Any]:
    """Settings of the kind's apps with `arn` in our place, otherwise unchanged."""
    app = dict(app)
    if kind is Kind.SPACE:
        app["BuiltInLifecycleConfigArn"] = arn
        return app
    spec = app.get("DefaultResourceSpec") or {"InstanceType": "system"}
    app["DefaultResourceSpec"] = {**spec, "LifecycleConfigArn": arn}
    # A default must be one of the selectable configurations, or the app does not start.
    app["LifecycleConfigArns"] = [*_others(app), arn]
    return app


def detached(kind: Kind, app: Mapping[str, Any], before: str | None) -> dict[str, Any]:
    """The same without ours. `before` is the script that ours ran first; it returns to its
    place."""
    app = dict(app)
    place = before or NO_ARN
    if kind is Kind.SPACE:
        app["BuiltInLifecycleConfigArn"] = place
        return app
    app["DefaultResourceSpec"] = {**app["DefaultResourceSpec"], "LifecycleConfigArn": place}
    app["LifecycleConfigArns"] = _others(app)
    return app


def without(app: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The same without some members, in the form of an update: lifecycle configurations are
    removed by an empty list and ``None`` (API reference), other members by leaving them out."""
    empty = {"DefaultResourceSpec": {"LifecycleConfigArn": NO_ARN}, "LifecycleConfigArns": []}
    kept = {name: value for name, value in app.items() if name not in names}
    return {**kept, **{name: empty[name] for name in names if name in empty}}


def _others(app: Mapping[str, Any]) -> list[str]:
    return [each for each in app.get("LifecycleConfigArns") or () if not is_ours(each)]


def without_nothing(value: Any) -> Any:
    """Settings without meaningless members, for comparison."""
    if isinstance(value, Mapping):
        cleaned = {key: without_nothing(each) for key, each in value.items()}
        return {key: each for key, each in cleaned.items() if each not in (None, NO_ARN, {}, [])}
    if isinstance(value, (list, tuple)):
        return [without_nothing(each) for each in value]
    return value


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """The paths at which two settings differ; a missing member equals an empty one."""
    if {type(expected), type(found)} <= {dict, type(None)}:
        mine, other = expected or {}, found or {}
        return [
            path
            for key in sorted({*mine, *other})
            for path in differences(mine.get(key), other.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if expected == found else [where]


def combined(script: str, arn: str, other: str) -> str:
    """Our script, with another's content run before it as SageMaker would have run it.

    Ours runs even if that one fails. Then the whole script fails, as it would without ours. Our
    comments and indentation are left out, because the API limits the length of both together.
    """
    first, _, rest = dense(script).partition("\n")
    return (
        f"{first}\n"
        f"# Runs first: {arn}\n"
        "# It had this place before, and SageMaker runs one script there. What follows it is what\n"
        "# `jupyter sagemaker-autoshutdown lifecycle-config render` shows with its comments.\n"
        "# shellcheck disable=SC2016\n"
        f"FIRST_SCRIPT={shlex.quote(normalized(other))}\n\n"
        f'{part("first")}\n# shellcheck disable=SC2329\n(\n{rest.strip()}\n)\nexit "$FIRST"\n'
    )


def marked(script: str, arn: str) -> str:
    """Our script with the mark of `combined`, when nothing runs before it."""
    first, _, rest = normalized(script).partition("\n")
    return f"{first}\n# Runs first: {arn}\n{rest}"


def runs_first(script: str) -> str | None:
    """The ARN that `combined` or `marked` wrote."""
    found = (_FIRST.fullmatch(line) for line in head_of(script))
    return next((each[1] for each in found if each is not None), None)


def head_of(script: str) -> Iterator[str]:
    """The comments at the start of a script, without those of another script within it."""
    return takewhile(lambda line: line.startswith("#"), script.splitlines())


def _arn(value: Any) -> str | None:
    return None if value in (None, "", NO_ARN) else str(value)
