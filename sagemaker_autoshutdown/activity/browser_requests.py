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
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import unquote

from ..clock import utcnow
from ..threads import in_thread
from .rhythms import Periodic

log = logging.getLogger(__name__)

CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
CONTENTS = "/api/contents/"
FILES = "/files/"
#: A person opens and closes these. One that is gone at the next check has left nothing else behind.
_OPENED_AND_CLOSED = {
    "/api/terminals": "a terminal",
    "/api/sessions": "a kernel",
    "/api/kernels": "a kernel",
}
#: A person opens these. A file browser asks for folders by itself.
_OPENED = frozenset({b"file", b"notebook"})
#: A reloaded page of JupyterLab or Notebook opens its documents by itself, within this time.
_PAGES = ("/lab", "/tree", "/notebooks", "/edit", "/doc", "/consoles")
RESTORES_WITHIN = timedelta(seconds=30)
#: Bytes. A message up to this size over a proxied websocket is a heartbeat or an acknowledgement:
#: VS Code's are 13 bytes, a header with nothing behind it.
HEARTBEAT = 16
#: The beginning of a key and of a pointer in a remote desktop's protocol (RFC 6143). All its short
#: messages have an even length.
_DESKTOP_INPUT = frozenset({b"\x04", b"\x05"})
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
    done: str = "saved"


@dataclass(frozen=True)
class Content:
    """A document's content in two parts, as digests: the text that people write, and the rest,
    which only a notebook has."""

    written: str
    rest: str = ""


def split(body: bytes) -> Content | None:
    """The parts of a notebook in a request that saves it; None if it holds no notebook.

    People write the kinds and sources of cells. Outputs, execution counts and metadata also come
    from kernels.
    """
    try:
        cells = json.loads(body)["content"]["cells"]
        written = [[cell.pop("cell_type", ""), cell.pop("source", "")] for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Content(_digest(written), _digest(cells))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _content(path: str, body: bytes) -> Content:
    notebook = split(body) if path.endswith(".ipynb") else None
    return notebook or Content(hashlib.sha256(body).hexdigest())


@dataclass
class _Download:
    """An answer that sends a file, and how many bytes of it had been sent at the last check."""

    handler: Any
    sent: int | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it has not been sent in full yet, to a browser that is still there."""
        stream = self._stream
        if stream is None or stream.closed() or self.handler.get_status() >= 400:
            return False
        return stream.writing() or not self.handler._finished

    def has_moved(self) -> bool:
        """Whether the browser took some of it since the last check. One that was paused keeps its
        connection."""
        sent = getattr(self._stream, "_total_write_done_index", None)
        before, self.sent = self.sent, sent
        return sent is None or sent != before

    @property
    def _stream(self) -> Any:
        return getattr(self.handler.request.connection, "stream", None)


class BrowserRequests:
    """Listens to a server, and remembers the last use of each kind of thing.

    Everything runs on the event loop, except the digests of documents, which a thread makes.
    """

    def __init__(self, base_url: str, now: Callable[[], datetime] = utcnow) -> None:
        base_url = self._base = base_url.rstrip("/")
        self._contents, self._files = base_url + CONTENTS, base_url + FILES
        self._pages = tuple(base_url + page for page in _PAGES)
        self._page_loaded_at: datetime | None = None
        self._now = now
        self._saved_contents: dict[str, Content] = {}
        #: Downloads that may go on.
        self._downloads: list[_Download] = []
        self._periodic = Periodic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: set[tuple[str, str]] = set()
        #: The document last saved, uploaded, opened or downloaded, and the web app last used, or
        #: the terminal or kernel last opened or closed; None if there is none.
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
        # A download may begin before the first check.
        self._listen_to_handlers()

    def clock_jumped(self, jump: timedelta) -> None:
        """The wall clock was set: shift the times, so that a minute ago stays a minute ago.
        After a clock is set back, they would lie in the future, where they count as now."""
        if self.document is not None:
            self.document = replace(self.document, at=self.document.at + jump)
        if self.web_app is not None:
            self.web_app = replace(self.web_app, at=self.web_app.at + jump)

    def observe(self) -> None:
        """Takes note of downloads that go on. Listens to handlers that were loaded meanwhile."""
        self._downloads = [each for each in self._downloads if each.goes_on]
        for each in self._downloads:
            if each.has_moved():
                self.document = Use(self._file_of(each.handler.request), self._now(), "downloaded")
        self._listen_to_handlers()

    def _listen_to_handlers(self) -> None:
        """Listens to the websockets of extensions, and to new downloads, once their handlers are
        loaded."""
        for module, name, hear in (
            (f"{_PROXY}.handlers", "ProxyHandler", self._web_message),
            (f"{_PROXY}.rawsocket", "RawSocketHandler", self._web_message),
            *((module, "YDocWebSocketHandler", self._edited) for module in _COLLABORATION),
        ):
            self._wrap(module, name, "on_message", hear)
        # Called before a file is sent. The handler's get stays as it is: when Jupyter starts, it
        # checks there for the decorator that requires a login.
        module, name = "jupyter_server.base.handlers", "AuthenticatedFileHandler"
        self._wrap(module, name, "set_headers", self._download)

    def _wrap(self, module: str, name: str, method: str, hear: Callable[..., None]) -> None:
        if module not in sys.modules or (module, name) in self._heard:
            return
        self._heard.add((module, name))
        cls: Any = getattr(sys.modules[module], name, None)
        wrapped = getattr(cls, "__dict__", {}).get(method)
        if wrapped is None:
            return

        @wraps(wrapped)
        def hear_too(handler: Any, *arguments: Any, **more: Any) -> Any:
            try:
                hear(handler, *arguments[:1])
            except Exception:
                log.debug("a message could not be read", exc_info=True)
            return wrapped(handler, *arguments, **more)

        setattr(cls, method, hear_too)

    def hear(self, handler: Any) -> None:
        """Takes note of a request that was answered."""
        request = handler.request
        if handler.get_status() >= 400:
            return
        path = unquote(request.path)
        if request.method not in CHANGES:
            self._read(path, handler)
        elif path.startswith(self._contents):
            self._saved(path[len(self._contents) :], request)
        elif _is_proxied(handler):
            self._web_request(request)
        elif not self._is_restoring:
            self._opened_or_closed(request.method, path.removeprefix(self._base))

    def _opened_or_closed(self, method: str, path: str) -> None:
        now = self._now()
        for beginning, label in _OPENED_AND_CLOSED.items():
            if path.startswith(beginning) and not self._periodic.recurs((method, beginning), now):
                self.web_app = Use(label, now)

    def _read(self, path: str, handler: Any) -> None:
        """Takes note of a person who opens or downloads a file, or goes to a page of a web app.
        Pages that ask by themselves do so at a fixed interval, or their request says that nobody
        has clicked."""
        request = handler.request
        if request.method != "GET":
            return
        if path.startswith(self._contents):
            asked = {name: values[-1] for name, values in request.arguments.items()}
            is_opened = asked.get("content") == b"1" and asked.get("type") in _OPENED
            recurs = is_opened and self._periodic.recurs(("open", path), self._now())
            if is_opened and not recurs and not self._is_restoring:
                self.document = Use(path[len(self._contents) :], self._now(), "opened")
        elif path.startswith(self._files):
            if not self._periodic.recurs(("open", path), self._now()):
                self.document = Use(self._file_of(request), self._now(), "downloaded")
                self._download(handler)
        elif _is_proxied(handler):
            if request.headers.get("Sec-Fetch-User") == "?1":
                self._web_request(request)
        elif path.startswith(self._pages) and "/api/" not in path:
            self._page_loaded_at = self._now()

    @property
    def _is_restoring(self) -> bool:
        loaded_at = self._page_loaded_at
        return loaded_at is not None and self._now() - loaded_at < RESTORES_WITHIN

    def _download(self, handler: Any) -> None:
        """Takes note of a download, which may take hours. Jupyter logs the request only at its
        end, or, if the files are not on a disk, once the connection has the whole content."""
        request = handler.request
        is_new = all(each.handler is not handler for each in self._downloads)
        if is_new and request.method == "GET" and request.path.startswith(self._files):
            self._downloads.append(_Download(handler))

    def _file_of(self, request: Any) -> str:
        return unquote(request.path).removeprefix(self._files)

    def _saved(self, path: str, request: Any) -> None:
        # A person's save makes a checkpoint; JupyterLab's own save does not.
        if request.method != "PUT":
            self.document = Use(path.removesuffix("/checkpoints"), self._now())
            return
        saved = self._saved_document(path, request.body, self._now())
        task = asyncio.get_running_loop().create_task(saved)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _saved_document(self, path: str, body: bytes, now: datetime) -> None:
        """A notebook of which only outputs changed was saved by JupyterLab itself: the kernel
        explains it. A program saves the same content at a fixed interval. A person saved
        everything else."""
        content = await in_thread(lambda: _content(path, body))
        before = self._saved_contents.get(path)
        self._saved_contents[path] = content
        if before is not None and before.written == content.written:
            is_outputs = before.rest != content.rest
            if is_outputs or self._periodic.recurs(("save", path), now):
                return
        if self.document is None or self.document.at < now:
            self.document = Use(path, now)

    def _edited(self, handler: Any, message: str | bytes) -> None:
        """A page with a shared document sends its user's changes, what a kernel printed, and much
        else. A person makes no changes at a fixed interval."""
        if message[:2] == _CHANGE:
            now = self._now()
            if not self._periodic.recurs(("edit", handler.request.path), now):
                self.document = Use("a shared document", now)

    def _web_request(self, request: Any) -> None:
        # It is heard of when it is answered, and answers take different times.
        now = self._now()
        asked_at = now - timedelta(seconds=request.request_time())
        address = f"{request.method} {request.path}"
        # A page that asks for different things at different intervals asks in different words.
        keys = (address, (address, len(request.body)))
        recurring = [key for key in keys if self._periodic.recurs(key, asked_at)]
        if not recurring:
            self.web_app = Use(request.path, now)

    def _web_message(self, handler: Any, message: str | bytes) -> None:
        now, path, length = self._now(), handler.request.path, len(message)
        if length <= HEARTBEAT and not _is_desktop_input(message):
            return
        if not self._periodic.recurs((path, length), now):
            self.web_app = Use(path, now)


def _is_desktop_input(message: str | bytes) -> bool:
    return message[:1] in _DESKTOP_INPUT and len(message) % 2 == 0


def _is_proxied(handler: Any) -> bool:
    return any(cls.__module__.startswith(_PROXY) for cls in type(handler).__mro__)
