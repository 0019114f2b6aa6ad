"""What loading the extension adds to a server, in a process of its own: ``... load CLASSIC``.

The server is initialized first, without it; then the extension is loaded as the server would.
"""

from __future__ import annotations

import asyncio
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

    load_extension(server)
    return {
        "seconds": time.perf_counter() - begun,
        "cpu": time.process_time() - begun_cpu,
        "bytes": resident() - before,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(load())) + "\n")
