"""A real kernel without IPython, for scenes with more kernels than fit on a developer's machine:
``... small_kernel CONNECTION_FILE``.

It answers ``kernel_info_request`` and beats its heart, and takes a fifth of ipykernel's memory.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import zmq

SESSION = uuid.uuid4().hex
INFO = {
    "status": "ok",
    "protocol_version": "5.3",
    "implementation": "small",
    "implementation_version": "1",
    "language_info": {"name": "none", "version": "1", "mimetype": "", "file_extension": ""},
    "banner": "",
}


def serve(connection: dict[str, Any]) -> None:
    """Answers until it is killed."""
    context = zmq.Context()
    address = f"tcp://{connection['ip']}:"

    def bound(kind: int, channel: str) -> zmq.Socket[bytes]:
        made = context.socket(kind)
        made.bind(address + str(connection[f"{channel}_port"]))
        return made

    output = bound(zmq.PUB, "iopub")
    inputs = {bound(zmq.ROUTER, each): each for each in ("shell", "control", "stdin")}
    heart = bound(zmq.REP, "hb")
    poller = zmq.Poller()
    for each in (*inputs, heart):
        poller.register(each, zmq.POLLIN)

    def message(kind: str, parent: bytes, content: dict[str, Any]) -> list[bytes]:
        header = {
            "msg_id": uuid.uuid4().hex,
            "session": SESSION,
            "username": "kernel",
            "date": "2026-01-01T00:00:00.000000Z",
            "msg_type": kind,
            "version": "5.3",
        }
        frames = [json.dumps(header).encode(), parent, b"{}", json.dumps(content).encode()]
        signed = hmac.new(connection["key"].encode(), b"".join(frames), hashlib.sha256)
        return [b"<IDS|MSG>", signed.hexdigest().encode(), *frames]

    def tell(state: str, parent: bytes) -> None:
        output.send_multipart([b"status", *message("status", parent, {"execution_state": state})])

    tell("starting", b"{}")
    while True:
        for asked, _ in poller.poll():
            frames = asked.recv_multipart()
            if asked is heart:
                heart.send_multipart(frames)
                continue
            at = frames.index(b"<IDS|MSG>")
            parent = frames[at + 2]
            if json.loads(parent)["msg_type"] == "kernel_info_request":
                tell("busy", parent)
                asked.send_multipart([*frames[:at], *message("kernel_info_reply", parent, INFO)])
                tell("idle", parent)


if __name__ == "__main__":
    serve(json.loads(Path(sys.argv[1]).read_text()))
