"""The interface of ``costs`` to the rest of the product: it takes observations and events, and
gives prices and totals.

Nothing here blocks its caller or raises because of the disk. One thread writes and reads the
ledger. The totals are kept in memory for ``status`` and the metrics.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..clock import utcnow
from ..errors import Unavailable
from ..listeners import Check, Listener
from ..model import AppType, Event, Host, HostKind, Presence, Price, Problem, Totals, Verdict
from ..prices.book import PriceBook
from .billing.report import GroupBy, Outcome, Report
from .microseconds import DAY, FOR_EVER, LONG_AGO, from_us, span_us, to_us
from .observation import Observation, observation_of

if TYPE_CHECKING:
    # Imported in the thread, so that a server's start does not wait for them.
    import sqlite3

    from .store.ledger import Ledger
    from .totals import RunningTotals, Spent, Summary

T = TypeVar("T")

#: Seconds within which a new day shows if nothing else happens.
NEW_DAY_WITHIN = 60.0

#: How many seconds to wait for the ledger: a disk that hangs must not block a request for ever.
READ_TIMEOUT = 30.0
#: How many seconds to wait for pending writes when the server stops.
CLOSE_TIMEOUT = 3.0
#: The time between two calls for the size of a volume, and after a failed one.
VOLUME_INTERVAL = timedelta(days=1)
VOLUME_RETRY = timedelta(hours=1)
#: The clock was not set if it gained no more than this on one that nobody sets.
SAME_CLOCK = timedelta(seconds=1)
#: The remedy for an error in the admin's price table.
PRICES_REMEDY = "Correct the table and restart the server. Until then, the other prices apply."


def _do_nothing(ledger: Ledger) -> None:
    pass


class CostTracker(Listener):
    """Records the cost of instances, and answers questions about it.

    Two observations at most ``gap`` apart leave no gap in the record. One that differs from the
    last only by its time is written after ``hold``, or before anything else is written or read.
    ``ask_volume`` returns the gigabytes of the volume; it may block, and is called in a thread.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        prices: PriceBook,
        *,
        gap: timedelta,
        avoided_cost_cap: timedelta,
        hold: timedelta = timedelta(0),
        ask_volume: Callable[[], int | None] | None = None,
        clock: Callable[[], datetime] = utcnow,
        monotonic: Callable[[], float] = time.monotonic,
        log: logging.Logger | None = None,
    ) -> None:
        self._host = host
        self._prices = prices
        self._cap = span_us(avoided_cost_cap)
        self._has_recorded = False
        self._changed_since = LONG_AGO  # observations that the totals do not include yet
        self._summed_at: int | None = None
        self._ask_volume = ask_volume
        self._ask_volume_at: datetime | None = None
        self._clock = clock
        self._monotonic = monotonic
        self._started_at = clock()
        self._log = log or logging.getLogger(__name__)
        self._folder = folder
        self._gap = gap
        self._hold = hold
        #: The last observation that was handed to the thread, and the last one, if it was not.
        self._written: Observation | None = None
        self._held: Observation | None = None
        self._ledger: Ledger | None = None
        self._totals: RunningTotals | None = None
        self._summary: Summary | None = None
        self._generation = 0
        self._unsummed = ""
        self._failure = ""
        self._jobs: queue.SimpleQueue[Callable[[Ledger], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    # ---- the thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the recording thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="sagemaker_autoshutdown-ledger", daemon=True
            )
            self._thread.start()

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Writes the pending records, for ``timeout`` seconds at most, and ends the thread."""
        self._let_go()
        self._closed = True
        self._prices.close()
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(timeout)

    def flush(self, timeout: float = 60) -> None:
        """Waits until the thread has handled everything that it got so far. For tests."""
        done = threading.Event()
        self._let_go()
        self._jobs.put(lambda ledger: done.set())
        if not done.wait(timeout):
            raise TimeoutError("the record was not finished in time")

    def _work(self) -> None:
        try:
            ledger = self._open()
        except Exception as error:
            self._closed = True
            self._failure = (
                f"Costs and history are not recorded ({type(error).__name__}: {error}). Please "
                "report it with the server's log."
            )
            self._log.exception("sagemaker_autoshutdown: %s", self._failure)
            return
        while True:
            try:
                job = self._jobs.get(timeout=NEW_DAY_WITHIN)
            except queue.Empty:
                job = _do_nothing
            if job is None:
                ledger.close()
                return
            try:
                job(ledger)
                summed_day = -1 if self._summed_at is None else self._summed_at // DAY
                if to_us(self._clock()) // DAY != summed_day:
                    # Nothing may have been recorded, as while SageMaker does not list the apps.
                    # "today" must still be today.
                    self._sum_up(ledger, to_us(self._clock()))
            except Exception:
                self._log.exception("sagemaker_autoshutdown: a record of costs failed")

    def _open(self) -> Ledger:
        self._prices.load()
        from .store.ledger import Ledger
        from .totals import RunningTotals

        ledger = Ledger(self._folder, gap=self._gap, clock=self._clock, log=self._log)
        self._ledger, self._totals = ledger, RunningTotals(self._host, self._cap)
        ledger.open()
        self._sum_up(ledger, to_us(self._clock()))
        return ledger

    def _sum_up(self, ledger: Ledger, now: int) -> None:
        totals = self._totals
        if totals is None:
            return
        if ledger.generation != self._generation:
            self._generation, self._changed_since = ledger.generation, LONG_AGO  # a new ledger
        changed_since = self._changed_since
        try:
            summary = ledger.read(lambda db: totals.update(db, changed_since, now))
        except Exception as error:
            # Once, not at every check: a broken file stays broken.
            said = f"{type(error).__name__}: {error}"
            if said != self._unsummed:
                self._unsummed = said
                unexpected = None if isinstance(error, Unavailable) else error
                self._log.warning(
                    "sagemaker_autoshutdown: costs can't be added up: %s",
                    error,
                    exc_info=unexpected,
                )
            return
        self._unsummed = ""
        if summary is not None:
            self._summary = summary
            # Another process may write the ledger, and so may have changed the sums by now.
            self._changed_since = LONG_AGO if ledger.is_elsewhere else FOR_EVER
            self._summed_at = now

    # ---- what the loop hands over ------------------------------------------------------------

    def on_check(self, check: Check) -> None:
        """Takes note of an observation. Returns at once."""
        if check.apps_seen:
            self.observe(check.verdicts, check.at, check.presence)

    def observe(
        self, verdicts: Iterable[Verdict], now: datetime, presence: Presence | None = None
    ) -> None:
        """Takes note of one observation. Returns at once."""
        observation = observation_of(self._host, verdicts, now, self._prices.price, presence)
        if observation is None or self._closed:
            return
        ahead = timedelta(seconds=now.timestamp() - self._monotonic())
        observation = replace(observation, ahead=ahead)
        self._take(observation)
        if self._ask_volume and (self._ask_volume_at is None or now >= self._ask_volume_at):
            self._ask_volume_at = now + VOLUME_INTERVAL
            threading.Thread(
                target=self._find_volume,
                args=(now,),
                name="sagemaker_autoshutdown-volume",
                daemon=True,
            ).start()

    def _take(self, observation: Observation) -> None:
        written = self._written
        if written is not None and _is_alike(written, observation):
            passed = observation.at - written.at
            if passed < self._hold:
                self._held = observation
                return
            if passed <= self._gap:
                self._held = None  # this one says the same
        self._let_go()
        self._write(observation)

    def _let_go(self) -> None:
        """Has the observation written that was held."""
        if self._held is not None:
            self._write(self._held)

    def _write(self, observation: Observation) -> None:
        self._written, self._held = observation, None
        self._jobs.put(lambda ledger: self._record(ledger, observation))

    def _record(self, ledger: Ledger, observation: Observation) -> None:
        changed_since = ledger.record(observation)
        if changed_since < FOR_EVER:
            self._changed_since = min(changed_since, self._changed_since)
            self._sum_up(ledger, to_us(observation.at))
            self._has_recorded = True

    def _find_volume(self, now: datetime) -> None:
        gigabytes = self._ask_volume() if self._ask_volume else None
        if gigabytes:
            is_notebook = self._host.kind is HostKind.NOTEBOOK_INSTANCE
            price = self._prices.volume_price(of_notebook_instance=is_notebook)
            self._jobs.put(lambda ledger: ledger.set_volume(self._host, now, gigabytes, price))
        else:
            self._ask_volume_at = now + VOLUME_RETRY

    def on_event(self, event: Event) -> None:
        """Takes note of an event. Returns at once."""
        if not self._closed:
            self._let_go()
            self._jobs.put(lambda ledger: ledger.add_event(self._host, event))

    # ---- what status and the metrics show: memory only ----------------------------------------

    def price(self, instance_type: str, app_type: AppType) -> Price:
        """The hourly price of an instance, as far as it is known now. An observation makes the
        price book look it up."""
        return self._prices.cached(instance_type, app_type)

    def totals(self) -> Totals | None:
        """The cost of all instances; None until the ledger has been read."""
        summary = self._summary
        return summary.totals if summary else None

    def instance_cost(self, billing_key: str) -> Totals | None:
        """The cost of an instance (``Host.billing_key``); None until the ledger has been read."""
        summary = self._summary
        return (summary.instances.get(billing_key) or Totals()) if summary else None

    def spent(self) -> tuple[Spent, ...]:
        """The cost since records began, by instance type and app type.

        Empty until this server has recorded an observation: another server may be recording, and
        showing, the same costs.
        """
        summary = self._summary
        return summary.spent if summary and self._has_recorded else ()

    def volume_usd_per_month(self) -> Decimal:
        """The monthly cost of the space's or notebook instance's volume; 0 if no volume is known,
        or another server records it."""
        summary = self._summary
        return summary.volume_usd_per_month if summary and self._has_recorded else Decimal(0)

    @property
    def recording_error(self) -> str:
        """Why nothing is recorded at present, or which file was put aside; empty if all is well."""
        if self._failure or self._ledger is None:
            return self._failure
        return self._ledger.error or self._ledger.notice

    @property
    def is_elsewhere(self) -> bool:
        """Whether another server of the same home records, and so shows, the same costs."""
        return self._ledger is not None and self._ledger.is_elsewhere

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The errors in the admin's price table."""
        return tuple(
            Problem("bad_prices", message, PRICES_REMEDY, self._started_at)
            for message in self._prices.problems
        )

    # ---- what is read off the disk -----------------------------------------------------------

    async def read(
        self, limit: int, before: datetime | None = None, app_name: str | None = None
    ) -> list[Event]:
        """The newest events, newest first. Raises ``Unavailable``."""

        def query(db: sqlite3.Connection) -> list[Event]:
            from .store import reads

            return reads.events(db, limit, before, app_name)

        return await self._ask(query) or []

    async def costs(self, start: datetime, end: datetime, group_by: GroupBy) -> Report:
        """The cost between two times. Raises ``Unavailable``."""

        def query(db: sqlite3.Connection) -> Report:
            from .query import report

            # Growing amounts are as of the time when the totals were added up, so that both agree.
            is_summed = self._summed_at is not None and not self.is_elsewhere
            now = from_us(self._summed_at or 0) if is_summed else self._clock()
            return report(db, start, end, group_by, now=now, avoided_cap=self._cap)

        found = await self._ask(query)
        return found or Report.empty(start, end, group_by)

    async def outcomes(self, events: Sequence[Event]) -> dict[datetime, Outcome]:
        """The outcomes of the shutdowns among them. Raises ``Unavailable``."""

        def query(db: sqlite3.Connection) -> dict[datetime, Outcome]:
            from .outcomes import outcomes

            return outcomes(db, events, now=self._clock(), avoided_cap=self._cap)

        return await self._ask(query) or {}

    async def _ask(self, query: Callable[[sqlite3.Connection], T]) -> T | None:
        answer: Future[T | None] = Future()

        def job(ledger: Ledger) -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(ledger.read(query))
            except BaseException as error:
                answer.set_exception(error)

        if self._thread is None or self._closed:
            raise Unavailable("Costs and history are not being recorded.")
        self._let_go()
        self._jobs.put(job)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), READ_TIMEOUT)
        except asyncio.TimeoutError:
            raise Unavailable(
                f"The record of costs and history did not answer within {READ_TIMEOUT:.0f} s. The "
                "disk it is on may hang; try again later."
            ) from None


def _is_alike(earlier: Observation, later: Observation) -> bool:
    """Whether the later one says the same, and no clock was set in between."""
    if earlier.ahead is None or later.ahead is None:
        return False
    is_same = replace(later, at=earlier.at, ahead=earlier.ahead) == earlier
    return is_same and abs(later.ahead - earlier.ahead) < SAME_CLOCK
