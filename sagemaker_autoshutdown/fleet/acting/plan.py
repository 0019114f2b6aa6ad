"""Plans the tasks that a sweep's verdicts call for, given the stored holds, within the limits.
Pure.

A plan is only a proposal: the engine reads and observes again before it does any of it. The process
that stored the sweep makes its plan; a duplicate of the sweep makes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..model import Key, Run
from .model import Answer, Hold, Kind, Limits, Phase, RunId, Task, Verdict
from .steps import is_free, kept_until

#: An app that is still up this long after its deletion was accepted is due again.
AGAIN_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Plan:
    """Tasks in the best order: first spare, then shut down (longest overdue first), then mark.
    ``halted`` says why nothing is marked or shut down. ``left`` counts tasks that have to wait
    for a later sweep."""

    tasks: tuple[Task, ...] = ()
    halted: str = ""
    left: int = 0


def plan(
    verdicts: Iterable[Verdict],
    holds: Iterable[Hold],
    runs: Mapping[Key, Run],
    up: int,
    limits: Limits,
    now: datetime,
) -> Plan:
    """The plan of one scope.

    ``verdicts`` are those that are due or unknown; a run without one is not due. ``runs`` are those
    of the state after the sweep, ``up`` is the number of running apps and notebook instances.
    """
    found = {verdict.run: verdict for verdict in verdicts}
    stored = {hold.run: hold for hold in holds}
    stops: list[tuple[datetime, Task]] = []
    marks: list[Task] = []
    others: list[Task] = []
    for run in {**stored, **found}:
        hold, verdict = stored.get(run), found.get(run)
        task = _task(run, hold, verdict, runs, limits, now)
        if task is None:
            continue
        if task.kind is Kind.STOP:
            stops.append(((hold.due_at if hold else None) or now, task))
        elif task.kind is Kind.MARK:
            marks.append(task)
        else:
            others.append(task)
    going = sum(
        verdict.answer is Answer.DUE
        and verdict.acts
        and not _is_kept(stored.get(run), verdict, limits, now)
        for run, verdict in found.items()
    )
    if (marks or stops) and going > limits.few and going > limits.share * up:
        why = (
            f"{going} of {up} would be shut down at once, and limits.share = {limits.share:g} "
            "allows fewer"
        )
        return Plan(tuple(others), why, len(marks) + len(stops))
    stops.sort(key=lambda pair: pair[0])
    chosen = [task for _, task in stops[: limits.stops]]
    left = len(stops) - len(chosen) + max(len(marks) - limits.marks, 0)
    return Plan((*others, *chosen, *marks[: limits.marks]), "", left)


def _task(
    run: RunId,
    hold: Hold | None,
    verdict: Verdict | None,
    runs: Mapping[Key, Run],
    limits: Limits,
    now: datetime,
) -> Task | None:
    """The task for one run now; None if there is nothing to do."""
    present = runs.get(run.key)
    if present is None or present.up_since != run.up_since:
        return Task(Kind.FINISH, run) if hold is not None and hold.is_open else None
    if verdict is not None and verdict.answer is Answer.UNKNOWN:
        return None
    if hold is not None and not is_free(hold, now):
        return None
    if hold is not None and hold.phase is Phase.DONE and now - hold.changed_at < AGAIN_AFTER:
        return None
    if verdict is None or verdict.answer is Answer.NOT_DUE:
        return _spare(run, hold, "it is not due any more")
    if not verdict.acts:
        if hold is None:
            return Task(Kind.NOTE, run, verdict)
        is_noted = hold.phase is Phase.NOTED
        return None if is_noted else _spare(run, hold, "its rule does not act any more")
    if _is_kept(hold, verdict, limits, now):
        return None if _keeps(hold, verdict, limits, now) else Task(Kind.KEEP, run, verdict)
    if hold is None or hold.phase not in (Phase.MARKED, Phase.ACTING) or not hold.told:
        return Task(Kind.MARK, run, verdict)
    is_due = hold.due_at is None or hold.due_at <= now
    return Task(Kind.STOP, run, verdict) if is_due else None


def _spare(run: RunId, hold: Hold | None, why: str) -> Task | None:
    """Ends an open hold; a spared run whose mark is still on loses the mark."""
    needed = hold is not None and hold.phase is not Phase.DONE and (hold.is_open or hold.mark)
    return Task(Kind.SPARE, run, why=why) if needed else None


def _is_kept(hold: Hold | None, verdict: Verdict, limits: Limits, now: datetime) -> bool:
    wanted = verdict.kept_until
    return wanted is not None and kept_until(hold, wanted, now, limits) > now


def _keeps(hold: Hold | None, verdict: Verdict, limits: Limits, now: datetime) -> bool:
    """Whether the hold already says so."""
    return (
        hold is not None
        and hold.phase is Phase.KEPT
        and not hold.mark
        and verdict.kept_until is not None
        and hold.kept_until == kept_until(hold, verdict.kept_until, now, limits)
    )
