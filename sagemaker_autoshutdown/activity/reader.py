"""One observation of everything that may be in use: what is read, in which order, and what may be
left out. ``jupyter`` and its neighbours read; ``kernel_work`` and ``work`` turn what was read into
``Work``; ``decide`` judges an app by that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ..hosts import HostAdapter
from ..model import App, Presence, Work, WorkKind
from ..threads import in_thread
from .background_jobs import BackgroundJobs, Jobs
from .browser_requests import BrowserRequests, Use
from .gpu_watch import GpuWatch
from .jupyter import Source
from .kernel_answers import KernelAnswers
from .kernel_probe import Told
from .kernel_work import INTERNAL, KernelWork, kernel_label
from .other_servers import OtherServers, ServerSeen
from .own_api import Unreadable
from .presence import PresenceTracker
from .process_table import Readings
from .state_times import StateTimes
from .work import OtherWork, document, web_app, with_job

log = logging.getLogger(__name__)

#: Seconds after which kernels are listed again: a cell may have been started meanwhile.
STALE_AFTER = 1.0
_NOT_ASKED = (
    "the server refuses connections to its kernels' channels, so a cell that the server does not "
    "know about can't be seen",
)
_NO_PSUTIL = "psutil is not installed, so jobs in the background can't be seen"
#: The number of times that kernels are listed again which may be busy with our question, and the
#: seconds in between.
LISTED_AGAIN = 5
LISTED_AGAIN_AFTER = 0.2
#: Seconds after which all is seen again though a cell holds the app: status shows all of it.
SEEN_AGAIN_AFTER = 300.0
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


@dataclass(frozen=True)
class _Elsewhere:
    """The other servers, as they were last asked: when, by both clocks."""

    servers: tuple[ServerSeen, ...] = ()
    seen_at: datetime | None = None
    monotonic: float = float("-inf")

    @property
    def asked(self) -> list[int]:
        """The process ids of those that have said what terminals they have."""
        return [seen.server.pid for seen in self.servers if not (seen.error or seen.is_locked)]


@dataclass
class ActivityReader:
    """Observes a source, time and again.

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
    _waiting_sessions: list[dict[str, Any]] = field(default_factory=list)
    _elsewhere: _Elsewhere = field(default_factory=_Elsewhere)
    #: When other servers' kernels were last used before they were found, by their servers' word.
    _used_before: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._times = StateTimes()
        self._kernels = KernelWork(self.adapter, self.source.use_of, self.answers, self._times)
        self._others = OtherWork(self.adapter, self._times)

    async def read(self, apps: tuple[App, ...], now: datetime) -> ObservedActivity:
        """Observes everything that can hold one of ``apps``. Raises nothing: see ``error``."""
        try:
            if self.readings is not None:
                self.readings.begin()
            terminals = await self.source.terminals()
            began = self.monotonic()
            own = await self._own_kernels(now)
            await self._turn()
            waiting_sessions = await self._sessions(own)
            self._times.begin_observation()
            self.answers.begin_observation()
            work = await self._kernel_work(own, apps, now)
            other_work = [self._others.session(session, apps, now) for session in waiting_sessions]
            other_work += self._browser_use(own, apps, now)
            other_work += self._others.terminals(terminals, apps, now)
            # What is certain by itself: kernels of others may be gone unheard.
            is_enough = self.is_held(apps, (*work, *other_work), now) and self._seen_lately(began)
            if not is_enough:
                await self._observe_elsewhere(now)
            elsewhere = self._elsewhere
            others = await self.source.other_kernels(search=not is_enough)
            work += await self._kernel_work(self._not_own(others, own), apps, now)
            other_work += [
                self._others.server(seen, elsewhere.seen_at, apps, now)
                for seen in elsewhere.servers
            ]
            typed = [model for seen in elsewhere.servers for model in seen.terminals]
            other_work += self._others.terminals(typed, apps, now)
            jobs = Jobs()
            notes: tuple[str, ...] = ()
            if not is_enough and not self.is_held(apps, (*work, *other_work), now):
                jobs, ide_save, notes = await self._processes(work, elsewhere, now)
                if ide_save is not None:
                    held = self.adapter.kernel_apps({}, apps)
                    other_work.append(document(ide_save, "saved in a remote IDE", held, now))
            gpus = await self._gpus(apps, now)
            # Kernels last: their state changes by the second.
            if self.monotonic() - began > STALE_AFTER:
                own = await self.source.kernels()
                others = await self.source.other_kernels(search=not is_enough)
                kernels = [*own, *self._not_own(others, own)]
                work = await self._kernel_work(kernels, apps, now)
            work = [with_job(item, jobs.below) for item in (*work, *other_work)]
            work += [self._others.process(job, apps, now) for job in jobs.outside]
            work += self._others.other_terminals(jobs.terminals, apps, now)
            work += gpus
            presence = self.presence.observe(self._people_connected(work, now), now)
        except Unreadable as error:
            return ObservedActivity(error=str(error))
        except Exception as error:
            # Models may be anything: if they can't be understood, they count as not seen.
            log.debug("kernels and terminals can't be read", exc_info=True)
            return ObservedActivity(error=f"{type(error).__name__}: {error}")
        self._times.forget_gone()
        seen = self._times.ids(WorkKind.KERNEL.value)
        self.answers.forget_all_but(seen)
        for kernel_id in self._used_before.keys() - seen:
            del self._used_before[kernel_id]
        asked = _NOT_ASKED if self.answers.is_refused else ()
        return ObservedActivity(tuple(work), "", (*notes, *asked, *self._gpu_notes), presence)

    async def _own_kernels(self, now: datetime) -> list[dict[str, Any]]:
        """This server's kernels. A slow gateway may still report a kernel as busy although only our
        question made it so. Then the kernels are listed again, for a second at most. A kernel that
        runs a cell stays busy, or the end of the cell counts as use."""
        own = await self.source.kernels()
        for _ in range(LISTED_AGAIN):
            if not any(self._kernels.may_be_busy_with_us(model, now) for model in own):
                break
            await asyncio.sleep(LISTED_AGAIN_AFTER)
            own = await self.source.kernels()
        return own

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
        kernels = self.answers.begin(kernel_ids)
        answers: dict[str, Told] = {}
        try:
            own = {each: state for each, state in kernels.items() if "/" not in each}
            answers = dict(await self.source.ask(own))
            if self.other_servers is not None:
                answers.update(await self.other_servers.ask(kernels))
        finally:
            is_news = self.answers.end(kernels, answers, now)
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
        self._times.clock_jumped(jump)

    async def _sessions(self, kernels: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The sessions that wait for a kernel, as last read. The others give kernels their
        names; without them, kernels still count."""
        are_named = self._kernels.are_named(kernels)
        sessions = await self.source.sessions(names_needed=not are_named)
        if sessions is None:
            return self._waiting_sessions
        self._waiting_sessions = [session for session in sessions if _waits_for_kernel(session)]
        self._kernels.name(kernels, sessions)
        return self._waiting_sessions

    def _not_own(
        self, found: list[dict[str, Any]], own: list[dict[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        """The kernels that were found on this machine, and the kernels of other servers that this
        server does not list as well (behind a gateway). If apps are elsewhere, kernels on this
        machine are in none of them."""
        own_ids = {str(model.get("id")) for model in own}
        theirs = {
            kernel_id: model
            for kernel_id, model in self._kernels_elsewhere()
            if kernel_id not in own_ids
        }
        for model in found:
            # One that another server has as well goes by what is heard from itself.
            kernel_id = str(model["id"])
            server_model = theirs.pop(kernel_id.partition("@")[0], None)
            if server_model is None:
                yield model
            else:
                # Later, our questions move it.
                claim = self._used_before.setdefault(kernel_id, server_model.get("last_activity"))
                yield {**model, **server_model, "id": kernel_id, "last_activity": claim}
        yield from theirs.values()

    def _kernels_elsewhere(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for seen in self._elsewhere.servers:
            for model in seen.kernels:
                is_here = self.source.apps_are_here
                if is_here or model.get("app_name") or INTERNAL in str(model.get("name")):
                    name = f"{kernel_label(model)} on port {seen.server.port}"
                    yield str(model["id"]).partition("/")[2], {**model, "name": name}

    def _browser_use(
        self, kernels: Iterable[dict[str, Any]], apps: tuple[App, ...], now: datetime
    ) -> Iterator[Work]:
        """The last things that people did in their browsers and that no kernel or terminal
        shows."""
        if self.browsers is None:
            return
        self.browsers.observe()
        saved, used = self.browsers.document, self.browsers.web_app
        held = self.adapter.kernel_apps({}, apps)
        if saved is not None:
            is_here = self.source.apps_are_here
            # Otherwise it is on the free server, so it counts for its kernel's app.
            its = held if is_here else self._kernels.apps_of(saved.label, kernels, apps)
            yield document(saved, saved.done, its, now)
        if used is not None and self.source.apps_are_here:
            yield web_app(used, held, now)

    async def _processes(
        self, work: Collection[Work], elsewhere: _Elsewhere, now: datetime
    ) -> tuple[Jobs, Use | None, tuple[str, ...]]:
        """What the processes of this machine do, the last file that somebody saved in an IDE here,
        and notes."""
        if not self.source.apps_are_here:
            return Jobs(), None, ()
        unasked = [seen.server.pid for seen in elsewhere.servers if seen.is_locked]
        roots = {**self.source.processes(), **{("server", str(pid)): pid for pid in unasked}}
        await self._turn()
        # A kernel's use until its last message belongs to its cell.
        rested = {
            (item.kind.value, item.id): max(0.0, (now - item.last_activity).total_seconds())
            for item in work
            if item.kind is WorkKind.KERNEL and item.last_activity is not None
        }
        uses = ((item, self.source.use_of(item.id)) for item in work)
        crashing = {(item.kind.value, item.id) for item, use in uses if use and use.crashes}

        def observe() -> tuple[Use | None, Jobs | None]:
            saved = None if self.ide_save is None else self.ide_save(now)
            try:
                return saved, self.jobs.observe(roots, rested, elsewhere.asked, crashing)
            except ImportError:
                return saved, None

        try:
            saved, jobs = await in_thread(observe)
        except Exception as error:
            # There may be jobs: that is not the same as none.
            log.debug("processes can't be read", exc_info=True)
            raise Unreadable(f"background jobs can't be seen: {error}") from error
        if jobs is None:
            return Jobs(), saved, (_NO_PSUTIL,)
        return jobs, saved, ()

    async def _gpus(self, apps: tuple[App, ...], now: datetime) -> tuple[Work, ...]:
        """The GPUs of this machine, also while a cell runs: an instance in use whose GPU does
        nothing is worth showing."""
        if self.gpus is None or not self.source.apps_are_here:
            return ()
        return await self.gpus.observe(apps, now)

    @staticmethod
    async def _turn() -> None:
        """Gives the event loop its turn, between two steps that take time with many kernels."""
        await asyncio.sleep(0)

    @property
    def _gpu_notes(self) -> tuple[str, ...]:
        return () if self.gpus is None else self.gpus.notes

    async def _kernel_work(
        self, models: Iterable[dict[str, Any]], apps: tuple[App, ...], now: datetime
    ) -> list[Work]:
        work = []
        for index, model in enumerate(models):
            if index % _CHUNK == 0:
                await self._turn()
            work.append(self._kernels.work(model, apps, now))
        return work


def _waits_for_kernel(session: Mapping[str, Any]) -> bool:
    kernel = session.get("kernel")
    return session.get("type") == "pending" or not isinstance(kernel, Mapping) or not kernel
