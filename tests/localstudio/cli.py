"""``python -m tests.localstudio``: a scene that runs until Ctrl-C.

Its output, and the file of ``--ready-file``, tell other processes where to find it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sagemaker_autoshutdown.clock import utcnow

from .names import DEFAULT_IMAGE, DEFAULT_INSTANCE_TYPE, IMAGES
from .scene import CLASSIC, HOSTS, Scene, set_up
from .servers import ServerOptions
from .state import AppKey, Timing
from .studio import LocalStudio


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING)
    with contextlib.ExitStack() as stack:
        work_dir = options.work_dir
        if work_dir is None:
            work_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="localstudio-")))
        return asyncio.run(serve(options, work_dir))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; arguments after ``--`` go to the Jupyter server."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.localstudio",
        description="Runs a SageMaker Studio on this machine, with real kernels.",
        epilog="Arguments after -- go to the Jupyter server, such as "
        "--SageMakerAutoShutdown.idle_timeout=60",
    )
    parser.add_argument("--host", choices=HOSTS, default=CLASSIC, help="where Jupyter runs")
    parser.add_argument(
        "--app",
        action="append",
        default=[],
        metavar="IMAGE[,INSTANCE_TYPE]",
        help="a KernelGateway app to start (classic; may be repeated); images: "
        + ", ".join(image.name for image in IMAGES),
    )
    parser.add_argument("--work-dir", type=Path, help="homes and logs (default: a temporary one)")
    parser.add_argument("--port", type=int, default=0, help="of the API (default: a free one)")
    parser.add_argument("--frontend", choices=("lab", "server"), default="lab")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the server")
    parser.add_argument("--for", dest="seconds", type=float, help="end after so many seconds")
    parser.add_argument(
        "--seconds-to-start", type=float, default=2.0, help="from Pending to InService"
    )
    parser.add_argument(
        "--seconds-to-delete", type=float, default=2.0, help="from Deleting to Deleted"
    )
    parser.add_argument(
        "--age",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="apps look that much older than they are: the clock of the API is behind",
    )
    parser.add_argument(
        "--ready-file", type=Path, help="write addresses and tokens there as JSON once it is up"
    )
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("server_arguments", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.app and options.host != CLASSIC:
        parser.error("--app is for --host classic")
    return options


async def serve(options: argparse.Namespace, work_dir: Path) -> int:
    """Sets the scene and keeps it up."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, over.set)
    timing = Timing(
        pending=options.seconds_to_start,
        deleting=options.seconds_to_delete,
        stopping=options.seconds_to_delete,
    )
    server = ServerOptions(options.python, options.frontend, tuple(options.server_arguments))
    behind = timedelta(seconds=options.age)
    async with LocalStudio(
        work_dir,
        timing=timing,
        server=server,
        port=options.port,
        clock=lambda: utcnow() - behind,
    ) as studio:
        setting = asyncio.create_task(_set_scene(studio, options))
        ending = asyncio.create_task(over.wait())
        await asyncio.wait({setting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if setting.done():
            scene, apps = setting.result()
            if options.ready_file is not None:
                _write_ready_file(options.ready_file, studio, scene)
            _say(_told(studio, scene, apps))
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ending, options.seconds)
        else:
            setting.cancel()
            await asyncio.gather(setting, return_exceptions=True)
    return 0


async def _set_scene(
    studio: LocalStudio, options: argparse.Namespace
) -> tuple[Scene, list[AppKey]]:
    _say([f"Starting a local Studio ({options.host}) in {studio.work_dir} ..."])
    scene = await set_up(studio, options.host)
    if scene.owner is None:
        return scene, []
    apps = [
        studio.create_kernel_app(
            scene.owner, image or DEFAULT_IMAGE.name, instance_type or DEFAULT_INSTANCE_TYPE
        )
        for image, _, instance_type in (app.partition(",") for app in options.app)
    ]
    return scene, list(await asyncio.gather(*apps))


def _told(studio: LocalStudio, scene: Scene, apps: list[AppKey]) -> list[str]:
    environment = studio.aws_environment()
    return [
        f"Jupyter:       {scene.browser_url}",
        f"SageMaker API: {studio.endpoint_url}",
        *(f"App:           {app.name}" for app in apps),
        "",
        "For boto3 or the AWS CLI in another terminal:",
        *(f"  export {name}={shlex.quote(value)}" for name, value in environment.items()),
        "",
        "Ctrl-C ends it all.",
    ]


def _write_ready_file(path: Path, studio: LocalStudio, scene: Scene) -> None:
    """It holds tokens, so only its owner may read it. It is complete as soon as it exists."""
    document = {
        **studio.describe(),
        "control_url": f"{studio.endpoint_url}/_localstudio/",
        "control_token": studio.control_token,
        "host": scene.host,
        "browser_url": scene.browser_url,
        "environment": studio.aws_environment(),
    }
    unfinished = path.with_name(path.name + ".part")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(document, indent=2), encoding="utf-8")
    unfinished.replace(path)


def _say(lines: list[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
