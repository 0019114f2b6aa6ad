"""Sends samples at an interval, in a thread, and keeps unsent ones for a while.

Waiting samples are bounded in number and in age; others are dropped and counted. Samples are sent
in their order, as receivers demand: while the oldest can't be sent, the others wait.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ...listeners import Listener
from ...model import Reason
from .encode import STALE, Sample, Series, encode
from .receiver import FAILED, OK, REFUSED, Answer, Receiver, Sign

#: Seconds to wait for a receiver.
TIMEOUT = 10.0
#: Seconds that the last samples may take when the server ends.
CLOSE_TIMEOUT = 3.0
#: The most samples that wait: an hour of a busy server, some megabytes.
MAX_PENDING = 50_000
#: Seconds after which a sample is no longer sent: receivers refuse samples older than an hour.
MAX_AGE = 3600.0
#: Seconds between retries: the first, and the most.
FIRST_BACK_OFF, MAX_BACK_OFF = 1.0, 120.0
#: Seconds after which a problem is logged again: while it lasts, and once it was over.
TELL_AGAIN, TELL_ANEW = 86_400.0, 3600.0

#: Labels and value of each series at this moment.
Gather = Callable[[], Iterable[tuple[Series, float]]]


class Counts(Protocol):
    """Counts the outcomes of samples; ``Metrics`` implements it."""

    def count_remote_samples(self, outcome: str, samples: int) -> None:
        """``sent`` or ``dropped``."""
        ...

    def count_remote_request(self, outcome: str) -> None:
        """``ok``, ``failed`` or ``refused``."""
        ...

    def set_remote_pending(self, samples: int) -> None:
        """This many samples wait."""
        ...


@dataclass(frozen=True)
class _Batch:
    body: bytes
    samples: int
    gathered_at: float


class RemoteWriter(Listener):
    """Sends the samples of ``gather`` to ``url`` every ``interval`` seconds.

    ``gather`` is called in this thread; it has to switch to a loop by itself. Raises ``ValueError``
    if ``url`` is invalid.
    """

    def __init__(
        self,
        url: str,
        gather: Gather,
        counts: Counts,
        *,
        interval: float,
        headers: Mapping[str, str] | None = None,
        sign: Sign | None = None,
        clock: Callable[[], float] = time.time,
        log: logging.Logger | None = None,
    ) -> None:
        self._receiver = Receiver(url, headers, sign)
        self._gather = gather
        self._counts = counts
        self._interval = interval
        self._clock = clock
        self._log = log or logging.getLogger(__name__)
        self._trouble = _Trouble(clock, self._log)
        self._batches: deque[_Batch] = deque()
        self._pending = 0
        self._seen: set[Series] = set()
        self._last_timestamp = 0
        self._failures = 0
        self._not_before = 0.0
        self._woken = threading.Event()
        self._stop = threading.Event()
        self._close_by = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="sagemaker_autoshutdown-remote-write", daemon=True
            )
            self._thread.start()

    def on_shutdown(self, reason: Reason, accepted: bool) -> None:
        """Sends now: a space's server ends with its app, so its last values must leave first."""
        self._woken.set()

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Ends the thread. It first sends the last values and the end of their series, for
        ``timeout`` seconds at most. Must not be called from the loop that ``gather`` asks."""
        self._close_by = time.monotonic() + timeout
        self._stop.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        # So that the servers of a domain, started together in the morning, do not all send at once.
        delay = random.uniform(0, min(self._interval, 5.0))  # noqa: S311
        while True:
            self._woken.wait(delay)
            self._woken.clear()
            if self._stop.is_set():
                break
            started = time.monotonic()
            self._guarded(self.tick)
            delay = max(0.0, self._interval - (time.monotonic() - started))
        self._guarded(self._finish)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            self._log.exception("sagemaker_autoshutdown: metrics could not be sent")

    def tick(self) -> None:
        """Gathers samples and sends waiting ones. One pass of the thread."""
        self._take(list(self._gather()))
        self._drop_old()
        while not self._stop.is_set() and self._clock() >= self._not_before:
            if not self._send_oldest(TIMEOUT):
                break
        self._counts.set_remote_pending(self._pending)

    def _finish(self) -> None:
        """The last pass: the last values, and at once the end of their series, because a server
        that is gone can't report it. One attempt, whatever failed before."""
        self._take(list(self._gather()))
        self._take([])
        self._drop_old()
        while (left := self._close_by - time.monotonic()) > 0:
            if not self._send_oldest(min(TIMEOUT, left)):
                break

    def _take(self, gathered: list[tuple[Series, float]]) -> None:
        now = self._clock()
        # A series has one sample at a time.
        timestamp = self._last_timestamp = max(int(now * 1000), self._last_timestamp + 1)
        samples = [Sample(series, value, timestamp) for series, value in gathered]
        present = {series for series, _ in gathered}
        # Without this, a receiver shows an app that is gone for five more minutes.
        samples += [Sample(series, STALE, timestamp) for series in sorted(self._seen - present)]
        self._seen = present
        if samples:
            self._batches.append(_Batch(encode(samples), len(samples), now))
            self._pending += len(samples)

    def _drop_old(self) -> None:
        oldest = self._clock() - MAX_AGE
        while self._batches and (
            self._pending > MAX_PENDING or self._batches[0].gathered_at < oldest
        ):
            self._forget("dropped")

    def _forget(self, outcome: str) -> None:
        batch = self._batches.popleft()
        self._pending -= batch.samples
        self._counts.count_remote_samples(outcome, batch.samples)

    def _send_oldest(self, timeout: float) -> bool:
        """Returns whether the oldest batch is done, so that the next one may follow."""
        if not self._batches:
            return False
        answer = self._receiver.post(self._batches[0].body, timeout)
        self._counts.count_remote_request(answer.outcome)
        if answer.outcome == FAILED:
            self._trouble.tell(
                FAILED,
                "metrics can't be sent to %s (%s); they are kept for an hour, and sending is "
                "retried",
                self._receiver.label,
                answer.why,
            )
            self._back_off(answer)
            return False
        if answer.outcome == REFUSED:
            self._trouble.tell(
                f"{REFUSED} {answer.kind}",
                "%s refuses metrics (%s), so they are dropped. Check remote_write_url, and the "
                "rights and headers that the receiver asks for",
                self._receiver.label,
                answer.why,
            )
        else:
            self._trouble.over("metrics can be sent again")
        self._failures, self._not_before = 0, 0.0
        self._forget("sent" if answer.outcome == OK else "dropped")
        return True

    def _back_off(self, answer: Answer) -> None:
        self._failures += 1
        delay = min(FIRST_BACK_OFF * 2 ** min(self._failures - 1, 10), MAX_BACK_OFF)
        self._not_before = self._clock() + max(delay, min(answer.wait or 0.0, MAX_BACK_OFF))


class _Trouble:
    """Logs a problem once. Logs it again if it changes, once a day while it lasts, and an hour
    after it was over at the soonest, because some problems come and go all the time."""

    def __init__(self, clock: Callable[[], float], log: logging.Logger) -> None:
        self._clock = clock
        self._log = log
        self._quiet_until: dict[str, float] = {}
        self._told = False

    def tell(self, kind: str, text: str, *arguments: object) -> None:
        """There is a problem of this kind."""
        now = self._clock()
        if now >= self._quiet_until.get(kind, 0.0):
            self._quiet_until[kind] = now + TELL_AGAIN
            self._told = True
            self._log.warning("sagemaker_autoshutdown: " + text, *arguments)

    def over(self, text: str) -> None:
        """The problem is over."""
        if self._told:
            self._told = False
            soon = self._clock() + TELL_ANEW
            self._quiet_until = {
                kind: min(until, soon) for kind, until in self._quiet_until.items()
            }
            self._log.info("sagemaker_autoshutdown: " + text)
