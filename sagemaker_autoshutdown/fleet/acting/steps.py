"""The steps of a hold, and the last check before a shutdown. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from ...clock import from_iso
from .model import EXCEPTION_TAG, Hold, Limits, Phase, Present, Verdict

#: How long the holder of a run may call SageMaker. Longer than all its calls can take.
LEASE = timedelta(minutes=3)
#: An older verdict must be made again: a message may arrive late.
FRESH = timedelta(minutes=5)
#: The time between two attempts; doubles with each.
BACK_OFF, LONGEST_BACK_OFF = timedelta(minutes=2), timedelta(hours=1)
#: How long an ended hold is kept. The audit is kept longer.
KEPT_FOR = timedelta(days=7)

#: Two answers may round a time differently.
_SAME = timedelta(seconds=1)
_IN_SERVICE = "InService"
#: Statuses of apps that are being deleted, or are gone.
GOING = frozenset({"Deleting", "Stopping", "Deleted", "Stopped"})


def is_free(hold: Hold, now: datetime) -> bool:
    """Whether no other process holds it, and it is not postponed after a failure."""
    lease_ended = hold.lease_until is None or hold.lease_until <= now
    return lease_ended and (hold.not_before is None or hold.not_before <= now)


def is_stale(verdict: Verdict, now: datetime) -> bool:
    """Whether a verdict is too old to act on."""
    return now - verdict.at > FRESH


def first(verdict: Verdict, phase: Phase, now: datetime) -> Hold:
    """The first hold of a run."""
    return Hold(verdict.run, phase, 1, verdict.created_at, now)


def following(hold: Hold, phase: Phase, now: datetime, **changes: object) -> Hold:
    """The next version of a hold. A lease and a back-off last for one step, unless set again."""
    cleared: dict[str, object] = {"holder": "", "lease_until": None, "not_before": None}
    return replace(
        hold,
        phase=phase,
        version=hold.version + 1,
        changed_at=now,
        **{**cleared, **changes},  # type: ignore[arg-type]
    )


def marked(hold: Hold, verdict: Verdict, present: Present, now: datetime) -> Hold:
    """Chosen to be marked; no notice has been sent yet."""
    return following(
        hold,
        Phase.MARKED,
        now,
        created_at=verdict.created_at,
        rule=verdict.rule,
        grade=verdict.grade,
        why=verdict.why,
        marked_at=present.at,
        due_at=None,
        told=False,
        arn=present.arn,
        attempts=0,
        called=False,
        kept_until=None,
    )


def back_off(hold: Hold, now: datetime) -> Hold:
    """A failed attempt: *marked* again, and postponed."""
    wait = min(BACK_OFF * 2 ** min(hold.attempts, 16), LONGEST_BACK_OFF)
    return following(hold, Phase.MARKED, now, attempts=hold.attempts + 1, not_before=now + wait)


def kept_until(hold: Hold | None, wanted: datetime, now: datetime, limits: Limits) -> datetime:
    """Until when an exception holds: at most ``limits.max_keep`` after it first held the run
    while it was due."""
    since = (hold.kept_since if hold else None) or now
    return min(wanted, since + limits.max_keep)


def exception_of(tag: str | None) -> datetime | None:
    """The end of an exception, from a tag's value such as ``keep-until:2026-12-01T18:00Z``, or
    ``keep-until:2026-12-01`` for the end of that day in UTC. None for anything else. Whoever may
    tag an app chooses the value: no value may stop a sweep."""
    name, _, value = (tag or "").strip().partition(":")
    if name.strip().lower() != "keep-until":
        return None
    value = value.strip()
    try:
        moment = from_iso(value)
    except ValueError:
        return None
    is_day = re.fullmatch(r"\d{4}-?\d\d-?\d\d", value) is not None
    try:
        return moment + timedelta(days=1) if is_day else moment
    except OverflowError:  # the last day of the calendar, for "for ever"
        return moment


class Check(str, Enum):
    """The result of the last check."""

    GO = "go"
    WAIT = "wait"
    SPARE = "spare"
    KEEP = "keep"
    GONE = "gone"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class LastCheck:
    """The result of the last check, and the reason."""

    check: Check
    why: str = ""
    kept_until: datetime | None = None


def last_check(hold: Hold, verdict: Verdict, present: Present | None, limits: Limits) -> LastCheck:
    """Whether an app may be marked or shut down, by SageMaker's present description.

    *wait* and *go* differ by SageMaker's clock. Only a hold whose notice was sent can *go*.
    """
    if present is None or present.status in GOING:
        return LastCheck(Check.GONE)
    if present.status != _IN_SERVICE:
        return LastCheck(Check.SPARE, f"its status is {present.status}")
    if abs(present.created_at - verdict.created_at) >= _SAME:
        return LastCheck(Check.SPARE, "it is another run by now")
    if present.tags is None:
        return LastCheck(Check.UNSEEN, "its tags, which may hold an exception, could not be read")
    if hold.told and present.mark != hold.mark:
        return LastCheck(
            Check.SPARE, "its mark is gone: somebody removed it, or started the app again"
        )
    wanted = exception_of(present.tags.get(EXCEPTION_TAG))
    ends = [each for each in (wanted, verdict.kept_until) if each is not None]
    if ends:
        until = kept_until(hold, max(ends), present.at, limits)
        if until > present.at:
            return LastCheck(Check.KEEP, "a keep-alive or an exception holds it", until)
    if hold.due_at is not None and present.at < hold.due_at:
        return LastCheck(Check.WAIT)
    return LastCheck(Check.GO)
