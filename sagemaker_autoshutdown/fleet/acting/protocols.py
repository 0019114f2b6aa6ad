"""What the acting core needs of the world. SQLite and AWS's engines implement it.

An implementation may block. It raises :class:`Unavailable` where it can't be reached; the engine
then leaves the run as it is, and the next sweep goes on from what was stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..model import Scope
from .model import Event, Hold, Notice, Present, RunId


class Unavailable(Exception):
    """A store or a channel can't be used now. The message says why."""


class Holds(Protocol):
    """The holds, one for each run at most. Each change is one atomic, conditional write.

    In DynamoDB: one item for each run, partition key the scope, sort key ``str(run)``; ``create``
    is a put with ``attribute_not_exists``, ``replace`` a put with ``version = :version``. Reads
    are strongly consistent. Items of ended holds may expire after ``KEPT_FOR``.
    """

    def create(self, hold: Hold) -> bool:
        """Stores a hold of version 1; False, and nothing is changed, where the run has one."""

    def replace(self, hold: Hold) -> bool:
        """Stores a hold of version N if the stored one is of version N - 1; else False, and
        nothing is changed."""

    def read(self, run: RunId) -> Hold | None:
        """The hold of a run, as it is now."""

    def of(self, scope: Scope) -> Iterable[Hold]:
        """All holds of a scope, ended ones that have not expired included."""


class Actor(Protocol):
    """SageMaker. Raises ``aws.AwsError``, whose kind tells denied, throttled and gone apart."""

    def describe(self, run: RunId, arn: str = "") -> Present | None:
        """What is there now; None where nothing is. With the ``arn`` the tags are read first, so
        that nothing comes between the answer and what is done with it."""

    def mark(self, run: RunId, arn: str, text: str) -> None:
        """Puts the mark on it."""

    def unmark(self, run: RunId, arn: str) -> None:
        """Takes the mark off; fine where there is none."""

    def stop(self, run: RunId) -> None:
        """DeleteApp or StopNotebookInstance, sent once. Comes back once SageMaker accepted it."""


class Notifier(Protocol):
    """Who is told: a topic, a webhook."""

    def tell(self, notices: Sequence[Notice]) -> None:
        """Tells all of them. Raises :class:`Unavailable` where no channel took them."""


class Audit(Protocol):
    """What happened, for good. It outlives the holds."""

    def write(self, events: Sequence[Event]) -> None:
        """Appends. The same ``event_id`` may come twice, after a crash."""
