"""The cost of loading the extension into a server, in a process of its own: ``... load CLASSIC``.

The server is initialized first, without it; then the extension is loaded as the server would, and
builds its parts on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import sys
import time
from pathlib import Path

from jupyter_server.serverapp import ServerApp


def resident() -> float:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def load() -> dict[str, float]:
    """Seconds and bytes."""
    server = ServerApp.instance()
    extensions = "{'sagemaker_autoshutdown': False}"
    arguments = ["--allow-root", "--no-browser", f"--ServerApp.jpserver_extensions={extensions}"]
    server.initialize(arguments, new_httpserver=False)
    assert "sagemaker_autoshutdown" not in sys.modules
    before, begun, begun_cpu = resident(), time.perf_counter(), time.process_time()
    from sagemaker_autoshutdown.app import load as load_extension

    running = load_extension(server)
    assert running is not None
    loaded = time.perf_counter() - begun, time.process_time() - begun_cpu
    held = asyncio.ensure_future(longest_hold())
    await running.served.get()
    held.cancel()
    return {
        "seconds": loaded[0],
        "cpu": loaded[1],
        "cpu_later": time.process_time() - begun_cpu - loaded[1],
        "held_later": await held,
        "bytes": resident() - before,
    }


async def longest_hold() -> float:
    """The longest time that the loop takes to come round, in seconds, until it is cancelled."""
    longest = 0.0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - begun)
    return longest


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(load())) + "\n")
