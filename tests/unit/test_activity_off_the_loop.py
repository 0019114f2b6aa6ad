"""F21: reading many processes does not block the server's event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

from sagemaker_autoshutdown.activity.jupyter import Models
from sagemaker_autoshutdown.activity.kernel_requests import KernelUse
from sagemaker_autoshutdown.activity.process_table import Process
from sagemaker_autoshutdown.activity.reader import ActivityReader
from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.hosts.space import SpaceAdapter

from ..machine import SERVER, Machine
from ..virtual import SPACE, Jupyter, kernel_model
from ..worlds import START, app

KERNELS, CHILDREN = 100, 200


class Busy(Jupyter):
    """A server with many kernels on this machine."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel_models = [kernel_model("a", id=f"k{n}") for n in range(KERNELS)]
        self.on_this_machine = {("kernel", f"k{n}"): 100 + n for n in range(KERNELS)}


async def test_f21_100_kernels_with_200_children_are_looked_at_off_the_event_loop() -> None:
    went_on = threading.Event()

    class Slow(Machine):
        def read(self) -> dict[int, Process]:
            # Waits for the loop: on the loop's own thread it would wait for ever.
            assert went_on.wait(60), "the event loop was held up"
            return super().read()

    machine = Slow()
    for n in range(KERNELS):
        machine.add(100 + n, SERVER)
    for n in range(CHILDREN):
        machine.add(1000 + n, 100 + n % KERNELS)
    reader = ActivityReader(Busy(), SpaceAdapter(SPACE, Aws("us-east-2")), machine.jobs)
    asyncio.get_running_loop().call_later(0.05, went_on.set)
    reading = await reader.read((app("a"),), START)
    assert (reading.error, reading.notes) == ("", ())
    assert len(reading.work) == KERNELS


async def test_f21_the_loop_gets_its_turn_between_the_steps_that_take_long() -> None:
    """All of them at once held it for several milliseconds with 100 kernels."""
    turns = 0
    steps: dict[str, int] = {}

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    class Noting(Busy):
        async def kernels(self) -> Models:
            steps["kernels"] = turns
            return await super().kernels()

        async def sessions(self, *, names_needed: bool) -> Models | None:
            steps["sessions"] = turns
            return await super().sessions(names_needed=names_needed)

        def processes(self) -> Mapping[tuple[str, str], int]:
            steps["processes"] = turns
            return super().processes()

        def use_of(self, kernel_id: str) -> KernelUse | None:
            steps[kernel_id] = turns
            return super().use_of(kernel_id)

    machine = Machine()
    reader = ActivityReader(Noting(), SpaceAdapter(SPACE, Aws("us-east-2")), machine.jobs)
    task = asyncio.ensure_future(others())
    await reader.read((app("a"),), START)
    task.cancel()
    # The last to ask what a kernel does is the search for processes.
    assert steps["kernels"] < steps["sessions"] < steps["processes"] < steps["k0"]
