"""Lines of the table about several Jupyter servers on one app."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from tests.e2e.conftest import SILENT_CELL, until

from .table import situation
from .world import Space


@situation("a silent cell in a second server", in_use=True, in_sample=True)
def _(here: Space) -> None:
    other = here.second_server()
    other.run(other.kernel(), SILENT_CELL, wait=False)


@situation("a second server with an idle kernel", in_use=False, in_sample=True)
def _(here: Space) -> None:
    other = here.second_server()
    other.run(other.kernel(), "1")


@situation("a silent cell in a second server with its own runtime folder", in_use=True)
def _(here: Space) -> None:
    other = here.second_server(env={"JUPYTER_RUNTIME_DIR": str(here.home / "elsewhere")})
    other.run(other.kernel(), SILENT_CELL, wait=False)


@situation("a silent cell in the first server, a second one idle", in_use=True)
def _(here: Space) -> None:
    here.run(here.kernel(), SILENT_CELL, wait=False)
    other = here.second_server()
    other.run(other.kernel(), "1")


@situation("a second server that does not answer", in_use=True)
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
    # Its number went to something else, which lives.
    living = here.start("sleep", "1000").pid
    info = {**json.loads(text), "pid": living}
    old = left.with_name(f"jpserver-{living}.json")
    old.write_text(json.dumps(info))
    past = time.time() - 3600
    os.utime(old, (past, past))


@situation("the first server is killed, and a second one has a silent cell", in_use=True)
def _(here: Space) -> None:
    other = here.second_server()
    other.run(other.kernel(), SILENT_CELL, wait=False)
    here.studio.restart_server(here.server.target)
    until(lambda: other.get("sagemaker-autoshutdown/api/status")["apps"], "a picture", 60)


@situation("a second server with a password, and a job in it", in_use=True)
def _(here: Space) -> None:
    # Its token is no longer what its runtime file says.
    other = here.second_server()
    kernel = other.kernel()
    runtime = Path(here.launch.env["JUPYTER_RUNTIME_DIR"])
    file = runtime / f"jpserver-{other.process.pid}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "token": "another"}))
    other.run(kernel, "while True: pass", wait=False)
