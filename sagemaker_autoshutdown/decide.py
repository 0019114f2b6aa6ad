"""Decides about each app, as a pure function of the observation, the policy and the time.

``decide`` owns every rule about when an app is shut down. It does no I/O and reads no clock. Its
memory between observations is part of the result and comes back as an argument, so that any history
can be replayed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from .model import (
    TRANSIENT_STATES,
    Action,
    App,
    AppStatus,
    Holds,
    Limit,
    Reason,
    Snapshot,
    State,
    Verdict,
    Work,
    WorkKind,
)
from .settings.admin import Policy

#: Kernel states in which nothing runs any more, or nothing runs yet.
_IDLE_STATES = frozenset({"idle", "dead", "terminating"})


#: These hold an app or do not. Their mere presence does not count as use.
_NO_CLOCK = frozenset({WorkKind.PROCESS, WorkKind.GPU, WorkKind.SERVER})


@dataclass(frozen=True)
class Terms:
    """The inputs of a deadline. ``kept_until`` is the end of a keep-alive in force."""

    idle_since: datetime
    limit: timedelta
    warning_time: timedelta
    kept_until: datetime | None

    @property
    def warned_for(self) -> timedelta:
        """How long before the deadline users are warned."""
        return min(self.warning_time, self.limit)

    def follow_from(self, earlier: Terms, now: datetime) -> bool:
        """Whether nothing has changed since. A keep-alive that ran out changes nothing, because
        its end was part of the deadline. One that was given, extended or taken back does."""
        end = earlier.kept_until
        ran_out = self.kept_until is None and end is not None and end <= now
        return self == (replace(earlier, kept_until=None) if ran_out else earlier)

    def announce(self, now: datetime) -> Announcement:
        """A new deadline: idle since + limit, but never sooner than a full warning from now.

        It is new after a fresh install, a restart, a changed limit or keep-alive, or new activity.
        """
        deadline = max(self.idle_since + self.limit, now + self.warned_for)
        if self.kept_until is not None:
            deadline = max(deadline, self.kept_until)
        return Announcement(self, deadline)


@dataclass(frozen=True)
class Announcement:
    """A deadline that users have been told.

    It stands as long as its terms do: a deadline is never brought forward, and never put off
    without a cause.
    """

    terms: Terms
    deadline: datetime
    #: Users have not been warned although it is time to: kernels have been asked first.
    is_held_back: bool = False


@dataclass(frozen=True)
class AppMemory:
    """The memory of one run of an app between observations.

    ``last_active`` is the latest activity ever seen in this run: use of a kernel that is gone still
    counts. ``is_idle`` is the state at the last observation; the app keeps it while it is being
    shut down.
    """

    run_started_at: datetime
    last_active: datetime
    announced: Announcement | None = None
    is_idle: bool = False


@dataclass(frozen=True)
class Decision:
    """One verdict for each app of the snapshot, and the memory for the next call."""

    verdicts: tuple[Verdict, ...]
    memory: Mapping[str, AppMemory] = field(default_factory=dict)


@dataclass(frozen=True)
class _Hold:
    """Something that keeps an app up for as long as it lasts."""

    reason: Reason
    work: Work
    until: datetime | None = None


# If several things hold an app, the most telling one is shown.
_HOLD_ORDER = (
    Reason.KERNEL_BUSY,
    Reason.BACKGROUND_JOB,
    Reason.DETACHED_JOB,
    Reason.GPU_BUSY,
    Reason.HOLDING_PROGRAM,
    Reason.SERVER_UNSEEN,
    Reason.KERNEL_STATE_UNKNOWN,
    Reason.TERMINAL_STATE_UNKNOWN,
    Reason.TERMINAL_KEPT,
    Reason.CONNECTED,
)


def decide(
    snapshot: Snapshot,
    policy: Policy,
    owner: str,
    holds: Holds,
    memory: Mapping[str, AppMemory],
    now: datetime,
) -> Decision:
    """Decides about each app of ``snapshot`` at ``now``.

    ``owner`` is the user profile or space of these apps (rules name it). ``memory`` is that of the
    last decision, empty at first. Apps that are not in the snapshot are forgotten.
    """
    verdicts = []
    remembered = {}
    for app in snapshot.apps:
        work = [item for item in snapshot.work if app.name in item.apps]
        past = memory.get(app.name)
        if past is None or past.run_started_at != app.run_started_at:
            past = AppMemory(app.run_started_at, last_active=app.run_started_at)
        verdict, after = _decide_app(app, work, snapshot, policy, owner, holds, past, now)
        verdicts.append(verdict)
        remembered[app.name] = replace(after, is_idle=verdict.is_idle)
    return Decision(tuple(verdicts), remembered)


def is_held(apps: Iterable[App], work: Collection[Work], policy: Policy, now: datetime) -> bool:
    """Whether each of these apps that is up is in use, judged by this work alone."""
    return all(
        _strongest_hold([item for item in work if app.name in item.apps], policy, now) is not None
        for app in apps
        if app.status is AppStatus.IN_SERVICE
    )


def _decide_app(
    app: App,
    work: list[Work],
    snapshot: Snapshot,
    policy: Policy,
    owner: str,
    holds: Holds,
    past: AppMemory,
    now: datetime,
) -> tuple[Verdict, AppMemory]:
    limit = policy.limit(instance_type=app.instance_type, owner=owner, app_type=app.app_type.value)
    kept_until = holds.kept_until.get(app.name)
    if kept_until is not None and kept_until <= now:
        kept_until = None

    # Nothing is known about an app that SageMaker did not list, so not even a user's request
    # counts.
    unknown = Verdict(
        app, Action.KEEP, State.UNKNOWN, Reason.APPS_UNSEEN, limit, kept_until=kept_until
    )
    if snapshot.apps_error or app.unseen:
        return unknown, _unseen(_used(past, work, policy, now), now)
    if app.status is not AppStatus.IN_SERVICE:
        state, reason = _NOT_IN_SERVICE[app.status]
        is_idle = past.is_idle and app.status is AppStatus.DELETING
        verdict = replace(
            unknown, state=state, reason=reason, since=app.status_since, is_idle=is_idle
        )
        return verdict, past
    if app.name in holds.shutdown_requested:
        # The user's own request outweighs everything that runs.
        due = _due(app, Reason.USER_REQUEST, limit, now, policy)
        return replace(due, is_idle=past.is_idle), past
    if snapshot.activity_error:
        return replace(unknown, reason=Reason.ACTIVITY_UNSEEN), _unseen(past, now)

    hold = _strongest_hold(work, policy, now)
    if hold is not None:
        return _busy(unknown, hold, hold.until), AppMemory(past.run_started_at, last_active=now)

    idle_since = max(_used(past, work, policy, now).last_active, app.run_started_at)
    idle_from = idle_since + policy.active_time
    counts_from = idle_since
    closed_since = snapshot.presence.closed_since
    if closed_since is not None:
        # Whoever closed the last tab has left.
        left_at = max(idle_since, min(closed_since, now))
        closed_limit = policy.closed_limit(
            instance_type=app.instance_type, owner=owner, app_type=app.app_type.value
        )
        if left_at + closed_limit < idle_since + limit:
            counts_from, limit = left_at, closed_limit
            unknown = replace(unknown, idle_timeout=limit, limit=Limit.CLOSED_IDLE_TIMEOUT)
    terms = Terms(counts_from, limit, policy.warning_time, kept_until)
    announced = past.announced
    if announced is None or not terms.follow_from(announced.terms, now):
        announced = terms.announce(now)
    elif announced.is_held_back and announced.deadline <= now:
        # The answers took longer than the warning: nobody was warned.
        announced = terms.announce(now)
    deadline = announced.deadline
    warn_at = deadline - terms.warned_for
    may_warn = app.name not in snapshot.unasked
    held_back = replace(announced, is_held_back=not may_warn and now >= warn_at)
    after = AppMemory(past.run_started_at, idle_since, held_back)
    stuck = any(_held_too_long(item, policy, now) for item in work)
    due_reason = Reason.BUSY_TOO_LONG if stuck else Reason.IDLE_TIMEOUT

    # No warning for an app that may be at work. Silence counts as work until kernels are asked
    # again.
    silent = _strongest_hold(work, policy, now, presumed=True)
    if silent is not None and (now < warn_at or not may_warn):
        next_at = warn_at if now < warn_at else None
        return _busy(unknown, silent, _first(silent.until, next_at)), after

    if now >= deadline and may_warn:
        due = _due(app, due_reason, limit, deadline, policy)
        verdict = replace(
            due,
            limit=unknown.limit,
            idle_since=idle_since,
            is_idle=now >= idle_from,
            since=idle_since,
            next_at=idle_from if now < idle_from else None,
        )
        return verdict, after
    if now >= warn_at and may_warn:
        state, reason, next_at = State.WARNED, due_reason, deadline
    elif kept_until is not None:
        state, reason, next_at = State.KEPT, Reason.KEEP_ALIVE, min(warn_at, kept_until)
    elif now < idle_from:
        state, reason, next_at = State.ACTIVE, Reason.RECENTLY_ACTIVE, warn_at
    else:
        state = State.IDLE
        has_kernels = any(item.kind is not WorkKind.GPU for item in work)
        reason = Reason.NO_RECENT_ACTIVITY if has_kernels else Reason.NO_KERNELS
        next_at = warn_at
    verdict = replace(
        unknown,
        state=state,
        reason=reason,
        idle_since=idle_since,
        is_idle=now >= idle_from,
        shutdown_at=deadline,
        since=idle_since,
        next_at=next_at if now >= idle_from else min(next_at, idle_from),
    )
    return verdict, after


def _busy(unknown: Verdict, hold: _Hold, next_at: datetime | None) -> Verdict:
    return replace(
        unknown,
        state=State.BUSY,
        reason=hold.reason,
        subject=hold.work.label,
        since=hold.work.state_since,
        next_at=next_at,
    )


def _first(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def _used(past: AppMemory, work: Iterable[Work], policy: Policy, now: datetime) -> AppMemory:
    """The memory, with the use that was seen just now."""
    if _strongest_hold(work, policy, now) is not None:
        return AppMemory(past.run_started_at, last_active=now)
    # A time in the future comes from a wrong clock and counts as now.
    clocks = [item for item in work if item.kind not in _NO_CLOCK]
    active_at = [past.last_active, *(_last_active(item, policy, now) for item in clocks)]
    return replace(past, last_active=max(min(moment, now) for moment in active_at))


def _due(
    app: App, reason: Reason, limit: timedelta, shutdown_at: datetime, policy: Policy
) -> Verdict:
    """An app whose deadline has come; in a dry run nothing happens to it."""
    verdict = Verdict(app, Action.SHUT_DOWN, State.WARNED, reason, limit, shutdown_at=shutdown_at)
    if policy.dry_run:
        return replace(verdict, action=Action.KEEP, reason=Reason.DRY_RUN)
    return verdict


_NOT_IN_SERVICE = {
    AppStatus.PENDING: (State.ACTIVE, Reason.APP_STARTING),
    AppStatus.DELETING: (State.SHUTTING_DOWN, Reason.APP_DELETING),
    AppStatus.DELETED: (State.SHUTTING_DOWN, Reason.APP_DELETING),
    AppStatus.FAILED: (State.FAILED, Reason.APP_FAILED),
}


def _unseen(past: AppMemory, now: datetime) -> AppMemory:
    """A deadline that passed while the app could not be seen is void: users get a new warning
    once it is seen again."""
    if past.announced is not None and past.announced.deadline <= now:
        return AppMemory(past.run_started_at, past.last_active)
    return past


def _strongest_hold(
    work: Iterable[Work], policy: Policy, now: datetime, *, presumed: bool = False
) -> _Hold | None:
    """The thing that holds the app, if any; or else one that is only ``presumed`` to, being
    silent."""
    holds = (_hold(item, policy, now) for item in work if presumed or not _is_presumed(item))
    found = [hold for hold in holds if hold is not None]
    if not found:
        return None
    # The oldest of its kind, so that the order of kernels does not matter.
    return min(
        found,
        key=lambda hold: (_HOLD_ORDER.index(hold.reason), hold.work.state_since, hold.work.id),
    )


def _hold(item: Work, policy: Policy, now: datetime) -> _Hold | None:
    """Why ``item`` keeps its app up right now, if it does."""
    if item.hold is not None:
        return _Hold(item.hold, item)
    if item.kind is WorkKind.TERMINAL and policy.keep_terminals:
        return _Hold(Reason.TERMINAL_KEPT, item)
    if _may_run(item):
        if not _held_too_long(item, policy, now):
            cap = policy.max_busy_time
            until = item.state_since + cap if cap else None
            return _Hold(_MAY_RUN.get((item.kind, item.state), _DOUBT[item.kind]), item, until)
        return None
    is_connected = item.kind is WorkKind.KERNEL and item.connections > 0
    if is_connected and not policy.ignore_connections:
        return _Hold(Reason.CONNECTED, item)
    return None


def _is_presumed(item: Work) -> bool:
    """Whether only silence indicates work."""
    return item.silent_since is not None and item.hold is None


_MAY_RUN = {(WorkKind.KERNEL, "busy"): Reason.KERNEL_BUSY}
_DOUBT = {
    WorkKind.KERNEL: Reason.KERNEL_STATE_UNKNOWN,
    WorkKind.TERMINAL: Reason.TERMINAL_STATE_UNKNOWN,
}


def _may_run(item: Work) -> bool:
    """Whether a cell runs, or somebody works in a terminal, as far as is known: an unknown state
    counts as work."""
    if item.kind is WorkKind.TERMINAL:
        return item.state == "unknown"
    if item.kind is not WorkKind.KERNEL or item.state in _IDLE_STATES:
        return False
    # A kernel that starts has nothing to do yet, unless it was asked and did not answer.
    return item.state not in TRANSIENT_STATES or item.silent_since is not None


def _held_too_long(item: Work, policy: Policy, now: datetime) -> bool:
    return (
        bool(policy.max_busy_time)
        and item.hold is None
        and _may_run(item)
        and now - item.state_since >= policy.max_busy_time
    )


def _last_active(item: Work, policy: Policy, now: datetime) -> datetime:
    """When ``item`` was last active, given that it does not hold its app now."""
    is_passing = item.kind is WorkKind.KERNEL and item.state in TRANSIENT_STATES
    claimed = None if is_passing else item.last_activity
    last_active = item.state_since if claimed is None else claimed
    if item.silent_since is None or _held_too_long(item, policy, now):
        return last_active
    return max(last_active, item.silent_since)
