"""A stand-in for a kernel gateway with any number of kernels, which are no processes.

    python -m tests.benchmarks.gateway '{"kernels": [...]}'

Each kernel is ``{"id", "app_name", "instance_type", "busy_until", "is_silent"}``; it is busy until
that time (seconds since the epoch), and idle from then on. It answers questions, unless it is
silent. Prints its port.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import datetime, timezone
from typing import Any

from tornado import web, websocket
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

IMAGE = "arn:aws:sagemaker:us-east-2:429704687514:image/datascience-1.0"
SPEC = f"python3__SAGEMAKER_INTERNAL__{IMAGE}"


def model(kernel: dict[str, Any], now: float) -> dict[str, Any]:
    """The kernel as Studio shows it."""
    busy_until = kernel.get("busy_until", 0.0)
    last = datetime.fromtimestamp(min(busy_until, now) or now - 600, timezone.utc)
    return {
        "id": kernel["id"],
        "name": SPEC,
        "last_activity": f"{last:%Y-%m-%dT%H:%M:%S.%f}Z",
        "execution_state": "busy" if now < busy_until else "idle",
        "connections": 1,
        "app_name": kernel["app_name"],
        "instance_type": kernel["instance_type"],
    }


def answers(request: dict[str, Any]) -> list[dict[str, Any]]:
    """What an idle kernel sends to a question."""
    header, channel = request["header"], request["channel"]
    reply_type = header["msg_type"].replace("_request", "_reply")
    sent = [
        ("iopub", "status", {"execution_state": "busy"}),
        (channel, reply_type, {"status": "ok", "kernel_cpu": 0.0}),
        ("iopub", "status", {"execution_state": "idle"}),
    ]
    return [
        {
            "channel": each_channel,
            "header": {"msg_type": message_type},
            "parent_header": header,
            "content": content,
        }
        for each_channel, message_type, content in sent
    ]


async def serve(kernels: list[dict[str, Any]]) -> None:
    """Answers until the input ends."""
    by_id = {kernel["id"]: kernel for kernel in kernels}
    unstarted = list(kernels)

    class Kernels(web.RequestHandler):
        def get(self) -> None:
            now = time.time()
            self.finish(json.dumps([model(kernel, now) for kernel in kernels]))

        def post(self) -> None:
            self.set_status(201)
            self.finish(model(unstarted.pop(0), time.time()))

    class Kernel(web.RequestHandler):
        def get(self, kernel_id: str) -> None:
            if kernel_id not in by_id:
                raise web.HTTPError(404)
            self.finish(model(by_id[kernel_id], time.time()))

    class Channels(websocket.WebSocketHandler):
        def open(self, kernel_id: str) -> None:
            self.is_silent = by_id[kernel_id].get("is_silent", False)

        def on_message(self, message: str | bytes) -> None:
            if not self.is_silent:
                for answer in answers(json.loads(message)):
                    self.write_message(answer)

    class Specs(web.RequestHandler):
        def get(self) -> None:
            spec = {"argv": [], "display_name": "Python 3", "language": "python", "env": {}}
            named = {"name": SPEC, "spec": spec, "resources": {}}
            self.finish({"default": SPEC, "kernelspecs": {SPEC: named}})

    server = HTTPServer(
        web.Application(
            [
                (r"/api/kernels", Kernels),
                (r"/api/kernels/([\w-]+)", Kernel),
                (r"/api/kernels/([\w-]+)/channels", Channels),
                (r"/api/kernelspecs", Specs),
            ]
        )
    )
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    sys.stdout.write(f"{sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])["kernels"]))
