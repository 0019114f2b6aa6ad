"""The tables ``[act]`` and ``[[rules]]`` of the configuration file."""

from __future__ import annotations

import re
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from ..acting.model import Grade, Limits
from ..model import APP_TYPES, Coverage
from ..tables import Table, Wrong
from .hours import parse
from .model import Rule, Rules, When, Which

_SECOND = timedelta(seconds=1)
_WHICH = ("domain", "owner", "space", "app_type", "instance_type", "coverage")
_CONDITIONS = "idle_for, silent_for, up_for or off_hours"
_GRADES = ", ".join(f'"{grade.value}"' for grade in Grade)


def read_rules(top: Table, act: Table | None) -> Rules:
    """The rules of a document, with the settings of ``[act]``. Takes both tables."""
    listed = top.take("rules", list, "a list of tables, each begun by [[rules]]", [])
    default = Rules()
    rules = []
    names: set[str] = set()
    for number, values in enumerate(listed):
        rule = _rule(Table(values, ("rules", number)), number)
        if rule.name in names:
            raise top.wrong("rules", f"has two rules named {rule.name!r}")
        names.add(rule.name)
        rules.append(rule)
    if act is None:
        return Rules(tuple(rules))
    enabled = act.take("enabled", list, f"a list of {_GRADES}", [])
    if not all(each in [grade.value for grade in Grade] for each in enabled):
        raise act.wrong("enabled", f"must be a list of {_GRADES}, not {enabled!r}")
    warning = act.duration("warning", default.warning, timedelta(0))
    return Rules(tuple(rules), frozenset(map(Grade, enabled)), warning, _limits(act))


def _limits(act: Table) -> Limits:
    table = act.table("limits")
    default = Limits()
    if table is None:
        return default
    share = table.take("share", (int, float), "a share from 0 to 1", default.share)
    if not 0 <= share <= 1:
        raise table.wrong("share", f"must be a share from 0 to 1, not {share!r}")
    numbers = {}
    for name, least in (("stops", 1), ("marks", 1), ("few", 0)):
        number = table.take(name, int, "a number", getattr(default, name))
        if number < least:
            raise table.wrong(name, f"must be at least {least}, not {number}")
        numbers[name] = number
    max_keep = table.duration("max_keep", default.max_keep, timedelta(0))
    table.end("share, stops, marks, few and max_keep")
    return Limits(numbers["stops"], numbers["marks"], float(share), numbers["few"], max_keep)


def _rule(table: Table, number: int) -> Rule:
    name = table.text("name", f"rule-{number + 1}")
    if not re.fullmatch(r"[\w.\-]{1,40}", name, re.ASCII):
        raise table.wrong(
            "name", f"must be up to 40 letters, digits, dots and dashes, not {name!r}"
        )
    which = _which(table.table("which"))
    alternatives = _alternatives(table)
    warning = (
        table.duration("warning", timedelta(0), timedelta(0)) if table.has("warning") else None
    )
    acts = table.switch("act", True)
    table.end("name, which, when, warning and act")
    return Rule(name, which, alternatives, warning, acts)


def _which(table: Table | None) -> Which:
    if table is None:
        return Which()
    found: dict[str, Any] = {name: _patterns(table, name) for name in _WHICH}
    for value in found["coverage"]:
        if value not in [each.value for each in Coverage]:
            known = ", ".join(each.value for each in Coverage)
            raise table.wrong("coverage", f"must be one of {known}, not {value!r}")
    for pattern in found["app_type"]:
        # A type that is new to this package may be named as well.
        meant = [each for each in APP_TYPES if fnmatchcase(each.lower(), pattern.lower())]
        if meant and not any(fnmatchcase(each, pattern) for each in meant):
            raise table.wrong("app_type", f"must be written {', '.join(meant)}, not {pattern!r}")
    tags = table.table("tags")
    if tags is not None:
        found["tags"] = {key: _patterns(tags, key) for key in tags.names}
    table.end(", ".join(_WHICH) + " and tags")
    return Which(**found)


def _patterns(table: Table, name: str) -> tuple[str, ...]:
    what = 'a pattern such as "team-*", or a list of them'
    is_given = table.has(name)
    value = table.take(name, (str, list), what, [])
    values = [value] if isinstance(value, str) else value
    if is_given and values == []:
        raise table.wrong(name, f"names nothing; without {name} the rule is about everything")
    if not all(isinstance(each, str) and each for each in values):
        raise table.wrong(name, f"must be {what}, not {value!r}")
    return tuple(values)


def _alternatives(table: Table) -> tuple[When, ...]:
    is_given = table.has("when")
    value = table.take("when", (dict, list), "a table of conditions, or a list of them", [])
    listed = [value] if isinstance(value, dict) else value
    if is_given and not listed:
        raise table.wrong("when", f"names no condition: {_CONDITIONS}")
    return tuple(_when(Table(each, (*table.path, "when"))) for each in listed)


def _when(table: Table) -> When:
    durations = {
        name: table.duration(name, timedelta(0), _SECOND) if table.has(name) else None
        for name in ("idle_for", "silent_for", "up_for")
    }
    text = table.text("off_hours")
    try:
        hours = parse(text) if text else None
    except ValueError as error:
        raise table.wrong("off_hours", f"can't be read: {error}") from None
    table.end("idle_for, silent_for, up_for and off_hours")
    found = When(**durations, off_hours=hours)
    if found == When():
        raise Wrong(table.path, f"names no condition: {_CONDITIONS}")
    return found
