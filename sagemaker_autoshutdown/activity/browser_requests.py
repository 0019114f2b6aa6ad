"""What people do in their browsers that no kernel and no terminal shows: documents that they save,
files that they upload, and programs behind jupyter-server-proxy that they use.

The server tells of every request once it is answered (tornado's ``log_function``). A message over
a proxied websocket is seen where jupyter-server-proxy takes it. Both only listen: what goes wrong
here never reaches the request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sys
from collections import deque
from collections.abc import Callable
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
#: So many times in a row at the same interval, and something is done by a program.
PERIODIC = 3
#: By how much intervals may differ that are the same.
JITTER = timedelta(seconds=1)
#: Addresses of proxied programs that are remembered.
MOST_ADDRESSES = 500
_PROXY = "jupyter_server_proxy"


@dataclass(frozen=True)
class Use:
    """When a person last did something, and with what: a document's path, a program's address."""

    label: str
    at: datetime


@dataclass
class Periodic:
    """Tells what recurs at a fixed interval, as a page that reloads itself, from what people do."""

    _times: dict[object, deque[datetime]] = field(default_factory=dict)

    def recurs(self, key: object, now: datetime) -> bool:
        """Take note of one more of the same; whether it comes at a fixed interval."""
        times = self._times.pop(key, None) or deque(maxlen=PERIODIC + 1)
        times.append(now)
        self._times[key] = times  # the latest is last
        while len(self._times) > MOST_ADDRESSES:
            del self._times[next(iter(self._times))]
        if len(times) <= PERIODIC:
            return False
        intervals = [after - before for before, after in zip(times, list(times)[1:])]
        return max(intervals) - min(intervals) <= JITTER and min(intervals) >= JITTER


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
        self._is_proxy_heard = False
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
                log.debug("a request could not be looked at", exc_info=True)
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

    def hear_proxy(self) -> None:
        """Hear of messages over websockets of jupyter-server-proxy, once that is loaded."""
        if self._is_proxy_heard or f"{_PROXY}.handlers" not in sys.modules:
            return
        self._is_proxy_heard = True
        self._wrap(sys.modules[f"{_PROXY}.handlers"], "ProxyHandler")
        self._wrap(sys.modules.get(f"{_PROXY}.rawsocket"), "RawSocketHandler")

    def _wrap(self, module: Any, name: str) -> None:
        cls: Any = getattr(module, name, None)
        on_message = getattr(cls, "__dict__", {}).get("on_message")
        if on_message is None:
            return

        @wraps(on_message)
        def hear_too(handler: Any, message: Any) -> Any:
            try:
                self._web_message(handler.request.path, message)
            except Exception:
                log.debug("a message could not be looked at", exc_info=True)
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

    def _web_request(self, address: str) -> None:
        now = self._now()
        if not self._periodic.recurs(address, now):
            self.web_app = Use(address.partition(" ")[2], now)

    def _web_message(self, path: str, message: str | bytes) -> None:
        now = self._now()
        if len(message) > HEARTBEAT and not self._periodic.recurs((path, len(message)), now):
            self.web_app = Use(path, now)
