"""Carries out tasks. For each, it reads the hold, changes it conditionally, and observes before it
acts.

It does not trust a task to be recent, to come once, or in order. A failure for one run does not
affect the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ...aws import SENT_ONCE, AwsError, ErrorKind
from ...clock import to_iso
from ...hosts.marks import mark_text
from ..model import NOTEBOOK_INSTANCE
from .model import (
    Answer,
    Event,
    Happened,
    Hold,
    Kind,
    Limits,
    Notice,
    Phase,
    Present,
    Task,
    Verdict,
)
from .protocols import Actor, Audit, Holds, Notifier, Unavailable
from .steps import (
    LEASE,
    Check,
    LastCheck,
    back_off,
    first,
    following,
    is_free,
    is_stale,
    kept_until,
    last_check,
    marked,
)

#: Seconds from asking SageMaker about the app to the call that shuts it down. If more time has
#: passed, the app is observed again. A successor that starts within this time can't be told apart.
WINDOW = 2.0
#: Errors that do not say whether the call was accepted.
_WITHOUT_ANSWER = (ErrorKind.TIMEOUT, ErrorKind.UNREACHABLE, ErrorKind.OTHER)
#: How often to repeat an observation that took too long.
_OBSERVATIONS = 3


@dataclass(frozen=True)
class Parts:
    """The engine's dependencies. ``by`` is a unique name of the acting process, for holds and
    audit."""

    holds: Holds
    actor: Actor
    notifier: Notifier | None
    audit: Audit
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    by: str
    limits: Limits = field(default_factory=Limits)


def act(tasks: Iterable[Task], parts: Parts) -> list[Event]:
    """Carries out tasks and returns the events, which are then already in the audit.

    If the store fails, it raises :class:`Unavailable`; everything stored until then stays.
    """
    return _Engine(parts).do(tasks)


@dataclass
class _Marked:
    """A hold whose app has the tag, and that waits for the message about all of them."""

    hold: Hold
    verdict: Verdict
    event: Event


class _Engine:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._holds = parts.holds
        self._events: list[Event] = []

    def do(self, tasks: Iterable[Task]) -> list[Event]:
        """Carries out all tasks. Those that mark share one message at the end."""
        waiting: list[_Marked] = []
        try:
            for task in tasks:
                if task.kind is Kind.MARK:
                    waiting += self._mark(task)
                else:
                    self._one(task)
        finally:
            self._tell(waiting)
        return self._events

    def _one(self, task: Task) -> None:
        hold = self._holds.read(task.run)
        if task.kind is Kind.STOP:
            self._stop(task, hold)
        elif task.kind is Kind.SPARE:
            if hold is not None and is_free(hold, self._parts.now()):
                self._spare(hold, task.why)
        elif task.kind is Kind.FINISH:
            if hold is not None and hold.is_open:
                self._finish(hold)
        elif task.kind is Kind.KEEP:
            self._keep(task, hold)
        elif task.verdict is not None and hold is None:
            noted = first(task.verdict, Phase.NOTED, self._parts.now())
            if self._holds.create(_with_rule(noted, task.verdict)):
                self._record(Happened.NOTED, noted, task.verdict)

    # -- marking

    def _mark(self, task: Task) -> Iterator[_Marked]:
        now = self._parts.now()
        verdict = _usable(task, now)
        if verdict is None:
            return
        hold = self._holds.read(task.run)
        is_marked = hold is not None and hold.told and hold.phase is Phase.MARKED
        if is_marked or (hold is not None and not is_free(hold, now)):
            return
        unmarked = hold or first(verdict, Phase.MARKED, now)
        blank = replace(unmarked, mark="", told=False, due_at=None)
        try:
            present = self._parts.actor.describe(task.run, profile=verdict.profile)
        except AwsError as error:
            self._failed(blank, verdict, error)
            self._put_off(blank, hold)
            return
        found = last_check(blank, verdict, present, self._parts.limits)
        if found.check is Check.UNSEEN:
            self._record(Happened.FAILED, blank, verdict, why=found.why)
            self._put_off(blank, hold)
        if found.check is Check.KEEP:
            self._keep(task, hold, found.kept_until)
        if found.check is not Check.GO or present is None:
            return
        following_hold = marked(blank, verdict, present, now)
        if hold is None:
            following_hold = replace(following_hold, version=1)
            if not self._holds.create(following_hold):
                return
        elif not self._holds.replace(following_hold):
            return
        yield from self._tag(following_hold, verdict, present)

    def _tag(self, hold: Hold, verdict: Verdict, present: Present) -> Iterator[_Marked]:
        due_at = present.at + verdict.warning
        text = mark_text(due_at, verdict.rule, hold.version, verdict.why)
        event = self._event(Happened.MARKED, hold, verdict, due_at=due_at)
        try:
            self._parts.actor.mark(hold.run, present.arn, text)
        except AwsError as error:
            # Without a mark nothing is shut down: nobody would know, and a new app of the same name
            # could not be told apart.
            self._failed(hold, verdict, error)
            self._holds.replace(back_off(hold, self._parts.now()))
            return
        yield _Marked(replace(hold, mark=text), verdict, event)

    def _tell(self, waiting: list[_Marked]) -> None:
        """Sends the notice about all marks at once, and lets their warnings begin."""
        if not waiting:
            return
        self._notify([_notice(each.event) for each in waiting])
        for each in waiting:
            hold, now = each.hold, self._parts.now()
            # On SageMaker's clock, plus the time since the app was described.
            passed = max(now - hold.changed_at, timedelta(0))
            due_at = (hold.marked_at or now) + passed + each.verdict.warning
            self._append(replace(each.event, due_at=due_at))
            self._holds.replace(following(hold, Phase.MARKED, now, told=True, due_at=due_at))

    def _put_off(self, blank: Hold, hold: Hold | None) -> None:
        """Postpones a mark that failed."""
        later = back_off(blank, self._parts.now())
        if hold is None:
            self._holds.create(replace(later, version=1))
        else:
            self._holds.replace(later)

    # -- shutting down

    def _stop(self, task: Task, hold: Hold | None) -> None:
        now = self._parts.now()
        verdict = _usable(task, now)
        if hold is None or verdict is None:
            return
        if hold.phase not in (Phase.MARKED, Phase.ACTING) or not hold.told:
            return
        if not is_free(hold, now):
            return
        acting = following(
            hold,
            Phase.ACTING,
            now,
            holder=self._parts.by,
            lease_until=now + LEASE,
            called=hold.called or hold.phase is Phase.ACTING,  # taken over
        )
        if not self._holds.replace(acting):
            return
        try:
            found = self._observe_and_stop(acting, verdict)
        except AwsError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                found = LastCheck(Check.GONE)
            else:
                self._failed(acting, verdict, error)
                tried = replace(acting, called=acting.called or _may_be_accepted(error))
                self._holds.replace(back_off(tried, self._parts.now()))
                return
        self._after(found, acting, verdict, task)

    def _observe_and_stop(self, acting: Hold, verdict: Verdict) -> LastCheck:
        parts = self._parts
        for _ in range(_OBSERVATIONS):
            present = parts.actor.describe(acting.run, acting.arn, verdict.profile)
            found = last_check(acting, verdict, present, parts.limits)
            if found.check is not Check.GO or present is None:
                return found
            if parts.monotonic() - present.asked <= WINDOW:
                parts.actor.stop(acting.run)
                return found
        return LastCheck(Check.UNSEEN, "SageMaker's answers took too long")

    def _after(self, found: LastCheck, acting: Hold, verdict: Verdict, task: Task) -> None:
        now = self._parts.now()
        if found.check is Check.GO:
            self._end(acting, Happened.STOPPED, verdict)
        elif found.check is Check.GONE:
            self._end(acting, Happened.STOPPED if acting.called else Happened.GONE, verdict)
        elif found.check is Check.SPARE:
            self._spare(acting, found.why)
        elif found.check is Check.KEEP:
            self._keep(task, acting, found.kept_until)
        elif found.check is Check.WAIT:
            self._holds.replace(following(acting, Phase.MARKED, now))
        else:
            self._record(Happened.FAILED, acting, verdict, why=found.why)
            self._holds.replace(back_off(acting, now))

    def _end(self, hold: Hold, what: Happened, verdict: Verdict | None) -> None:
        # The audit first: after a crash here the event comes again, with the same id.
        event = self._record(what, hold, verdict)
        if what is Happened.STOPPED:
            self._notify([_notice(event)])
        if hold.mark and hold.run.key.app_type == NOTEBOOK_INSTANCE:
            # A stopped one keeps its tags. Those of an app go with it.
            self._take_off_mark(hold)
        self._holds.replace(following(hold, Phase.DONE, self._parts.now(), mark=""))

    def _finish(self, hold: Hold) -> None:
        """A sweep saw that the run has ended."""
        if hold.phase in (Phase.NOTED, Phase.KEPT):
            self._holds.replace(following(hold, Phase.DONE, self._parts.now()))
            return
        tried = hold.phase is Phase.ACTING or hold.called
        self._end(hold, Happened.STOPPED if tried else Happened.GONE, None)

    # -- not shutting down

    def _spare(self, hold: Hold, why: str) -> None:
        """Ends a hold; a marked app loses its mark."""
        spared = following(
            hold, Phase.SPARED, self._parts.now(), told=False, due_at=None, kept_since=None
        )
        if not self._holds.replace(spared):
            return
        if hold.phase in (Phase.MARKED, Phase.ACTING):
            event = self._record(Happened.SPARED, hold, None, why=why)
            if hold.told:
                self._notify([_notice(event)])
        self._unmark(spared)

    def _keep(self, task: Task, hold: Hold | None, until: datetime | None = None) -> None:
        verdict, parts, now = task.verdict, self._parts, self._parts.now()
        if hold is not None and not is_free(hold, now) and hold.holder != parts.by:
            return
        if until is None:
            if verdict is None or verdict.kept_until is None or is_stale(verdict, now):
                return
            until = kept_until(hold, verdict.kept_until, now, parts.limits)
        if verdict is None:
            return
        changes = {
            "kept_since": (hold.kept_since if hold else None) or now,
            "kept_until": until,
            "told": False,
            "due_at": None,
        }
        kept = _with_rule(
            following(hold or first(verdict, Phase.KEPT, now), Phase.KEPT, now, **changes), verdict
        )
        if hold is None:
            kept = replace(kept, version=1)
            is_stored = self._holds.create(kept)
        else:
            is_stored = self._holds.replace(kept)
        if not is_stored:
            return
        if hold is None or hold.phase is not Phase.KEPT or hold.kept_until != until:
            why = f"a keep-alive or an exception holds it until {to_iso(until)}"
            self._record(Happened.KEPT, kept, verdict, why=why)
        self._unmark(kept)

    def _unmark(self, hold: Hold) -> None:
        if hold.mark and self._take_off_mark(hold):
            self._holds.replace(following(hold, hold.phase, self._parts.now(), mark=""))

    def _take_off_mark(self, hold: Hold) -> bool:
        try:
            self._parts.actor.unmark(hold.run, hold.arn)
        except AwsError as error:
            self._failed(hold, None, error)
            return False
        return True

    # -- telling

    def _notify(self, notices: list[Notice]) -> bool:
        if self._parts.notifier is None:
            return False
        try:
            self._parts.notifier.tell(notices)
        except Unavailable as error:
            now = self._parts.now()
            run = notices[0].run
            name, why = f"{run}#untold#{to_iso(now)}", f"the notice could not be sent: {error}"
            self._append(Event(name, now, run.scope, Happened.FAILED, why=why, by=self._parts.by))
            return False
        return True

    def _failed(self, hold: Hold, verdict: Verdict | None, error: AwsError) -> None:
        self._record(Happened.FAILED, hold, verdict, why=f"{error}. {error.remedy}")

    def _record(self, what: Happened, hold: Hold, verdict: Verdict | None, why: str = "") -> Event:
        event = self._event(what, hold, verdict, why=why)
        self._append(event)
        return event

    def _event(
        self,
        what: Happened,
        hold: Hold,
        verdict: Verdict | None,
        *,
        why: str = "",
        due_at: datetime | None = None,
    ) -> Event:
        # A step that is done again after a crash records the same id.
        part = to_iso(hold.marked_at or hold.run.up_since)
        if what is Happened.FAILED:
            part = f"{hold.version}.{hold.attempts}"
        elif what is Happened.KEPT and hold.kept_until is not None:
            part = to_iso(hold.kept_until)
        return Event(
            f"{hold.run}#{what.value}#{part}",
            self._parts.now(),
            hold.run.scope,
            what,
            hold.run,
            verdict.rule if verdict else hold.rule,
            verdict.grade if verdict else hold.grade,
            why or (verdict.why if verdict else hold.why),
            verdict.evidence if verdict else {},
            due_at or hold.due_at,
            verdict.owner if verdict else "",
            verdict.nano_usd_per_hour if verdict else 0,
            self._parts.by,
        )

    def _append(self, event: Event) -> None:
        self._parts.audit.write([event])
        self._events.append(event)


def _may_be_accepted(error: AwsError) -> bool:
    """Whether SageMaker may have accepted the call that failed."""
    return error.operation.partition(":")[2] in SENT_ONCE and error.kind in _WITHOUT_ANSWER


def _usable(task: Task, now: datetime) -> Verdict | None:
    """The verdict to act on, if it is recent. Dry run and late messages end here."""
    verdict = task.verdict
    if verdict is None or not verdict.acts or verdict.answer is not Answer.DUE:
        return None
    return None if is_stale(verdict, now) else verdict


def _with_rule(hold: Hold, verdict: Verdict) -> Hold:
    return replace(hold, rule=verdict.rule, grade=verdict.grade, why=verdict.why)


def _notice(event: Event) -> Notice:
    if event.run is None:
        raise ValueError("this event is about no run")
    return Notice(event.what, event.run, event.owner, event.rule, event.why, event.at, event.due_at)
