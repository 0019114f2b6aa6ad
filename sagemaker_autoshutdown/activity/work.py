"""Sessions, terminals, other servers, documents, web apps and processes as ``Work``. Kernels, which
take more, are in ``kernel_work``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..clock import to_iso
from ..hosts import HostAdapter
from ..model import App, Evidence, EvidenceKind, Reason, Work, WorkKind
from .background_jobs import Finding, OtherTerminal
from .browser_requests import Use
from .other_servers import ServerSeen
from .state_times import StateTimes


@dataclass
class OtherWork:
    """Turns what was seen, but for kernels, into ``Work``."""

    adapter: HostAdapter
    times: StateTimes

    def session(self, session: dict[str, Any], apps: tuple[App, ...], now: datetime) -> Work:
        """A session that waits for a kernel."""
        session_id = str(session.get("id") or "")
        return Work(
            kind=WorkKind.SESSION,
            id=session_id,
            label=session_label(session),
            state="",
            state_since=self.times.since(("session", session_id), "", now),
            last_activity=None,
            # It reports of its kernel the same as the kernel itself, as far as it reports anything.
            apps=self.adapter.kernel_apps({}, apps),
        )

    def server(
        self, seen: ServerSeen, seen_at: datetime | None, apps: tuple[App, ...], now: datetime
    ) -> Work:
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
        since = self.times.since(key, seen.error, now)
        return Work(
            kind=WorkKind.SERVER,
            id=str(seen.server.pid),
            label=seen.server.label,
            state="unknown" if seen.error else "",
            state_since=since,
            last_activity=None,
            apps=self.adapter.kernel_apps({}, apps),
            hold=Reason.SERVER_UNSEEN if seen.error else None,
            evidence=(Evidence(EvidenceKind.SERVER, told, seen_at or now),),
        )

    def process(self, job: Finding, apps: tuple[App, ...], now: datetime) -> Work:
        """A job that belongs to no kernel and no terminal."""
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

    def terminals(
        self, models: Iterable[dict[str, Any]], apps: tuple[App, ...], now: datetime
    ) -> Iterator[Work]:
        """The terminals that can hold an app."""
        for model in models:
            terminal = self._terminal(model, apps, now)
            if terminal is not None:
                yield terminal

    def other_terminals(
        self, terminals: Iterable[OtherTerminal], apps: tuple[App, ...], now: datetime
    ) -> Iterator[Work]:
        """Terminals that belong to no server."""
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
        since = self.times.since(key, "", now)
        typed_at = model.get("last_input")
        used_at = model.get("last_activity") if typed_at is None else typed_at
        last_activity = self.times.last_activity(key, used_at, now)
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


def document(use: Use, done: str, apps: frozenset[str], now: datetime) -> Work:
    """The document that somebody last used, and what was done to it."""
    return _used(WorkKind.DOCUMENT, use, EvidenceKind.SAVE, done, apps, now)


def web_app(use: Use, apps: frozenset[str], now: datetime) -> Work:
    """The program behind jupyter-server-proxy that somebody last used."""
    return _used(WorkKind.WEB_APP, use, EvidenceKind.WEB, "used in a browser", apps, now)


def _used(
    kind: WorkKind, use: Use, seen: EvidenceKind, done: str, apps: frozenset[str], now: datetime
) -> Work:
    at = min(use.at, now)
    evidence = (Evidence(seen, f"{use.label} was {done}", use.at),)
    return Work(kind, use.label, use.label, "", at, at, apps, evidence=evidence)


def with_job(item: Work, jobs: Mapping[Hashable, Finding]) -> Work:
    """The kernel or terminal, with the processes in and below it."""
    job = jobs.get((item.kind.value, item.id))
    if job is None:
        return item
    return replace(item, hold=job.reason, evidence=(*item.evidence, *job.evidence))


def session_label(session: Mapping[str, Any]) -> str:
    """Its document, or its name."""
    return str(session.get("path") or session.get("name") or "a session")


def _terminal_label(name: str) -> str:
    """``terminal 1`` out of ``1`` or ``arn:...:image/datascience-1.0__1__ml.t3.medium``."""
    parts = name.split("__")
    number = parts[-2] if name.startswith("arn:") and len(parts) >= 3 else name
    return f"terminal {number}"
