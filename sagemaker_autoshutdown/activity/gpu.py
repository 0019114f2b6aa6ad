"""Nvidia's GPUs of this machine, read from Nvidia's own library.

Calls NVML (``libnvidia-ml.so.1``, part of the driver) by ctypes, so no package is needed. The
device's utilisation says whether it works; the machine is the app's own. A divided device (MIG)
reports none, so it is unknown whether it works. ``gpu_watch`` says how that affects an app.

Calls block, and may hang in a broken driver: see ``Gpus.read``.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

LIBRARY = "libnvidia-ml.so.1"

# nvml.h
_SUCCESS = 0
_INSUFFICIENT_SIZE = 7
_MIG_ENABLED = 1
_NAME_SIZE = 96
#: Room for this many processes of one device at first; NVML says when it needs more.
_PROCESSES = 32


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class _Process(ctypes.Structure):
    # nvmlProcessInfo_t of versions 2 and 3 of the call.
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used_memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class GpuError(Exception):
    """The GPUs can't be read."""


@dataclass(frozen=True)
class Gpu:
    """One device at a moment. ``percent`` is its utilisation, None if unknown; ``memory_used``
    is in bytes. ``pids`` are the processes that have it open, None if unknown; in a container
    they may be another machine's ids."""

    index: int
    name: str
    percent: float | None
    memory_used: int | None = None
    pids: tuple[int, ...] | None = None


class Gpus:
    """The library, loaded when first needed. ``read`` raises ``GpuError``."""

    def __init__(self, load: Callable[[str], Any] = ctypes.CDLL, library: str = LIBRARY) -> None:
        self._load = load
        self._library = library
        self._nvml: Any = None
        #: Why no GPU can be read; empty until that is known.
        self.missing = ""
        #: Whether the library is there, as far as is known.
        self.is_there = True
        self._read_lock = threading.Lock()

    def read(self) -> tuple[Gpu, ...]:
        """All devices; empty if there is no GPU or no driver (see ``missing``).

        Blocks for milliseconds, the first time for up to a second, and for ever if the driver
        hangs: call it in a thread, with a bound. While it hangs, further calls raise ``GpuError``.
        """
        if not self.is_there:
            return ()
        if not self._read_lock.acquire(blocking=False):
            raise GpuError("the driver has not answered the last question yet")
        try:
            if self._nvml is None and not self._open():
                return ()
            return tuple(self._device(index) for index in range(self._count()))
        finally:
            self._read_lock.release()

    def _open(self) -> bool:
        try:
            nvml = self._load(self._library)
            code = nvml.nvmlInit_v2()
        except (OSError, AttributeError) as error:
            self.missing, self.is_there = str(error), False
            return False
        if code != _SUCCESS:
            # The driver may not be up yet, so the next call asks again.
            self.missing = _error(nvml, code)
            return False
        self._nvml, self.missing = nvml, ""
        return True

    def _count(self) -> int:
        count = ctypes.c_uint()
        self._check(self._nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)))
        return count.value

    def _device(self, index: int) -> Gpu:
        device = ctypes.c_void_p()
        code = self._nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device))
        if code != _SUCCESS:
            # A device that fell off the bus must not hide the others.
            return Gpu(index, f"not readable: {_error(self._nvml, code)}", None)
        return Gpu(
            index,
            self._name(device),
            self._percent(device),
            self._memory_used(device),
            self._pids(device),
        )

    def _name(self, device: ctypes.c_void_p) -> str:
        name = ctypes.create_string_buffer(_NAME_SIZE)
        self._ask("nvmlDeviceGetName", device, name, ctypes.c_uint(_NAME_SIZE))
        return name.value.decode(errors="replace")

    def _percent(self, device: ctypes.c_void_p) -> float | None:
        current, pending = ctypes.c_uint(), ctypes.c_uint()
        asked = self._ask(
            "nvmlDeviceGetMigMode", device, ctypes.byref(current), ctypes.byref(pending)
        )
        if asked and current.value == _MIG_ENABLED:
            return None
        utilization = _Utilization()
        if not self._ask("nvmlDeviceGetUtilizationRates", device, ctypes.byref(utilization)):
            return None
        return float(utilization.gpu)

    def _memory_used(self, device: ctypes.c_void_p) -> int | None:
        memory = _Memory()
        if not self._ask("nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory)):
            return None
        return int(memory.used)

    def _pids(self, device: ctypes.c_void_p) -> tuple[int, ...] | None:
        for function in ("_v3", "_v2"):
            name = f"nvmlDeviceGetComputeRunningProcesses{function}"
            if not hasattr(self._nvml, name):
                continue
            room = _PROCESSES
            while room <= _PROCESSES * 64:
                count, found = ctypes.c_uint(room), (_Process * room)()
                code = getattr(self._nvml, name)(device, ctypes.byref(count), found)
                if code == _SUCCESS:
                    return tuple(each.pid for each in found[: count.value])
                if code != _INSUFFICIENT_SIZE:
                    return None
                room = max(2 * room, count.value + _PROCESSES)
        return None

    def _ask(self, function: str, *arguments: Any) -> bool:
        """Whether this driver and this device know the answer."""
        call = getattr(self._nvml, function, None)
        return call is not None and call(*arguments) == _SUCCESS

    def _check(self, code: int) -> None:
        if code != _SUCCESS:
            # The driver may have been updated or reset: load it again the next time.
            error, self._nvml = _error(self._nvml, code), None
            raise GpuError(error)


def _error(nvml: Any, code: int) -> str:
    try:
        nvml.nvmlErrorString.restype = ctypes.c_char_p
        text = nvml.nvmlErrorString(ctypes.c_int(code))
        return f"NVML: {text.decode(errors='replace')}"
    except (AttributeError, TypeError):
        return f"NVML: error {code}"
