"""The server extension: puts the parts together, starts and stops them. No logic of its own.

Whatever goes wrong in here is logged and leaves the server as it was: an extension that shuts
things down to save money must never be what keeps Studio from starting.
"""

from __future__ import annotations

import asyncio
import atexit
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from jupyter_server.extension.application import ExtensionApp
from tornado.ioloop import IOLoop

from .activity.background_jobs import BackgroundJobs
from .activity.browser_requests import BrowserRequests
from .activity.gpu_watch import GpuWatch
from .activity.jupyter import InProcessSource, RestSource
from .activity.other_servers import OtherServers
from .activity.process_groups import WorkRule
from .activity.process_table import machine_started_at
from .activity.reader import ActivityReader
from .api.events import EventBus
from .api.handlers import add_handlers
from .api.history import NoTracker
from .aws import Aws
from .clock import utcnow
from .commands import Commands
from .costs.setup import cost_tracker
from .costs.tracker import CostTracker
from .decide import is_held
from .hosts import adapter_for, detect
from .metrics.collector import Metrics
from .model import Host, HostKind, Problem
from .monitor import Monitor
from .settings import admin as config_module
from .settings.admin import SageMakerAutoShutdown
from .settings.source import SettingsSource, fetch
from .settings.user import Settings

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from .api.forward import Forwarder
    from .hosts.app_lock import AppLock

#: Where the monitor hangs in the web app's settings. Never a name that ends in
#: ``_last_activity``: the server would count it as activity.
SETTINGS_KEY = "sagemaker_autoshutdown"
#: Seconds after which a server that does not act looks again whether it is its turn.
LOCK_INTERVAL = 10.0
#: Seconds that the loop has to end when the server does.
STOP_TIMEOUT = 3.0


class AutoShutdownExtension(ExtensionApp):
    """What Jupyter loads, and ends when the server does.

    An ``ExtensionApp`` only for the latter: of an extension that is a plain module jupyter_server
    (1.24 to 2.21) tells nobody that the server ends.
    """

    name = "sagemaker_autoshutdown"
    _running: Running | None = None

    def initialize(self, argv: list[str] | None = None) -> None:
        """Called when the server starts."""
        if self.serverapp is not None:
            self._running = load(self.serverapp)

    async def stop_extension(self) -> None:
        """Called when the server ends."""
        if self._running is not None:
            await self._running.stop()


def load(serverapp: ServerApp) -> Running | None:
    """Load the extension into a server; gives what runs there then. Never raises; loading twice
    changes nothing."""
    if SETTINGS_KEY in serverapp.web_app.settings:
        return None
    try:
        parts = build(serverapp)
        monitor = parts.monitor
        serverapp.web_app.settings[SETTINGS_KEY] = monitor
        commands = Commands(monitor)
        running = Running(parts, serverapp)
        if monitor.host.kind is HostKind.NONE:
            add_handlers(serverapp.web_app, monitor, commands, NoTracker())
            IOLoop.current().add_callback(monitor.settings.read)
            return running
        lock, forwarder = _app_lock(monitor.host)
        add_handlers(serverapp.web_app, monitor, commands, parts.tracker, forwarder)
        IOLoop.current().add_callback(running.begin, lock)
        return running
    except Exception:
        serverapp.log.exception(
            "sagemaker_autoshutdown: could not be loaded, so nothing is watched or shut down. The "
            "server is not affected."
        )
        return None


class Running:
    """What runs in one server, from its start to its end."""

    def __init__(self, parts: Parts, serverapp: ServerApp) -> None:
        self._parts = parts
        self._serverapp = serverapp
        self._starting: asyncio.Task[None] | None = None

    def begin(self, lock: AppLock) -> None:
        """Start the parts as soon as this server is to act for the app."""
        starting = _start_once_it_acts(lock, self._parts, self._serverapp)
        self._starting = asyncio.get_running_loop().create_task(starting)

    async def stop(self) -> None:
        """End the loop and wait no longer for shutdowns under way, which AWS goes on with. Takes
        ``STOP_TIMEOUT`` seconds at most: the server is to end whatever happens here. What is to be
        written is written when the process ends."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        try:
            await asyncio.wait_for(self._parts.monitor.stop(), STOP_TIMEOUT)
        except Exception as error:
            self._serverapp.log.warning(
                "sagemaker_autoshutdown: the loop could not be ended (%s)",
                str(error) or type(error).__name__,
            )


def _app_lock(host: Host) -> tuple[AppLock, Forwarder]:
    # Needs a Unix, as SageMaker is; elsewhere the extension loads all the same.
    from .api.forward import Forwarder
    from .hosts.app_lock import AppLock

    lock = AppLock(host)
    return lock, Forwarder(lock, OtherServers())


async def _start_once_it_acts(lock: AppLock, parts: Parts, serverapp: ServerApp) -> None:
    """Start the parts once no other server acts for this app, which is mostly at once."""
    waits = False
    while True:
        try:
            if lock.acquire():
                break
        except OSError as error:
            serverapp.log.warning(
                "sagemaker_autoshutdown: there is no place for the lock that tells servers on one "
                "app apart (%s). Without it this server acts: run no second one",
                error,
            )
            lock.is_held = True
            break
        if not waits:
            waits = True
            serverapp.log.info(
                "sagemaker_autoshutdown: another Jupyter server (process %s) looks after this app. "
                "This one shows what that one says, and takes over when it ends",
                lock.holder(),
            )
        await asyncio.sleep(min(LOCK_INTERVAL, parts.config.poll_interval))
    _start(parts, serverapp)


def _start(parts: Parts, serverapp: ServerApp) -> None:
    # What is still to be written takes moments, and comes after the last that happens here.
    atexit.register(parts.tracker.close)
    # None of these may keep the others from starting, least of all the loop.
    for start in (
        parts.tracker.start,
        parts.metrics.register,
        lambda: _start_remote_write(parts, serverapp),
    ):
        try:
            start()
        except Exception:
            serverapp.log.exception("sagemaker_autoshutdown: a part could not be started")
    parts.monitor.start()


def _start_remote_write(parts: Parts, serverapp: ServerApp) -> None:
    if not parts.config.remote_write_url:
        return
    try:
        from .metrics.remote_write.setup import remote_writer

        loop = asyncio.get_running_loop()
        writer = remote_writer(
            parts.monitor.host,
            parts.config,
            parts.metrics,
            loop,
            serverapp.log,
            # Its series would lie between those of a second server in the same app.
            is_elsewhere=lambda: parts.tracker.is_elsewhere,
        )
    except Exception as error:
        serverapp.log.error("sagemaker_autoshutdown: metrics are not sent anywhere: %s", error)
        return
    if writer is not None:
        atexit.register(writer.close)
        parts.monitor.announcements.add(writer)
        writer.start()


@dataclass(frozen=True)
class Parts:
    """What runs in one server."""

    config: SageMakerAutoShutdown
    monitor: Monitor
    tracker: CostTracker
    metrics: Metrics


def build(serverapp: ServerApp) -> Parts:
    """The parts for this server, put together and not yet started. Does no I/O but to read the
    metadata file."""
    config, faults = config_module.load(serverapp)
    host = detect(config.resource_metadata_file)
    serverapp.log.info("sagemaker_autoshutdown: %s", _describe(host))
    for fault in faults:
        serverapp.log.error("sagemaker_autoshutdown: %s", fault)
    metrics = Metrics(host)
    aws = Aws(host.region, metrics.count_call)
    adapter = adapter_for(host, aws, machine_started_at())
    source = (RestSource if host.kind is HostKind.CLASSIC else InProcessSource)(serverapp)
    events = EventBus(getattr(serverapp, "event_logger", None))
    tracker = cost_tracker(host, config, aws, serverapp.log, metrics.count_call)

    settings = Settings.of(config)
    if config.settings_source:
        settings.follow(SettingsSource(config, lambda: fetch(aws, config.settings_source)))
    jobs = _background_jobs(config)
    settings.on_admin_change.append(
        lambda _: jobs.exclude(
            config.ignored_programs, config.holding_programs, config.ignore_detached_jobs
        )
    )
    gpus = GpuWatch(
        busy_percent=config.work_gpu_percent,
        unknown_for=timedelta(seconds=config.max_unknown_gpu_time),
        program_of=jobs.gpu_user,
    )
    browsers = BrowserRequests(serverapp.base_url)
    browsers.listen_to(serverapp.web_app)
    monitor = Monitor(
        adapter=adapter,
        reader=ActivityReader(
            source,
            adapter,
            jobs,
            gpus,
            OtherServers(),
            browsers,
            is_held=lambda apps, work, now: is_held(apps, work, settings.policy, now),
        ),
        settings=settings,
        config=config,
        costs=tracker,
        listeners=(tracker, metrics, events),
        problems=tuple(
            Problem("bad_setting", fault, "Correct it and restart the server.", utcnow())
            for fault in faults
        ),
        log=serverapp.log,
    )
    metrics.watch(
        monitor.status,
        tracker.spent,
        lambda: monitor.settings.policy,
        tracker.volume_usd_per_month,
    )
    return Parts(config, monitor, tracker, metrics)


def _background_jobs(config: SageMakerAutoShutdown) -> BackgroundJobs:
    return BackgroundJobs(
        rule=WorkRule(
            cpu=config.work_cpu_percent / 100,
            group_cpu=config.work_group_cpu_percent / 100,
            bytes_per_second=config.work_bytes_per_second,
            interval=config.work_interval,
        ),
        ignored=config.ignored_programs,
        holding=config.holding_programs,
        ignored_detached=config.ignore_detached_jobs,
    )


def _describe(host: Host) -> str:
    if host.kind is HostKind.NONE:
        return f"{host.message}; nothing is watched"
    where = {
        HostKind.CLASSIC: f"the KernelGateway apps of {host.owner} in {host.domain_id}",
        HostKind.SPACE: f"the JupyterLab space {host.owner} in {host.domain_id}",
        HostKind.NOTEBOOK_INSTANCE: f"the notebook instance {host.app_name}",
    }
    return f"watching {where[host.kind]} ({host.region})"
