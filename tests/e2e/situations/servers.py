"""Lines of the table about several Jupyter servers on one app."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from tests.e2e.conftest import SILENT_CELL, until

from .kernels import send_from_console
from .table import CLASSIC, SMD_1, SMD_2, SMD_4, situation
from .world import SecondServer, Space

#: A kernel and a cell in a server that listens on a socket.
OVER_SOCKET = f"""
import http.client, json, pathlib, socket, sys, time
from jupyter_client import BlockingKernelClient
from jupyter_core.paths import jupyter_runtime_dir

class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])

while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.2)
connection = Connection("localhost")
connection.request("POST", "/api/kernels", "{{}}")
kernel = json.loads(connection.getresponse().read())["id"]
file = f"{{jupyter_runtime_dir()}}/kernel-{{kernel}}.json"
client = BlockingKernelClient(connection_file=file)
client.load_connection_file()
client.start_channels()
while True:
    try:
        client.wait_for_ready()
        break
    except RuntimeError:  # its heart does not beat yet
        time.sleep(0.5)
client.execute({SILENT_CELL!r})
pathlib.Path("begun").touch()
time.sleep(1000)
"""


def _locked(here: Space, other: SecondServer) -> None:
    """From now on its token differs from the one in its runtime file."""
    runtime = Path(here.launch.env["JUPYTER_RUNTIME_DIR"])
    file = runtime / f"jpserver-{other.process.pid}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "token": "another"}))


@situation(
    "a silent cell in a second server", in_use=True, in_sample=True, on=(SMD_1, SMD_2, SMD_4)
)
def _(here: Space) -> None:
    other = here.second_server()
    other.run(other.kernel(), SILENT_CELL, wait=False)


@situation(
    "a second server with an idle kernel",
    in_use=False,
    in_sample=True,
    on=(SMD_1, SMD_2, SMD_4, CLASSIC),
)
def _(here: Space) -> None:
    other = here.second_server()
    other.run(other.kernel(), "1")


@situation("a silent cell in a second server with its own runtime folder", in_use=True, on=(SMD_4,))
def _(here: Space) -> None:
    other = here.second_server(env={"JUPYTER_RUNTIME_DIR": str(here.home / "elsewhere")})
    other.run(other.kernel(), SILENT_CELL, wait=False)


@situation("a silent cell on a subshell in a second server", in_use=True, on=(SMD_4,))
def _(here: Space) -> None:
    other = here.second_server()
    kernel = other.kernel()
    other.run(kernel, "1")
    send_from_console(here, kernel, SILENT_CELL, "subshell")


@situation("a silent cell in the first server, a second one idle", in_use=True)
def _(here: Space) -> None:
    here.run(here.kernel(), SILENT_CELL, wait=False)
    other = here.second_server()
    other.run(other.kernel(), "1")


@situation("a monitor in a terminal of a second server", in_use=False)
def _(here: Space) -> None:
    here.second_server().type("while :; do date; sleep 1; done")


@situation("a second server that does not answer", in_use=True, on=(SMD_2, CLASSIC))
def _(here: Space) -> None:
    here.second_server().hang()


@situation("runtime files that outlived their servers", in_use=False)
def _(here: Space) -> None:
    other = here.second_server()
    runtime = Path(here.launch.env["JUPYTER_RUNTIME_DIR"])
    left = runtime / f"jpserver-{other.process.pid}.json"
    text = left.read_text()
    os.killpg(other.process.pid, signal.SIGKILL)
    other.process.wait()
    left.write_text(text)
    # Its process id belongs to another, living process now.
    living = here.start("sleep", "1000").pid
    info = {**json.loads(text), "pid": living}
    old = left.with_name(f"jpserver-{living}.json")
    old.write_text(json.dumps(info))
    past = time.time() - 3600
    os.utime(old, (past, past))


@situation(
    "the first server is killed, and a second one has a silent cell", in_use=True, on=(SMD_4,)
)
def _(here: Space) -> None:
    other = here.second_server()
    other.run(other.kernel(), SILENT_CELL, wait=False)
    here.studio.restart_server(here.server.target)
    until(lambda: other.get("sagemaker-autoshutdown/api/status")["apps"], "a picture")


@situation("a silent cell in a second server on a socket", in_use=True)
def _(here: Space) -> None:
    # Linux allows 107 bytes for the path; the home may take more.
    sock = f"{here.short_folder()}/s"
    here.start(
        *(here.interpreter, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        f"--ServerApp.sock={sock}",
        *("--ServerApp.token=", "--ServerApp.disable_check_xsrf=True"),
    )
    here.start(*here.python(OVER_SOCKET, "browser.py"), sock)
    until((here.home / "begun").exists, "its cell runs")


@situation("a silent cell in a second server with a password", in_use=True)
def _(here: Space) -> None:
    other = here.second_server()
    kernel = other.kernel()
    _locked(here, other)
    other.run(kernel, SILENT_CELL, wait=False)


@situation("an idle kernel in a second server with a password", in_use=False, on=(SMD_1,))
def _(here: Space) -> None:
    other = here.second_server()
    kernel = other.kernel()
    _locked(here, other)
    other.run(kernel, "1")


@situation("a second server with a password, and a job in it", in_use=True)
def _(here: Space) -> None:
    other = here.second_server()
    kernel = other.kernel()
    _locked(here, other)
    other.run(kernel, "while True: pass", wait=False)
