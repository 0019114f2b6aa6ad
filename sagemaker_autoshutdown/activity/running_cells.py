"""Which kernels of this server run a cell, by the kernels' own words.

Before 2.15, jupyter_server takes the last status message of a kernel for its state, whatever the
message answers. But a kernel also answers on its control channel while a cell runs: a debugger's
question, asked whenever a notebook's tab is shown, or a client that connects, leaves such a server
with `idle` for as long as the cell goes on. So here a cell runs until the kernel says that it is
done with that very request. Servers that tell requests apart themselves are left alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from typing import Any

log = logging.getLogger(__name__)

#: What stands before the signature of every message of Jupyter's protocol.
DELIMITER = b"<IDS|MSG>"


class RunningCells:
    """Listens to what a kernel manager hears from its kernels, for as long as it lives."""

    def __init__(self, manager: Any) -> None:
        self._requests: dict[str, str] = {}
        watch = getattr(manager, "start_watching_activity", None)
        if watch is None or hasattr(manager, "track_message_type"):
            return

        def start_watching_activity(kernel_id: str) -> None:
            watch(kernel_id)
            self._listen(kernel_id, manager.get_kernel(kernel_id))

        manager.start_watching_activity = start_watching_activity

    def running_in(self, kernel_id: str) -> bool:
        """Whether the kernel has begun a cell and not said that it is done with it."""
        return kernel_id in self._requests

    def forget_all_but(self, kernel_ids: Collection[str]) -> None:
        """Forget kernels that are gone: one killed in a cell never says that it is done."""
        for kernel_id in self._requests.keys() - set(kernel_ids):
            del self._requests[kernel_id]

    def hear(self, kernel_id: str, message: list[bytes]) -> None:
        """Take note of a message from the kernel's IOPub channel, in its parts as on the wire."""
        frames = message[message.index(DELIMITER) + 2 :]
        if json.loads(frames[0])["msg_type"] != "status":
            return
        parent, state = json.loads(frames[1]), json.loads(frames[3])["execution_state"]
        if state == "busy" and parent.get("msg_type") == "execute_request":
            # One at a time: a request that was never done with (a restart) is forgotten here.
            self._requests[kernel_id] = parent["msg_id"]
        elif state == "starting" or (
            state != "busy" and self._requests.get(kernel_id) == parent.get("msg_id")
        ):
            self._requests.pop(kernel_id, None)

    def _listen(self, kernel_id: str, kernel: Any) -> None:
        self._requests.pop(kernel_id, None)
        # These servers offer no other way in; their code does not change any more.
        stream = getattr(kernel, "_activity_stream", None)
        record: Callable[[list[bytes]], None] | None = getattr(stream, "_recv_callback", None)
        if stream is None or record is None:
            log.debug("what kernel %s says can't be heard", kernel_id)
            return

        def hear_too(message: list[bytes]) -> None:
            try:
                self.hear(kernel_id, message)
            except (ValueError, KeyError, IndexError, TypeError) as error:
                log.debug("a message of kernel %s can't be read: %s", kernel_id, error)
            record(message)

        stream.on_recv(hear_too)
