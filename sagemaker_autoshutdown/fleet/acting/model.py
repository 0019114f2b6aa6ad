"""Decisions about runs, and their progress, as values. Free of I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from ...clock import to_iso
from ..model import NOTEBOOK_INSTANCE, Key, Scope

#: The tag of an exception: ``keep-until:2026-12-01T18:00:00Z``.
EXCEPTION_TAG = "sagemaker-autoshutdown"


class RunId(NamedTuple):
    """One run of an app or a notebook instance: its identity, and since when it has been up."""

    scope: Scope
    key: Key
    up_since: datetime

    def __str__(self) -> str:
        """Unique in its scope, for a store's key: ``d-1/space/lab/JupyterLab/default@2026-...Z``.

        No part of a key holds a slash.
        """
        return f"{'/'.join(self.key)}@{to_iso(self.up_since)}"

    @property
    def shown(self) -> str:
        """For people."""
        key = self.key
        if key.app_type == NOTEBOOK_INSTANCE:
            return f"notebook instance {key.name}"
        return f"{key.app_type} {key.name} of {key.owner} in {key.domain}"


class Grade(str, Enum):
    """The evidence for a verdict, best first. An admin enables the classes that act."""

    SEEN = "seen"
    REPORTED = "reported"
    GUESSED = "guessed"


GRADE_TEXT: Mapping[Grade, str] = {
    Grade.SEEN: "the sweeps saw it themselves",
    Grade.REPORTED: "the app's own metrics say so",
    Grade.GUESSED: "inferred from what is missing",
}


class Answer(str, Enum):
    """The rules' verdict on a run. *Unknown* changes nothing: the run is neither marked nor
    spared."""

    DUE = "due"
    NOT_DUE = "not_due"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """The rules' verdict on one run, at the time ``at``.

    ``acts`` is false in dry run and for a class that is not enabled. ``created_at`` is the API's
    time for the run (``Run.changed_at``). ``kept_until`` is the end of a keep-alive or exception.
    ``owner`` and ``nano_usd_per_hour`` say who pays how much; budgets may need them one day.
    ``profile`` is the user profile that owns the app's space, whose tags count too.
    """

    run: RunId
    answer: Answer
    at: datetime
    created_at: datetime
    rule: str = ""
    grade: Grade = Grade.GUESSED
    why: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)
    warning: timedelta = timedelta(0)
    acts: bool = False
    kept_until: datetime | None = None
    owner: str = ""
    nano_usd_per_hour: int = 0
    profile: str = ""


class Phase(str, Enum):
    """The progress of a hold."""

    NOTED = "noted"
    KEPT = "kept"
    MARKED = "marked"
    ACTING = "acting"
    DONE = "done"
    SPARED = "spared"


#: Phases in which nothing more has to be done about the run.
ENDED = frozenset({Phase.DONE, Phase.SPARED})


@dataclass(frozen=True)
class Hold:
    """The stored record of one run that was due. ``version`` grows by one with each change.

    ``told`` says whether the app carries the mark; the warning counts from then, and ``due_at`` is
    its end. ``mark`` is the tag's value, empty while the app has none. ``holder`` may call
    SageMaker until ``lease_until``. ``called`` says whether SageMaker may have accepted an earlier
    call although no answer said so. ``kept_since`` is when a keep-alive first held the run while it
    was due.
    """

    run: RunId
    phase: Phase
    version: int
    created_at: datetime
    changed_at: datetime
    rule: str = ""
    grade: Grade = Grade.GUESSED
    why: str = ""
    marked_at: datetime | None = None
    due_at: datetime | None = None
    told: bool = False
    arn: str = ""
    mark: str = ""
    holder: str = ""
    lease_until: datetime | None = None
    attempts: int = 0
    called: bool = False
    not_before: datetime | None = None
    kept_since: datetime | None = None
    kept_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether something still has to be done about the run."""
        return self.phase not in ENDED


class Kind(str, Enum):
    """The kinds of tasks."""

    NOTE = "note"
    KEEP = "keep"
    MARK = "mark"
    SPARE = "spare"
    STOP = "stop"
    FINISH = "finish"


@dataclass(frozen=True)
class Task:
    """One task about one run. It has no ``verdict`` if the run is gone or not due."""

    kind: Kind
    run: RunId
    verdict: Verdict | None = None
    why: str = ""


@dataclass(frozen=True)
class Present:
    """SageMaker's present description of an app. ``at`` is the time on SageMaker's clock.

    ``tags`` are those of the app and its owner; None if they could not be read. An app whose
    exceptions can't be read is not shut down.
    """

    status: str
    created_at: datetime
    at: datetime
    arn: str
    tags: Mapping[str, str] | None = None
    #: Of the app alone.
    mark: str = ""
    #: On the monotonic clock, in seconds, just before DescribeApp was sent.
    asked: float = 0.0


class Happened(str, Enum):
    """The kinds of audit records."""

    NOTED = "noted"
    KEPT = "kept"
    MARKED = "marked"
    SPARED = "spared"
    STOPPED = "stopped"
    GONE = "gone"
    FAILED = "failed"
    HALTED = "halted"


@dataclass(frozen=True)
class Event:
    """One line of the audit. ``event_id`` is the same if the same step is recorded twice.

    ``run`` is missing if the event is about a whole sweep (*halted*).
    """

    event_id: str
    at: datetime
    scope: Scope
    what: Happened
    run: RunId | None = None
    rule: str = ""
    grade: Grade | None = None
    why: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)
    due_at: datetime | None = None
    owner: str = ""
    nano_usd_per_hour: int = 0
    by: str = ""


@dataclass(frozen=True)
class Notice:
    """The notice about one run: it will be shut down, was shut down, or was spared."""

    what: Happened
    run: RunId
    owner: str
    rule: str
    why: str
    at: datetime
    due_at: datetime | None = None


@dataclass(frozen=True)
class Limits:
    """The limits of one sweep.

    ``share``: if more than this part of the running apps in a scope is due at once, and more than
    ``few``, nothing is marked or shut down: a rule or a metric is more likely wrong than the fleet.
    ``max_keep``: how long exceptions can hold a run once it is due.
    """

    stops: int = 50
    marks: int = 200
    share: float = 0.25
    few: int = 10
    max_keep: timedelta = timedelta(days=7)
