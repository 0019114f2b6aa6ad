"""Kernels as ``Work``: Jupyter's models, corrected by what was heard from each kernel and by its
answers. This module knows the models in all their versions and oddities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..clock import to_iso
from ..hosts import HostAdapter
from ..model import TRANSIENT_STATES, App, Evidence, EvidenceKind, Work, WorkKind
from ..text import span
from .kernel_answers import KernelAnswers
from .kernel_probe import Answer
from .kernel_requests import KernelUse
from .state_times import StateTimes
from .work import session_label

#: States of a kernel in which no request is open any more, whatever was heard before.
_PAST_RUNNING = frozenset({"dead", "terminating", "restarting", "autorestarting"})
#: In any other state, a kernel may be at work: it is asked.
_KNOWN = frozenset({"idle", "busy"}) | _PAST_RUNNING | TRANSIENT_STATES
#: Part of the names of kernels that Studio Classic runs in an app.
INTERNAL = "__SAGEMAKER_INTERNAL__"
_STATE_BY_ANSWER = {
    Answer.IDLE: "idle",
    Answer.USED: "idle",
    Answer.SILENT: "busy",
    Answer.UNKNOWN: "unknown",
}


@dataclass
class KernelWork:
    """Turns models of kernels into ``Work``, and remembers the kernels' names."""

    adapter: HostAdapter
    #: What was heard from a kernel on this machine.
    use_of: Callable[[str], KernelUse | None]
    answers: KernelAnswers
    times: StateTimes
    _labels: dict[str, str] = field(default_factory=dict)

    def are_named(self, models: Iterable[Mapping[str, Any]]) -> bool:
        """Whether all of these kernels have their names."""
        return all(_id(model) in self._labels for model in models)

    def name(
        self, models: Iterable[Mapping[str, Any]], sessions: Iterable[Mapping[str, Any]]
    ) -> None:
        """Names the kernels after their sessions. A kernel without a session has no name but its
        kernelspec's."""
        labels = {}
        for session in sessions:
            kernel = session.get("kernel")
            if isinstance(kernel, Mapping):
                labels[_id(kernel)] = session_label(session)
        self._labels = {
            _id(model): labels.get(_id(model)) or kernel_label(model) for model in models
        }

    def apps_of(
        self, label: str, models: Iterable[dict[str, Any]], apps: tuple[App, ...]
    ) -> frozenset[str]:
        """The names of the apps of the kernels with this name."""
        return frozenset[str]().union(
            *(
                self.adapter.kernel_apps(model, apps)
                for model in models
                if self._labels.get(_id(model)) == label
            )
        )

    def may_be_busy_with_us(self, model: Mapping[str, Any], now: datetime) -> bool:
        """Whether a kernel may be busy with nothing but our own question."""
        kernel_id = _id(model)
        return (
            model.get("execution_state") == "busy"
            and self.use_of(kernel_id) is None
            and self.answers.was_made_busy(kernel_id, now)
        )

    def work(self, model: dict[str, Any], apps: tuple[App, ...], now: datetime) -> Work:
        """One kernel."""
        kernel_id = _id(model)
        key = (WorkKind.KERNEL.value, kernel_id)
        label = self._labels.get(kernel_id) or kernel_label(model)
        use = self.use_of(kernel_id)
        if use is not None:
            model = _as_heard(model, use)
        else:
            self.answers.server_says(kernel_id, str(model.get("execution_state") or ""))
        model, silent_since, evidence = self._as_answered(kernel_id, model, use)
        if use is not None:
            evidence = (*_evidence(use, label, now), *evidence)
        state = str(model.get("execution_state") or "")
        since = self.times.since(key, state, now)
        if state == "busy" and use is not None and use.running_since is not None:
            since = min(use.running_since, now)
        if state == "busy" and use is None and silent_since is None:
            text = f"{label} busy for {_lasted(since, now)}, by its server's word"
            evidence = (Evidence(EvidenceKind.REQUEST, text), *evidence)
        if state not in _KNOWN and self.answers.may_tell(kernel_id):
            silent_since = since
        last_activity = self.times.last_activity(key, model.get("last_activity"), now)
        # A passing state at the first observation may have lasted for weeks.
        if self.times.is_first and state in TRANSIENT_STATES and last_activity is not None:
            since = self.times.began_before(key, last_activity)
        claimed_since = last_activity or since
        claimed_since = max(claimed_since, self.answers.tried(kernel_id) or claimed_since)
        connections = model.get("connections")
        return Work(
            kind=WorkKind.KERNEL,
            id=kernel_id,
            label=label,
            state=state,
            state_since=since,
            last_activity=last_activity,
            apps=self.adapter.kernel_apps(model, apps),
            connections=connections if isinstance(connections, int) else 0,
            evidence=evidence,
            silent_since=silent_since,
            claimed_since=claimed_since if use is None else None,
        )

    def _as_answered(
        self, kernel_id: str, model: dict[str, Any], use: KernelUse | None
    ) -> tuple[dict[str, Any], datetime | None, tuple[Evidence, ...]]:
        """The model, corrected by the kernel's own answers; since when it is silent; and the
        evidence."""
        last_activity, state = model.get("last_activity"), model.get("execution_state")
        claim = last_activity if use is None else use.heard
        if use is None and state == "busy":
            standing = self.answers.standing_of_busy(kernel_id, claim)
            is_done = standing.answer is Answer.IDLE
            done = {"execution_state": "idle", "last_activity": standing.claim} if is_done else {}
            return {**model, **done}, None, standing.evidence
        is_starting = state in TRANSIENT_STATES
        if state != "idle" and state in _KNOWN and not is_starting:
            self.answers.said_otherwise(kernel_id, claim)
            return model, None, ()
        standing = self.answers.standing(kernel_id, claim)
        if is_starting and standing.answer is Answer.SILENT:
            # One that is silent on every channel has hung, and counts from the start of its state.
            silent_since = standing.silent_since if standing.is_alive else None
            return model, silent_since, standing.evidence
        corrected = {
            **model,
            "execution_state": state
            if standing.answer is None
            else _STATE_BY_ANSWER.get(standing.answer, state),
            # Our question changes a server's claim, but not our own observations.
            "last_activity": standing.claim if use is None else last_activity,
        }
        silent_since = standing.silent_since
        if silent_since is None and use is not None and use.silent_since is not None:
            corrected["execution_state"], silent_since = "busy", use.silent_since
        return corrected, silent_since, standing.evidence


def kernel_label(model: Mapping[str, Any]) -> str:
    """``python3`` out of ``python3__SAGEMAKER_INTERNAL__arn:...``."""
    return str(model.get("name") or "a kernel").partition(INTERNAL)[0]


def _id(model: Mapping[str, Any]) -> str:
    return str(model.get("id") or "")


def _as_heard(model: dict[str, Any], use: KernelUse) -> dict[str, Any]:
    """A kernel's model, corrected by its observed requests."""
    state, last_activity = model.get("execution_state"), model.get("last_activity")
    if use.running and state not in _PAST_RUNNING:
        state = "busy"
    elif use.crashes:
        # Each of its states has just begun.
        state = "dead"
    elif state == "busy" and use.is_complete:
        # Its answer does not count, or its server has not heard that it is done.
        state = "idle"
    elif state == "starting" and use.has_started:
        # Its server still waits for its first messages.
        state = "idle"
    elif state in TRANSIENT_STATES and not use.from_start:
        # Another server's word, which nobody may have listened for: a question tells.
        state = "idle"
    if use.used_at is not None:
        last_activity = to_iso(use.used_at)
    return {**model, "execution_state": state, "last_activity": last_activity}


def _lasted(since: datetime, now: datetime) -> str:
    """To the minute, so that the status does not change by the second."""
    seconds = max(0.0, (now - since).total_seconds())
    return span(seconds - seconds % 60) if seconds >= 60 else "less than a minute"


def _evidence(use: KernelUse, label: str, now: datetime) -> tuple[Evidence, ...]:
    if use.running and use.running_since is not None:
        text = f"{use.running} running in {label} for {_lasted(use.running_since, now)}"
        more = f"; {use.queued} more queued" if use.queued else ""
        return (Evidence(EvidenceKind.REQUEST, text + more),)
    if use.silent_since is not None:
        text = f"{label} may be at work: it has yet to answer"
        return (Evidence(EvidenceKind.ANSWER, text, use.silent_since),)
    if use.used_at is None:
        return ()
    return (Evidence(EvidenceKind.REQUEST, "last request ended", use.used_at),)
