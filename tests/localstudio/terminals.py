"""Image terminals: real shells on real terminals, each part of a KernelGateway app."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .processes import Process

#: How many bytes of a terminal's output are kept.
KEPT = 64 * 1024


class Terminal:
    """A shell in an app, under Studio's name for it. Make one with `Terminal.start`."""

    def __init__(self, name: str, process: Process, master: int, shows_activity: bool) -> None:
        self.name = name
        self.process = process
        self.last_activity = datetime.now(timezone.utc)
        #: Whether ``api/terminals`` shows ``last_activity``; Studio does not always.
        self.shows_activity = shows_activity
        self.output = b""
        self._master = master
        asyncio.get_running_loop().add_reader(master, self._read)

    @classmethod
    async def start(
        cls,
        name: str,
        *,
        env: Mapping[str, str],
        cwd: Path,
        log_path: Path,
        shows_activity: bool = True,
    ) -> Terminal:
        """Open a terminal with a shell in it."""
        master, slave = pty.openpty()
        os.set_blocking(master, False)
        try:
            process = await Process.start(
                ["/bin/sh", "-i"],
                env={**env, "TERM": "xterm", "PS1": "$ "},
                cwd=cwd,
                log_path=log_path,
                tty=slave,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return cls(name, process, master, shows_activity)

    @property
    def model(self) -> dict[str, Any]:
        """Its model in ``GET api/terminals``."""
        model = {"name": self.name}
        if self.shows_activity:
            model["last_activity"] = f"{self.last_activity:%Y-%m-%dT%H:%M:%S.%f}Z"
        return model

    def write(self, text: str) -> None:
        """Type something; a command ends with a line feed."""
        self.last_activity = datetime.now(timezone.utc)
        os.write(self._master, text.encode())

    async def close(self) -> None:
        """Closes the terminal: the shell and its descendants end."""
        with contextlib.suppress(OSError, ValueError):
            asyncio.get_running_loop().remove_reader(self._master)
        await self.process.stop(0.0)
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _read(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        except OSError:
            # Nobody has the other end any more (EIO on Linux): the shell is gone.
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
            return
        self.last_activity = datetime.now(timezone.utc)
        self.output = (self.output + data)[-KEPT:]
