"""What people do in their browsers that no kernel and no terminal shows: documents that they save
or edit together, files that they upload, and programs behind jupyter-server-proxy that they use.

The server tells of every request once it is answered (tornado's ``log_function``). A message over
a websocket is seen where jupyter-server-proxy or jupyter-collaboration takes it. This module only
listens: what goes wrong here never reaches the request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import unquote

from ..clock import utcnow
from ..threads import in_thread

log = logging.getLogger(__name__)

CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
CONTENTS = "/api/contents/"
#: Bytes. A message up to this size over a proxied websocket is a heartbeat or an acknowledgement:
#: VS Code's are 13 bytes, a header with nothing behind it.
HEARTBEAT = 16
#: So many bursts in a row at the same interval, and something is done by a program.
PERIODIC = 3
#: By how much intervals may differ that are the same: by a quarter of one, within these bounds.
JITTER = timedelta(seconds=1)
LEAST_JITTER = timedelta(seconds=0.2)
#: What comes sooner after the last of its kind belongs to the same burst.
PAUSE = timedelta(seconds=2)
#: So many intervals that are the same, and then for so long, and a program keeps that pace.
STEADY = 8
STEADY_FOR = timedelta(seconds=10)
#: Addresses of proxied programs that are remembered.
MOST_ADDRESSES = 500
_PROXY = "jupyter_server_proxy"
#: Where jupyter-collaboration takes what people edit together, in its versions.
_COLLABORATION = ("jupyter_server_ydoc.handlers", "jupyter_collaboration.handlers")
#: How a change begins in Yjs's protocol: a message of the kind "sync", an "update".
_CHANGE = b"\x00\x02"


@dataclass(frozen=True)
class Use:
    """When a person last did something, and with what: a document's path, a program's address."""

    label: str
    at: datetime


@dataclass
class _Rhythm:
    """When the same thing came last, and when its last bursts began; since when its pace has been
    steady, None if it is not."""

    times: deque[datetime] = field(default_factory=lambda: deque(maxlen=STEADY + 1))
    bursts: deque[datetime] = field(default_factory=lambda: deque(maxlen=PERIODIC + 1))
    steady_since: datetime | None = None

    def note(self, now: datetime) -> None:
        """It came once more."""
        if not self.times or now - self.times[-1] >= PAUSE:
            self.bursts.append(now)
        self.times.append(now)
        # One that comes late makes one interval longer and the next one shorter.
        if len(self.times) <= STEADY or not _are_equal(_intervals(self.times)[1:-1]):
            self.steady_since = None
        elif self.steady_since is None:
            self.steady_since = now

    def recurs(self, now: datetime) -> bool:
        """Whether it comes at a fixed interval."""
        if self.steady_since is not None and now - self.steady_since >= STEADY_FOR:
            return True
        is_burst_short = now - self.bursts[-1] < PAUSE
        is_known = len(self.bursts) > PERIODIC
        return is_burst_short and is_known and _are_equal(_intervals(self.bursts))


def _intervals(times: Iterable[datetime]) -> list[timedelta]:
    """The lengths of the intervals, the shortest first."""
    ordered = list(times)
    return sorted(after - before for before, after in zip(ordered, ordered[1:]))


def _are_equal(intervals: list[timedelta]) -> bool:
    usual = intervals[len(intervals) // 2]
    return intervals[-1] - intervals[0] <= min(JITTER, max(LEAST_JITTER, usual / 4))


@dataclass
class Periodic:
    """Tells what recurs at a fixed interval, as a page that reloads itself, from what people do.

    A page may ask for several things at once, so what comes within a ``PAUSE`` of the one before is
    one burst, and the bursts recur. A page that never pauses keeps a steady pace for longer than
    anybody clicks.
    """

    _rhythms: dict[object, _Rhythm] = field(default_factory=dict)

    def recurs(self, key: object, now: datetime) -> bool:
        """Take note of one more of the same; whether it comes at a fixed interval."""
        rhythm = self._rhythms.pop(key, None) or _Rhythm()
        self._rhythms[key] = rhythm  # the latest is last
        while len(self._rhythms) > MOST_ADDRESSES:
            del self._rhythms[next(iter(self._rhythms))]
        rhythm.note(now)
        return rhythm.recurs(now)


@dataclass(frozen=True)
class Notebook:
    """A notebook's content in two parts, as digests: what people write, and all else."""

    written: str
    rest: str


def split(body: bytes) -> Notebook | None:
    """The parts of a notebook in a request that saves it; None if there is none in it.

    What people write are the cells' kinds and sources. Outputs, execution counts and metadata come
    from kernels too.
    """
    try:
        cells = json.loads(body)["content"]["cells"]
        written = [[cell.pop("cell_type", ""), cell.pop("source", "")] for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Notebook(_digest(written), _digest(cells))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class BrowserRequests:
    """Listens to a server, and remembers what was last done with each kind of thing.

    Everything runs on the event loop but the comparison of notebooks, which runs in a thread.
    """

    def __init__(self, base_url: str, now: Callable[[], datetime] = utcnow) -> None:
        self._contents = base_url.rstrip("/") + CONTENTS
        self._now = now
        self._notebooks: dict[str, Notebook] = {}
        self._periodic = Periodic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: set[tuple[str, str]] = set()
        #: What was last saved or uploaded, and used behind the proxy; None if nothing was.
        self.document: Use | None = None
        self.web_app: Use | None = None

    def listen_to(self, web_app: Any) -> None:
        """Hear of every request that this application answers, beside whoever else does."""
        told = web_app.settings.get("log_function")

        def log_function(handler: Any) -> None:
            try:
                self.hear(handler)
            except Exception:
                log.debug("a request could not be read", exc_info=True)
            if told is not None:
                told(handler)

        if told is not None:  # without it, tornado would not log any more
            web_app.settings["log_function"] = log_function

    def clock_jumped(self, jump: timedelta) -> None:
        """The wall clock was set: what was saved a minute ago is a minute ago by the new one too.
        One that is set back would else leave it in the future, where it counts as now."""
        if self.document is not None:
            self.document = replace(self.document, at=self.document.at + jump)
        if self.web_app is not None:
            self.web_app = replace(self.web_app, at=self.web_app.at + jump)

    def hear_websockets(self) -> None:
        """Hear of messages over the websockets of extensions, once these are loaded."""
        for module, name, hear in (
            (f"{_PROXY}.handlers", "ProxyHandler", self._web_message),
            (f"{_PROXY}.rawsocket", "RawSocketHandler", self._web_message),
            *((module, "YDocWebSocketHandler", self._edited) for module in _COLLABORATION),
        ):
            if module in sys.modules and (module, name) not in self._heard:
                self._heard.add((module, name))
                self._wrap(sys.modules[module], name, hear)

    def _wrap(self, module: Any, name: str, hear: Callable[[str, str | bytes], None]) -> None:
        cls: Any = getattr(module, name, None)
        on_message = getattr(cls, "__dict__", {}).get("on_message")
        if on_message is None:
            return

        @wraps(on_message)
        def hear_too(handler: Any, message: Any) -> Any:
            try:
                hear(handler.request.path, message)
            except Exception:
                log.debug("a message could not be read", exc_info=True)
            return on_message(handler, message)

        cls.on_message = hear_too

    def hear(self, handler: Any) -> None:
        """Take note of a request that was answered."""
        request = handler.request
        if request.method not in CHANGES or handler.get_status() >= 400:
            return
        path = unquote(request.path)
        if path.startswith(self._contents):
            self._saved(path[len(self._contents) :], request)
        elif any(cls.__module__.startswith(_PROXY) for cls in type(handler).__mro__):
            self._web_request(f"{request.method} {request.path}")

    def _saved(self, path: str, request: Any) -> None:
        # A checkpoint is made where a person saves, and not by JupyterLab itself.
        if request.method != "PUT" or not path.endswith(".ipynb"):
            self.document = Use(path.removesuffix("/checkpoints"), self._now())
            return
        saved = self._saved_notebook(path, request.body, self._now())
        task = asyncio.get_running_loop().create_task(saved)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _saved_notebook(self, path: str, body: bytes, now: datetime) -> None:
        """A notebook whose outputs alone have changed was saved by JupyterLab itself: its kernel
        explains it. Whatever else was saved, a person did it."""
        notebook = await in_thread(lambda: split(body))
        before = self._notebooks.get(path)
        if notebook is not None:
            self._notebooks[path] = notebook
            if (
                before is not None
                and before.written == notebook.written
                and before.rest != notebook.rest
            ):
                return
        if self.document is None or self.document.at < now:
            self.document = Use(path, now)

    def _edited(self, path: str, message: str | bytes) -> None:
        """Over a document that several people may edit at once, a page sends what its user has
        changed, and much else."""
        if message[:2] == _CHANGE:
            self.document = Use("a shared document", self._now())

    def _web_request(self, address: str) -> None:
        now = self._now()
        if not self._periodic.recurs(address, now):
            self.web_app = Use(address.partition(" ")[2], now)

    def _web_message(self, path: str, message: str | bytes) -> None:
        now = self._now()
        if len(message) > HEARTBEAT and not self._periodic.recurs((path, len(message)), now):
            self.web_app = Use(path, now)
