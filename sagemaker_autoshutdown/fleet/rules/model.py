"""Rules, and facts that a sweep does not hold. Values; free of I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from ..acting.model import Grade, Limits
from ..model import Key, ReportKey
from .hours import OffHours

#: An app that is past its own deadline by this much was not shut down by its extension.
OVERDUE = timedelta(minutes=15)


@dataclass(frozen=True)
class Which:
    """The runs of a rule. Shell patterns; one match in a list is enough; empty for everything."""

    domain: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    space: tuple[str, ...] = ()
    app_type: tuple[str, ...] = ()
    instance_type: tuple[str, ...] = ()
    coverage: tuple[str, ...] = ()
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def matches(patterns: tuple[str, ...], value: str) -> bool:
    """Whether a value matches one of the patterns, or there are none."""
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)


@dataclass(frozen=True)
class When:
    """When it is due: all given conditions must hold."""

    idle_for: timedelta | None = None
    silent_for: timedelta | None = None
    up_for: timedelta | None = None
    off_hours: OffHours | None = None


@dataclass(frozen=True)
class Rule:
    """A rule. It is due when any part of ``when`` holds; never without a part."""

    name: str
    which: Which = field(default_factory=Which)
    when: tuple[When, ...] = ()
    warning: timedelta | None = None
    acts: bool = True


@dataclass(frozen=True)
class Rules:
    """All rules in order, and the classes that may act. Without a class in ``grades`` it is a
    dry run."""

    rules: tuple[Rule, ...] = ()
    grades: frozenset[Grade] = frozenset()
    warning: timedelta = timedelta(minutes=15)
    limits: Limits = field(default_factory=Limits)

    @property
    def tag_keys(self) -> frozenset[str]:
        """The tags that rules ask for."""
        return frozenset(key for rule in self.rules for key in rule.which.tags)

    @property
    def asks_canvas(self) -> bool:
        """Whether CloudWatch has to be asked about sessions of Canvas."""
        return any(
            part.idle_for is not None and matches(rule.which.app_type, "Canvas")
            for rule in self.rules
            for part in rule.when
        )


@dataclass(frozen=True)
class Reported:
    """An extension's report on one app. ``idle`` is zero while something holds the app."""

    idle: timedelta | None = None
    deadline: datetime | None = None
    kept_until: datetime | None = None


@dataclass(frozen=True)
class Idle:
    """How long a session of Canvas has not been used, and when that was measured."""

    idle: timedelta
    at: datetime


@dataclass(frozen=True)
class Facts:
    """Facts beyond the sweep. None if the source could not be asked, which is not the same as an
    empty answer.

    ``reported`` is by server and app, under the extensions' names. ``expects_reports`` says whether
    a Prometheus server is configured: an app of a kind that can report is then unknown while that
    server does not answer.
    """

    reported: Mapping[tuple[ReportKey, str, str], Reported] | None = None
    expects_reports: bool = False
    canvas: Mapping[Key, Idle] | None = None
