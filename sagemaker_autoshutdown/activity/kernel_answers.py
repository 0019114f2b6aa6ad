"""Kernels' answers to the question whether they are idle, and how long an answer counts.

An answer counts until the kernel is heard from again. Asking must leave no trace: a gateway records
our question as if somebody used the kernel. A silent kernel counts as busy. It is asked again at
the deadline that follows, so one lost answer does not make an idle kernel busy for ever. A kernel
that waits while its processes work counts as used until it was asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..clock import to_iso
from ..model import Evidence, EvidenceKind
from ..text import milliseconds, span
from .kernel_probe import Answer, Told
from .process_groups import WorkRule

#: For so long after its end, a question may still count among a kernel's connections and work.
LINGERS = timedelta(seconds=5)

#: A kernel tells only the sum of its processes, and several that rest (Dask's workers) may use more
#: together than one that works: so the sum must be this many times as much.
SUM_COUNTS = 3
#: Anybody's claim about a kernel's last activity. It is only compared, never interpreted.
Claim = object


@dataclass(frozen=True)
class Standing:
    """The present value of the last question to a kernel: its answer, None if there is none; the
    claim that counts as its last activity; since when it is silent; and whether it has said
    anything else since then."""

    answer: Answer | None
    claim: Claim
    silent_since: datetime | None = None
    evidence: tuple[Evidence, ...] = ()
    is_alive: bool = False


@dataclass
class _Asked:
    told: Told
    at: datetime
    #: The claims before the question and after it.
    before: Claim
    #: Its state then, by its server's word.
    claimed: str
    after: Claim = None
    #: The observation that first took it into account.
    observation: int = 0

    @property
    def ended(self) -> datetime:
        """When waiting for the answer ended. A silent kernel may have worked until then."""
        return self.at + self.told.took


@dataclass
class KernelAnswers:
    """Remembers questions and answers, kernel by kernel."""

    #: The CPUs that a process uses if it is at work.
    work_cpu: float = WorkRule.cpu
    #: The states of the kernels that nobody listens to, by their server's word.
    _states: dict[str, str] = field(default_factory=dict)
    _claims: dict[str, Claim] = field(default_factory=dict)
    _asked: dict[str, _Asked] = field(default_factory=dict)
    #: The claims about kernels that are being asked at present.
    _claims_when_asked: dict[str, Claim] = field(default_factory=dict)
    #: Kernels that were busy, by their server's word, when they were last asked.
    _busy_when_asked: set[str] = field(default_factory=set)
    #: Kernels that were to be asked, but to which no connection could be made.
    _unreachable: set[str] = field(default_factory=set)
    #: When each last question ended, and each last attempt to ask.
    _ended: dict[str, datetime] = field(default_factory=dict)
    _tried: dict[str, datetime] = field(default_factory=dict)
    _observation: int = 0

    @property
    def is_refused(self) -> bool:
        """Whether a server lets nobody ask its kernels."""
        return any(asked.told.answer is Answer.REFUSED for asked in self._asked.values())

    def begin_observation(self) -> None:
        """What is asked for from now on belongs to one observation."""
        self._observation += 1

    def server_says(self, kernel_id: str, state: str) -> None:
        """Nobody listens to the kernel; this is its state by its server's word."""
        self._states[kernel_id] = state

    def begin(self, kernel_ids: Collection[str]) -> dict[str, str]:
        """These kernels are about to be asked. Returns them with their states by their server's
        word. One that was busy when it was silent still is: our question may have changed its
        server's mind."""
        for kernel_id in kernel_ids:
            self._claims_when_asked.setdefault(kernel_id, self._claims.get(kernel_id))
        states = {each: self._claimed_state(each) for each in kernel_ids}
        self._busy_when_asked -= states.keys()
        self._busy_when_asked |= {each for each, state in states.items() if state == "busy"}
        return states

    def _claimed_state(self, kernel_id: str) -> str:
        asked = self._asked.get(kernel_id)
        if asked is not None and asked.told.answer is Answer.SILENT:
            return asked.claimed
        return self._states.get(kernel_id, "idle")

    def end(self, kernels: Mapping[str, str], answers: Mapping[str, Told], now: datetime) -> bool:
        """These kernels have been asked, each with the state that its server claimed; ``answers``
        holds those that answered. Returns whether that tells anything new."""
        is_news = bool(answers) or not self._unreachable.issuperset(kernels)
        for kernel_id, claimed in kernels.items():
            before = self._claims_when_asked.pop(kernel_id, self._claims.get(kernel_id))
            self._tried[kernel_id] = now
            if kernel_id not in answers:
                self._unreachable.add(kernel_id)
            else:
                self._unreachable.discard(kernel_id)
                asked = self._asked[kernel_id] = _Asked(answers[kernel_id], now, before, claimed)
                self._ended[kernel_id] = self._tried[kernel_id] = asked.ended
        return is_news

    def was_asked_lately(self, kernel_id: str, now: datetime) -> bool:
        """Whether a connection to the kernel, or work in it, may be that of our own question."""
        ended = self._ended.get(kernel_id)
        is_fresh = ended is not None and now - ended < LINGERS
        return is_fresh or kernel_id in self._claims_when_asked

    def was_made_busy(self, kernel_id: str, now: datetime) -> bool:
        """Whether only our question may have made a kernel busy: it was not busy before."""
        return kernel_id not in self._busy_when_asked and self.was_asked_lately(kernel_id, now)

    def tried(self, kernel_id: str) -> datetime | None:
        """When the kernel was last asked, or could not be."""
        return self._tried.get(kernel_id)

    def may_tell(self, kernel_id: str) -> bool:
        """Whether a question may yet tell what the kernel does."""
        return kernel_id not in self._asked and kernel_id not in self._unreachable

    def standing(self, kernel_id: str, claim: Claim) -> Standing:
        """The facts about a kernel that claims nothing certain, with this claim of its
        activity."""
        asked = self._asked.get(kernel_id)
        if kernel_id in self._claims_when_asked:
            # Our own question may have changed the claim. An earlier silence lasts until the
            # answer.
            claim = self._claims_when_asked[kernel_id]
            if asked is None or asked.told.answer is not Answer.SILENT:
                return Standing(None, claim)
            is_alive = asked.told.is_alive
            return Standing(Answer.SILENT, claim, asked.ended, _evidence(asked), is_alive)
        if asked is not None and not asked.observation:
            asked.after, asked.observation = claim, self._observation
        elif asked is not None and (
            asked.after != claim
            # For one observation.
            or (asked.told.answer is Answer.UNKNOWN and asked.observation != self._observation)
        ):
            del self._asked[kernel_id]
            asked = None
        self._claims[kernel_id] = claim
        if asked is None:
            return Standing(None, claim)
        if asked.told.answer is Answer.IDLE:
            works = (asked.told.cpu or 0.0) >= SUM_COUNTS * self.work_cpu
            claim = to_iso(asked.ended) if works else asked.before
            self._claims[kernel_id] = claim
        silent_since = asked.ended if asked.told.answer is Answer.SILENT else None
        return Standing(
            asked.told.answer, claim, silent_since, _evidence(asked), asked.told.is_alive
        )

    def standing_of_busy(self, kernel_id: str, claim: Claim) -> Standing:
        """The facts about a kernel that claims to be busy. Only a question that was asked since
        tells whether it is."""
        asked = self._asked.get(kernel_id)
        if asked is not None and asked.claimed != "busy":
            self.said_otherwise(kernel_id, claim)
            return Standing(None, claim)
        return self.standing(kernel_id, claim)

    def said_otherwise(self, kernel_id: str, claim: Claim) -> None:
        """The kernel claims something else than before, so its answer no longer counts."""
        self._asked.pop(kernel_id, None)
        self._claims[kernel_id] = claim

    def forget_all_but(self, kernel_ids: Collection[str]) -> None:
        """Forgets kernels that are gone."""
        self._unreachable &= set(kernel_ids)
        self._busy_when_asked &= set(kernel_ids)
        for remembered in (
            self._states,
            self._claims,
            self._asked,
            self._ended,
            self._tried,
        ):
            for kernel_id in remembered.keys() - set(kernel_ids):
                del remembered[kernel_id]

    def clock_jumped(self, jump: timedelta) -> None:
        """The clock was set: shift the times of answers, so that a minute ago stays a minute
        ago."""
        for asked in self._asked.values():
            asked.at += jump
        for times in (self._ended, self._tried):
            times.update({kernel_id: moment + jump for kernel_id, moment in times.items()})


def _evidence(asked: _Asked) -> tuple[Evidence, ...]:
    took, answer = asked.told.took, asked.told.answer
    if answer is Answer.REFUSED:
        return ()
    outcome = {
        Answer.SILENT: f"no answer in {span(took.total_seconds())}",
        Answer.UNKNOWN: "the connection broke",
    }.get(answer, f"answered in {milliseconds(took)}")
    cpu = asked.told.cpu
    used = "" if cpu is None else f"; its processes use {cpu * 100:.0f} % of a CPU"
    text = f"asked at {asked.at:%H:%M} UTC, {outcome}{used}"
    return (Evidence(EvidenceKind.ANSWER, text, asked.at),)
