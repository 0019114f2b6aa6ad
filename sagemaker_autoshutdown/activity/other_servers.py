"""The other Jupyter servers on this app: found, and asked for their kernels and terminals.

Anybody can run ``jupyter lab`` in a terminal. Work in that server is use of the app, but this
server knows nothing about it. So the others are found by their files in Jupyter's runtime directory
and, if they use another directory, as processes.

A runtime file counts only if its process is a Jupyter server that started before the file was
written and listens on the file's port: on a space's volume the files outlive their servers, and
process ids recur. A server that asks for a password is judged by its processes. A server that does
not answer is unknown, and holds the app.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_runtime_dir
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from ..clock import to_iso
from ..threads import in_thread
from . import tcp
from .kernel_probe import PATIENCE, Told, ask
from .process_table import Process, ProcFs, Readings
from .terminal_input import last_input_of

#: Seconds for an answer of another server.
REQUEST_TIMEOUT = 5.0
#: Seconds by which a file's time and a process's start may differ on one machine.
CLOCK_TOLERANCE = 2.0
#: The number of observations in which a new process's command line is read again: it may change.
FRESH = 2

_ANY_ADDRESS = {"", "*", "localhost", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
#: Programs that serve notebooks, as scripts and as modules.
_INTERPRETER = re.compile(r"(python|pypy)[\d.]*$")
_SCRIPT = re.compile(r"(jupyter-(lab(hub)?|server|notebook|nbclassic)|jupyterhub-singleuser)$")
_WORDS = {"lab", "labhub", "server", "notebook", "nbclassic", "singleuser"}
_MODULES = {"jupyterlab", "jupyter_server", "notebook", "nbclassic", "jupyterhub.singleuser"}
METADATA = "RESOURCE_METADATA_FILE"


@dataclass(frozen=True)
class OtherServer:
    """A Jupyter server on this machine. ``url`` is empty if it is not known how to ask it."""

    pid: int
    port: int = 0
    url: str = ""
    token: str = ""

    @property
    def label(self) -> str:
        """Its name for people."""
        if self.port:
            return f"Jupyter server on port {self.port}"
        return f"Jupyter server with process id {self.pid}"


@dataclass(frozen=True)
class ServerSeen:
    """One of them, with its answers. ``kernels`` and ``terminals`` are Jupyter's models; the
    port makes their ids and names unique. ``error`` says why it could not be asked although it
    should answer; ``is_locked`` means that it asks for a password."""

    server: OtherServer
    kernels: tuple[dict[str, Any], ...] = ()
    terminals: tuple[dict[str, Any], ...] = ()
    error: str = ""
    is_locked: bool = False


def is_jupyter_server(arguments: Iterable[str]) -> bool:
    """Whether this command line runs a Jupyter server: ``jupyter lab``, ``jupyter-server``,
    ``python -m jupyterlab``, in all their spellings."""
    words = list(arguments)
    if words and _INTERPRETER.match(words[0].rpartition("/")[2]):
        del words[0]
        while words and words[0].startswith("-") and words[0] != "-m":
            del words[0]
    if words[:1] == ["-m"]:
        module, following = [*words, "", ""][1:3]
        return module in _MODULES or (module == "jupyter" and following in _WORDS)
    script, following = [*words, "", ""][:2]
    name = script.rpartition("/")[2]
    # `jupyter` alone takes the subcommand from its next word.
    return following in _WORDS if name == "jupyter" else bool(_SCRIPT.match(name))


@dataclass
class OtherServers:
    """Finds them from observation to observation.

    ``own_pid`` is this server's. Blocking work runs in threads.
    """

    own_pid: int = field(default_factory=os.getpid)
    runtime_dir: Callable[[], str] = jupyter_runtime_dir
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    readings: Readings = field(default_factory=lambda: Readings(shared_for=0.0))
    _table: ProcFs = field(default_factory=ProcFs)
    _checked: dict[tuple[int, float, str], tuple[bool, int]] = field(default_factory=dict)
    _servers: tuple[OtherServer, ...] = ()
    #: When somebody last typed into each terminal of a server, by the server's process id.
    _typed: dict[int, tuple[datetime, ...]] = field(default_factory=dict)

    async def observe(self) -> tuple[ServerSeen, ...]:
        """All of them, with their answers. Takes slightly more than ``REQUEST_TIMEOUT`` seconds
        at most; raises ``OSError`` if processes can't be listed."""
        self._servers = await in_thread(self._find)
        seen = await asyncio.gather(*(_asked(server) for server in self._servers))
        return tuple(self._with_input(each) for each in seen)

    def _with_input(self, seen: ServerSeen) -> ServerSeen:
        """Adds ``last_input`` to its terminals, if all of them are found: its API reports only
        output, which does not count."""
        typed = self._typed.get(seen.server.pid, ())
        if len(typed) != len(seen.terminals):
            return seen
        models = zip(seen.terminals, typed)
        terminals = tuple({**model, "last_input": to_iso(moment)} for model, moment in models)
        return replace(seen, terminals=terminals)

    async def ask(self, kernels: Mapping[str, str]) -> Mapping[str, Told]:
        """Asks these servers' kernels whether they are idle; ``kernels`` holds their states by
        their server's word. Takes ``kernel_probe.PATIENCE`` seconds at most, and raises
        nothing."""
        channels = {
            kernel_id: _channels(server, kernel_id.partition("/")[2])
            for server in self._servers
            for kernel_id in kernels
            if server.url and kernel_id.startswith(f"{server.port}/")
        }
        questions = (
            ask(channel, PATIENCE, claimed=kernels[kernel_id])
            for kernel_id, channel in channels.items()
        )
        return dict(zip(channels, await asyncio.gather(*questions)))

    async def with_pid(self, pid: int) -> OtherServer | None:
        """The server that this process is; None if it is not one on this app."""
        return await in_thread(lambda: self._server(pid))

    def _find(self) -> tuple[OtherServer, ...]:
        if not Path("/proc/self/stat").exists():
            return ()  # Studio runs on Linux; elsewhere there is nothing to shut down
        processes = self.readings.take().processes
        checked = {}
        for pid, process in processes.items():
            if pid == self.own_pid:
                continue
            # A process that becomes another program changes its name.
            key = (pid, process.started, process.name)
            is_server, times = self._checked.get(key, (False, 0))
            if times < FRESH:
                is_server = is_jupyter_server(self._table.arguments(pid))
            checked[key] = is_server, min(times + 1, FRESH)
        self._checked = checked
        found = [self._server(key[0]) for key, (is_server, _) in checked.items() if is_server]
        servers = sorted((one for one in found if one is not None), key=lambda one: one.pid)
        self._typed = {one.pid: tuple(_typed_below(one.pid, processes)) for one in servers}
        return tuple(servers)

    def _server(self, pid: int) -> OtherServer | None:
        """The server that this process is, if it is on this app and still there."""
        process = self._table.one(pid)
        if process is None:
            return None
        environment = self._table.environment(pid)
        # Another app's server. This happens only with several apps on one machine, as in the local
        # Studio.
        if environment.get(METADATA) != self.environ.get(METADATA):
            return None
        started_at = self._table.started_at(process).timestamp()
        folders = {self.runtime_dir(), *_runtime_dirs(environment)}
        for folder in sorted(folders):
            said = _said(Path(folder) / f"jpserver-{pid}.json", started_at)
            if said is not None and listens(pid, said.port):
                return said
        # A server that does not listen yet has no kernels. One that hides its address...
        return OtherServer(pid) if listens(pid, None) else None


def _typed_below(server: int, processes: Mapping[int, Process]) -> Iterator[datetime]:
    """When somebody last typed into each terminal that a server has opened, the oldest first.
    The shell in a terminal is the server's child, with a session of its own."""
    for pid, process in sorted(processes.items()):
        if process.parent == server and process.session == pid and process.terminal is not None:
            typed_at = last_input_of(process.terminal)
            if typed_at is not None:
                yield typed_at


def _runtime_dirs(environment: Mapping[str, str]) -> list[str]:
    """Where a process with this environment writes its runtime files (jupyter_core.paths)."""
    if environment.get("JUPYTER_RUNTIME_DIR"):
        return [environment["JUPYTER_RUNTIME_DIR"]]
    if environment.get("JUPYTER_DATA_DIR"):
        return [f"{environment['JUPYTER_DATA_DIR']}/runtime"]
    data_home = environment.get("XDG_DATA_HOME") or f"{environment.get('HOME', '')}/.local/share"
    return [f"{data_home}/jupyter/runtime"]


def _said(file: Path, started_at: float) -> OtherServer | None:
    """The content of a runtime file; None if it is not one, or older than the process."""
    try:
        if file.stat().st_mtime < started_at - CLOCK_TOLERANCE:
            return None  # left behind by an earlier process of this id
        info = json.loads(file.read_text(encoding="utf-8"))
        pid, port = int(info["pid"]), int(info["port"] or 0)
        if info.get("sock") or not port:
            return None
        host = str(info.get("hostname") or "")
        host = "127.0.0.1" if host in _ANY_ADDRESS else host
        host = f"[{host}]" if ":" in host else host
        base_url = "/" + str(info.get("base_url") or "").strip("/")
        scheme = "https" if info.get("secure") else "http"
        url = f"{scheme}://{host}:{port}{base_url.rstrip('/')}/"
        return OtherServer(pid, port, url, str(info.get("token") or ""))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def listens(pid: int, port: int | None) -> bool:
    """Whether a process listens on this TCP port, or on any."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            # proc(5): local_address:port is the second word, st the fourth (0A listens), inode
            # the tenth.
            words = line.split()
            if words[3] == "0A" and port in (None, int(words[1].rpartition(":")[2], 16)):
                inodes.add(int(words[9]))
    return _has_open(pid, inodes)


def listens_at(pid: int, path: str) -> bool:
    """Whether a process listens on a Unix socket whose path ends with this name."""
    inodes = set()
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
            # proc(5): Flags is the fourth word (__SO_ACCEPTCON: it listens), inode the seventh.
            words = line.split(maxsplit=7)
            is_it = len(words) == 8 and words[7].rpartition("/")[2] == path.rpartition("/")[2]
            if is_it and int(words[3], 16) & 0x10000:
                inodes.add(int(words[6]))
    return _has_open(pid, inodes)


def _has_open(pid: int, inodes: set[int]) -> bool:
    return bool(inodes) and not inodes.isdisjoint(tcp.inodes_of(pid))


async def _asked(server: OtherServer) -> ServerSeen:
    if not server.url:
        return ServerSeen(server, is_locked=True)
    end = time.monotonic() + REQUEST_TIMEOUT
    try:
        kernels = await _models(server, "api/kernels", end)
        try:
            terminals = await _models(server, "api/terminals", end)
        except HTTPClientError as error:
            if error.code != 404:  # terminals are switched off
                raise
            terminals = []
    except HTTPClientError as error:
        # A redirect leads to a login page.
        if error.code in (401, 403) or 300 <= error.code < 400:
            return ServerSeen(server, is_locked=True)
        return ServerSeen(server, error=f"HTTP {error.code}")
    except asyncio.TimeoutError:
        return ServerSeen(server, error=f"no answer in {REQUEST_TIMEOUT:g} s")
    except (OSError, ValueError) as error:
        return ServerSeen(server, error=str(error) or type(error).__name__)
    return ServerSeen(
        server,
        tuple({**model, "id": f"{server.port}/{model.get('id')}"} for model in kernels),
        tuple({**model, "name": f"{server.port}/{model.get('name')}"} for model in terminals),
    )


async def _models(server: OtherServer, path: str, end: float) -> list[dict[str, Any]]:
    request = HTTPRequest(
        f"{server.url}{path}?no_track_activity=1",
        headers={"Authorization": f"token {server.token}"} if server.token else {},
        connect_timeout=REQUEST_TIMEOUT,
        request_timeout=REQUEST_TIMEOUT,
        follow_redirects=False,
        validate_cert=False,  # a local server's certificate seldom names its address
    )
    # Never through a proxy, which the client that others configured may use.
    client = SimpleAsyncHTTPClient(force_instance=True)
    try:
        answer = await asyncio.wait_for(client.fetch(request), max(0.1, end - time.monotonic()))
    finally:
        client.close()
    models = json.loads(answer.body)
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
        raise ValueError(f"its {path} does not fit Jupyter's API")
    return models


def _channels(server: OtherServer, kernel_id: str) -> HTTPRequest:
    url = "ws" + server.url.partition("http")[2]
    return HTTPRequest(
        f"{url}api/kernels/{kernel_id}/channels?session_id={uuid.uuid4().hex}",
        headers={"Authorization": f"token {server.token}"} if server.token else {},
        validate_cert=False,
    )
