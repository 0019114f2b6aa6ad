"""A server extension that measures the server it is loaded into, prints JSON and ends it.

The environment (``BENCHMARK``) names the measurements, so that the server is started like any
other.
"""

from __future__ import annotations

import asyncio
import cProfile
import io
import json
import os
import pstats
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import ensure_async
from tornado.httpclient import HTTPRequest
from tornado.ioloop import IOLoop
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from sagemaker_autoshutdown.activity.own_api import server_token
from sagemaker_autoshutdown.activity.process_table import ProcFs, children_of
from sagemaker_autoshutdown.api.served import Served
from sagemaker_autoshutdown.app import SETTINGS_KEY, Running
from sagemaker_autoshutdown.clock import utcnow
from sagemaker_autoshutdown.listeners import Check
from sagemaker_autoshutdown.monitor import Monitor

from .gateway import SPEC
from .probe import measure

MARK = "BENCHMARK-RESULT "
#: The kernelspec of ``small_kernel``.
SMALL_KERNEL = "small"
#: Seconds between two checks in a space, so that none of them has to wait for its second reading
#: of the processes: in a check a minute, none does.
APART = 2.5
#: The assumed requests of the Classic extension, each over HTTP.
QUESTIONS = ("api/sessions", "api/kernels", "api/terminals", "api/status")


class Worker:
    """The measurements of a server."""

    def __init__(self, server: ServerApp, plan: dict[str, Any]) -> None:
        self.server = server
        self.plan = plan
        self.url = f"http://127.0.0.1:{server.port}{server.base_url}"
        self.client = SimpleAsyncHTTPClient(force_instance=True)
        #: None where there is none of ours.
        self.served: Served | None = None

    async def wait_for_the_extension(self) -> None:
        """Waits until our extension is at work, if there is one."""
        running: Running | None = self.server.web_app.settings.get(SETTINGS_KEY)
        if running is not None:
            self.served = await running.served.get()

    @property
    def monitor(self) -> Monitor:
        """The extension's."""
        assert self.served is not None
        return self.served.monitor

    async def checks(self) -> dict[str, Any]:
        """Our own check, as the loop makes it: every fifth one ``lists_apps``."""
        monitor = self.monitor
        await monitor.stop()
        started = time.perf_counter()
        await monitor.check()
        first = time.perf_counter() - started

        async def check() -> None:
            if self.plan.get("lists_apps"):
                monitor._observer.forget_apps()
            await monitor.check()

        costs = await measure(check, self.plan["times"])
        apps = monitor.status().apps
        return {
            **costs.as_dict(),
            "first": first,
            "apps": len(apps),
            "work": sum(len(app.work) for app in apps),
            "problems": [problem.message for problem in monitor.status().problems],
        }

    async def space(self) -> dict[str, Any]:
        """Our own check in a space, with real kernels and processes; and the CPU of the server
        itself, which looks after its kernels."""
        await self._start_kernels("python3", self.plan["ipykernels"])
        await self._start_kernels(SMALL_KERNEL, self.plan["small_kernels"])
        if self.plan["processes"]:
            await self._start_processes(self.plan["processes"])
        monitor = self.monitor
        idle = await self.idle()
        await monitor.check()
        costs = await measure(monitor.check, self.plan["times"], pause=APART, warm_up=2, beats=0)
        adapter = monitor._observer._adapter
        describing = await measure(lambda: adapter.list_apps(utcnow()), self.plan["times"])
        (app,) = monitor.status().apps
        return {
            **costs.as_dict(),
            **idle,
            "describing": statistics.mean(cost.cpu for cost in describing.each),
            "processes": len(ProcFs().read()),
            "state": app.state.value,
            "work": len(app.work),
            "problems": [problem.message for problem in monitor.status().problems],
        }

    async def _start_kernels(self, name: str, count: int) -> None:
        manager = self.server.kernel_manager
        for number in range(count):
            path = f"{name}-{number}.ipynb"
            body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": name}}
            session = json.loads(
                await self._get("api/sessions", method="POST", body=json.dumps(body))
            )
            client: Any = manager.get_kernel(session["kernel"]["id"]).client()
            client.start_channels()
            await client.wait_for_ready(timeout=60)
            client.stop_channels()

    async def _start_processes(self, count: int) -> None:
        """In a terminal, as a user starts them; they end with it."""
        terminal = json.loads(await self._get("api/terminals", method="POST", body="{}"))
        opened = self.server.web_app.settings["terminal_manager"].terminals[terminal["name"]]
        opened.ptyproc.write(f"for each in $(seq {count}); do sleep 3600 & done\n")
        end = time.monotonic() + 60
        while len(children_of(ProcFs().read()).get(opened.ptyproc.pid, ())) < count:
            if time.monotonic() > end:
                raise TimeoutError("the processes did not start")
            await asyncio.sleep(0.5)

    async def profile(self) -> dict[str, Any]:
        """Where the event loop's CPU time goes in one of the parts of our checks."""
        part = (await self._parts())[self.plan["part"]]
        profiler = cProfile.Profile(time.thread_time)
        for _ in range(self.plan["times"]):
            await asyncio.sleep(self.plan.get("pause", 0))
            profiler.enable()
            await part()
            profiler.disable()
        text = io.StringIO()
        pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(60)
        pstats.Stats(profiler, stream=text).sort_stats("cumulative").print_stats(120)
        return {"profile": text.getvalue()}

    async def parts(self) -> dict[str, Any]:
        """CPU milliseconds of the parts of a check, and of nothing at all."""
        return {
            name: statistics.mean(
                cost.cpu * 1000 for cost in (await measure(part, self.plan["times"])).each
            )
            for name, part in (await self._parts()).items()
        }

    async def _parts(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        monitor = self.monitor
        await monitor.stop()
        await monitor.check()
        observer = monitor._observer
        reader, apps = observer._reader, observer.snapshot.apps
        source = reader.source

        async def listeners() -> None:
            verdicts = monitor._decisions.verdicts
            monitor.announcements.checked(Check(utcnow(), timedelta(0), verdicts, True))

        return {
            "nothing": lambda: asyncio.sleep(0),
            "AWS: ListApps": lambda: observer._adapter.list_apps(utcnow()),
            "AWS: ListTags": self._read_tags,
            "kernels": source.kernels,
            "terminals": source.terminals,
            "sessions": lambda: source.sessions(names_needed=True),
            "kernels, terminals and their meaning": lambda: reader.read(apps, utcnow()),
            "listeners": listeners,
            "the whole check": monitor.check,
        }

    async def _read_tags(self) -> None:
        """The tags of one app, in which a fleet's mark may be."""
        marks = self.monitor._marks
        assert marks is not None
        await marks._tags(self.monitor._observer.snapshot.apps[0])

    async def idle(self) -> dict[str, Any]:
        """The CPU of the server while the loop sleeps, or without our extension."""
        if self.served is not None:
            await self.monitor.stop()
        await asyncio.sleep(5)  # until what was started sleeps
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(self.plan["seconds"])
        return {"cpu_per_second": (time.process_time() - cpu) / (time.perf_counter() - wall)}

    async def in_process_probe(self) -> dict[str, Any]:
        """Like AWS's probe: sessions, kernels and terminals from the server's objects."""
        await self._open_notebooks()
        server = self.server
        terminals = server.web_app.settings.get("terminal_manager")

        async def work() -> None:
            await ensure_async(server.session_manager.list_sessions())
            await ensure_async(server.kernel_manager.list_kernels())
            if terminals is not None:
                terminals.list()

        return (await measure(work, self.plan["times"])).as_dict()

    async def http_questions(self) -> dict[str, Any]:
        """Like the Classic extension: four requests to its own server over HTTP."""
        await self._open_notebooks()

        async def work() -> None:
            for path in QUESTIONS:
                await self._get(path)

        return (await measure(work, self.plan["times"])).as_dict()

    async def one_question(self) -> dict[str, Any]:
        """The cost of the cron script's request for the server."""
        await self._open_notebooks()

        async def work() -> None:
            await self._get("api/sessions")

        return (await measure(work, self.plan["times"])).as_dict()

    async def listing(self) -> dict[str, Any]:
        """Jupyter's own listing of the gateway's kernels, for comparison."""
        await self._open_notebooks()

        async def work() -> None:
            await ensure_async(self.server.kernel_manager.list_kernels())

        return (await measure(work, self.plan["times"])).as_dict()

    async def wait(self) -> dict[str, Any]:
        """Lets it work until the parent has seen enough."""
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        return {}

    async def _open_notebooks(self) -> None:
        for number in range(self.plan["kernels"]):
            body = {
                "path": f"notebook-{number}.ipynb",
                "name": f"notebook-{number}.ipynb",
                "type": "notebook",
                "kernel": {"name": SPEC},
            }
            await self._get("api/sessions", method="POST", body=json.dumps(body))

    async def _get(self, path: str, **more: Any) -> bytes:
        headers = {"Authorization": f"token {server_token(self.server)}"}
        response = await self.client.fetch(HTTPRequest(self.url + path, headers=headers, **more))
        body: bytes = response.body
        return body


async def _work(server: ServerApp, plan: dict[str, Any]) -> None:
    result: dict[str, Any]
    try:
        # Start-up is over when the server answers.
        await asyncio.sleep(0.5)
        worker = Worker(server, plan)
        await worker.wait_for_the_extension()
        job: Callable[[], Awaitable[dict[str, Any]]] = getattr(worker, plan["job"])
        result = await job()
    except Exception as error:
        result = {"error": repr(error)}
        server.log.exception("the benchmark failed")
    sys.stdout.write(MARK + json.dumps(result) + "\n")
    sys.stdout.flush()
    server.stop(from_signal=True)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "tests.benchmarks.worker"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    plan = json.loads(os.environ["BENCHMARK"])
    IOLoop.current().add_callback(_work, server, plan)
