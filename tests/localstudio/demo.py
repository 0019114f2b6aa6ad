"""``make demo``: the main job of the product, to watch on this machine.

A local Studio with real kernels: a cell runs silently in one app, and nothing in the others. The
idle apps get a warning, are shut down and disappear; the busy one stays. All lines come from the
extension's own REST API; the end of an app is checked against this machine's processes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from sagemaker_autoshutdown.clock import from_iso

from . import fleet_demo, scene
from .kernels import JupyterClient
from .runtime import Target
from .servers import ServerOptions
from .state import AppKey, Timing
from .studio import LocalStudio

#: Seconds; short enough to watch. The defaults are 2 h, 10 min, 5 min and 60 s.
IDLE_TIMEOUT, WARNING_TIME, ACTIVE_TIME, POLL_INTERVAL = 30, 15, 5, 2
#: Idle apps must be gone this long after the last of them came into service.
MUST_BE_GONE_WITHIN = 75.0
SILENT_CELL = "import time; time.sleep(100_000)  # prints nothing, uses no CPU"

#: Each must be a kernel app's image and instance type; a cell runs in the first one.
CLASSIC_APPS = (
    ("datascience-1.0", "ml.t3.medium"),
    ("sagemaker-data-science-310-v1", "ml.t3.medium"),
    ("pytorch-2.0.0-gpu-py310", "ml.g4dn.xlarge"),
)
OPTIONS = ServerOptions(
    args=(
        f"--SageMakerAutoShutdown.idle_timeout={IDLE_TIMEOUT}",
        f"--SageMakerAutoShutdown.warning_time={WARNING_TIME}",
        f"--SageMakerAutoShutdown.active_time={ACTIVE_TIME}",
        f"--SageMakerAutoShutdown.poll_interval={POLL_INTERVAL}",
    )
)


@dataclass
class Watched:
    """A watched app."""

    target: Target
    label: str
    works: bool
    server: JupyterClient
    processes: list[psutil.Process] = field(default_factory=list)
    told: object = None
    asked_to_go: bool = False
    warned: bool = False
    gone_after: float | None = None

    @property
    def name(self) -> str:
        """Its name in the extension's status."""
        return self.target.name if isinstance(self.target, AppKey) else self.target

    def living(self) -> list[psutil.Process]:
        """Its processes that still run."""
        return [process for process in self.processes if process.is_running()]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code is 0 only if the right apps were shut down."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--host", choices=(*scene.HOSTS, "fleet"), default=scene.CLASSIC)
    parser.add_argument("--for", dest="seconds", type=float, help="end by itself after so long")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sagemaker-autoshutdown-demo-") as folder:
        if options.host == "fleet":
            return fleet_demo.run(options.seconds, Path(folder))
        return asyncio.run(_demo(options.host, options.seconds, Path(folder)))


async def _demo(host: str, seconds: float | None, folder: Path) -> int:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    timing = Timing(pending=2, deleting=3, stopping=3)
    async with LocalStudio(folder, timing=timing, server=OPTIONS) as studio:
        ending = asyncio.ensure_future(over.wait())
        setting = asyncio.ensure_future(SET_UP[host](studio))
        _say(f"Starting a local Studio ({host}) with real kernels ...")
        await asyncio.wait({setting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not setting.done():
            setting.cancel()
            await asyncio.gather(setting, return_exceptions=True)
            return 130
        story = Story(studio, host, setting.result())
        story.begin()
        telling = asyncio.ensure_future(story.tell())
        try:
            await asyncio.wait(
                {telling, ending}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            telling.cancel()
            failed = await asyncio.gather(telling, return_exceptions=True)
        if isinstance(failed[0], Exception):
            raise failed[0]
        ending.cancel()
        return story.end(interrupted=over.is_set())


# ---- what there is to watch ----------------------------------------------------------------------


async def _classic(studio: LocalStudio) -> list[Watched]:
    set_up = await scene.classic(studio)
    owner = set_up.owner
    if owner is None:
        raise TypeError("Studio Classic has an owner")
    server = studio.jupyter(set_up.target)
    keys = await asyncio.gather(
        *(studio.create_kernel_app(owner, image, kind) for image, kind in CLASSIC_APPS)
    )
    watched = [
        Watched(key, f"{image} on {kind}", works=key is keys[0], server=server)
        for key, (image, kind) in zip(keys, CLASSIC_APPS)
    ]
    _say(f"JupyterLab: {set_up.browser_url}")
    _offer_commands(studio, set_up)
    return await _with_kernels(studio, watched)


async def _spaces(studio: LocalStudio) -> list[Watched]:
    working = await scene.jupyterlab_space(studio, name="training")
    # Its cell runs before the next app is started, or a slow machine would find it idle by then.
    first = await _own_server(studio, working, works=True)
    idle = await scene.jupyterlab_space(
        studio,
        name="forgotten",
        profile="colleague",
        instance_type="ml.g4dn.xlarge",
        domain_id=working.domain_id,
    )
    return [first, await _own_server(studio, idle)]


async def _notebook_instances(studio: LocalStudio) -> list[Watched]:
    working = await scene.notebook_instance(studio, name="training")
    first = await _own_server(studio, working, works=True)
    idle = await scene.notebook_instance(studio, name="forgotten", instance_type="ml.g4dn.xlarge")
    return [first, await _own_server(studio, idle)]


async def _own_server(studio: LocalStudio, found: scene.Scene, *, works: bool = False) -> Watched:
    label = found.owner.name if found.owner else str(found.target)
    server = studio.jupyter(found.target)
    _say(f"JupyterLab of {label}: {found.browser_url}")
    if works:
        _offer_commands(studio, found)
    [watched] = await _with_kernels(studio, [Watched(found.target, label, works, server)])
    return watched


def _offer_commands(studio: LocalStudio, found: scene.Scene) -> None:
    """Writes a file that lets a shell's commands reach this server and the local AWS."""
    server = found.server
    wanted = ("AWS_", "SAGEMAKER_", "JUPYTER_DATA_DIR", "RESOURCE_METADATA_FILE")
    variables = {name: value for name, value in server.env.items() if name.startswith(wanted)}
    variables |= {
        "JUPYTER_SERVER_URL": server.url,
        "JUPYTER_TOKEN": server.token,
        "PATH": server.env["PATH"],
    }
    file = studio.work_dir / "commands.sh"
    file.write_text(
        "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()),
        encoding="utf-8",
    )
    _say(
        "To try commands on it, in another terminal:",
        f"  source {file}",
        "  jupyter sagemaker-autoshutdown status",
    )


async def _with_kernels(studio: LocalStudio, watched: list[Watched]) -> list[Watched]:
    for number, app in enumerate(watched):
        notebook = "train.ipynb" if app.works else f"explore-{number}.ipynb"
        kernel = await studio.start_kernel(app.target, path=notebook)
        if app.works:
            await studio.execute(app.target, kernel, SILENT_CELL, wait=False)
        app.processes = [psutil.Process(found.pid) for found in studio.processes(app.target)]
    return watched


SET_UP: dict[str, Callable[[LocalStudio], Awaitable[list[Watched]]]] = {
    scene.CLASSIC: _classic,
    scene.SPACE: _spaces,
    scene.NOTEBOOK_INSTANCE: _notebook_instances,
}


# ---- the story -----------------------------------------------------------------------------------


class Story:
    """Prints the course of the watched apps, a line for every change, and judges the end."""

    def __init__(self, studio: LocalStudio, host: str, watched: list[Watched]) -> None:
        self._studio = studio
        self._host = host
        self._watched = watched
        self._began = time.monotonic()

    def begin(self) -> None:
        """Prints what there is to see."""
        idle = ", ".join(app.label for app in self._watched if not app.works)
        working = ", ".join(app.label for app in self._watched if app.works)
        _say(
            f"In service. A cell runs silently in: {working}. Nothing runs in: {idle}.",
            f"Idle apps are shut down after {IDLE_TIMEOUT} s here, and warned of {WARNING_TIME} s "
            "before (by default 2 h and 10 min).",
            "",
            f"{'time':>5}  {'app':<47}{'state':<15}{'shut down at':<15}{'USD/h':<13}why",
        )

    async def tell(self) -> None:
        """Checks twice a second, for as long as there is time."""
        while True:
            for app in self._watched:
                if app.gone_after is None:
                    await self._observe(app)
            await asyncio.sleep(0.5)

    async def _observe(self, app: Watched) -> None:
        if self._studio.status(app.target) in ("Deleted", "Stopped") and not app.living():
            app.gone_after = time.monotonic() - self._began
            self._line(app, "gone", "", "0", f"its {len(app.processes)} processes have ended")
            return
        try:
            status = await app.server.request("GET", "sagemaker-autoshutdown/api/status")
        except Exception:
            # A space's server ends with its app; the lines above show its fate.
            return
        view = next((view for view in status["apps"] if view["app_name"] == app.name), None)
        if view is None:
            return
        app.warned |= view["state"] == "warned"
        app.asked_to_go |= view["state"] == "shutting_down"
        shown = (view["state"], view["reason"], view["shutdown_at"])
        if shown == app.told:
            return
        app.told = shown
        why = view["reason_text"] + (f" ({view['subject']})" if view["subject"] else "")
        deadline = from_iso(view["shutdown_at"]) if view["shutdown_at"] else None
        self._line(app, view["state"], _clock(deadline), _price(status, app.name), why)

    def _line(self, app: Watched, state: str, deadline: str, price: str, why: str) -> None:
        passed = int(time.monotonic() - self._began)
        mark = {"warned": "33", "shutting_down": "31", "gone": "32", "busy": "36"}.get(state)
        shown = f"{state:<15}"
        if mark and sys.stdout.isatty():
            shown = f"\x1b[{mark}m{shown}\x1b[0m"
        _say(
            f"{passed // 60:>2}:{passed % 60:02}  {app.label:<47}{shown}{deadline:<15}{price:<13}"
            f"{why}"
        )

    def end(self, *, interrupted: bool) -> int:
        """Judges: 0 if all idle apps went in time and the busy one stayed."""
        faults = []
        for app in self._watched:
            if app.works:
                if len(app.living()) < len(app.processes) or app.asked_to_go:
                    faults.append(f"{app.label} was busy and should have been kept")
            elif app.gone_after is None:
                faults.append(f"{app.label} is still there")
            elif app.gone_after > MUST_BE_GONE_WITHIN:
                faults.append(f"{app.label} took {app.gone_after:.0f} s")
            elif not app.warned:
                faults.append(f"{app.label} went without a warning")
        calls = [
            call
            for operation in ("DeleteApp", "StopNotebookInstance")
            for call in self._studio.journal.calls(operation)
        ]
        expected = sum(not app.works for app in self._watched)
        if len(calls) != expected:
            faults.append(f"SageMaker was asked {len(calls)} times to shut down, not {expected}")
        _say("")
        if interrupted and faults:
            _say("Ended before the story was over.")
            return 130
        if faults:
            _say(*(f"WRONG: {fault}." for fault in faults))
            return 1
        _say(
            "As it should be: every idle app was warned of, shut down through the SageMaker API "
            "and is gone; the busy one runs on."
        )
        return 0


def _clock(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%H:%M:%S") if moment else ""


def _price(status: dict[str, Any], app_name: str) -> str:
    for instance in status["instances"]:
        if app_name in instance["app_names"]:
            shared = " shared" if len(instance["app_names"]) > 1 else ""
            return str(instance["usd_per_hour"] or instance["price_source"]) + shared
    return ""


def _say(*lines: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
