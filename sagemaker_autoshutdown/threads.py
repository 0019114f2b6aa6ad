"""Runs blocking work off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[[], T]) -> T:
    """The result of a blocking function, run in a daemon thread of its own.

    Not a pool: a call that hangs must hold up neither the others nor the end of the process.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.done():  # nobody waits any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as exception:
            error = exception
        try:
            loop.call_soon_threadsafe(finish, result, error)
        except RuntimeError:  # the server stopped meanwhile
            return

    Thread(target=run, name="sagemaker_autoshutdown", daemon=True).start()
    return await future
