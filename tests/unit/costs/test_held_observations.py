"""An observation that says the same as the last one is not written at once, and the record does
not show it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_autoshutdown.costs.microseconds import to_us
from sagemaker_autoshutdown.costs.store.ledger import FILE_NAME
from sagemaker_autoshutdown.costs.tracker import CostTracker
from sagemaker_autoshutdown.listeners import Check
from sagemaker_autoshutdown.model import Event, EventKind, Presence, Work
from sagemaker_autoshutdown.prices.book import PriceBook

from .test_ledger import HOST, T0, after
from .test_tracker import app, kernel, verdicts

GAP, HOLD = timedelta(seconds=240), timedelta(seconds=150)
IDLE = (kernel("idle", T0 - timedelta(hours=1)),)
BUSY = (kernel("busy", T0),)


class Recorder:
    """A tracker whose clocks a test sets."""

    def __init__(self, folder: Path, hold: timedelta = HOLD) -> None:
        self.folder = folder
        self.monotonic = 0.0
        self.tracker = CostTracker(
            HOST,
            folder,
            PriceBook("us-east-1"),
            gap=GAP,
            avoided_cost_cap=timedelta(days=1),
            hold=hold,
            clock=lambda: after(7200),
            monotonic=lambda: self.monotonic,
        )
        self.tracker.start()

    def observe(
        self, seconds: float, work: tuple[Work, ...], presence: Presence | None = None
    ) -> None:
        now = after(seconds)
        self.monotonic = seconds
        found = verdicts(now, app(), work=work)
        self.tracker.on_check(Check(now, None, found, True, presence or Presence()))

    def written(self) -> list[int]:
        """The ends of the stretches on the disk, in seconds."""
        # What was put before is done by then; `flush` would have what is held written.
        asyncio.run(self._done())
        return [round((row[2] - to_us(T0)) / 1e6) for row in self.rows("stretches")]

    async def _done(self) -> None:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.tracker._jobs.put(lambda ledger: loop.call_soon_threadsafe(done.set))
        await asyncio.wait_for(done.wait(), 60)

    def rows(self, table: str) -> list[Any]:
        columns = {
            "stretches": "run_id, started_at, ended_at, idle, estimated, price_id, closed_since",
            "runs": "id, started_at, seen_at, ended_at, idle, held_until, price_id",
        }[table]
        with closing(sqlite3.connect(self.folder / FILE_NAME)) as db:
            query = f"SELECT {columns} FROM {table} ORDER BY 1, 2"  # noqa: S608
            return db.execute(query).fetchall()


@contextmanager
def recorder(folder: Path, **options: Any) -> Iterator[Recorder]:
    made = Recorder(folder, **options)
    try:
        yield made
    finally:
        made.tracker.close(60)


def test_an_hour_in_which_nothing_happens_is_written_at_every_third_check(tmp_path: Path) -> None:
    with recorder(tmp_path) as made:
        ends = []
        for seconds in range(600, 1141, 60):
            made.observe(seconds, IDLE)
            ends += [made.written()[-1]]
        assert ends == [600, 600, 600, 780, 780, 780, 960, 960, 960, 1140]


def test_what_was_held_is_there_for_whoever_asks_or_stops_the_server(tmp_path: Path) -> None:
    with recorder(tmp_path) as made:
        made.observe(60, IDLE)
        made.observe(120, IDLE)
        query = "SELECT max(ended_at) FROM stretches"
        found = asyncio.run(made.tracker._ask(lambda db: db.execute(query).fetchone()))
        assert found == (to_us(after(120)),)
        made.observe(180, IDLE)
    assert made.rows("stretches")[-1][2] == to_us(after(180))


def test_what_was_written_is_not_written_again(tmp_path: Path) -> None:
    with recorder(tmp_path) as made:
        record, recorded = made.tracker._record, list[int]()

        def counted(ledger: Any, observation: Any) -> None:
            recorded.append(round((observation.at - T0).total_seconds()))
            record(ledger, observation)

        made.tracker._record = counted  # type: ignore[method-assign]
        for seconds in range(600, 1141, 60):
            made.observe(seconds, IDLE)
        for _ in range(2):
            made.tracker.on_event(Event(after(1150), EventKind.WARNING, "soon", "a"))
        asyncio.run(made._done())
        assert recorded == [600, 780, 960, 1140]
        made.observe(1200, IDLE)
        made.observe(1260, BUSY)
        made.tracker.on_event(Event(after(1270), EventKind.WARNING, "soon", "a"))
        asyncio.run(made._done())
        assert recorded[4:] == [1200, 1260]


def test_an_app_that_could_not_be_listed_is_not_recorded_as_running(tmp_path: Path) -> None:
    with recorder(tmp_path) as made:
        made.observe(60, IDLE)
        found = verdicts(after(120), app(), work=BUSY)
        made.tracker.on_check(Check(after(120), None, found, False, Presence()))
        assert made.written() == [60]


def test_an_event_is_written_after_what_was_seen_before_it(tmp_path: Path) -> None:
    with recorder(tmp_path) as made:
        made.observe(60, IDLE)
        made.observe(120, IDLE)
        made.tracker.on_event(Event(after(130), EventKind.WARNING, "soon", "a"))
        assert made.written() == [120]


def test_the_end_of_a_use_counts_from_the_last_check_that_saw_it(tmp_path: Path) -> None:
    """Not from the last one that was written: that time would become idle."""
    with recorder(tmp_path) as made:
        made.observe(60, BUSY)
        made.observe(120, BUSY)
        made.observe(180, IDLE)
        asyncio.run(made._done())
        (run,) = made.rows("runs")
        assert run[5] == to_us(after(120))


def test_a_clock_that_was_set_is_not_taken_for_time_that_passed(tmp_path: Path) -> None:
    with recorder(tmp_path) as made:
        made.observe(60, IDLE)
        now = after(120)
        made.monotonic = 70.0
        made.tracker.on_check(Check(now, None, verdicts(now, app(), work=IDLE), True, Presence()))
        assert made.written() == [120]


def test_a_long_silence_is_no_longer_because_of_what_was_held(tmp_path: Path) -> None:
    with recorder(tmp_path) as made:
        made.observe(60, IDLE)
        made.observe(180, IDLE)
        made.observe(400, IDLE)
        asyncio.run(made._done())
        assert [row[4] for row in made.rows("stretches")] == [0]  # nothing is estimated


steps = st.lists(
    st.tuples(
        st.sampled_from([20, 60, 60, 60, 60, 61, 130, 200, 300, 1000]),
        st.sampled_from([IDLE, IDLE, IDLE, BUSY, BUSY, ()]),
        st.sampled_from([None, None, Presence(True), Presence(True, after(100))]),
    ),
    min_size=1,
    max_size=25,
)


@given(steps)
@settings(max_examples=25, deadline=None)
def test_the_record_is_the_same_as_if_each_check_had_been_written(
    taken: list[tuple[int, tuple[Work, ...], Presence | None]],
) -> None:
    found = []
    for hold in (timedelta(0), HOLD):
        with TemporaryDirectory() as folder, recorder(Path(folder), hold=hold) as made:
            seconds = 0
            for passed, work, presence in taken:
                seconds += passed
                made.observe(seconds, work, presence)
            made.tracker.flush(60)
            found.append((made.rows("runs"), made.rows("stretches")))
    assert found[0] == found[1]
