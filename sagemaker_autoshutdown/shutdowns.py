"""Shutdowns under way: one at a time for each app, each with its own back-off.

At each check, ``monitor.loop`` says which apps to shut down. This module does not repeat a deletion
that is under way, keeps one app's failure from delaying others, and retries failures at growing
intervals.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .aws import AwsError, ErrorKind
from .hosts import HostAdapter
from .model import Action, App, AppStatus, Reason, ShutdownFailure, ShutdownProgress, State, Verdict

log = logging.getLogger(__name__)

MAX_BACKOFF = timedelta(hours=1)
MAX_FIRST_BACKOFF = timedelta(seconds=30)
#: A missing right is seldom granted within seconds.
DENIED_FACTOR = 16
#: How long SageMaker may take to show that an app it agreed to delete is being deleted.
ACCEPTED_PATIENCE = timedelta(minutes=5)


#: How long, at least, a user sees that their request failed.
TOLD_FOR = timedelta(minutes=5)


@dataclass
class _Shutdown:
    app: App
    reason: Reason
    requested_at: datetime
    task: asyncio.Task[None] | None = None
    accepted_at: datetime | None = None
    #: SageMaker's message about an app that it still lists; empty if it agreed.
    not_found: str = ""
    #: Failed attempts, and since when.
    attempts: int = 0
    failing_since: datetime | None = None
    failure: ShutdownFailure | None = None
    #: Until when a failure without a retry is shown.
    told_until: datetime | None = None

    @property
    def in_flight(self) -> bool:
        return self.task is not None and not self.task.done()


def _is_over(entry: _Shutdown, verdict: Verdict, now: datetime) -> bool:
    """Whether a failed shutdown is done with: nobody wants it now, and its failure has been
    shown."""
    if verdict.action is Action.SHUT_DOWN:
        return False
    if entry.reason is not Reason.USER_REQUEST or entry.told_until is None:
        return True
    return now >= entry.told_until


def backoff(
    kind: ErrorKind,
    attempts: int,
    poll_interval: timedelta,
    jitter: Callable[[], float] = random.random,
) -> timedelta:
    """How long to wait after ``attempts`` failures (1 or more) in a row.

    The first wait is the smaller of ``poll_interval`` and 30 s, sixteen times that if a right is
    missing; it doubles up to an hour, give or take a tenth (``jitter`` is from 0 to 1).
    """
    first = min(poll_interval, MAX_FIRST_BACKOFF)
    if kind is ErrorKind.ACCESS_DENIED:
        first *= DENIED_FACTOR
    # The exponent is bounded so that weeks of failures don't overflow.
    wait = min(first * (1 << min(attempts - 1, 20)), MAX_BACKOFF)
    return wait * (0.9 + 0.2 * jitter())


@dataclass
class Shutdowns:
    """All shutdowns of a host.

    ``on_accepted`` is called when SageMaker agreed, ``on_failed`` when an attempt failed, both with
    the app and the reason of the shutdown.
    """

    adapter: HostAdapter
    poll_interval: timedelta
    now: Callable[[], datetime]
    on_accepted: Callable[[App, Reason], None]
    on_failed: Callable[[App, Reason, ShutdownFailure], None]
    jitter: Callable[[], float] = random.random
    _by_name: dict[str, _Shutdown] = field(default_factory=dict)

    def progress(self) -> Mapping[str, ShutdownProgress]:
        """Shutdowns under way or failing, by app name."""
        return {
            name: ShutdownProgress(
                entry.reason, entry.requested_at, None if entry.in_flight else entry.failure
            )
            for name, entry in self._by_name.items()
        }

    def next_retry_at(self) -> datetime | None:
        """When the next failed one may be tried again."""
        times = [
            entry.failure.retry_at
            for entry in self._by_name.values()
            if entry.failure is not None and entry.failure.retry_at is not None
        ]
        return min(times, default=None)

    def follow(self, verdicts: Iterable[Verdict], now: datetime) -> None:
        """Forgets shutdowns that are over: the app is gone, SageMaker says that it is being
        deleted, or it should no longer be shut down. An app that can't be seen now stays."""
        by_name = {verdict.app.name: verdict for verdict in verdicts}
        for name, entry in list(self._by_name.items()):
            if entry.in_flight:
                continue
            verdict = by_name.get(name)
            if verdict is not None and verdict.state is State.UNKNOWN:
                continue
            if (
                verdict is None
                or verdict.app.run_started_at != entry.app.run_started_at
                or verdict.app.status is not AppStatus.IN_SERVICE
                or (entry.failure is not None and _is_over(entry, verdict, now))
            ):
                del self._by_name[name]
            elif entry.accepted_at is not None and now - entry.accepted_at > ACCEPTED_PATIENCE:
                self._came_to_nothing(entry, verdict)

    def _came_to_nothing(self, entry: _Shutdown, verdict: Verdict) -> None:
        """SageMaker agreed to delete an app and still says that it is in service."""
        entry.accepted_at = None
        if verdict.action is not Action.SHUT_DOWN and entry.reason is not Reason.USER_REQUEST:
            del self._by_name[entry.app.name]  # somebody is using it by now
            return
        minutes = round(ACCEPTED_PATIENCE / timedelta(minutes=1))
        code, message = (
            "StillInService",
            (
                "SageMaker agreed to delete it, but still lists it as in service "
                f"{minutes} minutes later"
            ),
        )
        if entry.not_found:
            code, message = (
                "ListedButNotFound",
                (
                    f"SageMaker lists it as in service, but can't find it to delete it: "
                    f"{entry.not_found}"
                ),
            )
        self._failed(entry, AwsError(ErrorKind.OTHER, "shut_down", code, message))

    def due(self, verdicts: Iterable[Verdict], now: datetime) -> list[Verdict]:
        """The apps to shut down that are neither under way nor waiting for a retry."""
        return [
            verdict
            for verdict in verdicts
            if verdict.action is Action.SHUT_DOWN and self._is_free(verdict, now)
        ]

    def _is_free(self, verdict: Verdict, now: datetime) -> bool:
        entry = self._by_name.get(verdict.app.name)
        if entry is None:
            return True
        if entry.in_flight or entry.accepted_at is not None:
            return False
        retry_at = entry.failure.retry_at if entry.failure is not None else None
        return retry_at is None or retry_at <= now or verdict.reason is Reason.USER_REQUEST

    def start(self, verdicts: Iterable[Verdict], now: datetime) -> None:
        """Shuts down these apps. Returns at once; each app's call goes on by itself."""
        for verdict in self.due(verdicts, now):
            name = verdict.app.name
            entry = self._by_name.get(name)
            if entry is None:
                entry = self._by_name[name] = _Shutdown(verdict.app, verdict.reason, now)
            entry.reason = verdict.reason
            entry.task = asyncio.get_running_loop().create_task(self._shut_down(entry))

    async def stop(self) -> None:
        """Stops waiting for calls in flight. AWS completes accepted ones."""
        tasks = [entry.task for entry in self._by_name.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _shut_down(self, entry: _Shutdown) -> None:
        entry.not_found = ""
        try:
            await self.adapter.shut_down(entry.app)
        except AwsError as error:
            # It is gone already, which was the aim.
            if error.kind is not ErrorKind.NOT_FOUND:
                self._failed(entry, error)
                return
            entry.not_found = error.message or error.code
        except Exception as error:
            log.exception("shutting down %s failed unexpectedly", entry.app.name)
            unexpected = AwsError(ErrorKind.OTHER, "shut_down", type(error).__name__, str(error))
            self._failed(entry, unexpected)
            return
        entry.failure = None
        entry.accepted_at = self.now()
        self.on_accepted(entry.app, entry.reason)

    def _failed(self, entry: _Shutdown, error: AwsError) -> None:
        now = self.now()
        entry.attempts += 1
        entry.failing_since = entry.failing_since or now
        wait = backoff(error.kind, entry.attempts, self.poll_interval, self.jitter)
        again = entry.reason is not Reason.USER_REQUEST
        entry.told_until = now + max(wait, TOLD_FOR)
        entry.failure = ShutdownFailure(
            code=error.code,
            message=error.message or str(error),
            remedy=error.remedy,
            iam_action=error.iam_action,
            attempts=entry.attempts,
            since=entry.failing_since,
            retry_at=now + wait if again else None,
        )
        self.on_failed(entry.app, entry.reason, entry.failure)
