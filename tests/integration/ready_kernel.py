"""A kernel for tests."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyter_server.serverapp import ServerApp


async def ready_kernel(server: ServerApp) -> tuple[str, Any]:
    """A kernel that is up and that its server hears: its id, and a client of it.

    A server subscribes to a kernel's messages while the kernel starts. On a busy machine it may
    miss all that the kernel says by itself. So the kernel is asked until the server hears the
    answer.
    """
    manager: Any = server.kernel_manager
    kernel_id = str(await manager.start_kernel(kernel_name="python3"))
    kernel = manager.get_kernel(kernel_id)
    client = kernel.client()
    client.start_channels()
    await client.wait_for_ready(timeout=180)
    while kernel.execution_state != "idle":
        client.kernel_info()
        await asyncio.sleep(0.1)
    return kernel_id, client
