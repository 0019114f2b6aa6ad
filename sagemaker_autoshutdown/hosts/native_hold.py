"""Holds off Studio's own idle shutdown while something here holds the app.

Studio reads kernels' timestamps, which do not move during a silent cell, and a file in which any
program of the app may write when it was last active. Only a living server writes the file: when the
server ends, so does the hold. This module owns when and how the file is written, and nothing else
of Studio's own idle shutdown.
"""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import datetime, timezone
from pathlib import Path

from ..listeners import Check, Listener
from ..model import State
from ..threads import in_thread

#: Where Studio's own idle shutdown looks (SageMaker Distribution's documentation).
TIMESTAMP_FILE = "/tmp/.sagemaker-last-active-timestamp"  # noqa: S108 - SageMaker's
#: States in which the app must stay up. For all others, the kernels' timestamps are enough.
HOLDING = frozenset({State.BUSY, State.KEPT, State.UNKNOWN})


class NativeHold(Listener):
    """Writes into the file, at each check, that the app is active while it must stay up."""

    def __init__(self, log: logging.Logger, path: Path = Path(TIMESTAMP_FILE)) -> None:
        self._log = log
        self._path = path
        self._failure = ""
        self._writing: asyncio.Future[None] | None = None

    def on_check(self, check: Check) -> None:
        """Writes the file if something holds the app. Returns at once."""
        is_at_work = self._writing is not None and not self._writing.done()
        if not is_at_work and any(verdict.state in HOLDING for verdict in check.verdicts):
            self._writing = asyncio.ensure_future(self._write(check.at))

    async def _write(self, at: datetime) -> None:
        try:
            await in_thread(lambda: write_timestamp(self._path, at))
        except OSError as error:
            if str(error) != self._failure:
                self._log.warning(
                    "sagemaker_autoshutdown: Studio's own idle shutdown can't be kept off: %s",
                    error,
                )
            self._failure = str(error)
        else:
            self._failure = ""


def write_timestamp(path: Path, at: datetime) -> None:
    """Writes a time in the only form that is read: UTC, with a fraction of six digits.

    The file is never empty meanwhile, because every time has the same length. Raises ``OSError``; a
    symbolic link is not followed.
    """
    text = at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(file, text, 0)
        os.ftruncate(file, len(text))
    finally:
        os.close(file)
