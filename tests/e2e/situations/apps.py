"""Lines of the table about apps of Studio Classic, which its server sees only through the API."""

from __future__ import annotations

from itertools import count

from tests.e2e.conftest import SILENT_CELL, until
from tests.localstudio import KernelOverride

from .classic import Classic
from .people import notebook
from .table import CLASSIC, situation
from .world import Space

#: A cell that leaves threads behind.
_THREADS = """import hashlib, threading, time
def work():
    while True: {}
for _ in range({}): threading.Thread(target=work, daemon=True).start()"""
#: A cell during which its kernel answers everything but executions.
_ANSWERS_MEANWHILE = """import asyncio
kernel = get_ipython().kernel
cells, handle = [], kernel.shell_handlers["execute_request"]
async def later(*request): cells.append(request)
kernel.shell_handlers["execute_request"] = later
while True:
    while not kernel.msg_queue.empty():
        _, dispatch, request = kernel.msg_queue.get_nowait()
        await dispatch(*request)
    await asyncio.sleep(0.1)
"""


def _classic(here: Space) -> Classic:
    assert isinstance(here, Classic)
    return here


@situation("an app that nobody has used", in_use=False, on=(CLASSIC,))
def _(here: Space) -> None:
    pass


# -- terminals


@situation("somebody who types into a terminal of an app", in_use=True, only=(CLASSIC,))
def _(here: Space) -> None:
    terminal = here.terminal()
    here.again_and_again(lambda: here.type(terminal, "true"), 4)


@situation(
    "a terminal of an app in which nothing was typed for long", in_use=False, only=(CLASSIC,)
)
def _(here: Space) -> None:
    here.type(here.terminal(), "true")


@situation("a terminal that tells no time", in_use=True, only=(CLASSIC,))
def _(here: Space) -> None:
    _classic(here).terminal(tells_time=False)


@situation(
    "a terminal that tells no time, for longer than the admin allows",
    in_use=False,
    only=(CLASSIC,),
    max_busy_time=15,
)
def _(here: Space) -> None:
    _classic(here).terminal(tells_time=False)


# -- kernels that are asked before the shutdown


@situation(
    "an idle kernel of which one answer is lost", in_use=False, in_sample=True, only=(CLASSIC,)
)
def _(here: Space) -> None:
    here.run(here.kernel(), "1")
    _classic(here).lose_answers(here.app_name, times=1)


# -- processes of kernels, which are out of sight: their kernels tell what CPU they use


# On a busy machine they get too little of a CPU to count, so there are several, and less counts.


@situation(
    "threads that work in an app's idle kernel",
    in_use=True,
    only=(CLASSIC,),
    work_cpu_percent=1,
)
def _(here: Space) -> None:
    here.run(here.kernel(), _THREADS.format("hashlib.sha256(bytes(10**7))", 4))


@situation(
    "programs that an app's kernel left at work",
    in_use=True,
    only=(CLASSIC,),
    work_cpu_percent=1,
)
def _(here: Space) -> None:
    start = "subprocess.Popen([sys.executable, '-c', 'while True: pass'])"
    here.run(here.kernel(), f"import subprocess, sys; jobs = [{start} for _ in range(3)]")


@situation("a thread that only beats in an app's idle kernel", in_use=False, only=(CLASSIC,))
def _(here: Space) -> None:
    here.run(here.kernel(), _THREADS.format("time.sleep(0.1)", 1))


@situation("a kernel that never answers", in_use=True, only=(CLASSIC,))
def _(here: Space) -> None:
    kernel = here.kernel()

    def is_heard() -> bool:
        # A kernel that its server has never heard, and that never answers, has hung in its start.
        here.run(kernel, "1")
        return any(model["execution_state"] == "idle" for model in here.kernels())

    until(is_heard, "the server hears the kernel")
    _classic(here).lose_answers(here.app_name)


@situation(
    "a kernel that never answers, for longer than the admin allows",
    in_use=False,
    only=(CLASSIC,),
    max_busy_time=15,
)
def _(here: Space) -> None:
    here.run(here.kernel(), "1")
    _classic(here).lose_answers(here.app_name)


@situation("an idle kernel in a state that nobody knows", in_use=False, only=(CLASSIC,))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "1")
    here.studio.override_kernels(KernelOverride(kernel, changes={"execution_state": "unknown"}))


@situation("a silent cell in a kernel in a state that nobody knows", in_use=True, only=(CLASSIC,))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, SILENT_CELL, wait=False)
    here.studio.override_kernels(KernelOverride(kernel, changes={"execution_state": "unknown"}))


def _seems(here: Space, kernel: str, state: str) -> None:
    here.studio.override_kernels(KernelOverride(kernel, changes={"execution_state": state}))


@situation("an idle kernel that seems to start", in_use=False, only=(CLASSIC,))
def _(here: Space) -> None:
    _seems(here, here.kernel(), "starting")


@situation("a silent cell in a kernel that seems to start", in_use=True, only=(CLASSIC,))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, SILENT_CELL, wait=False)
    _seems(here, kernel, "starting")


@situation("a kernel that hangs in its start", in_use=False, only=(CLASSIC,))
def _(here: Space) -> None:
    _seems(here, here.kernel(), "starting")
    _classic(here).lose_answers(here.app_name)


@situation("an idle kernel whose gateway missed the end of its cell", in_use=False, only=(CLASSIC,))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "1")
    _seems(here, kernel, "busy")


@situation(
    "a cell that lets its app's kernel answer others meanwhile", in_use=True, only=(CLASSIC,)
)
def _(here: Space) -> None:
    # As jupyter_ui_poll does. While a kernel starts, its gateway asks it again and again, and takes
    # an answer in the middle of the cell for its end.
    kernel = here.kernel()
    here.run(kernel, "1")
    here.run(kernel, _ANSWERS_MEANWHILE, wait=False)


@situation("an idle app, and another whose kernel never answers", in_use=False, only=(CLASSIC,))
def _(here: Space) -> None:
    classic = _classic(here)
    other = classic.another_app()
    here.studio.start_kernel(other)
    classic.lose_answers(other.name)
    here.run(here.kernel(), "1")


# -- documents


@situation("somebody who edits the notebook of an app's kernel", in_use=True, only=(CLASSIC,))
def _(here: Space) -> None:
    here.kernel("a.ipynb")
    numbers = count()

    def save() -> None:
        here.request("PUT", "api/contents/a.ipynb", notebook(source=f"x = {next(numbers)}"))

    here.again_and_again(save, 3)


@situation("somebody who edits the notebook of another app's kernel", in_use=False, only=(CLASSIC,))
def _(here: Space) -> None:
    here.kernel("a.ipynb")
    here.studio.start_kernel(_classic(here).another_app(), path="b.ipynb")
    numbers = count()

    def save() -> None:
        here.request("PUT", "api/contents/b.ipynb", notebook(source=f"x = {next(numbers)}"))

    here.again_and_again(save, 3)
