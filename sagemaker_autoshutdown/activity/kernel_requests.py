"""The requests that each kernel works on, by its own messages.

A kernel sends ``busy`` and ``idle`` on its iopub channel for every request, naming it. So a kernel
is at work while a request on its shell channel (or on a subshell) is open, whatever it answers on
its control channel meanwhile. A server's own ``execution_state`` is not reliable: before 2.15
jupyter_server takes the last status message for it, and later versions still take some requests of
the control channel for the end of a silent cell. ``last_activity`` is not reliable either: clients
that merely connect change it.

This module interprets messages. ``kernel_probe`` asks silent kernels; ``jupyter`` and
``other_kernels`` list kernels.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..clock import utcnow
from .rhythms import Periodic

log = logging.getLogger(__name__)

#: The delimiter before the signature of every message of Jupyter's protocol.
DELIMITER = b"<IDS|MSG>"

#: Requests of the control channel, and questions that every client asks when it connects. They do
#: not count as work, however long they take.
NO_WORK = frozenset(
    {
        "kernel_info_request",
        "comm_info_request",
        "connect_request",
        "debug_request",
        "interrupt_request",
        "shutdown_request",
        "create_subshell_request",
        "delete_subshell_request",
        "list_subshell_request",
        "usage_request",
    }
)
EXECUTE = "execute_request"
#: Requests of clients that come and go. They are work only if they take long.
COMING_AND_GOING = frozenset({"history_request", "comm_close"})
#: Sent by ``ipywidgets`` when a page with widgets is loaded again.
RESTORING_TARGET = "jupyter.widget.control"
RESTORING_METHODS = frozenset({"request_state", "request_states"})
#: A shorter request does not count as work because of its length alone.
SHORT = timedelta(seconds=1)
#: So many executions in a row that are silent, or in no history, count as use. Further ones are a
#: client's polling (a variable inspector): people see the code that they run, and find it again.
SILENT_IN_A_ROW = 2
#: So many restarts in a row without use in between, and a kernel crashes again and again. One
#: restart may be heard of three times. A tab that connects to the new process asks it something.
RESTARTS_IN_A_ROW = 6
#: How long a forwarded request counts before its kernel begins with it.
BEGINS_WITHIN = timedelta(seconds=10)
#: With so many messages a second, the connection may lose some, among them the one that says that
#: the kernel is done.
FLOOD = 500
#: A kernel that flooded us and has been quiet for so long may have ended its request unheard.
QUIET = timedelta(seconds=10)
#: Content of a message beyond this size is not read; the relevant content is small.
SMALL = 4096
#: The state of a widget, which follows, can be large.
_COMM_ID = re.compile(rb'"comm_id":\s*"([^"]*)"')


@dataclass(frozen=True)
class KernelUse:
    """The known facts about a kernel's requests.

    ``running`` names the oldest request that it works on, or is empty; ``running_since`` is when it
    began. ``used_at`` is when the last request ended that counts as use. ``heard`` grows with every
    message of the kernel. ``from_start`` says that nothing was missed: this server listened when
    the kernel started. ``silent_since`` is when this server found the kernel, if it was at work
    then and has not answered since. ``has_started`` says that it has answered since it was started.
    ``crashes`` says that it restarted again and again, without use in between.
    """

    running: str
    running_since: datetime | None
    queued: int
    used_at: datetime | None
    heard: int
    from_start: bool
    silent_since: datetime | None = None
    has_started: bool = False
    crashes: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every open request must have been heard of."""
        return self.from_start or bool(self.heard)


@dataclass
class _ClockTime:
    """A time by both clocks, because the wall clock may be set."""

    wall: datetime
    monotonic: float


@dataclass
class _Request:
    type: str
    opened: _ClockTime
    subshell: str = ""
    #: An ``execute_input`` showed its code to all clients: it was not sent silently.
    is_shown: bool = False
    is_restoring: bool = False
    #: Its sender kept it out of the history: a program does that, seldom a person.
    is_unrecorded: bool = False
    #: The id of the widget that the message is for.
    comm_id: str = ""
    #: Since when its end may have been lost: the kernel began another request, or went quiet.
    doubt: _ClockTime | None = None
    is_overtaken: bool = False
    is_flooding: bool = False


@dataclass
class _Kernel:
    from_start: bool
    used: _ClockTime | None
    session: str = ""
    heard: int = 0
    has_started: bool = False
    #: It has begun to answer a question, and has said at least once that it was done. Some kernels
    #: never do.
    was_asked: bool = False
    says_idle: bool = False
    silent_in_a_row: int = 0
    restarts_in_a_row: int = 0
    #: When it was last heard from, by the monotonic clock, and how often since when.
    last_heard: float = 0.0
    counted_from: float = 0.0
    count: int = 0
    #: Our own unanswered questions, by message id.
    unanswered: set[str] = field(default_factory=set)
    #: When it was first asked, if it was at work already.
    silent: _ClockTime | None = None
    #: By message id: requests that it works on, and forwarded ones.
    running: dict[str, _Request] = field(default_factory=dict)
    queued: dict[str, _Request] = field(default_factory=dict)


class KernelRequests:
    """Follows the requests of kernels. Kernels that were never heard from are unknown."""

    def __init__(
        self,
        now: Callable[[], datetime] = utcnow,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self._kernels: dict[str, _Kernel] = {}
        self._periodic = Periodic()

    def follow(self, kernel_id: str, *, from_start: bool) -> None:
        """Begins anew with a kernel: from its start, which counts as use, or from now on."""
        used = self._clock_time() if from_start else None
        self._kernels[kernel_id] = _Kernel(from_start, used)

    def use_of(self, kernel_id: str) -> KernelUse | None:
        """The known facts about its requests; None if there are none."""
        kernel = self._kernels.get(kernel_id)
        if kernel is None:
            return None
        now = self._monotonic()
        # A request that its kernel has not begun by now was lost, or waits for the running cell, or
        # the kernel does not answer at all. A question tells which.
        if kernel.queued:
            kernel.queued = {
                message_id: request
                for message_id, request in kernel.queued.items()
                if (kernel.running and request.type == EXECUTE)
                or now - request.opened.monotonic < BEGINS_WITHIN.total_seconds()
            }
        doubts = self._doubts(kernel, now) if kernel.running else []
        running = [request for request in kernel.running.values() if request.doubt is None]
        requests = [*running, *kernel.queued.values()]
        oldest = requests[0] if requests else None
        silent = [moment for moment in (kernel.silent, *doubts) if moment is not None]
        return KernelUse(
            running="" if oldest is None else _name(oldest.type),
            running_since=None if oldest is None else oldest.opened.wall,
            queued=max(0, len(requests) - 1),
            used_at=None if kernel.used is None else kernel.used.wall,
            heard=kernel.heard,
            from_start=kernel.from_start,
            silent_since=max((moment.wall for moment in silent), default=None),
            has_started=kernel.has_started,
            crashes=kernel.restarts_in_a_row > RESTARTS_IN_A_ROW,
        )

    def _doubts(self, kernel: _Kernel, now: float) -> list[_ClockTime]:
        """Since when there is doubt about requests whose end may have been lost, or is never
        told."""
        is_quiet = now - kernel.last_heard >= QUIET.total_seconds()
        for request in kernel.running.values():
            if request.is_overtaken:
                continue
            if not request.is_flooding:
                never_ends = kernel.was_asked and not kernel.says_idle
                request.doubt = request.opened if never_ends else None
            elif not is_quiet:
                request.doubt = None
            elif request.doubt is None or request.doubt.monotonic != kernel.last_heard:
                ago = timedelta(seconds=now - kernel.last_heard)
                request.doubt = _ClockTime(self._now() - ago, kernel.last_heard)
        return [each.doubt for each in kernel.running.values() if each.doubt is not None]

    def left_unanswered(self, kernel_id: str, question_id: str, *, is_silent: bool = False) -> None:
        """The kernel did not answer our question in time. If it answers later, that is heard.
        ``is_silent`` makes it count as silent until it answers this or another question."""
        kernel = self._kernels.get(kernel_id)
        if kernel is not None:
            kernel.unanswered.add(question_id)
            if is_silent:
                kernel.silent = self._clock_time()

    def answered(self, kernel_id: str) -> None:
        """It answered a question of ours."""
        kernel = self._kernels.get(kernel_id)
        if kernel is None:
            return
        kernel.silent = None
        # It is done with the request that it seemed to work on.
        for request_id, request in list(kernel.running.items()):
            if request.doubt is not None:
                del kernel.running[request_id]
                kernel.used = request.doubt if kernel.says_idle else self._clock_time()

    def restarted(self, kernel_id: str) -> None:
        """Its process is gone, and so are its requests. A person restarts a kernel; one that
        restarts again and again crashes by itself."""
        kernel = self._kernels.get(kernel_id)
        if kernel is not None:
            kernel.restarts_in_a_row += 1
            is_use = kernel.restarts_in_a_row <= RESTARTS_IN_A_ROW or any(
                request.type not in COMING_AND_GOING for request in kernel.running.values()
            )
            kernel.running.clear()
            kernel.queued.clear()
            kernel.unanswered.clear()
            kernel.silent = None
            kernel.has_started = False
            if is_use:
                kernel.used = self._clock_time()
            kernel.heard += 1

    def forget_all_but(self, kernel_ids: Collection[str]) -> None:
        """Forgets kernels that are gone: one killed in a cell never says that it is done."""
        for kernel_id in self._kernels.keys() - set(kernel_ids):
            del self._kernels[kernel_id]

    def clock_jumped(self) -> None:
        """The clock was set: shift the times, so that a minute ago stays a minute ago."""
        wall, monotonic = self._now(), self._monotonic()
        for kernel in self._kernels.values():
            requests = [*kernel.running.values(), *kernel.queued.values()]
            doubts = (request.doubt for request in requests)
            opened = (request.opened for request in requests)
            for moment in (kernel.used, kernel.silent, *opened, *doubts):
                if moment is not None:
                    moment.wall = wall - timedelta(seconds=monotonic - moment.monotonic)

    # ---- messages, in their parts as on the wire ------------------------------------------------

    def hear(self, kernel_id: str, message: list[bytes]) -> None:
        """Takes note of a message on the kernel's iopub channel. Raises nothing."""
        try:
            frames = message[message.index(DELIMITER) + 2 :]
            # Output comes by the thousand: it is skipped unread.
            if b'"status"' in frames[0] or b'"execute_input"' in frames[0]:
                self._hear(kernel_id, frames)
            else:
                self._count(kernel_id)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            log.debug("a message of kernel %s can't be read: %s", kernel_id, error)

    def _count(self, kernel_id: str) -> None:
        kernel = self._kernels.get(kernel_id)
        if kernel is None or not kernel.running:
            return
        now = self._monotonic()
        kernel.last_heard = now
        if now - kernel.counted_from > 1.0:
            kernel.counted_from, kernel.count = now, 0
        kernel.count += 1
        if kernel.count == FLOOD:
            for request in kernel.running.values():
                request.is_flooding = True

    def _hear(self, kernel_id: str, frames: list[bytes]) -> None:
        kernel = self._kernels.get(kernel_id)
        header, parent = json.loads(frames[0]), json.loads(frames[1])
        if kernel is None:
            return
        request_id, request_type = parent.get("msg_id", ""), parent.get("msg_type", "")
        if header["msg_type"] == "execute_input":
            if request_id in kernel.running:
                kernel.running[request_id].is_shown = True
                kernel.restarts_in_a_row = 0
            return
        if header["msg_type"] != "status":
            return
        state = json.loads(frames[3])["execution_state"]
        session = header.get("session", "")
        if state == "starting" or self._is_another_process(kernel, session, parent):
            self.restarted(kernel_id)
        if session != parent.get("session"):
            kernel.session = session
        kernel.has_started = state != "starting"
        kernel.says_idle |= state == "idle"
        kernel.was_asked |= request_type == "kernel_info_request"
        if state == "idle" and request_id in kernel.unanswered:
            # It was at work until now, on an unknown request.
            kernel.unanswered.clear()
            kernel.silent = None
            kernel.used = self._clock_time()
            kernel.heard += 1
        if state == "starting" or request_type in NO_WORK:
            return
        kernel.heard += 1
        if state == "busy":
            request = kernel.queued.pop(request_id, None) or _Request(
                request_type, self._clock_time()
            )
            request.opened = self._clock_time()
            request.subshell = parent.get("subshell_id") or ""
            self._overtake(kernel, request)
            kernel.running[request_id] = request
        elif not request_id:  # some kernels name no request when they are done
            for each in list(kernel.running):
                self._end(kernel, each)
        else:
            self._end(kernel, request_id)

    @staticmethod
    def _overtake(kernel: _Kernel, request: _Request) -> None:
        """With few exceptions, a kernel runs one cell of a shell at a time. But a cell may let
        its kernel handle a widget's messages meanwhile."""
        for other in kernel.running.values():
            is_within = other.type == EXECUTE != request.type and not other.is_flooding
            if other.subshell == request.subshell and not other.is_overtaken and not is_within:
                other.is_overtaken, other.doubt = True, request.opened

    @staticmethod
    def _is_another_process(kernel: _Kernel, session: str, parent: dict[str, Any]) -> bool:
        """Whether the speaking kernel is not the one that spoke before: its ``starting`` is
        often lost while the connection is made anew. Some kernels use their clients' session
        ids, which tell nothing."""
        return bool(kernel.session and session) and session not in (
            kernel.session,
            parent.get("session"),
        )

    def _end(self, kernel: _Kernel, request_id: str) -> None:
        kernel.queued.pop(request_id, None)
        request = kernel.running.pop(request_id, None)
        if request is None:
            return
        ended = self._clock_time()
        if ended.monotonic - request.opened.monotonic < SHORT.total_seconds():
            if request.type in COMING_AND_GOING or request.is_restoring:
                return
            if request.comm_id and self._periodic.recurs(request.comm_id, ended.wall):
                return
            is_silent = request.type == EXECUTE and (request.is_unrecorded or not request.is_shown)
            kernel.silent_in_a_row = kernel.silent_in_a_row + 1 if is_silent else 0
            if kernel.silent_in_a_row > SILENT_IN_A_ROW:
                return
        kernel.used = ended
        kernel.restarts_in_a_row = 0

    def hear_passed_on(self, kernel_id: str, message: list[Any]) -> None:
        """Takes note of a message that this server forwards to the kernel's shell channel.
        Raises nothing."""
        try:
            parts = [bytes(part) for part in message[: message.index(DELIMITER) + 6]]
            frames = parts[parts.index(DELIMITER) + 2 :]
            header = json.loads(frames[0])
            kernel = self._kernels.get(kernel_id)
            if kernel is None or header["msg_type"] in NO_WORK | COMING_AND_GOING:
                return
            request = _Request(header["msg_type"], self._clock_time())
            request.is_restoring = _is_restoring(request.type, frames[3])
            request.is_unrecorded = _is_unrecorded(request.type, frames[3])
            request.comm_id = _comm_id(request.type, frames[3])
            if header["msg_id"] not in kernel.running:
                kernel.queued[header["msg_id"]] = request
                kernel.heard += 1
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            log.debug("a message to kernel %s can't be read: %s", kernel_id, error)

    def _clock_time(self) -> _ClockTime:
        return _ClockTime(self._now(), self._monotonic())


def _is_restoring(request_type: str, content: bytes) -> bool:
    if request_type not in ("comm_open", "comm_msg") or len(content) > SMALL:
        return False
    content_read = json.loads(content)
    data = content_read.get("data") or {}
    return (
        content_read.get("target_name") == RESTORING_TARGET
        or data.get("method") in RESTORING_METHODS
    )


def _comm_id(request_type: str, content: bytes) -> str:
    """Whose message this is, to tell a page that sends them by itself: a player, a clock."""
    found = _COMM_ID.search(content) if request_type == "comm_msg" else None
    return "" if found is None else found[1].decode(errors="replace")


def _is_unrecorded(request_type: str, content: bytes) -> bool:
    if request_type != EXECUTE or len(content) > SMALL:
        return False
    return json.loads(content).get("store_history") is False


def _name(request_type: str) -> str:
    """The name of a request for its user."""
    if request_type == EXECUTE:
        return "cell"
    if request_type.startswith("comm_"):
        return "widget handler"
    return f"{request_type.partition('_request')[0] or 'unnamed'} request"


def listen(manager: Any, requests: KernelRequests) -> None:
    """Passes on to ``requests`` every message that a server's kernel manager receives from its
    kernels and forwards to them, for as long as it lives."""
    watch = getattr(manager, "start_watching_activity", None)
    if watch is None:  # behind a gateway
        return

    def start_watching_activity(kernel_id: str) -> None:
        watch(kernel_id)
        _listen_to(manager, kernel_id, requests, from_start=True)

    manager.start_watching_activity = start_watching_activity
    for kernel_id in list(manager.list_kernel_ids()):
        _listen_to(manager, kernel_id, requests, from_start=False)


def _listen_to(manager: Any, kernel_id: str, requests: KernelRequests, *, from_start: bool) -> None:
    # No version of jupyter_server offers another way in. This one needs no second copy of the
    # kernels' messages.
    kernel = manager.get_kernel(kernel_id)
    stream = getattr(kernel, "_activity_stream", None)
    record: Callable[[list[bytes]], None] | None = getattr(stream, "_recv_callback", None)
    if stream is None or record is None:
        log.debug("kernel %s can't be listened to", kernel_id)
        return
    requests.follow(kernel_id, from_start=from_start)

    def hear_too(message: list[bytes]) -> None:
        requests.hear(kernel_id, message)
        record(message)

    stream.on_recv(hear_too)
    if getattr(kernel, "_sagemaker_autoshutdown_listens", False):
        return  # its ports have changed
    kernel._sagemaker_autoshutdown_listens = True
    manager.add_restart_callback(kernel_id, lambda: requests.restarted(kernel_id))
    connect = kernel.connect_shell

    def connect_shell(*args: Any, **named: Any) -> Any:
        shell = connect(*args, **named)
        if hasattr(shell, "on_send"):
            shell.on_send(lambda message, _: requests.hear_passed_on(kernel_id, message))
        return shell

    kernel.connect_shell = connect_shell
