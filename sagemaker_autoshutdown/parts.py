"""Builds and starts the parts of one server. No logic of its own.

Their modules are most of the extension's imports; ``app`` imports them once the server is up.
"""

from __future__ import annotations

import asyncio
import atexit
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from .activity.background_jobs import BackgroundJobs
from .activity.browser_requests import BrowserRequests
from .activity.gpu_watch import GpuWatch
from .activity.ide_saves import last_save
from .activity.jupyter import InProcessSource, RestSource
from .activity.kernel_answers import KernelAnswers
from .activity.other_servers import OtherServers
from .activity.process_groups import WorkRule
from .activity.process_table import Readings, machine_started_at
from .activity.reader import ActivityReader
from .api.checks import RequestedChecks
from .api.events import EventBus
from .api.history import NoTracker
from .api.served import Served
from .aws import Aws
from .clock import utcnow
from .costs.setup import cost_tracker
from .costs.tracker import CostTracker
from .decide import is_held
from .hosts import adapter_for, detect
from .hosts.marks import Marks
from .hosts.native_hold import NativeHold
from .metrics.collector import Metrics
from .model import Host, HostKind, Problem
from .monitor import Monitor
from .monitor.commands import Commands
from .settings import admin as config_module
from .settings.admin import SageMakerAutoShutdown
from .settings.source import SettingsSource, fetch
from .settings.user import Settings

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from .hosts.app_lock import AppLock

#: Checks between two readings of a fleet's marks at least: marks are set long before the shutdown.
MARKS_EVERY = 5
#: Seconds after which a server that does not act checks again whether it should.
LOCK_INTERVAL = 10.0


@dataclass(frozen=True)
class Parts:
    """The running parts of one server."""

    config: SageMakerAutoShutdown
    monitor: Monitor
    tracker: CostTracker
    metrics: Metrics
    #: None if there is no app to watch.
    lock: AppLock | None
    served: Served


def build(serverapp: ServerApp) -> Parts:
    """Builds the parts for this server without starting them. Its only I/O is reading the
    metadata file."""
    config, faults = config_module.load(serverapp)
    host = detect(config.resource_metadata_file)
    serverapp.log.info("sagemaker_autoshutdown: %s", _describe(host))
    for fault in faults:
        serverapp.log.error("sagemaker_autoshutdown: %s", fault)
    metrics = Metrics(host)
    aws = Aws(host.region, metrics.count_call)
    adapter = adapter_for(host, aws, machine_started_at())
    readings = Readings()
    source = (
        RestSource(serverapp)
        if host.kind is HostKind.CLASSIC
        else InProcessSource(serverapp, readings)
    )
    events = EventBus(getattr(serverapp, "event_logger", None))
    tracker = cost_tracker(host, config, aws, serverapp.log, metrics.count_call)

    settings = Settings.of(config)
    if config.settings_source:
        settings.follow(SettingsSource(config, lambda: fetch(aws, config.settings_source)))
    jobs = _background_jobs(config, readings)
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
            OtherServers(readings=readings),
            browsers,
            ide_save=last_save,
            is_held=lambda apps, work, now: is_held(apps, work, settings.policy, now),
            readings=readings,
            answers=KernelAnswers(config.work_cpu_percent / 100),
        ),
        settings=settings,
        config=config,
        costs=tracker,
        listeners=(tracker, metrics, events, *_native_hold(host, config, serverapp)),
        problems=tuple(
            Problem("bad_setting", fault, "Correct it and restart the server.", utcnow())
            for fault in faults
        ),
        marks=Marks(
            host, aws, timedelta(seconds=config.poll_interval * MARKS_EVERY), serverapp.log
        ),
        log=serverapp.log,
    )
    metrics.watch(
        monitor.status,
        tracker.spent,
        lambda: monitor.settings.policy,
        tracker.volume_usd_per_month,
    )
    commands = Commands(monitor)
    checks = RequestedChecks(monitor.check_afresh)
    if host.kind is HostKind.NONE:
        served = Served(monitor, commands, NoTracker(), checks, None)
        return Parts(config, monitor, tracker, metrics, None, served)
    # These need Unix, on which SageMaker runs; elsewhere the extension must still load.
    from .api.forward import Forwarder
    from .hosts.app_lock import AppLock

    lock = AppLock(host)
    served = Served(monitor, commands, tracker, checks, Forwarder(lock, OtherServers()))
    return Parts(config, monitor, tracker, metrics, lock, served)


def _background_jobs(config: SageMakerAutoShutdown, readings: Readings) -> BackgroundJobs:
    return BackgroundJobs(
        readings=readings,
        rule=WorkRule(
            cpu=config.work_cpu_percent / 100,
            group_cpu=config.work_group_cpu_percent / 100,
            bytes_per_second=config.work_bytes_per_second,
            interval=config.work_interval,
        ),
        ignored=config.ignored_programs,
        holding=config.holding_programs,
        ignored_detached=config.ignore_detached_jobs,
        waiting_for=config.max_waiting_time,
    )


def _native_hold(
    host: Host, config: SageMakerAutoShutdown, serverapp: ServerApp
) -> tuple[NativeHold, ...]:
    is_held = host.kind is HostKind.SPACE and config.hold_off_native_idle
    return (NativeHold(serverapp.log),) if is_held else ()


def _describe(host: Host) -> str:
    if host.kind is HostKind.NONE:
        return f"{host.message}; nothing is watched"
    where = {
        HostKind.CLASSIC: f"the KernelGateway apps of {host.owner} in {host.domain_id}",
        HostKind.SPACE: f"the JupyterLab space {host.owner} in {host.domain_id}",
        HostKind.NOTEBOOK_INSTANCE: f"the notebook instance {host.app_name}",
    }
    return f"watching {where[host.kind]} ({host.region})"


async def start(parts: Parts, serverapp: ServerApp) -> None:
    """Starts the parts as soon as this server should act for the app."""
    if parts.lock is None:
        await parts.monitor.settings.read()
        return
    await _until_it_acts(parts.lock, parts.config.poll_interval, serverapp)
    _start(parts, serverapp)


async def _until_it_acts(lock: AppLock, poll_interval: float, serverapp: ServerApp) -> None:
    """Waits until no other server acts for this app, which is usually so at once."""
    waits = False
    while True:
        try:
            if lock.acquire():
                return
        except OSError as error:
            serverapp.log.warning(
                "sagemaker_autoshutdown: the lock that lets only one server act for this app can't "
                "be created (%s). This server acts without it: do not start a second one",
                error,
            )
            lock.is_held = True
            return
        if not waits:
            waits = True
            serverapp.log.info(
                "sagemaker_autoshutdown: another Jupyter server (process %s) looks after this app. "
                "This one shows its status, and takes over when it ends",
                lock.holder(),
            )
        await asyncio.sleep(min(LOCK_INTERVAL, poll_interval))


def _start(parts: Parts, serverapp: ServerApp) -> None:
    # Pending records take moments to write, after everything else here has ended.
    atexit.register(parts.tracker.close)
    # None of these may keep the others from starting, least of all the loop.
    for begin in (
        parts.tracker.start,
        parts.metrics.register,
        lambda: _start_remote_write(parts, serverapp),
    ):
        try:
            begin()
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
            # Its series would mix with those of a second server in the same app.
            is_elsewhere=lambda: parts.tracker.is_elsewhere,
        )
    except Exception as error:
        serverapp.log.error("sagemaker_autoshutdown: metrics are not sent anywhere: %s", error)
        return
    if writer is not None:
        atexit.register(writer.close)
        parts.monitor.announcements.add(writer)
        writer.start()
