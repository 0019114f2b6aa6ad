"""Lines of the table about kernels: their work, who asks them, and who started them."""

from __future__ import annotations

import json
import time
from itertools import cycle
from pathlib import Path

from tests.e2e.conftest import SILENT_CELL, until

from .people import notebook
from .table import CLASSIC, SMD_1, SMD_2, SMD_4, situation
from .world import Space

#: As papermill and nbclient do: a kernel of its own, and a cell in it.
RUNNER = """
import pathlib, sys, time
from jupyter_client.manager import KernelManager
{start}
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready()
client.execute_interactive("1")
pathlib.Path(sys.argv[1]).touch()
{then}
time.sleep(1000)
"""
#: As ``jupyter console --existing`` does.
CONSOLE = """
import pathlib, sys, time
from jupyter_client import BlockingKernelClient
client = BlockingKernelClient(connection_file=sys.argv[1])
client.load_connection_file()
client.start_channels()
client.wait_for_ready()
message = client.session.msg("execute_request", {"code": sys.argv[2], "silent": False})
if sys.argv[3:]:
    client.control_channel.send(client.session.msg("create_subshell_request"))
    reply = client.get_control_msg(timeout=10)
    message["header"]["subshell_id"] = reply["content"]["subshell_id"]
client.shell_channel.send(message)
pathlib.Path("sent").touch()
time.sleep(1000)
"""

#: A kernel's program.
NEVER_IDLE = """
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

class NeverIdle(IPythonKernel):
    def _publish_status(self, status, *more, **named):
        if status != "idle":
            super()._publish_status(status, *more, **named)

IPKernelApp.launch_instance(kernel_class=NeverIdle)
"""


def _never_idle(here: Space) -> str:
    """A kernel of a kind that says when it begins, and never when it is done."""
    folder = Path(here.launch.env["JUPYTER_DATA_DIR"]) / "kernels" / "never-idle"
    folder.mkdir(parents=True)
    command = [*here.python(NEVER_IDLE, "never_idle.py"), "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "never idle", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    return str(here.request("POST", "api/kernels", {"name": "never-idle"})["id"])


def _comm_opened(here: Space, kernel: str, handler: str, target: str = "slow") -> None:
    """Opens a comm whose handler in the kernel is ``handler``."""
    code = f"def opened(comm, message):\n    {handler}\n"
    code += f"get_ipython().kernel.comm_manager.register_target({target!r}, opened)"
    here.run(kernel, code)
    here.send(kernel, "comm_open", {"comm_id": "c", "target_name": target, "data": {}})


def send_from_console(here: Space, kernel: str, code: str, *options: str) -> None:
    """A console that is attached to a server's kernel, and has sent it a cell."""
    file = Path(here.launch.env["JUPYTER_RUNTIME_DIR"]) / f"kernel-{kernel}.json"
    here.start(*here.python(CONSOLE, "console.py"), str(file), code, *options)
    until((here.home / "sent").exists, "the console has sent its cell")


def _console(here: Space, code: str, *options: str) -> None:
    """The same with a kernel of the first server."""
    kernel = here.kernel()
    here.run(kernel, "1")
    send_from_console(here, kernel, code, *options)


def _another_program(here: Space, then: str, start: str = "manager = KernelManager()") -> None:
    """A program with a kernel of its own, which has run a cell when this returns."""
    ready = here.home / "ready"
    program = RUNNER.format(start=start, then=then)
    here.start(*here.python(program, "run_notebook.py"), str(ready))
    until(ready.exists, "the program has a kernel")


# -- what a kernel works on


@situation("a silent cell", in_use=True, in_sample=True, on=(SMD_1, CLASSIC))
def _(here: Space) -> None:
    here.run(here.kernel(), SILENT_CELL, wait=False)


@situation("an idle kernel", in_use=False, in_sample=True, on=(SMD_1, SMD_2, SMD_4, CLASSIC))
def _(here: Space) -> None:
    here.run(here.kernel(), "1")


@situation(
    "a subshell is asked for while a silent cell runs",
    in_use=True,
    in_sample=True,
    on=(SMD_1, SMD_2, SMD_4),
)
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, SILENT_CELL, wait=False)
    here.send(kernel, "create_subshell_request", {}, channel="control")


@situation("a thread that prints for ever in an idle kernel", in_use=False)
def _(here: Space) -> None:
    code = (
        "import threading, time\ndef tick():\n    while True: print(1, flush=True); time.sleep(1)\n"
    )
    here.run(here.kernel(), f"{code}threading.Thread(target=tick, daemon=True).start()")


@situation("a resource monitor asks while a silent cell runs", in_use=True, on=(SMD_2,))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, SILENT_CELL, wait=False)
    here.send(kernel, "usage_request", {}, channel="control")


@situation("a debugger asks while a silent cell runs", in_use=True, on=(SMD_1, CLASSIC))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, SILENT_CELL, wait=False)
    debug_info = {"type": "request", "seq": 1, "command": "debugInfo", "arguments": {}}
    here.send(kernel, "debug_request", debug_info, channel="control")


@situation(
    "a widget's handler at work", in_use=True, in_sample=True, on=(SMD_1, SMD_2, SMD_4, CLASSIC)
)
def _(here: Space) -> None:
    _comm_opened(here, here.kernel(), SILENT_CELL)


@situation("a widget whose handler has ended", in_use=False)
def _(here: Space) -> None:
    _comm_opened(here, here.kernel(), "pass")


@situation("a second silent cell after a first one", in_use=True, on=(SMD_2, CLASSIC))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "import time; time.sleep(5)", wait=False)
    here.send(kernel, "execute_request", {"code": SILENT_CELL, "silent": False})


@situation("a kernel at work outside of any request", in_use=True)
def _(here: Space) -> None:
    here.run(
        here.kernel(),
        "import asyncio, time\nasyncio.get_event_loop().call_later(0.5, time.sleep, 1000)",
    )


@situation("an async cell that waits", in_use=True)
def _(here: Space) -> None:
    here.run(here.kernel(), "import asyncio; await asyncio.sleep(1000)", wait=False)


@situation("a cell that waits for input", in_use=True, on=(SMD_1, CLASSIC))
def _(here: Space) -> None:
    cell = {"code": "input()", "silent": False, "store_history": True, "allow_stdin": True}
    here.send(here.kernel(), "execute_request", cell)


@situation("a cell that answers its widgets while it runs", in_use=True)
def _(here: Space) -> None:
    kernel = here.kernel()
    _comm_opened(here, kernel, "pass")
    here.run(kernel, "import asyncio; await asyncio.sleep(1000)", wait=False)
    here.send(kernel, "comm_open", {"comm_id": "d", "target_name": "slow", "data": {}})


@situation("a silent cell on a subshell", in_use=True, on=(SMD_4,))
def _(here: Space) -> None:
    _console(here, SILENT_CELL, "subshell")


@situation("a silent cell from a console that is attached to the kernel", in_use=True, on=(SMD_1,))
def _(here: Space) -> None:
    _console(here, SILENT_CELL)


@situation("a cell that fails, and those that waited for it", in_use=False)
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "import time; time.sleep(4); 1 / 0", wait=False)
    for _ in range(2):
        here.send(kernel, "execute_request", {"code": SILENT_CELL, "stop_on_error": True})


@situation("a kernel that nobody starts again, killed in a cell", in_use=False, on=(SMD_1,))
def _(here: Space) -> None:
    here.configure("c.KernelManager.autorestart = False")
    kernel = here.kernel()
    here.run(kernel, "import os, time; time.sleep(2); os.kill(os.getpid(), 9)", wait=False)


@situation("an idle kernel that was stopped by a signal", in_use=False)
def _(here: Space) -> None:
    kernel = here.kernel()
    stop = "f'sleep 2; kill -STOP {os.getpid()}'"
    here.run(kernel, f"import os, subprocess; subprocess.Popen({stop}, shell=True); None")


@situation("a kernel that was restarted in a cell", in_use=False, on=(SMD_1, SMD_4, CLASSIC))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, SILENT_CELL, wait=False)
    here.request("POST", f"api/kernels/{kernel}/restart")


@situation(
    "a kernel that was killed in a cell",
    in_use=False,
    in_sample=True,
    on=(SMD_1, SMD_2, SMD_4, CLASSIC),
)
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "import os, signal, time; time.sleep(2); os.kill(os.getpid(), 9)", wait=False)


@situation("a cell that was interrupted", in_use=False, on=(SMD_2, CLASSIC))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, SILENT_CELL, wait=False)
    here.request("POST", f"api/kernels/{kernel}/interrupt")


@situation("a kernel that never says that it is done", in_use=False)
def _(here: Space) -> None:
    here.run(_never_idle(here), "1", wait=False)


@situation("a silent cell in a kernel that never says that it is done", in_use=True)
def _(here: Space) -> None:
    kernel = _never_idle(here)
    here.run(kernel, "1", wait=False)
    here.run(kernel, SILENT_CELL, wait=False)


@situation("a kernel that crashes again and again, and a tab that connects to it", in_use=False)
def _(here: Space) -> None:
    startup = here.home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "crash.py").write_text(
        "import os, threading; threading.Timer(12, os._exit, (1,)).start()"
    )
    kernel = here.kernel()

    def connect() -> None:
        for kind in ("kernel_info_request", "comm_info_request", "history_request"):
            here.send(kernel, kind, {})

    here.again_and_again(connect, 3)


# -- who merely connects


@situation(
    "a tab that connects to its kernel again and again",
    in_use=False,
    in_sample=True,
    on=(SMD_1, SMD_2, SMD_4),
)
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "1")

    def connect() -> None:
        for kind in ("kernel_info_request", "comm_info_request", "history_request"):
            here.send(kernel, kind, {})

    here.again_and_again(connect, 3)


@situation("a variable inspector that polls", in_use=False, on=(SMD_1, SMD_4))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "1")
    polling = {"code": "dir()", "silent": True, "store_history": False}
    here.again_and_again(lambda: here.send(kernel, "execute_request", polling), 3)


@situation("a variable inspector that polls with code that is not silent", in_use=False)
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "1")
    polling = {"code": "dir()", "silent": False, "store_history": False}
    here.again_and_again(lambda: here.send(kernel, "execute_request", polling), 3)


@situation("a page with widgets that is loaded again and again", in_use=False, on=(SMD_2,))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "1")
    restore = {"comm_id": "x", "target_name": "jupyter.widget.control", "data": {}}
    here.again_and_again(lambda: here.send(kernel, "comm_open", restore), 3)


@situation("a widget that plays by itself", in_use=False)
def _(here: Space) -> None:
    kernel = here.kernel()
    _comm_opened(here, kernel, "pass")
    moved = {"comm_id": "c", "data": {"method": "update", "state": {"value": 1}}}
    here.again_and_again(lambda: here.send(kernel, "comm_msg", moved), 3)


@situation("somebody who moves a slider now and then", in_use=True)
def _(here: Space) -> None:
    kernel = here.kernel()
    _comm_opened(here, kernel, "pass")
    moved = {"comm_id": "c", "data": {"method": "update", "state": {"value": 1}}}
    waits = cycle((2.1, 5.5, 0.7, 3.4))

    def move() -> None:
        here.send(kernel, "comm_msg", moved)
        time.sleep(next(waits))

    here.again_and_again(move, 0.1)


@situation("a debugger that asks an idle kernel again and again", in_use=False, on=(SMD_1, SMD_4))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.run(kernel, "1")
    debug_info = {"type": "request", "seq": 1, "command": "debugInfo", "arguments": {}}
    here.again_and_again(
        lambda: here.send(kernel, "debug_request", debug_info, channel="control"), 1
    )


@situation("somebody who runs a short cell now and then", in_use=True, on=(CLASSIC,))
def _(here: Space) -> None:
    kernel = here.kernel()
    here.again_and_again(lambda: here.run(kernel, "1"), 3)


# -- kernels that no server started


@situation(
    "a silent cell in a kernel of another program",
    in_use=True,
    in_sample=True,
    on=(SMD_1, SMD_2, SMD_4),
)
def _(here: Space) -> None:
    _another_program(here, f"client.execute_interactive({SILENT_CELL!r})")


@situation("a notebook that nbconvert executes", in_use=True, on=(SMD_2,))
def _(here: Space) -> None:
    here.request("PUT", "api/contents/slow.ipynb", notebook(source=SILENT_CELL))
    command = f"{here.interpreter} -m nbconvert --execute --to notebook --output o slow.ipynb"
    here.type(here.terminal(), f"{command} &")


@situation("a silent cell in a kernel that a debugger's editor started", in_use=True)
def _(here: Space) -> None:
    # VS Code names its files differently, and joins option and name.
    _another_program(
        here,
        f"client.execute_interactive({SILENT_CELL!r})",
        start="manager = KernelManager(connection_file='kernel-v3{}.json'.format('ab' * 16))",
    )


@situation("a silent cell in a kernel of another program, over ipc", in_use=True)
def _(here: Space) -> None:
    start = "manager = KernelManager(transport='ipc')"
    _another_program(here, f"client.execute_interactive({SILENT_CELL!r})", start)


@situation("an idle kernel of another program, over ipc", in_use=False)
def _(here: Space) -> None:
    _another_program(here, "", "manager = KernelManager(transport='ipc')")


@situation("an idle kernel of another program", in_use=False, on=(SMD_1, SMD_4))
def _(here: Space) -> None:
    _another_program(here, "")


@situation("another program that runs a short cell now and then", in_use=True)
def _(here: Space) -> None:
    _another_program(here, "while True: client.execute_interactive('1'); time.sleep(3)")


@situation("a connection file that outlived its kernel", in_use=False)
def _(here: Space) -> None:
    runtime = Path(here.launch.env["JUPYTER_RUNTIME_DIR"])
    ports = {f"{name}_port": 59981 for name in ("shell", "iopub", "stdin", "control", "hb")}
    left = runtime / f"kernel-{here.start('sleep', '1000').pid}.json"
    left.write_text(json.dumps({**ports, "key": "k", "ip": "127.0.0.1", "transport": "tcp"}))
