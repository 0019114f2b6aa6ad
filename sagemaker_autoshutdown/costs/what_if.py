"""What if the idle limit had been another? The recorded history, decided anew. Pure.

The live loop's own ``decide`` says when each app would have been shut down. An app that this
product shut down is taken to have gone on idle, so that longer limits can be tried too; one that
its user stopped is not. After a shutdown an app is up again from when it was next used or started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import attrgetter

from ..decide import AppMemory, decide
from ..model import Action, App, AppStatus, AppType, Holds, Money, Snapshot, Work, WorkKind
from ..settings.admin import Policy
from .billing.arithmetic import Stretch, Tally, bill, clip, moneys
from .billing.avoided import OURS
from .microseconds import from_us, to_us
from .store.reads import Hold, Timeline


@dataclass(frozen=True)
class Outcome:
    """What a limit would have come to.

    ``saved_usd`` is against what was spent in fact, and below 0 where it would have cost more.
    ``interrupted`` is how many of the ``shutdowns`` were followed by somebody's using the app.
    """

    idle_timeout: timedelta
    money: Money
    saved_usd: Decimal
    shutdowns: int
    interrupted: int


@dataclass(frozen=True)
class Replay:
    """What was spent in fact, and what each limit would have come to."""

    start: datetime
    end: datetime
    actual: Money
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class _Episode:
    """An app in one state for a while. ``begins``: somebody started it. ``idle_since``: where that
    is earlier than its start, since an earlier episode was idle too."""

    start: int
    end: int
    idle: bool
    begins: bool
    idle_since: int
    like: Stretch


@dataclass(frozen=True)
class _Simulated:
    stretches: tuple[Stretch, ...]
    shutdowns: int
    interrupted: int


def replay(
    timelines: Iterable[Timeline],
    holds: Iterable[Hold],
    policy: Policy,
    limits: Sequence[timedelta],
    start: int,
    end: int,
) -> Replay:
    """What each of ``limits`` would have come to from ``start`` to ``end`` (microseconds).

    ``policy`` is that of the live loop; each limit takes the place of all of its limits, those of
    its rules and of the user too.
    """
    apps = [
        (key, list(runs))
        for key, runs in groupby(
            sorted(timelines, key=attrgetter("domain_id", "owner", "app_type", "app")),
            key=attrgetter("domain_id", "owner", "app_type", "app"),
        )
    ]
    kept: dict[str, list[Hold]] = {}
    for hold in holds:
        kept.setdefault(hold.app_name, []).append(hold)
    actual = _tally(
        (stretch for _, runs in apps for run in runs for stretch in run.stretches), start, end
    )
    tallies: dict[timedelta | None, Tally] = {None: actual}
    found: dict[timedelta, list[_Simulated]] = {}
    for limit in limits:
        simulated = [
            _simulate(
                list(_episodes(sorted(runs, key=lambda run: run.stretches[0].start), end)),
                AppType(app_type),
                owner,
                replace(policy, idle_timeout=limit, user_idle_timeout=None, rules=()),
                kept.get(name, []),
                start,
                end,
            )
            for (_, owner, app_type, name), runs in apps
        ]
        found[limit] = simulated
        tallies[limit] = _tally(
            (stretch for one in simulated for stretch in one.stretches), start, end
        )
    amounts = {limit: moneys({0: tally})[1] for limit, tally in tallies.items()}
    spent = amounts[None]
    return Replay(
        from_us(start),
        from_us(end),
        spent,
        tuple(
            Outcome(
                limit,
                amounts[limit],
                spent.usd - amounts[limit].usd,
                sum(one.shutdowns for one in found[limit]),
                sum(one.interrupted for one in found[limit]),
            )
            for limit in limits
        ),
    )


def _tally(stretches: Iterable[Stretch], start: int, end: int) -> Tally:
    tally = Tally()
    for charge in bill(clip(stretches, start, end)):
        tally.add(charge.end - charge.start, charge.idle, charge.usd_per_hour, charge.estimated)
    return tally


def _episodes(runs: Sequence[Timeline], end: int) -> Iterator[_Episode]:
    """What an app did, with the idle time that follows a shutdown of ours."""
    for number, run in enumerate(runs):
        idle_since = None
        for stretch in run.stretches:
            idle_since = (idle_since or stretch.start) if stretch.idle else None
            yield _Episode(
                stretch.start,
                stretch.end,
                stretch.idle,
                stretch is run.stretches[0],
                idle_since or stretch.start,
                stretch,
            )
        last = run.stretches[-1]
        following = runs[number + 1].stretches[0].start if number + 1 < len(runs) else end
        if run.ended_by in OURS and not run.is_up and following > last.end:
            yield _Episode(last.end, following, True, False, idle_since or last.end, last)


def _simulate(
    episodes: Sequence[_Episode],
    app_type: AppType,
    owner: str,
    policy: Policy,
    kept: Sequence[Hold],
    start: int,
    end: int,
) -> _Simulated:
    """An app's history under a policy. What it was before ``start`` counts for its clock only."""
    up: list[Stretch] = []
    shutdowns = interrupted = 0
    is_down = was_shut_down = False
    memory: Mapping[str, AppMemory] = {}
    run_start = earlier_end = 0
    for episode in episodes:
        if episode.start > earlier_end:  # the app was gone, by no doing of ours
            is_down, memory = False, {}
        earlier_end = episode.end
        if is_down and (episode.begins or not episode.idle):
            # Somebody came back to it.
            interrupted += was_shut_down
            is_down = was_shut_down = False
            memory = {}
        if is_down:
            continue
        if not memory:
            run_start = episode.start
        app = _app(episode.like, app_type, run_start)
        gone, memory = _gone_at(app, episode, owner, policy, kept, memory)
        if gone is None or gone >= episode.end:
            up.append(_as_stretch(episode, episode.end))
            continue
        up.append(_as_stretch(episode, gone))
        is_down, was_shut_down = True, start <= gone < end
        shutdowns += was_shut_down
    return _Simulated(tuple(one for one in up if one.end > one.start), shutdowns, interrupted)


def _as_stretch(episode: _Episode, end: int) -> Stretch:
    return episode.like._replace(start=episode.start, end=end, idle=episode.idle)


def _gone_at(
    app: App,
    episode: _Episode,
    owner: str,
    policy: Policy,
    kept: Sequence[Hold],
    memory: Mapping[str, AppMemory],
) -> tuple[int | None, Mapping[str, AppMemory]]:
    """When the app would have been shut down in this episode, if it would; and what the loop
    remembers then."""
    work = _work(app, episode)
    at, end = episode.start, episode.end
    while True:
        now = from_us(at)
        until = max((hold.end for hold in kept if hold.start <= at < hold.end), default=None)
        holds = Holds({} if until is None else {app.name: from_us(until)})
        decision = decide(Snapshot((app,), work), policy, owner, holds, memory, now)
        (verdict,) = decision.verdicts
        memory = decision.memory
        if verdict.action is Action.SHUT_DOWN:
            return at, memory
        if not episode.idle:
            # Held until the episode ends: that is when it was last active.
            if at == end:
                return None, memory
            at = end
            continue
        # Next: what the verdict waits for, or a word on keep-alives, whichever comes first.
        following = [to_us(verdict.next_at)] if verdict.next_at is not None else []
        following += [hold.start for hold in kept if at < hold.start]
        following += [] if until is None else [until]
        later = [moment for moment in following if moment > at]
        if not later or min(later) >= end:
            return None, memory
        at = min(later)


def _app(like: Stretch, app_type: AppType, run_start: int) -> App:
    began = from_us(run_start)
    return App(like.app, app_type, AppStatus.IN_SERVICE, like.instance_type, began, began)


def _work(app: App, episode: _Episode) -> tuple[Work, ...]:
    """A kernel that did what the app did."""
    began = from_us(episode.idle_since)
    state = "idle" if episode.idle else "busy"
    return (Work(WorkKind.KERNEL, "k", "", state, began, began, frozenset({app.name})),)
