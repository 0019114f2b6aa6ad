"""A kernel's messages with and without our listening, as a client of the same server gets them.

A process of its own for each run, so that nothing is left of the last one. Prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from sagemaker_autoshutdown.activity.kernel_requests import KernelRequests, listen
from sagemaker_autoshutdown.clock import from_iso

MESSAGES = 10_000
#: Small messages, some thousand a second: as fast as a server keeps up with, so that delays are
#: those of single messages and not of a queue.
CELL = f"""
import time
session, parent = get_ipython().kernel.session, get_ipython().kernel.get_parent("shell")
socket = get_ipython().kernel.iopub_socket
for count in range({MESSAGES}):
    session.send(socket, "display_data", {{"data": {{}}, "metadata": {{}}}}, parent=parent)
    time.sleep(0.0005)
"""


async def measure(*, listening: bool) -> dict[str, float]:
    """One kernel, one client, 10,000 messages; seconds."""
    manager: Any = AsyncMappingKernelManager()
    requests = KernelRequests()
    if listening:
        listen(manager, requests)
    kernel_id = await manager.start_kernel(kernel_name="python3")
    client = manager.get_kernel(kernel_id).client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    delays: list[float] = []
    done = asyncio.Event()
    # As a websocket's handler does: a stream of its own on the server's event loop.
    stream = manager.connect_iopub(kernel_id)
    session = client.session

    def hear(message: list[bytes]) -> None:
        _, frames = session.feed_identities(message)
        header = json.loads(frames[1])
        if header["msg_type"] == "display_data":
            delays.append(time.time() - from_iso(header["date"]).timestamp())
        elif header["msg_type"] == "status" and len(delays) >= MESSAGES:
            done.set()

    stream.on_recv(hear)
    await asyncio.sleep(1)  # until it is subscribed
    cpu, begun = time.process_time(), time.perf_counter()
    client.execute(CELL)
    await asyncio.wait_for(done.wait(), 300)
    took = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - begun}
    stream.close()
    client.stop_channels()
    await manager.shutdown_kernel(kernel_id, now=True)
    delays.sort()
    return {
        **took,
        "median": statistics.median(delays),
        "p99": delays[len(delays) * 99 // 100],
    }


if __name__ == "__main__":
    result = asyncio.run(measure(listening=sys.argv[1:] == ["listening"]))
    sys.stdout.write(json.dumps(result) + "\n")
