"""How this machine's GPUs affect its app: whether one works, and since when none has.

A device works from a utilisation of ``busy_percent`` on. A device without a utilisation (MIG, or a
driver that does not answer) may work for as long as processes have it open, so it holds its app. It
does so for at most ``unknown_for`` after the last sign of work: a loaded model that nobody uses
must not hold an app for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from ..model import App, Evidence, EvidenceKind, Reason, Work, WorkKind
from ..threads import in_thread
from .gpu import Gpu, GpuError, Gpus

log = logging.getLogger(__name__)

#: Seconds that the driver has for its answer. Loading it may make the first answer slow.
PATIENCE = 10.0
#: Instance types with an Nvidia GPU.
GPU_TYPES = ("ml.g[0-9]*", "ml.gr[0-9]*", "ml.p[0-9]*")
#: Bytes that a driver uses by itself. If no more is in use, nobody has loaded anything.
_DRIVERS_OWN = 10**9


@dataclass
class _Device:
    """The memory of one device: how it was seen last, since when, and when it last worked (or
    was first seen)."""

    gpu: Gpu
    is_working: bool | None
    since: datetime
    worked_at: datetime


class GpuWatch:
    """Follows the devices from observation to observation. Raises nothing."""

    def __init__(
        self,
        gpus: Gpus | None = None,
        busy_percent: float = 5.0,
        unknown_for: timedelta = timedelta(hours=4),
        program_of: Callable[[int], str] = lambda pid: "",
        patience: float = PATIENCE,
    ) -> None:
        """``program_of`` names a process of this machine that has a GPU open."""
        self._gpus = gpus if gpus is not None else Gpus()
        self._busy_percent = busy_percent
        self._unknown_for = unknown_for
        self._program_of = program_of
        self._patience = patience
        self._devices: dict[int, _Device] = {}
        #: A text for the user about GPUs that can't be seen here.
        self.notes: tuple[str, ...] = ()

    async def observe(self, apps: tuple[App, ...], now: datetime) -> tuple[Work, ...]:
        """One piece of work for each device. Each belongs to all of ``apps``."""
        seen: tuple[tuple[Gpu, str], ...] = ()
        error = ""
        try:
            if self._gpus.is_there:
                seen = await asyncio.wait_for(in_thread(self._read), self._patience)
        except (GpuError, asyncio.TimeoutError) as failed:
            seen = self._unreadable()
            error = str(failed) or f"no answer in {self._patience:g} s"
        except Exception as failed:  # a library that is not NVML
            log.debug("GPUs can't be read", exc_info=True)
            seen, error = self._unreadable(), f"{type(failed).__name__}: {failed}"
        self.notes = self._missing(apps, error)
        devices = {}
        for gpu, _ in seen:
            devices[gpu.index] = self._follow(gpu, now)
        self._devices = devices
        names = frozenset(app.name for app in apps)
        return tuple(self._work(devices[gpu.index], program, names, now) for gpu, program in seen)

    def clock_jumped(self, jump: timedelta) -> None:
        """The wall clock was set."""
        for device in self._devices.values():
            device.since += jump
            device.worked_at += jump

    def _unreadable(self) -> tuple[tuple[Gpu, str], ...]:
        """The known devices. A device that could not be seen may work."""
        known = (each.gpu for each in self._devices.values())
        return tuple((Gpu(gpu.index, gpu.name, None), "") for gpu in known)

    def _read(self) -> tuple[tuple[Gpu, str], ...]:
        found = []
        for gpu in self._gpus.read():
            program = ""
            if self._is_working(gpu):
                # In a container these may be another machine's ids.
                named = (self._program_of(pid) for pid in gpu.pids or ())
                program = next((each for each in named if each), "")
            found.append((gpu, program))
        return tuple(found)

    def _missing(self, apps: tuple[App, ...], error: str) -> tuple[str, ...]:
        if error:
            return (f"the GPU can't be seen: {error}",)
        should_be = any(
            fnmatchcase(app.instance_type, pattern) for app in apps for pattern in GPU_TYPES
        )
        if self._gpus.missing and should_be:
            return (f"the GPU can't be seen, only the CPU: {self._gpus.missing}",)
        return ()

    def _is_working(self, gpu: Gpu) -> bool | None:
        """None if that can't be known."""
        if gpu.percent is not None:
            return gpu.percent >= self._busy_percent
        is_free = gpu.memory_used is not None and gpu.memory_used < _DRIVERS_OWN
        return False if gpu.pids == () and is_free else None

    def _follow(self, gpu: Gpu, now: datetime) -> _Device:
        working = self._is_working(gpu)
        before = self._devices.get(gpu.index)
        since = now
        if before is not None and before.is_working == working:
            gave_sign = working is None and (
                (gpu.memory_used, gpu.pids) != (before.gpu.memory_used, before.gpu.pids)
                # A device that did not answer tells nothing.
                and gpu.memory_used is not None
                and before.gpu.memory_used is not None
            )
            since = now if gave_sign else min(before.since, now)
        worked_at = now if working or before is None else min(before.worked_at, now)
        return _Device(gpu, working, since, worked_at)

    def _work(self, device: _Device, program: str, apps: frozenset[str], now: datetime) -> Work:
        gpu = device.gpu
        may_work = device.is_working is None and now - device.since < self._unknown_for
        label = f"GPU {gpu.index}"
        if gpu.percent is not None:
            text = f"{label} at {gpu.percent:.0f} %" + (f" ({program})" if program else "")
            hours = (now - device.worked_at) // timedelta(hours=1)
            if hours > 0 and not device.is_working:
                # To the hour, so that the status seldom changes.
                text += f", without work for {hours} h"
        elif device.is_working is None:
            text = f"{label} does not report whether it works"
        else:
            text = f"nothing uses {label}"
        return Work(
            kind=WorkKind.GPU,
            id=str(gpu.index),
            label=f"{label} ({gpu.name})" if gpu.name else label,
            state="",
            state_since=device.since,
            last_activity=device.worked_at,
            apps=apps,
            hold=Reason.GPU_BUSY if device.is_working or may_work else None,
            evidence=(Evidence(EvidenceKind.GPU, text),),
            gpu_percent=gpu.percent,
        )
