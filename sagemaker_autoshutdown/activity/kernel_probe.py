"""Asks a kernel whether it is as idle as its server says.

A gateway older than jupyter_server 2.15 takes the last status message of a kernel for its state,
whatever the message answers. A kernel also answers on its control channel while a cell runs, so a
debugger's question, which JupyterLab asks whenever a notebook's tab is shown, leaves such a gateway
with `idle` for as long as the cell goes on. Requests on the shell channel wait for the cell. So
what does not answer there runs one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

#: Seconds that a kernel has for its answer; an idle one takes milliseconds.
PATIENCE = 10.0
#: Seconds after an answer in which the gateway takes note of it as well.
SETTLES = 0.2

#: Seconds after which the question is put again: jupyter_server 1.x, between client and gateway,
#: loses what comes before its own connection stands.
AGAIN = 2.0

QUESTION = "kernel_info_request"


class Answer(Enum):
    """What asking a kernel told."""

    #: It waits for work.
    IDLE = "idle"
    #: It answered, and somebody else uses it just now.
    USED = "used"
    #: It does not answer: a cell runs.
    SILENT = "silent"
    #: The connection broke, so it may or may not be at work.
    UNKNOWN = "unknown"
    #: The server lets nobody ask, so what it says has to do.
    REFUSED = "refused"


async def ask(channels: HTTPRequest, patience: float) -> Answer:
    """Ask the kernel behind ``channels``, its websocket. Takes ``patience`` seconds at most, and
    raises nothing."""
    connecting = asyncio.ensure_future(websocket_connect(channels))
    asking = asyncio.ensure_future(_ask(connecting))
    try:
        await asyncio.wait({asking}, timeout=patience)
        if not asking.done():
            return Answer.SILENT
        answer = asking.result()
        if answer is Answer.IDLE:
            await asyncio.sleep(SETTLES)
        return answer
    except HTTPClientError as error:
        return Answer.REFUSED if 400 <= error.code < 500 else Answer.UNKNOWN
    except Exception:  # the network, or what is no message
        return Answer.UNKNOWN
    finally:
        asking.cancel()
        # It may come to be open later.
        connecting.add_done_callback(_close)


async def _ask(connecting: asyncio.Future[WebSocketClientConnection]) -> Answer:
    connection = await asyncio.shield(connecting)
    question = _question()
    putting = asyncio.ensure_future(_put(connection, json.dumps(question)))
    try:
        return await _answer(connection, question["header"]["msg_id"])
    finally:
        putting.cancel()


async def _put(connection: WebSocketClientConnection, question: str) -> None:
    with contextlib.suppress(WebSocketClosedError):  # whoever waits for the answer sees it too
        while True:
            await connection.write_message(question)
            await asyncio.sleep(AGAIN)


async def _answer(connection: WebSocketClientConnection, question_id: str) -> Answer:
    used = False
    while (raw := await connection.read_message()) is not None:
        message = json.loads(raw)
        parent = message["parent_header"]
        if parent.get("msg_id") == question_id:
            if message["content"].get("execution_state") == "idle":
                return Answer.USED if used else Answer.IDLE
        elif message.get("channel") == "iopub" and parent.get("msg_type") != QUESTION:
            used = True
    return Answer.UNKNOWN


def _question() -> dict[str, Any]:
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": QUESTION,
        "session": uuid.uuid4().hex,
        "username": "",
        "date": datetime.now(timezone.utc).isoformat(),
        "version": "5.3",
    }
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": {},
        "buffers": [],
        "channel": "shell",
    }


def _close(connecting: asyncio.Future[WebSocketClientConnection]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()
