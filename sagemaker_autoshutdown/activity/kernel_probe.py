"""Asks a kernel whether it is as idle as its server says.

A gateway older than jupyter_server 2.15 takes the last status message of a kernel for its state,
whatever request the message belongs to. A kernel also answers on its control channel while a cell
runs. So a debugger's question, which JupyterLab asks whenever a notebook's tab is shown, leaves
such a gateway with `idle` for as long as the cell goes on. Later versions, and our own listening,
may have missed messages. Requests on the shell channel wait for the cell, so a kernel that does not
answer there runs one.

Kernels behind a server are asked through its websocket, kernels of this machine directly. A kernel
on another machine is also asked how much CPU its processes use: a thread or a program that a cell
has left behind is at work although the kernel waits.

A server that missed a kernel's last message calls it ``busy`` for ever, or ``starting`` if it
missed the first. Such a kernel is asked to execute nothing. Any other question would do harm while
a cell runs: some kernels answer others in the middle of a cell, and an old gateway takes that for
the cell's end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

import zmq
from jupyter_client.connect import ConnectionFileMixin
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from ..model import TRANSIENT_STATES
from .kernel_requests import NO_WORK

#: Seconds that a kernel has for its answer; an idle one takes milliseconds.
PATIENCE = 10.0
#: Seconds after an answer within which the gateway records it as well.
SETTLES = 0.2

#: Seconds after which the question is sent again: jupyter_server 1.x, between client and gateway,
#: loses messages until its own connection is open.
AGAIN = 2.0

#: HTTP statuses of a server that takes no more requests at present: it did not refuse this one.
_NOT_NOW = frozenset({408, 429})

QUESTION = "kernel_info_request"
#: Executes no code. Every kernel puts it behind the cells that were sent before.
EXECUTE_NOTHING = "execute_request"
_NOTHING: Mapping[str, object] = {
    "code": "",
    "silent": True,
    "store_history": False,
    "user_expressions": {},
    "allow_stdin": False,
    "stop_on_error": False,
}
#: ipykernel 6.11 and later answer with the CPU that the kernel and its children used since the last
#: such question, and run no code for it (``ipykernel.kernelbase.Kernel.usage_request``). Others do
#: not answer.
USAGE_QUESTION = "usage_request"
#: Seconds for that answer; a kernel whose threads are at work takes a part of one.
USAGE_PATIENCE = 3.0
#: A kernel that has never answered such a question is not asked another after this many.
USAGE_QUESTIONS = 3
#: Seconds between the first two such questions: the first answer tells nothing.
MEASURED_FOR = 2.0


class Answer(Enum):
    """The result of asking a kernel."""

    #: It waits for work.
    IDLE = "idle"
    #: It answered, and somebody else uses it at present.
    USED = "used"
    #: It does not answer: a cell runs.
    SILENT = "silent"
    #: The connection broke, so it may or may not be at work.
    UNKNOWN = "unknown"
    #: The server lets nobody ask, so its word has to do.
    REFUSED = "refused"


@dataclass(frozen=True)
class Told:
    """The result of asking a kernel, and how long that took. ``question_id`` is the message that
    identifies a late answer, if one can still be heard. ``cpu`` is what the kernel and its children
    use, in CPUs; None if that is not known. ``is_alive``: a silent kernel said something else
    meanwhile, so it has started."""

    answer: Answer
    took: timedelta = timedelta(0)
    question_id: str = ""
    cpu: float | None = None
    is_alive: bool = False


@dataclass
class CpuMeter:
    """Whether a kernel has ever told how much CPU it uses, and how many such questions in a row it
    left without an answer."""

    tells: bool = False
    missed: int = 0


async def ask(
    channels: HTTPRequest, patience: float, meter: CpuMeter | None = None, claimed: str = "idle"
) -> Told:
    """Asks the kernel behind ``channels``, its websocket; ``claimed`` is its state by its server's
    word. Takes ``patience`` seconds at most, and raises nothing. With a ``meter``, an idle kernel
    is asked for its use of the CPU as well, which takes up to ``USAGE_PATIENCE`` seconds more, and
    ``MEASURED_FOR`` at the first time."""
    asked_at = time.monotonic()
    connecting = asyncio.ensure_future(websocket_connect(channels))
    questions = _questions(claimed)
    heard = _Heard(frozenset(each["header"]["msg_id"] for each in questions))
    question = asyncio.ensure_future(_ask(connecting, questions, heard))
    try:
        await asyncio.wait({question}, timeout=patience)
        took = timedelta(seconds=time.monotonic() - asked_at)
        if not question.done():
            return Told(Answer.SILENT, took, is_alive=heard.anything)
        answer = question.result()
        cpu = None
        if answer is Answer.IDLE:
            if meter is not None:
                cpu = await _cpu(connecting.result(), meter, heard)
                if heard.use:
                    # A cell began, and an old gateway takes our question for its end.
                    answer = Answer.USED
                elif cpu is None and meter.tells:
                    # It can tell, but its work does not let it.
                    return Told(Answer.SILENT, took, is_alive=True)
            await asyncio.sleep(SETTLES)
        return Told(answer, took, cpu=cpu)
    except Exception as error:  # the network, or an invalid message
        status = error.code if isinstance(error, HTTPClientError) else 0
        refused = 400 <= status < 500 and status not in _NOT_NOW
        took = timedelta(seconds=time.monotonic() - asked_at)
        return Told(Answer.REFUSED if refused else Answer.UNKNOWN, took)
    finally:
        question.cancel()
        # It may open later.
        connecting.add_done_callback(_close)


@dataclass
class _Heard:
    """What was heard from the kernel while it was asked: whether it said anything, and whether
    somebody else used it. ``ours`` holds the ids of the questions."""

    ours: frozenset[str]
    anything: bool = False
    use: bool = False

    def take(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Takes note of a message; returns the header of the request that it belongs to."""
        parent: Mapping[str, Any] = message.get("parent_header") or {}
        # The server's own words, such as that a kernel is being restarted, answer nothing.
        self.anything |= bool(parent.get("msg_id"))
        is_no_work = parent.get("msg_id") in self.ours or parent.get("msg_type") in NO_WORK
        self.use |= message.get("channel") == "iopub" and not is_no_work
        return parent


def _questions(claimed: str) -> list[dict[str, Any]]:
    """The question on the shell channel; for a kernel that may have hung in its start, also one on
    the control channel, which most kernels answer in the middle of a cell."""
    if claimed == "busy":
        return [_question(EXECUTE_NOTHING, "shell", _NOTHING)]
    if claimed in TRANSIENT_STATES:
        return [_question(EXECUTE_NOTHING, "shell", _NOTHING), _question(QUESTION, "control")]
    return [_question(QUESTION, "shell")]


async def _ask(
    connecting: asyncio.Future[WebSocketClientConnection],
    questions: list[dict[str, Any]],
    heard: _Heard,
) -> Answer:
    connection = await asyncio.shield(connecting)
    putting = asyncio.ensure_future(_put(connection, [json.dumps(each) for each in questions]))
    try:
        return await _answer(connection, questions[0]["header"], heard)
    finally:
        putting.cancel()


async def _cpu(
    connection: WebSocketClientConnection, meter: CpuMeter, heard: _Heard
) -> float | None:
    """The CPUs that an idle kernel and its children use; None if it does not tell."""
    if not meter.tells and meter.missed >= USAGE_QUESTIONS:
        return None
    used = await _usage(connection, heard)
    if used is not None and not meter.tells:
        meter.tells = True
        await asyncio.sleep(MEASURED_FOR)
        used = await _usage(connection, heard)
    meter.missed = 0 if used is not None else meter.missed + 1
    return used


async def _usage(connection: WebSocketClientConnection, heard: _Heard) -> float | None:
    question = _question(USAGE_QUESTION, "control")
    with contextlib.suppress(asyncio.TimeoutError, WebSocketClosedError):
        await connection.write_message(json.dumps(question))
        reply = _usage_reply(connection, question["header"]["msg_id"], heard)
        return await asyncio.wait_for(reply, USAGE_PATIENCE)
    return None


async def _usage_reply(
    connection: WebSocketClientConnection, question_id: str, heard: _Heard
) -> float | None:
    while (raw := await connection.read_message()) is not None:
        message = json.loads(raw)
        is_ours = heard.take(message).get("msg_id") == question_id
        if is_ours and message.get("channel") == "control":
            percent = message["content"].get("kernel_cpu")
            return percent / 100 if isinstance(percent, (int, float)) else None
    return None


async def _put(connection: WebSocketClientConnection, questions: Collection[str]) -> None:
    # Everybody who waits for the answer sees it too
    with contextlib.suppress(WebSocketClosedError):
        while True:
            for question in questions:
                await connection.write_message(question)
            await asyncio.sleep(AGAIN)


async def _answer(
    connection: WebSocketClientConnection, question: Mapping[str, str], heard: _Heard
) -> Answer:
    # A cell that lets its kernel answer meanwhile puts executions off, but they seem to be done.
    by_reply = question["msg_type"] == EXECUTE_NOTHING
    while (raw := await connection.read_message()) is not None:
        message = json.loads(raw)
        if heard.take(message).get("msg_id") == question["msg_id"]:
            is_idle = message["content"].get("execution_state") == "idle"
            if message.get("channel") == "shell" if by_reply else is_idle:
                return Answer.USED if heard.use else Answer.IDLE
    return Answer.UNKNOWN


def _question(
    message_type: str, channel: str, content: Mapping[str, object] | None = None
) -> dict[str, Any]:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": message_type,
        "session": uuid.uuid4().hex,
        "username": "",
        "date": datetime.now(timezone.utc).isoformat(),
        "version": "5.3",
    }
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": dict(content or {}),
        "buffers": [],
        "channel": channel,
    }


def _close(connecting: asyncio.Future[WebSocketClientConnection]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


def ask_here(
    connections: Mapping[str, Mapping[str, Any]],
    patience: float,
    with_subshells: Collection[str] = (),
    starting: Collection[str] = (),
) -> dict[str, Told]:
    """Asks kernels of this machine, by id, each with the content of its connection file. Blocks for
    ``patience`` seconds at most; call it in a thread. Raises nothing.

    Kernels ``with_subshells`` are asked on their subshells, too. To find these takes a request on
    the control channel, which a listening server may take for the end of a cell. Those that are
    ``starting``, by what is known, are also asked on the control channel whether they have started.
    """
    asked_at = time.monotonic()
    told: dict[str, Told] = {}
    # A context of its own: sockets must not be shared between threads.
    context = zmq.Context()
    questions: dict[str, _Question] = {}
    poller = zmq.Poller()
    try:
        for kernel_id, connection in connections.items():
            try:
                question = _Question(
                    context, poller, connection, with_subshells=kernel_id in with_subshells
                )
                questions[kernel_id] = question
                if kernel_id in starting:
                    question.ask_whether_it_has_started()
            except Exception:  # a file that some kernel wrote
                told[kernel_id] = Told(Answer.UNKNOWN)
        while open_ones := [each for each in questions if each not in told]:
            left = patience - (time.monotonic() - asked_at)
            if left <= 0:
                break
            ready = dict(poller.poll(max(1, round(left * 1000))))
            took = timedelta(seconds=time.monotonic() - asked_at)
            for kernel_id in open_ones:
                question = questions[kernel_id]
                try:
                    if question.is_answered_by(ready):
                        told[kernel_id] = Told(Answer.IDLE, took)
                except Exception:  # an answer in another's name, or an invalid one
                    told[kernel_id] = Told(Answer.UNKNOWN, took)
        took = timedelta(seconds=time.monotonic() - asked_at)
        for kernel_id in questions.keys() - told.keys():
            question = questions[kernel_id]
            told[kernel_id] = Told(
                Answer.SILENT, took, question.id, is_alive=question.is_kernel_alive
            )
    finally:
        for question in questions.values():
            question.close()
        context.destroy(linger=0)
    return told


class Connection(ConnectionFileMixin):
    """The content of a connection file, and sockets to its kernel.

    The contexts that Jupyter's own clients accept differ from version to version.
    """

    def __init__(self, context: zmq.Context[Any], info: Mapping[str, Any]) -> None:
        super().__init__()
        self.context = context
        connection: Any = dict(info)
        self.load_connection_info(connection)


@dataclass
class _Question:
    """The questions to one kernel: on its shell channel, and on each of its subshells."""

    context: zmq.Context[zmq.Socket[bytes]]
    poller: zmq.Poller
    connection: Mapping[str, Any]
    with_subshells: bool
    id: str = ""
    #: Whether anything has come from the kernel.
    is_kernel_alive: bool = False
    _open: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._client = Connection(self.context, self.connection)
        self._sockets: dict[str, Any] = {}
        self.id = self._ask("shell", QUESTION)

    def ask_whether_it_has_started(self) -> None:
        """Most kernels answer on the control channel in the middle of a cell."""
        self._send("control", QUESTION)

    def _ask(self, channel: str, message_type: str, **header: str) -> str:
        """Sends a request whose answer is waited for; returns its id."""
        message_id = self._send(channel, message_type, **header)
        self._open.add(message_id)
        return message_id

    def _send(self, channel: str, message_type: str, **header: str) -> str:
        socket = self._sockets.get(channel)
        if socket is None:
            connect = getattr(self._client, f"connect_{channel}")
            socket = self._sockets[channel] = connect()
            self.poller.register(socket, zmq.POLLIN)
        session = self._client.session
        message = session.msg(message_type)
        message["header"].update(header)
        session.send(socket, message)
        message_id: str = message["header"]["msg_id"]
        return message_id

    def is_answered_by(self, ready: Mapping[Any, int]) -> bool:
        """Takes the answers that have come; returns whether none is missing."""
        for socket in list(self._sockets.values()):
            if socket in ready:
                _, message = self._client.session.recv(socket)
                if message is not None:
                    self.is_kernel_alive = True
                    self._take(message)
        return not self._open

    def _take(self, message: Mapping[str, Any]) -> None:
        question_id = message["parent_header"].get("msg_id")
        if question_id not in self._open:
            return
        self._open.discard(question_id)
        content = message["content"]
        features = content.get("supported_features") or ()
        if question_id == self.id and self.with_subshells and "kernel subshells" in features:
            self._ask("control", "list_subshell_request")
        for subshell_id in content.get("subshell_id") or ():
            self._ask("shell", QUESTION, subshell_id=subshell_id)

    def close(self) -> None:
        """Closes its sockets."""
        for socket in self._sockets.values():
            socket.close(linger=0)
