"""The interfaces that the acting core needs. SQLite and AWS's services implement them.

An implementation may block. It raises :class:`Unavailable` if it can't be reached; the engine then
leaves the run as it is, and the next sweep continues from the stored state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..model import Scope
from .model import Event, Hold, Notice, Present, RunId


class Unavailable(Exception):
    """A store or a channel can't be used at present. The message says why."""


class Holds(Protocol):
    """The holds, one for each run at most. Each change is one atomic, conditional write.

    In DynamoDB: one item for each run, partition key the scope, sort key ``str(run)``; ``create``
    is a put with ``attribute_not_exists``, ``replace`` a put with ``version = :version``. Reads
    are strongly consistent. Items of ended holds may expire after ``KEPT_FOR``.
    """

    def create(self, hold: Hold) -> bool:
        """Stores a hold of version 1. Returns False, without a change, if the run has one."""

    def replace(self, hold: Hold) -> bool:
        """Stores a hold of version N if the stored one is of version N - 1. Else returns False,
        without a change."""

    def read(self, run: RunId) -> Hold | None:
        """The present hold of a run."""

    def of(self, scope: Scope) -> Iterable[Hold]:
        """All holds of a scope, including ended ones that have not expired."""


class Actor(Protocol):
    """SageMaker. Raises ``aws.AwsError``, whose kind tells denied, throttled and gone apart."""

    def describe(self, run: RunId, arn: str = "", profile: str = "") -> Present | None:
        """The app's present description; None if it does not exist. With the ``arn`` the tags
        are read first, so that nothing comes between the answer and its use. ``profile`` owns
        the app's space."""

    def mark(self, run: RunId, arn: str, text: str) -> None:
        """Puts the mark on it."""

    def unmark(self, run: RunId, arn: str) -> None:
        """Takes the mark off; no error if there is none."""

    def stop(self, run: RunId) -> None:
        """DeleteApp or StopNotebookInstance, sent once. Returns once SageMaker accepted it."""


class Notifier(Protocol):
    """The channels for notices: a topic, a webhook."""

    def tell(self, notices: Sequence[Notice]) -> None:
        """Sends all notices. Raises :class:`Unavailable` if no channel accepted them."""


class Audit(Protocol):
    """All events, for good. The audit outlives the holds."""

    def write(self, events: Sequence[Event]) -> None:
        """Appends. The same ``event_id`` may come twice, after a crash."""
