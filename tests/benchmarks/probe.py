"""Measures work on an event loop: how long it blocks the loop, and its CPU time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from asyncio import events
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

#: Between two beats of the heart, in seconds.
BEAT = 0.001
#: Seconds after which work that was handed to a thread has ended.
SETTLED = 0.05


@dataclass
class Cost:
    """Of one piece of work, in seconds.

    ``stall`` is the longest that one callback held the loop, ``stall_cpu`` the most CPU time that
    one took (on a machine that others use, the part that is its own), ``held`` all callbacks
    together and ``held_cpu`` their CPU time, ``cpu`` the process's CPU time (all threads), ``lag``
    how late the latest heartbeat was, which also shows other threads that hold the interpreter;
    ``wall`` from begin to end.
    """

    stall: float = 0.0
    stall_cpu: float = 0.0
    held: float = 0.0
    held_cpu: float = 0.0
    cpu: float = 0.0
    lag: float = 0.0
    wall: float = 0.0


@dataclass
class Costs:
    """Of the same work, done again and again."""

    each: list[Cost] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"each": [asdict(cost) for cost in self.each]}


@contextlib.contextmanager
def timed_callbacks(cost: Cost) -> Iterator[None]:
    """Time each callback of the event loop, one by one."""
    original = events.Handle._run

    def run(handle: Any) -> None:
        begun, begun_cpu = time.perf_counter(), time.thread_time()
        original(handle)
        took_cpu = time.thread_time() - begun_cpu
        took = time.perf_counter() - begun
        cost.stall_cpu = max(cost.stall_cpu, took_cpu)
        cost.held += took
        cost.held_cpu += took_cpu
        cost.stall = max(cost.stall, took)

    events.Handle._run = run  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        events.Handle._run = original  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def heartbeat(cost: Cost) -> AsyncIterator[None]:
    """Note how late a timer of the loop is at worst."""

    async def beat() -> None:
        while True:
            due = time.perf_counter() + BEAT
            await asyncio.sleep(BEAT)
            cost.lag = max(cost.lag, time.perf_counter() - due)

    task = asyncio.ensure_future(beat())
    try:
        yield
    finally:
        task.cancel()


async def measure(
    work: Callable[[], Awaitable[Any]],
    times: int,
    pause: float = SETTLED,
    warm_up: int = 3,
    beats: int | None = None,
) -> Costs:
    """Does it this many times, after a pause each: for callbacks and CPU alone, then ``beats``
    times (by default as often) with a heartbeat."""
    for _ in range(warm_up):
        await asyncio.sleep(pause)
        await work()
    costs = Costs()
    for _ in range(times):
        await asyncio.sleep(pause)
        cost = Cost()
        cpu, wall = time.process_time(), time.perf_counter()
        with timed_callbacks(cost):
            await work()
        cost.wall = time.perf_counter() - wall
        # Work handed to a thread (the ledger's) belongs to it.
        await asyncio.sleep(SETTLED)
        cost.cpu = time.process_time() - cpu
        costs.each.append(cost)
    for cost in costs.each[:beats]:
        await asyncio.sleep(pause)
        async with heartbeat(cost):
            await work()
    return costs
