"""The table: what happens in a space, and whether it is in use then."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.conftest import SILENT_CELL, until

from .world import Space


@dataclass(frozen=True)
class Situation:
    """One line. ``in_sample``: it is tried by ``make test`` as well."""

    name: str
    in_use: bool
    arrange: Callable[[Space], None]
    traits: Mapping[str, Any] = field(default_factory=dict)
    in_sample: bool = False


SITUATIONS: list[Situation] = []


def situation(
    name: str, *, in_use: bool, in_sample: bool = False, **traits: Any
) -> Callable[[Callable[[Space], None]], Callable[[Space], None]]:
    """Enter a situation into the table."""

    def enter(arrange: Callable[[Space], None]) -> Callable[[Space], None]:
        SITUATIONS.append(Situation(name, in_use, arrange, traits, in_sample))
        return arrange

    return enter


# -- several servers on one app


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
