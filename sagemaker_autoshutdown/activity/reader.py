"""Jupyter's kernels, sessions and terminals, read and turned into ``Work``.

Owns what Jupyter's models look like, in all their versions and moods, and since when each thing
is in its state. Where they are read from is the business of ``sources``; what they mean for an
app, of ``decide``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..clock import from_iso
from ..hosts import HostAdapter
from ..model import TRANSIENT_STATES, App, Reason, Work, WorkKind
from ..threads import in_thread
from .background_jobs import BackgroundJobs, Jobs
from .detached_jobs import DetachedJob
from .jupyter import Source, Unreadable
from .kernel_probe import Answer

log = logging.getLogger(__name__)

#: Seconds after which kernels are listed again: a cell may have been started meanwhile.
STALE_AFTER = 1.0
_NOT_ASKED = (
    "the server refuses connections to its kernels' channels, so a cell of which it does not know "
    "can't be seen",
)
#: How many models are turned into Work before the event loop gets its turn.
_CHUNK = 50


@dataclass(frozen=True)
class Reading:
    """What was seen. ``error`` says what could not be; ``notes`` what can never be seen here."""

    work: tuple[Work, ...] = ()
    error: str = ""
    notes: tuple[str, ...] = ()


@dataclass
class _Seen:
    """Since when something is in its state; for what claims to have been active in the future
    (another machine's clock is ahead), that claim and when it was first seen."""

    state: str
    since: datetime
    look: int
    claimed: datetime | None = None
    claimed_at: datetime | None = None


@dataclass
class _Asked:
    """What a kernel that was said to be idle answered, and its last activity as it was said before
    and after: asking moves it."""

    answer: Answer
    before: object
    after: object = None
    is_new: bool = True


@dataclass
class ActivityReader:
    """Reads a source look by look, and remembers since when what it sees is as it is."""

    source: Source
    adapter: HostAdapter
    jobs: BackgroundJobs = field(default_factory=BackgroundJobs)
    _seen: dict[tuple[str, str], _Seen] = field(default_factory=dict)
    _labels: dict[str, str] = field(default_factory=dict)
    _waiting: list[dict[str, Any]] = field(default_factory=list)
    _looks: int = 0
    _claims: dict[str, object] = field(default_factory=dict)
    _asked: dict[str, _Asked] = field(default_factory=dict)
    _ask_note: tuple[str, ...] = ()

    async def read(self, apps: tuple[App, ...], now: datetime) -> Reading:
        """One look at everything that can hold one of ``apps``. Raises nothing: see ``error``."""
        try:
            terminals = await self.source.terminals()
            jobs, notes = await self._background_jobs()
            # Kernels last: theirs is the state that changes by the second.
            asked_at = time.monotonic()
            kernels = await self.source.kernels()
            waiting = await self._sessions(kernels)
            if time.monotonic() - asked_at > STALE_AFTER:
                kernels = await self.source.kernels()
            self._looks += 1
            work = []
            for index, model in enumerate(kernels):
                if index % _CHUNK == _CHUNK - 1:
                    await asyncio.sleep(0)
                work.append(self._kernel(model, apps, now, jobs.below))
            work += [self._session(session, apps, now) for session in waiting]
            for model in terminals:
                terminal = self._terminal(model, apps, now, jobs.below)
                if terminal is not None:
                    work.append(terminal)
            work += [self._process(job, apps, now) for job in jobs.detached]
        except Unreadable as error:
            return Reading(error=str(error))
        except Exception as error:
            # Models may be anything: what can't be understood counts as not seen.
            log.debug("kernels and terminals can't be read", exc_info=True)
            return Reading(error=f"{type(error).__name__}: {error}")
        self._seen = {key: seen for key, seen in self._seen.items() if seen.look == self._looks}
        there = {key[1] for key in self._seen if key[0] == "kernel"}
        self._claims = {each: claim for each, claim in self._claims.items() if each in there}
        self._asked = {each: asked for each, asked in self._asked.items() if each in there}
        return Reading(tuple(work), notes=(*notes, *self._ask_note))

    async def ask(self, kernel_ids: Collection[str]) -> bool:
        """Ask these kernels, said to be idle at the last look, whether they are. The next look
        takes their answers into account. Whether there was anything to ask."""
        answers = await self.source.ask(kernel_ids)
        for kernel_id, answer in answers.items():
            self._asked[kernel_id] = _Asked(answer, self._claims.get(kernel_id))
        self._ask_note = _NOT_ASKED if Answer.REFUSED in answers.values() else ()
        return bool(answers)

    def _after_asking(self, kernel_id: str, model: dict[str, Any]) -> dict[str, Any]:
        """The model, corrected by what the kernel itself has answered. That holds until the kernel
        says anything else."""
        claim, asked = model.get("last_activity"), self._asked.get(kernel_id)
        if asked is not None and asked.is_new:
            asked.after, asked.is_new = claim, False
        elif asked is not None and (asked.after != claim or asked.answer is Answer.UNKNOWN):
            asked = None
        self._claims[kernel_id] = claim
        if asked is None or model.get("execution_state") != "idle":
            self._asked.pop(kernel_id, None)
            return model
        if asked.answer is Answer.IDLE:
            # The question itself is no activity.
            self._claims[kernel_id] = asked.before
            return {**model, "last_activity": asked.before}
        state = {Answer.SILENT: "busy", Answer.UNKNOWN: "unknown"}.get(asked.answer, "idle")
        return {**model, "execution_state": state}

    async def _sessions(self, kernels: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The sessions that wait for a kernel, as last read. The others lend kernels their names;
        without them, kernels still count."""
        kernel_ids = {str(model.get("id")) for model in kernels}
        unnamed = not kernel_ids <= self._labels.keys()
        sessions = await self.source.sessions(names_needed=unnamed)
        if sessions is None:
            return self._waiting
        self._waiting = [session for session in sessions if _waits_for_kernel(session)]
        labels = {}
        for session in sessions:
            kernel = session.get("kernel")
            if isinstance(kernel, Mapping):
                labels[str(kernel.get("id"))] = _session_label(session)
        # A kernel without a session has none to wait for: it goes by its kernelspec's name.
        self._labels = {
            str(model.get("id")): labels.get(str(model.get("id"))) or _kernel_label(model)
            for model in kernels
        }
        return self._waiting

    async def _background_jobs(self) -> tuple[Jobs, tuple[str, ...]]:
        roots = self.source.processes()
        if roots is None:
            return Jobs(), ()
        try:
            return await in_thread(lambda: self.jobs.look(roots)), ()
        except ImportError:
            return Jobs(), ("psutil is not installed, so jobs in the background can't be seen",)
        except Exception as error:
            # There may be jobs: that is not the same as none.
            log.debug("processes can't be read", exc_info=True)
            raise Unreadable(f"background jobs can't be seen: {error}") from error

    def _kernel(
        self,
        model: dict[str, Any],
        apps: tuple[App, ...],
        now: datetime,
        jobs: Collection[Hashable],
    ) -> Work:
        kernel_id = str(model.get("id") or "")
        model = self._after_asking(kernel_id, model)
        state = str(model.get("execution_state") or "")
        since = self._since(("kernel", kernel_id), state, now)
        last_activity = self._last_activity(("kernel", kernel_id), model, now)
        # What was in a passing state when this server first looked may have been so for weeks.
        if self._looks == 1 and state in TRANSIENT_STATES and last_activity is not None:
            self._seen[("kernel", kernel_id)].since = since = min(since, last_activity)
        connections = model.get("connections")
        return Work(
            kind=WorkKind.KERNEL,
            id=kernel_id,
            label=self._labels.get(kernel_id) or _kernel_label(model),
            state=state,
            state_since=since,
            last_activity=last_activity,
            apps=self.adapter.kernel_apps(model, apps),
            connections=connections if isinstance(connections, int) else 0,
            hold=Reason.BACKGROUND_JOB if ("kernel", kernel_id) in jobs else None,
        )

    def _session(self, session: dict[str, Any], apps: tuple[App, ...], now: datetime) -> Work:
        session_id = str(session.get("id") or "")
        return Work(
            kind=WorkKind.SESSION,
            id=session_id,
            label=_session_label(session),
            state="",
            state_since=self._since(("session", session_id), "", now),
            last_activity=None,
            # It says of its kernel what a kernel says of itself, as far as it says anything.
            apps=self.adapter.kernel_apps({}, apps),
        )

    def _process(self, job: DetachedJob, apps: tuple[App, ...], now: datetime) -> Work:
        return Work(
            kind=WorkKind.PROCESS,
            id=str(job.pid),
            label=job.program,
            state="",
            state_since=min(job.started_at, now),
            last_activity=None,
            apps=self.adapter.kernel_apps({}, apps),
            hold=Reason.DETACHED_JOB,
        )

    def _terminal(
        self,
        model: dict[str, Any],
        apps: tuple[App, ...],
        now: datetime,
        jobs: Collection[Hashable],
    ) -> Work | None:
        name = str(model.get("name") or "")
        held = self.adapter.terminal_apps(name, apps)
        if not held:
            return None
        key = ("terminal", name)
        return Work(
            kind=WorkKind.TERMINAL,
            id=name,
            label=_terminal_label(name),
            state="",
            state_since=self._since(key, "", now),
            last_activity=self._last_activity(key, model, now),
            apps=held,
            hold=Reason.BACKGROUND_JOB if key in jobs else None,
        )

    def _since(self, key: tuple[str, str], state: str, now: datetime) -> datetime:
        seen = self._seen.get(key)
        if seen is None or seen.state != state:
            seen = self._seen[key] = _Seen(state, now, self._looks)
        seen.look = self._looks
        # The clock may have been set back.
        seen.since = min(seen.since, now)
        return seen.since

    def _last_activity(
        self, key: tuple[str, str], model: Mapping[str, Any], now: datetime
    ) -> datetime | None:
        """Jupyter's time of last activity; if that is in the future, when it was first seen."""
        claimed = _time(model.get("last_activity"))
        seen = self._seen[key]
        if claimed is None:
            return None
        if claimed > now and seen.claimed != claimed:
            seen.claimed, seen.claimed_at = claimed, now
        return seen.claimed_at if seen.claimed == claimed else claimed


def _time(text: object) -> datetime | None:
    """Jupyter's time; None where there is none, or nothing that can be read."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return from_iso(text)
    except ValueError:
        return None


def _waits_for_kernel(session: Mapping[str, Any]) -> bool:
    kernel = session.get("kernel")
    return session.get("type") == "pending" or not isinstance(kernel, Mapping) or not kernel


def _session_label(session: Mapping[str, Any]) -> str:
    return str(session.get("path") or session.get("name") or "a session")


def _kernel_label(model: Mapping[str, Any]) -> str:
    """``python3`` out of ``python3__SAGEMAKER_INTERNAL__arn:...``."""
    return str(model.get("name") or "a kernel").partition("__SAGEMAKER_INTERNAL__")[0]


def _terminal_label(name: str) -> str:
    """``terminal 1`` out of ``1`` or ``arn:...:image/datascience-1.0__1__ml.t3.medium``."""
    parts = name.split("__")
    number = parts[-2] if name.startswith("arn:") and len(parts) >= 3 else name
    return f"terminal {number}"
