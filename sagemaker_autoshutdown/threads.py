"""Runs blocking work off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

#: The number of threads that wait for more work when they have none.
MOST_IDLE = 2
_Job = Callable[[], None]
#: What idle threads wait for. A thread that works is not here.
_idle: list[SimpleQueue[_Job]] = []


async def in_thread(function: Callable[[], T]) -> T:
    """The result of a blocking function, run in a daemon thread.

    Each call has a thread to itself while it runs: a call that hangs must hold up neither the
    others nor the end of the process. A thread that is done waits for the next call, because a new
    one takes the event loop's time: it waits until the new thread runs.
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

    try:
        jobs = _idle.pop()
    except IndexError:
        jobs = SimpleQueue()
        Thread(target=_work, args=(jobs,), name="sagemaker_autoshutdown", daemon=True).start()
    jobs.put(run)
    return await future


def _work(jobs: SimpleQueue[_Job]) -> None:
    while True:
        job = jobs.get()
        job()
        del job  # or it would live on, with all that it holds
        if len(_idle) >= MOST_IDLE:
            return
        _idle.append(jobs)
