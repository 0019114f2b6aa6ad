"""The replay against a second one (``second_replay``), on ledgers of any history.

A few hundred of them; ``REPLAYS=5000`` for more.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from datetime import timedelta
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagemaker_autoshutdown.costs.microseconds import SECOND, span_us, to_us
from sagemaker_autoshutdown.costs.observation import AppObservation, Observation, Use
from sagemaker_autoshutdown.costs.store import reads, schema
from sagemaker_autoshutdown.costs.store.writes import write_event, write_observation
from sagemaker_autoshutdown.costs.what_if import combinations, lookback, replay
from sagemaker_autoshutdown.model import (
    App,
    AppStatus,
    AppType,
    Event,
    EventKind,
    Host,
    HostKind,
    Reason,
)
from sagemaker_autoshutdown.settings.admin import Policy

from .second_replay import Ledger, second_replay, spent
from .test_ledger import GAP, PRICE, after

REPLAYS = int(os.environ.get("REPLAYS", "250"))
OWNERS = ("ada", "ada", "ada", "bob")
CENT_OF_A_CENT = Fraction(1, 10**6)

seen = st.fixed_dictionaries(
    {
        "use": st.sampled_from([Use.HELD, *[Use.IDLE] * 4, Use.RECENT, Use.UNSEEN]),
        "ago": st.integers(0, 900),
        "created": st.sampled_from([*[None] * 12, 10, 200]),
    }
)
words = st.sampled_from(
    [
        *[None] * 8,
        *[("keep", lasts) for lasts in (45, 400, 2000)],
        ("let go", 0),
        *[(Reason.IDLE_TIMEOUT.value, 0)] * 3,
        (Reason.BUSY_TOO_LONG.value, 0),
        (Reason.USER_REQUEST.value, 0),
    ]
)
history = st.lists(
    st.fixed_dictionaries(
        {
            "owner": st.sampled_from(OWNERS),
            "passed": st.one_of(st.integers(20, 230), st.sampled_from([60] * 6 + [300, 3000])),
            "apps": st.fixed_dictionaries({"a": st.one_of(seen, seen, st.none())})
            | st.fixed_dictionaries({"a": seen, "b": st.one_of(seen, st.none())}),
            "closed": st.one_of(st.none(), st.integers(0, 1200)),
            "stays_closed": st.booleans(),
            "word": words,
            "about": st.sampled_from("aaab"),
        }
    ),
    min_size=2,
    max_size=30,
)
seconds = st.one_of(st.integers(20, 4000), st.sampled_from([60, 300, 900]))


def write(db: sqlite3.Connection, steps: list[dict[str, object]]) -> float:
    """As the loops of two owners of one home would have recorded it; returns its end."""
    at, closed_at = 10_000.0, None
    started: dict[tuple[object, str], float] = {}
    for step in steps:
        host = Host(HostKind.CLASSIC, "us-east-1", "d-1", str(step["owner"]))
        at += step["passed"]  # type: ignore[operator]
        if not (step["stays_closed"] and closed_at is not None):
            closed_at = None if step["closed"] is None else at - step["closed"]  # type: ignore[operator]
        apps: dict[str, dict[str, object] | None] = step["apps"]  # type: ignore[assignment]
        found = []
        for name, facts in apps.items():
            if facts is None:
                started.pop((step["owner"], name), None)
                continue
            began = started.setdefault((step["owner"], name), at - 15)
            if facts["created"] is not None:
                began = started[step["owner"], name] = at - facts["created"]  # type: ignore[operator]
            app = App(
                name,
                AppType.KERNEL_GATEWAY,
                AppStatus.IN_SERVICE,
                "ml.t3.medium",
                after(began),
                after(began),
            )
            use = facts["use"]
            assert isinstance(use, Use)
            since = None if use is Use.UNSEEN else after(at - facts["ago"])  # type: ignore[operator]
            found.append(AppObservation(app, host.billing_key(app), use, since, PRICE))
        closed_since = None if closed_at is None else after(closed_at)
        observation = Observation(after(at), host, tuple(found), closed_since=closed_since)
        write_observation(db, observation, span_us(GAP))
        if step["word"] is not None:
            word: tuple[str, float] = step["word"]  # type: ignore[assignment]
            kind, lasts = word
            event = {
                "keep": (EventKind.KEEP_ALIVE, Reason.KEEP_ALIVE, after(at + 3 + lasts)),
                "let go": (EventKind.KEEP_ALIVE_ENDED, Reason.KEEP_ALIVE, None),
            }.get(kind) or (EventKind.SHUTDOWN, Reason(kind), None)
            write_event(
                db,
                host,
                Event(
                    after(at + 3),
                    event[0],
                    "",
                    str(step["about"]),
                    "KernelGateway",
                    "ml.t3.medium",
                    event[1],
                    event[2],
                ),
            )
    return at


@settings(max_examples=REPLAYS, deadline=None, suppress_health_check=list(HealthCheck))
@given(history, st.lists(seconds, min_size=1, max_size=2), seconds, seconds, st.floats(0, 0.8))
def test_a_second_replay_of_any_ledger_comes_to_the_same(
    steps: list[dict[str, object]], idle: list[int], closed: int, warning: int, begin: float
) -> None:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db)
        last = write(db, steps)
        start = to_us(after(10_000 + int(begin * (last - 10_000))))
        end = to_us(after(last + 30))
        limits = combinations([timedelta(seconds=one) for one in idle], [timedelta(seconds=closed)])
        earlier = start - span_us(lookback(limits))
        policy = Policy(warning_time=timedelta(seconds=warning), dry_run=True)
        found = replay(
            reads.timelines(db, earlier, end),
            reads.keep_alives(db, earlier, end),
            policy,
            limits,
            start,
            end,
        )
        ledger = Ledger(db, earlier)
    in_use_usd, idle_usd = spent(ledger, start, end)
    assert abs(Fraction(found.actual.in_use_usd) - in_use_usd) <= CENT_OF_A_CENT
    assert abs(Fraction(found.actual.idle_usd) - idle_usd) <= CENT_OF_A_CENT
    for one in found.outcomes:
        shorter = one.closed_idle_timeout
        again = second_replay(
            ledger,
            span_us(one.idle_timeout),
            None if shorter is None else span_us(shorter),
            warning * SECOND,
            start,
            end,
        )
        assert (one.shutdowns, one.interrupted) == (again.shutdowns, again.interrupted)
        assert abs(Fraction(one.money.in_use_usd) - again.in_use_usd) <= CENT_OF_A_CENT
        assert abs(Fraction(one.money.idle_usd) - again.idle_usd) <= CENT_OF_A_CENT
