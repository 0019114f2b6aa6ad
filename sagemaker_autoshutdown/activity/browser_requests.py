"""Activity in a browser that no kernel and no terminal shows: documents that people save or edit
together, files that they upload, and programs behind jupyter-server-proxy that they use.

The server reports every request once it is answered (tornado's ``log_function``). A message over a
websocket is seen where jupyter-server-proxy or jupyter-collaboration takes it. This module only
listens: an error here never reaches the request.
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
#: After so many bursts in a row at the same interval, a program does it, not a person.
PERIODIC = 3
#: How much equal intervals may differ: by a quarter of one, within these bounds.
JITTER = timedelta(seconds=1)
LEAST_JITTER = timedelta(seconds=0.2)
#: A request that comes sooner after the last of its kind belongs to the same burst.
PAUSE = timedelta(seconds=2)
#: After so many equal intervals, for so long, a program keeps that pace.
STEADY = 8
STEADY_FOR = timedelta(seconds=10)
#: The number of addresses of proxied programs that are remembered.
MOST_ADDRESSES = 500
_PROXY = "jupyter_server_proxy"
#: Where jupyter-collaboration takes the changes that people make together, in its versions.
_COLLABORATION = ("jupyter_server_ydoc.handlers", "jupyter_collaboration.handlers")
#: The beginning of a change in Yjs's protocol: a message of the kind "sync", an "update".
_CHANGE = b"\x00\x02"


@dataclass(frozen=True)
class Use:
    """When a person last did something, and to which thing: a document's path, a program's
    address."""

    label: str
    at: datetime


@dataclass
class _Rhythm:
    """When the same request came last, and when its last bursts began; since when its pace has
    been steady, None if it is not."""

    times: deque[datetime] = field(default_factory=lambda: deque(maxlen=STEADY + 1))
    bursts: deque[datetime] = field(default_factory=lambda: deque(maxlen=PERIODIC + 1))
    steady_since: datetime | None = None

    def note(self, now: datetime) -> None:
        """The same request came once more."""
        if not self.times or now - self.times[-1] >= PAUSE:
            self.bursts.append(now)
        self.times.append(now)
        # A late one makes one interval longer and the next one shorter.
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
    """Tells requests that recur at a fixed interval, as from a page that reloads itself, from use.

    A page may ask for several things at once, so requests within a ``PAUSE`` of the one before are
    one burst, and the bursts recur. A page that never pauses keeps a steady pace for longer than
    anybody clicks.
    """

    _rhythms: dict[object, _Rhythm] = field(default_factory=dict)

    def recurs(self, key: object, now: datetime) -> bool:
        """Takes note of one more request of this kind; returns whether they come at a fixed
        interval."""
        rhythm = self._rhythms.pop(key, None) or _Rhythm()
        self._rhythms[key] = rhythm  # the latest is last
        while len(self._rhythms) > MOST_ADDRESSES:
            del self._rhythms[next(iter(self._rhythms))]
        rhythm.note(now)
        return rhythm.recurs(now)


@dataclass(frozen=True)
class Notebook:
    """A notebook's content in two parts, as digests: the text that people write, and the rest."""

    written: str
    rest: str


def split(body: bytes) -> Notebook | None:
    """The parts of a notebook in a request that saves it; None if it holds no notebook.

    People write the kinds and sources of cells. Outputs, execution counts and metadata also come
    from kernels.
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
    """Listens to a server, and remembers the last use of each kind of thing.

    Everything runs on the event loop, except the comparison of notebooks, which runs in a thread.
    """

    def __init__(self, base_url: str, now: Callable[[], datetime] = utcnow) -> None:
        self._contents = base_url.rstrip("/") + CONTENTS
        self._now = now
        self._notebooks: dict[str, Notebook] = {}
        self._periodic = Periodic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: set[tuple[str, str]] = set()
        #: The document last saved or uploaded, and the web app last used; None if there is none.
        self.document: Use | None = None
        self.web_app: Use | None = None

    def listen_to(self, web_app: Any) -> None:
        """Listens to every request that this application answers, beside other listeners."""
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
        """The wall clock was set: shift the times, so that a minute ago stays a minute ago.
        After a clock is set back, they would lie in the future, where they count as now."""
        if self.document is not None:
            self.document = replace(self.document, at=self.document.at + jump)
        if self.web_app is not None:
            self.web_app = replace(self.web_app, at=self.web_app.at + jump)

    def hear_websockets(self) -> None:
        """Listens to messages over the websockets of extensions, once these are loaded."""
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
        """Takes note of a request that was answered."""
        request = handler.request
        if request.method not in CHANGES or handler.get_status() >= 400:
            return
        path = unquote(request.path)
        if path.startswith(self._contents):
            self._saved(path[len(self._contents) :], request)
        elif any(cls.__module__.startswith(_PROXY) for cls in type(handler).__mro__):
            self._web_request(f"{request.method} {request.path}")

    def _saved(self, path: str, request: Any) -> None:
        # A person's save makes a checkpoint; JupyterLab's own save does not.
        if request.method != "PUT" or not path.endswith(".ipynb"):
            self.document = Use(path.removesuffix("/checkpoints"), self._now())
            return
        saved = self._saved_notebook(path, request.body, self._now())
        task = asyncio.get_running_loop().create_task(saved)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _saved_notebook(self, path: str, body: bytes, now: datetime) -> None:
        """A notebook of which only outputs changed was saved by JupyterLab itself: the kernel
        explains it. A person saved everything else."""
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
        """A page with a shared document sends its user's changes, and much else."""
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
