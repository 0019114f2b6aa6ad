"""Jupyter's kernels, sessions and terminals, read and turned into ``Work``.

This module knows Jupyter's models in all their versions and oddities, and since when each thing has
been in its state. ``jupyter`` reads the models; ``decide`` judges an app by them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ..clock import from_iso, to_iso
from ..hosts import HostAdapter
from ..model import TRANSIENT_STATES, App, Evidence, EvidenceKind, Presence, Reason, Work, WorkKind
from ..text import span
from ..threads import in_thread
from .background_jobs import BackgroundJobs, Finding, Jobs, OtherTerminal
from .browser_requests import BrowserRequests, Use
from .gpu_watch import GpuWatch
from .jupyter import Source
from .kernel_answers import KernelAnswers
from .kernel_probe import Answer, Told
from .kernel_requests import KernelUse
from .other_servers import OtherServers, ServerSeen
from .own_api import Unreadable
from .presence import PresenceTracker
from .process_table import Readings

log = logging.getLogger(__name__)

#: Seconds after which kernels are listed again: a cell may have been started meanwhile.
STALE_AFTER = 1.0
_NOT_ASKED = (
    "the server refuses connections to its kernels' channels, so a cell that the server does not "
    "know about can't be seen",
)
#: The number of times that kernels are listed again which may be busy with our question, and the
#: seconds in between.
LISTED_AGAIN = 5
LISTED_AGAIN_AFTER = 0.2
#: Seconds after which all is seen again though a cell holds the app: status shows all of it.
SEEN_AGAIN_AFTER = 300.0
#: States of a kernel in which no request is open any more, whatever was heard before.
_PAST_RUNNING = frozenset({"dead", "terminating", "restarting", "autorestarting"})
#: In any other state, a kernel may be at work: it is asked.
_KNOWN = frozenset({"idle", "busy"}) | _PAST_RUNNING | TRANSIENT_STATES
#: Part of the names of kernels that Studio Classic runs in an app.
INTERNAL = "__SAGEMAKER_INTERNAL__"
#: The number of models turned into Work before the event loop gets its turn.
_CHUNK = 25


@dataclass(frozen=True)
class ObservedActivity:
    """One observation. ``error`` names things that could not be seen now, ``notes`` things that
    can never be seen here."""

    work: tuple[Work, ...] = ()
    error: str = ""
    notes: tuple[str, ...] = ()
    presence: Presence = field(default_factory=Presence)


@dataclass
class _Seen:
    """Since when something is in its state. If it claims activity in the future (another
    machine's clock is ahead): that claim, and when it was first seen."""

    state: str
    since: datetime
    observation: int
    claimed: datetime | None = None
    claimed_at: datetime | None = None


@dataclass(frozen=True)
class _Elsewhere:
    """The other servers, as they were last asked: when, by both clocks."""

    servers: tuple[ServerSeen, ...] = ()
    seen_at: datetime | None = None
    monotonic: float = float("-inf")

    @property
    def listed(self) -> list[str]:
        """The ids of the kernels that are theirs, as they call them."""
        return [str(m["id"]).partition("/")[2] for seen in self.servers for m in seen.kernels]

    @property
    def asked(self) -> list[int]:
        """The process ids of those that have said what terminals they have."""
        return [seen.server.pid for seen in self.servers if not (seen.error or seen.is_locked)]


@dataclass
class ActivityReader:
    """Observes a source, and remembers since when each thing has been in its state.

    This server's own kernels and terminals come first. If they alone hold every app, other servers,
    other kernels and processes are checked only now and then.
    """

    source: Source
    adapter: HostAdapter
    jobs: BackgroundJobs = field(default_factory=BackgroundJobs)
    gpus: GpuWatch | None = None
    other_servers: OtherServers | None = None
    browsers: BrowserRequests | None = None
    presence: PresenceTracker = field(default_factory=PresenceTracker)
    #: Returns the last file saved in a remote IDE.
    ide_save: Callable[[datetime], Use | None] | None = None
    #: Whether the evidence so far shows that every one of these apps is in use. If so, the
    #: machine's processes need not be read.
    is_held: Callable[[tuple[App, ...], Collection[Work], datetime], bool] = lambda *_: False
    #: Shared by all that look at processes.
    readings: Readings | None = None
    answers: KernelAnswers = field(default_factory=KernelAnswers)
    monotonic: Callable[[], float] = time.monotonic
    _seen: dict[tuple[str, str], _Seen] = field(default_factory=dict)
    _labels: dict[str, str] = field(default_factory=dict)
    _waiting_sessions: list[dict[str, Any]] = field(default_factory=list)
    _observations: int = 0
    _elsewhere: _Elsewhere = field(default_factory=_Elsewhere)

    async def read(self, apps: tuple[App, ...], now: datetime) -> ObservedActivity:
        """Observes everything that can hold one of ``apps``. Raises nothing: see ``error``."""
        try:
            if self.readings is not None:
                self.readings.begin()
            terminals = await self.source.terminals()
            began = self.monotonic()
            own = await self._own_kernels(now)
            waiting_sessions = await self._sessions(own)
            self._observations += 1
            self.answers.begin_observation()
            work = await self._kernels(own, apps, now)
            other_work = [self._session(session, apps, now) for session in waiting_sessions]
            other_work += self._browser_use(own, apps, now)
            other_work += self._terminals(terminals, apps, now)
            # What is certain by itself: kernels that no server started may be gone unheard.
            is_enough = self.is_held(apps, (*work, *other_work), now) and self._seen_lately(began)
            if not is_enough:
                await self._observe_elsewhere(now)
            elsewhere = self._elsewhere
            others = await self.source.other_kernels(None if is_enough else elsewhere.listed)
            work += await self._kernels(self._not_own(others, own), apps, now)
            other_work += [self._server(seen, apps, now) for seen in elsewhere.servers]
            typed = [model for seen in elsewhere.servers for model in seen.terminals]
            other_work += self._terminals(typed, apps, now)
            jobs = Jobs()
            notes: tuple[str, ...] = ()
            if not is_enough and not self.is_held(apps, (*work, *other_work), now):
                other_work += await self._ide_save(apps, now)
                jobs, notes = await self._background_jobs(work, elsewhere, now)
            gpus = await self._gpus(apps, now)
            # Kernels last: their state changes by the second.
            if self.monotonic() - began > STALE_AFTER:
                own = await self.source.kernels()
                others = await self.source.other_kernels(None if is_enough else elsewhere.listed)
                kernels = [*own, *self._not_own(others, own)]
                work = await self._kernels(kernels, apps, now)
            work = [_with_job(item, jobs.below) for item in (*work, *other_work)]
            work += [self._process(job, apps, now) for job in jobs.outside]
            work += self._other_terminals(jobs.terminals, apps, now)
            work += gpus
            presence = self.presence.observe(self._people_connected(work, now), now)
        except Unreadable as error:
            return ObservedActivity(error=str(error))
        except Exception as error:
            # Models may be anything: if they can't be understood, they count as not seen.
            log.debug("kernels and terminals can't be read", exc_info=True)
            return ObservedActivity(error=f"{type(error).__name__}: {error}")
        self._seen = {
            key: seen for key, seen in self._seen.items() if seen.observation == self._observations
        }
        there = {key[1] for key in self._seen if key[0] == "kernel"}
        self.answers.forget_all_but(there)
        asked = _NOT_ASKED if self.answers.is_refused else ()
        return ObservedActivity(tuple(work), "", (*notes, *asked, *self._gpu_notes), presence)

    async def _own_kernels(self, now: datetime) -> list[dict[str, Any]]:
        """This server's kernels. A slow gateway may still report a kernel as busy although only our
        question made it so. Then the kernels are listed again, for a second at most. A kernel that
        runs a cell stays busy, or the end of the cell counts as use."""
        own = await self.source.kernels()
        for _ in range(LISTED_AGAIN):
            if not any(self._may_be_busy_with_us(model, now) for model in own):
                break
            await asyncio.sleep(LISTED_AGAIN_AFTER)
            own = await self.source.kernels()
        return own

    def _may_be_busy_with_us(self, model: Mapping[str, Any], now: datetime) -> bool:
        kernel_id = str(model.get("id") or "")
        return (
            model.get("execution_state") == "busy"
            and self.source.use_of(kernel_id) is None
            and self.answers.was_asked_lately(kernel_id, now)
        )

    def _people_connected(self, work: Iterable[Work], now: datetime) -> int:
        """How many connections are those of tabs; a tab that is not counted for a few seconds has
        not left."""
        return sum(
            item.connections for item in work if not self.answers.was_asked_lately(item.id, now)
        )

    def _seen_lately(self, monotonic: float) -> bool:
        return monotonic - self._elsewhere.monotonic < SEEN_AGAIN_AFTER

    async def _observe_elsewhere(self, now: datetime) -> None:
        """Ask the other servers on this app."""
        seen = await self.other_servers.observe() if self.other_servers is not None else ()
        self._elsewhere = _Elsewhere(seen, now, self.monotonic())

    async def ask(self, kernel_ids: Collection[str], now: datetime) -> bool:
        """Asks these kernels, which are not known to be at work, whether they are. The next
        observation uses their answers. Returns whether it is needed: not if no kernel could be
        reached, as before."""
        self.answers.begin(kernel_ids)
        answers: dict[str, Told] = {}
        try:
            own = [each for each in kernel_ids if "/" not in each]
            answers = dict(await self.source.ask(own))
            if self.other_servers is not None:
                answers.update(await self.other_servers.ask(kernel_ids))
        finally:
            is_news = self.answers.end(kernel_ids, answers, now)
        return is_news

    def clock_jumped(self, jump: timedelta) -> None:
        """The wall clock was set: shift remembered times, so that nothing seems older or younger
        than it is."""
        self.source.clock_jumped()
        self.answers.clock_jumped(jump)
        self.presence.clock_jumped(jump)
        for remembering in (self.browsers, self.gpus):
            if remembering is not None:
                remembering.clock_jumped(jump)
        if self._elsewhere.seen_at is not None:
            self._elsewhere = replace(self._elsewhere, seen_at=self._elsewhere.seen_at + jump)
        for seen in self._seen.values():
            seen.since += jump
            if seen.claimed_at is not None:
                seen.claimed_at += jump

    async def _sessions(self, kernels: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The sessions that wait for a kernel, as last read. The others give kernels their
        names; without them, kernels still count."""
        kernel_ids = {str(model.get("id")) for model in kernels}
        unnamed = not kernel_ids <= self._labels.keys()
        sessions = await self.source.sessions(names_needed=unnamed)
        if sessions is None:
            return self._waiting_sessions
        self._waiting_sessions = [session for session in sessions if _waits_for_kernel(session)]
        labels = {}
        for session in sessions:
            kernel = session.get("kernel")
            if isinstance(kernel, Mapping):
                labels[str(kernel.get("id"))] = _session_label(session)
        # A kernel without a session has no name but its kernelspec's.
        self._labels = {
            str(model.get("id")): labels.get(str(model.get("id"))) or _kernel_label(model)
            for model in kernels
        }
        return self._waiting_sessions

    def _not_own(
        self, without_server: list[dict[str, Any]], own: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The kernels that no server started, and the kernels of other servers that this server
        does not list as well (behind a gateway). If apps are elsewhere, kernels on this machine are
        in none of them."""
        own_ids = {str(model.get("id")) for model in own}
        return [*without_server, *self._kernels_elsewhere(own_ids)]

    def _kernels_elsewhere(self, own_ids: Collection[str]) -> Iterator[dict[str, Any]]:
        for seen in self._elsewhere.servers:
            for model in seen.kernels:
                if str(model["id"]).partition("/")[2] in own_ids:
                    continue
                is_here = self.source.apps_are_here
                if is_here or model.get("app_name") or INTERNAL in str(model.get("name")):
                    name = f"{_kernel_label(model)} on port {seen.server.port}"
                    yield {**model, "name": name}

    def _browser_use(
        self, kernels: Iterable[dict[str, Any]], apps: tuple[App, ...], now: datetime
    ) -> Iterator[Work]:
        """The last things that people did in their browsers and that no kernel or terminal
        shows."""
        if self.browsers is None:
            return
        self.browsers.observe()
        document, web_app = self.browsers.document, self.browsers.web_app
        all_apps = self.adapter.kernel_apps({}, apps)
        if document is not None:
            held = all_apps
            if not self.source.apps_are_here:
                # A document is on the free server, so it counts for its kernel's app.
                held = frozenset[str]().union(
                    *(
                        self.adapter.kernel_apps(model, apps)
                        for model in kernels
                        if self._labels.get(str(model.get("id"))) == document.label
                    )
                )
            told = Evidence(EvidenceKind.SAVE, f"{document.label} was {document.done}", document.at)
            yield _used(WorkKind.DOCUMENT, document, held, told, now)
        if web_app is not None and self.source.apps_are_here:
            told = Evidence(EvidenceKind.WEB, f"{web_app.label} was used in a browser", web_app.at)
            yield _used(WorkKind.WEB_APP, web_app, all_apps, told, now)

    def _server(self, seen: ServerSeen, apps: tuple[App, ...], now: datetime) -> Work:
        """Another server. Its kernels and terminals count by themselves; the server holds the
        app only if it can't be asked for them."""
        if seen.error:
            told = f"{seen.server.label} could not be asked: {seen.error}"
        elif seen.is_locked:
            told = f"{seen.server.label} asks for a password, so its processes are watched instead"
        else:
            busy = sum(model.get("execution_state") == "busy" for model in seen.kernels)
            kernels, terminals = len(seen.kernels), len(seen.terminals)
            told = (
                f"{seen.server.label}: {kernels} kernel{'s' * (kernels != 1)} ({busy} busy), "
                f"{terminals} terminal{'s' * (terminals != 1)}"
            )
        key = ("server", str(seen.server.pid))
        since = self._since(key, seen.error, now)
        return Work(
            kind=WorkKind.SERVER,
            id=str(seen.server.pid),
            label=seen.server.label,
            state="unknown" if seen.error else "",
            state_since=since,
            last_activity=None,
            apps=self.adapter.kernel_apps({}, apps),
            hold=Reason.SERVER_UNSEEN if seen.error else None,
            evidence=(Evidence(EvidenceKind.SERVER, told, self._elsewhere.seen_at or now),),
        )

    async def _ide_save(self, apps: tuple[App, ...], now: datetime) -> tuple[Work, ...]:
        """The last file that somebody saved in an IDE on this machine."""
        last_save = self.ide_save
        if last_save is None or not self.source.apps_are_here:
            return ()
        save = await in_thread(lambda: last_save(now))
        if save is None:
            return ()
        told = Evidence(EvidenceKind.SAVE, f"{save.label} was saved in a remote IDE", save.at)
        held = self.adapter.kernel_apps({}, apps)
        return (_used(WorkKind.DOCUMENT, save, held, told, now),)

    async def _background_jobs(
        self, work: Collection[Work], elsewhere: _Elsewhere, now: datetime
    ) -> tuple[Jobs, tuple[str, ...]]:
        if not self.source.apps_are_here:
            return Jobs(), ()
        unasked = [seen.server.pid for seen in elsewhere.servers if seen.is_locked]
        roots = {**self.source.processes(), **{("server", str(pid)): pid for pid in unasked}}
        # A kernel's use until its last message belongs to its cell.
        rested = {
            (item.kind.value, item.id): max(0.0, (now - item.last_activity).total_seconds())
            for item in work
            if item.kind is WorkKind.KERNEL and item.last_activity is not None
        }
        uses = ((item, self.source.use_of(item.id)) for item in work)
        crashing = {(item.kind.value, item.id) for item, use in uses if use and use.crashes}
        try:
            observe = self.jobs.observe
            return await in_thread(lambda: observe(roots, rested, elsewhere.asked, crashing)), ()
        except ImportError:
            return Jobs(), ("psutil is not installed, so jobs in the background can't be seen",)
        except Exception as error:
            # There may be jobs: that is not the same as none.
            log.debug("processes can't be read", exc_info=True)
            raise Unreadable(f"background jobs can't be seen: {error}") from error

    async def _gpus(self, apps: tuple[App, ...], now: datetime) -> tuple[Work, ...]:
        """The GPUs of this machine, also while a cell runs: an instance in use whose GPU does
        nothing is worth showing."""
        if self.gpus is None or not self.source.apps_are_here:
            return ()
        return await self.gpus.observe(apps, now)

    @property
    def _gpu_notes(self) -> tuple[str, ...]:
        return () if self.gpus is None else self.gpus.notes

    async def _kernels(
        self, models: list[dict[str, Any]], apps: tuple[App, ...], now: datetime
    ) -> list[Work]:
        work = []
        for index, model in enumerate(models):
            if index % _CHUNK == 0:
                await asyncio.sleep(0)
            work.append(self._kernel(model, apps, now))
        return work

    def _kernel(self, model: dict[str, Any], apps: tuple[App, ...], now: datetime) -> Work:
        kernel_id = str(model.get("id") or "")
        key = ("kernel", kernel_id)
        label = self._labels.get(kernel_id) or _kernel_label(model)
        use = self.source.use_of(kernel_id)
        if use is not None:
            model = _as_heard(model, use)
        model, silent_since, evidence = self._as_answered(kernel_id, model, use)
        if use is not None:
            evidence = (*_evidence(use, label, now), *evidence)
        state = str(model.get("execution_state") or "")
        since = self._since(key, state, now)
        if state == "busy" and use is not None and use.running_since is not None:
            since = min(use.running_since, now)
        if state not in _KNOWN and self.answers.may_tell(kernel_id):
            silent_since = since
        last_activity = self._last_activity(key, model, now)
        # A passing state at the first observation may have lasted for weeks.
        if self._observations == 1 and state in TRANSIENT_STATES and last_activity is not None:
            self._seen[key].since = since = min(since, last_activity)
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
        )

    def _as_answered(
        self, kernel_id: str, model: dict[str, Any], use: KernelUse | None
    ) -> tuple[dict[str, Any], datetime | None, tuple[Evidence, ...]]:
        """The model, corrected by the kernel's own answers; since when it is silent; and the
        evidence."""
        last_activity, state = model.get("last_activity"), model.get("execution_state")
        claim = last_activity if use is None else use.heard
        if state != "idle" and state in _KNOWN:
            self.answers.said_otherwise(kernel_id, claim)
            return model, None, ()
        standing = self.answers.standing(kernel_id, claim)
        states = {
            Answer.IDLE: "idle",
            Answer.USED: "idle",
            Answer.SILENT: "busy",
            Answer.UNKNOWN: "unknown",
        }
        corrected = {
            **model,
            "execution_state": state
            if standing.answer is None
            else states.get(standing.answer, state),
            # Our question changes a server's claim, but not our own observations.
            "last_activity": standing.claim if use is None else last_activity,
        }
        silent_since = standing.silent_since
        if silent_since is None and use is not None and use.silent_since is not None:
            corrected["execution_state"], silent_since = "busy", use.silent_since
        return corrected, silent_since, standing.evidence

    def _session(self, session: dict[str, Any], apps: tuple[App, ...], now: datetime) -> Work:
        session_id = str(session.get("id") or "")
        return Work(
            kind=WorkKind.SESSION,
            id=session_id,
            label=_session_label(session),
            state="",
            state_since=self._since(("session", session_id), "", now),
            last_activity=None,
            # It reports of its kernel the same as the kernel itself, as far as it reports anything.
            apps=self.adapter.kernel_apps({}, apps),
        )

    def _process(self, job: Finding, apps: tuple[App, ...], now: datetime) -> Work:
        return Work(
            kind=WorkKind.PROCESS,
            id=str(job.pid),
            label=job.program,
            state="",
            state_since=min(job.started_at, now),
            last_activity=None,
            apps=self.adapter.kernel_apps({}, apps),
            hold=job.reason,
            evidence=job.evidence,
        )

    def _terminals(
        self, models: Iterable[dict[str, Any]], apps: tuple[App, ...], now: datetime
    ) -> Iterator[Work]:
        for model in models:
            terminal = self._terminal(model, apps, now)
            if terminal is not None:
                yield terminal

    def _other_terminals(
        self, terminals: Iterable[OtherTerminal], apps: tuple[App, ...], now: datetime
    ) -> Iterator[Work]:
        for each in terminals:
            model = {"name": f"pts/{each.number}", "last_input": to_iso(each.typed_at)}
            terminal = self._terminal(model, apps, now)
            if terminal is not None:
                yield replace(terminal, label=f"terminal of {each.program}")

    def _terminal(self, model: dict[str, Any], apps: tuple[App, ...], now: datetime) -> Work | None:
        name = str(model.get("name") or "")
        held = self.adapter.terminal_apps(name, apps)
        if not held:
            return None
        key = ("terminal", name)
        since = self._since(key, "", now)
        typed_at = model.get("last_input")
        used_at = model.get("last_activity") if typed_at is None else typed_at
        last_activity = self._last_activity(key, {"last_activity": used_at}, now)
        evidence: tuple[Evidence, ...] = ()
        if typed_at is not None and last_activity is not None:
            last_activity = min(last_activity, now)
            typed = Evidence(EvidenceKind.INPUT, "the last key was typed", last_activity)
            evidence = (typed,)
        clients = model.get("connections")
        return Work(
            kind=WorkKind.TERMINAL,
            id=name,
            label=_terminal_label(name),
            # A thing that does not say when it was used may be in use.
            state="unknown" if last_activity is None else "",
            state_since=since,
            last_activity=last_activity,
            apps=held,
            connections=clients if isinstance(clients, int) else 0,
            evidence=evidence,
        )

    def _since(self, key: tuple[str, str], state: str, now: datetime) -> datetime:
        seen = self._seen.get(key)
        if seen is None or seen.state != state:
            seen = self._seen[key] = _Seen(state, now, self._observations)
        seen.observation = self._observations
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
    if use.used_at is not None:
        last_activity = to_iso(use.used_at)
    return {**model, "execution_state": state, "last_activity": last_activity}


def _evidence(use: KernelUse, label: str, now: datetime) -> tuple[Evidence, ...]:
    if use.running and use.running_since is not None:
        seconds = max(0.0, (now - use.running_since).total_seconds())
        # To the minute, so that the status does not change by the second.
        lasted = span(seconds - seconds % 60) if seconds >= 60 else "less than a minute"
        text = f"{use.running} running in {label} for {lasted}"
        more = f"; {use.queued} more queued" if use.queued else ""
        return (Evidence(EvidenceKind.REQUEST, text + more),)
    if use.silent_since is not None:
        text = f"{label} may be at work: it has yet to answer"
        return (Evidence(EvidenceKind.ANSWER, text, use.silent_since),)
    if use.used_at is None:
        return ()
    return (Evidence(EvidenceKind.REQUEST, "last request ended", use.used_at),)


def _with_job(item: Work, jobs: Mapping[Hashable, Finding]) -> Work:
    """The kernel or terminal, with the processes in and below it."""
    job = jobs.get((item.kind.value, item.id))
    if job is None:
        return item
    return replace(item, hold=job.reason, evidence=(*item.evidence, *job.evidence))


def _used(
    kind: WorkKind, use: Use, apps: frozenset[str], evidence: Evidence, now: datetime
) -> Work:
    at = min(use.at, now)
    return Work(kind, use.label, use.label, "", at, at, apps, evidence=(evidence,))


def _time(text: object) -> datetime | None:
    """Jupyter's time; None if there is none, or it can't be read."""
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
    return str(model.get("name") or "a kernel").partition(INTERNAL)[0]


def _terminal_label(name: str) -> str:
    """``terminal 1`` out of ``1`` or ``arn:...:image/datascience-1.0__1__ml.t3.medium``."""
    parts = name.split("__")
    number = parts[-2] if name.startswith("arn:") and len(parts) >= 3 else name
    return f"terminal {number}"
