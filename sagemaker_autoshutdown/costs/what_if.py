"""Replays the recorded history with other idle limits. Pure.

The live loop's own ``decide`` says when each app would have been shut down. Dry run counts as off.
The replay assumes that an app that this product shut down would have stayed idle, so that longer
limits can be tried, too. It does not assume that of an app that its user stopped. A shutdown takes
as long as it took in the same run, or else the median of the recorded shutdowns, and is billed for
that time. After a shutdown, an app is up again from its next use or start. A keep-alive holds only
the run that it was given to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from statistics import median

from ..decide import AppMemory, decide
from ..model import (
    Action,
    App,
    AppStatus,
    AppType,
    Holds,
    Money,
    Presence,
    Snapshot,
    Work,
    WorkKind,
)
from ..settings.admin import Policy
from .billing.arithmetic import Stretch, Tally, bill, clip
from .billing.arithmetic import money as money_of
from .billing.avoided import OURS
from .microseconds import from_us, to_us
from .store.reads import Hold, Timeline

#: SageMaker takes minutes, at most about twenty.
LONGEST_DELETION = timedelta(hours=1)


@dataclass(frozen=True)
class Limits:
    """The limits to try. ``closed_idle_timeout`` is None if it equals the other."""

    idle_timeout: timedelta
    closed_idle_timeout: timedelta | None = None


@dataclass(frozen=True)
class Outcome:
    """The result of a replay with some limits.

    ``saved_usd`` is compared with the actual cost; it is negative if the limits would have cost
    more. ``interrupted`` counts the ``shutdowns`` after which somebody used the app again.
    """

    idle_timeout: timedelta
    closed_idle_timeout: timedelta | None
    money: Money
    saved_usd: Decimal
    shutdowns: int
    interrupted: int


@dataclass(frozen=True)
class Replay:
    """The actual cost, and the results with other limits. ``saw_closed`` says whether the record
    ever shows that no browser was connected."""

    start: datetime
    end: datetime
    actual: Money
    outcomes: tuple[Outcome, ...]
    saw_closed: bool


@dataclass(frozen=True)
class _Episode:
    """An app in one state for a while. ``begins`` means that somebody started it. ``idle_since`` is
    set if it is earlier than the start, because an earlier episode was idle too. ``ends_anyway``
    means that its user had shut it down and it was being deleted. ``deletion`` is how long a
    shutdown takes."""

    start: int
    end: int
    idle: bool
    begins: bool
    ends_anyway: bool
    idle_since: int
    deletion: int
    like: Stretch


@dataclass(frozen=True)
class _Simulated:
    stretches: tuple[Stretch, ...]
    shutdowns: int
    interrupted: int


def combinations(
    idle_timeouts: Iterable[timedelta], closed_idle_timeouts: Iterable[timedelta]
) -> list[Limits]:
    """Each idle timeout by itself, then with each shorter closed timeout."""
    closed = sorted(set(closed_idle_timeouts))
    return [
        Limits(idle, shorter)
        for idle in sorted(set(idle_timeouts))
        for shorter in (None, *(limit for limit in closed if limit < idle))
    ]


def lookback(limits: Iterable[Limits]) -> timedelta:
    """How long before its start a replay needs the record. An app that was shut down earlier than
    that would be gone under any of the limits, even after the longest warning and deletion."""
    return 2 * max((one.idle_timeout for one in limits), default=timedelta(0)) + LONGEST_DELETION


def replay(
    timelines: Iterable[Timeline],
    holds: Iterable[Hold],
    policy: Policy,
    limits: Sequence[Limits],
    start: int,
    end: int,
) -> Replay:
    """The result of each of ``limits`` from ``start`` to ``end`` (microseconds).

    ``policy`` is that of the live loop; each of ``limits`` replaces all its limits, also those of
    rules and of the user. ``timelines`` and ``holds`` reach back by ``lookback``.
    """
    timelines = list(timelines)
    known = [time for time in map(_deletion_time, timelines) if time is not None]
    usual = int(median(known)) if known else 0
    kept: dict[tuple[str, ...], list[Hold]] = {}
    for hold in holds:
        kept.setdefault(hold[:4], []).append(hold)
    app_of = attrgetter("domain_id", "owner", "app_type", "app")
    apps = []
    for key, group in groupby(sorted(timelines, key=app_of), key=app_of):
        runs = sorted(group, key=lambda run: run.stretches[0].start)
        apps.append((key, list(_episodes(runs, end, usual)), kept.get(key, [])))
    recorded = [stretch for run in timelines for stretch in run.stretches]
    spent = _money(recorded, start, end)
    outcomes = []
    for one in limits:
        tried = replace(
            policy,
            idle_timeout=one.idle_timeout,
            closed_idle_timeout=one.closed_idle_timeout,
            user_idle_timeout=None,
            user_closed_idle_timeout=None,
            rules=(),
            # The record does not tell one cell from the next.
            max_busy_time=timedelta(0),
            dry_run=False,
        )
        simulated = [
            _simulate(episodes, AppType(app_type), owner, tried, held, start, end)
            for (_, owner, app_type, _), episodes, held in apps
        ]
        money = _money((stretch for app in simulated for stretch in app.stretches), start, end)
        outcomes.append(
            Outcome(
                one.idle_timeout,
                one.closed_idle_timeout,
                money,
                spent.usd - money.usd,
                sum(app.shutdowns for app in simulated),
                sum(app.interrupted for app in simulated),
            )
        )
    return Replay(
        from_us(start),
        from_us(end),
        spent,
        tuple(outcomes),
        any(stretch.closed_since is not None for stretch in recorded),
    )


def _money(stretches: Iterable[Stretch], start: int, end: int) -> Money:
    tally = Tally()
    for charge in bill(clip(stretches, start, end)):
        tally.add(charge.end - charge.start, charge.idle, charge.usd_per_hour, charge.estimated)
    return money_of(tally)


def _deletion_time(run: Timeline) -> int | None:
    """How long the shutdown of a run took, if that was seen."""
    since = _going_since(run)
    return None if since is None or run.is_up else run.stretches[-1].end - since


def _going_since(run: Timeline) -> int | None:
    """Since when a run was being deleted. None if it was seen in use afterwards, or if nobody saw
    its end."""
    if run.shutdown_at is None or run.shutdown_at > run.stretches[-1].end:
        return None
    tail = [one for one in run.stretches if one.end > run.shutdown_at]
    is_seen = len({one.idle for one in tail}) <= 1 and not any(one.estimated for one in tail)
    return run.shutdown_at if is_seen else None


def _episodes(runs: Sequence[Timeline], end: int, usual: int) -> Iterator[_Episode]:
    """The history of an app, with the idle time that follows a shutdown of ours. ``usual`` is how
    long a shutdown takes."""
    for number, run in enumerate(runs):
        is_ours = run.ended_by in OURS
        observed = _deletion_time(run)
        deletion = usual if observed is None else observed
        going_since = None if is_ours else _going_since(run)
        idle_since = None
        for stretch in run.stretches:
            idle_since = (idle_since or stretch.start) if stretch.idle else None
            begins = stretch is run.stretches[0]
            since = idle_since or stretch.start
            for first, last, goes in _split(stretch, going_since):
                yield _Episode(
                    first,
                    last,
                    stretch.idle,
                    begins and first == stretch.start,
                    goes,
                    since,
                    deletion,
                    stretch,
                )
        like = run.stretches[-1]
        following = runs[number + 1].stretches[0].start if number + 1 < len(runs) else end
        if is_ours and not run.is_up and following > like.end:
            yield _Episode(
                like.end, following, True, False, False, idle_since or like.end, deletion, like
            )


def _split(stretch: Stretch, going_since: int | None) -> Iterator[tuple[int, int, bool]]:
    """Its parts as (start, end, whether it was being deleted)."""
    turn = stretch.end if going_since is None else max(going_since, stretch.start)
    if turn > stretch.start:
        yield stretch.start, min(turn, stretch.end), False
    if turn < stretch.end:
        yield turn, stretch.end, True


def _simulate(
    episodes: Sequence[_Episode],
    app_type: AppType,
    owner: str,
    policy: Policy,
    holds: Sequence[Hold],
    start: int,
    end: int,
) -> _Simulated:
    """An app's history under a policy. Its time before ``start`` counts for its clock only."""
    up: list[Stretch] = []
    shutdowns = interrupted = 0
    is_down = was_shut_down = False
    memory: Mapping[str, AppMemory] = {}
    run_start = earlier_end = 0
    for episode in episodes:
        if episode.start > earlier_end:  # the app was gone, but not because of us
            is_down, memory = False, {}
        earlier_end = episode.end
        if is_down and (episode.begins or not (episode.idle or episode.ends_anyway)):
            # Somebody used it again.
            interrupted += was_shut_down
            is_down = was_shut_down = False
            memory = {}
        if is_down:
            continue
        if episode.ends_anyway:
            _add(up, episode, episode.start, episode.end)
            continue
        if not memory:
            run_start = episode.start
        app = _app(episode.like, app_type, run_start)
        # A keep-alive of an earlier run ended with that run.
        kept = [hold for hold in holds if hold.start >= run_start]
        gone, memory = _gone_at(app, episode, owner, policy, kept, memory)
        if gone is None or gone >= episode.end:
            _add(up, episode, episode.start, episode.end)
            continue
        _add(up, episode, episode.start, gone + episode.deletion)
        is_down, was_shut_down = True, start <= gone < end
        shutdowns += was_shut_down
    return _Simulated(tuple(one for one in up if one.end > one.start), shutdowns, interrupted)


def _add(up: list[Stretch], episode: _Episode, start: int, end: int) -> None:
    """An app is up once: its earlier episode ends where this one begins."""
    if up and up[-1].end > start:
        up[-1] = up[-1]._replace(end=start)
    up.append(episode.like._replace(start=start, end=end, idle=episode.idle))


def _gone_at(
    app: App,
    episode: _Episode,
    owner: str,
    policy: Policy,
    kept: Sequence[Hold],
    memory: Mapping[str, AppMemory],
) -> tuple[int | None, Mapping[str, AppMemory]]:
    """When the app would have been shut down in this episode, if at all; and the loop's memory at
    that time."""
    work = _work(app, episode)
    closed_since = episode.like.closed_since
    presence = Presence(True, from_us(closed_since)) if closed_since is not None else Presence()
    snapshot = Snapshot((app,), work, presence=presence)
    at, end = episode.start, episode.end
    while True:
        now = from_us(at)
        until = max((hold.end for hold in kept if hold.start <= at < hold.end), default=None)
        holds = Holds({} if until is None else {app.name: from_us(until)})
        decision = decide(snapshot, policy, owner, holds, memory, now)
        (verdict,) = decision.verdicts
        memory = decision.memory
        if verdict.action is Action.SHUT_DOWN:
            return at, memory
        if not episode.idle:
            # It is held until the episode ends, so it was last active then.
            if at == end:
                return None, memory
            at = end
            continue
        # Next: the time that the verdict waits for, or a change of keep-alives, whichever comes
        # first.
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
    """A kernel with the same activity as the app."""
    began = from_us(episode.idle_since)
    state = "idle" if episode.idle else "busy"
    return (Work(WorkKind.KERNEL, "k", "", state, began, began, frozenset({app.name})),)
