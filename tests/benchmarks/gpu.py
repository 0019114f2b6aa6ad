"""``python3 tests/benchmarks/gpu.py``: the readings of ``activity/gpu.py`` from a real GPU, and how
long they take: idle, with memory loaded, and under load.

Needs a driver, and nothing else but Python: modules are loaded from their files, and the driver's
own library (``libcuda.so.1``) makes the load.
"""

from __future__ import annotations

import ctypes
import importlib.util
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[2] / "sagemaker_autoshutdown"
GB = 1 << 30

#: Adds to a number for as long as it is told to, on all of the device.
PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry spin(.param .u64 out, .param .u64 rounds)
{
  .reg .pred p; .reg .u64 i, n, a; .reg .f32 x;
  ld.param.u64 a, [out]; ld.param.u64 n, [rounds];
  cvta.to.global.u64 a, a;
  mov.u64 i, 0; mov.f32 x, 0f3F800000;
again:
  fma.rn.f32 x, x, 0f3F800001, 0f3F800000;
  add.u64 i, i, 1; setp.lt.u64 p, i, n; @p bra again;
  st.global.f32 [a], x;
  ret;
}
"""


def main() -> None:
    """Reads and prints."""
    gpu = _module("gpu")
    began = time.perf_counter()
    gpus = gpu.Gpus()
    devices = gpus.read()
    print(f"first reading (loads the library): {(time.perf_counter() - began) * 1000:.1f} ms")
    if gpus.missing:
        print(f"no GPU: {gpus.missing}")
        return
    for device in devices:
        print(f"  {device}")
    times, cpu = [], time.process_time()
    for _ in range(200):
        began = time.perf_counter()
        gpus.read()
        times.append((time.perf_counter() - began) * 1000)
    cpu = (time.process_time() - cpu) / 200 * 1000
    times.sort()
    print(
        f"200 readings: median {statistics.median(times):.2f} ms, 99th percentile "
        f"{times[197]:.2f} ms, {cpu:.2f} ms of CPU each: {cpu * 60:.0f} ms in an hour of checks"
    )
    _show("idle", gpus, 3)
    spawn = multiprocessing.get_context("spawn")
    for what, seconds, target in (("loaded, idle", 6.0, _hold), ("at work", 12.0, _work)):
        ready = spawn.Event()
        child = spawn.Process(target=target, args=(seconds, ready))
        child.start()
        if not ready.wait(60):
            print(f"{what}: could not be made (see above)")
            child.kill()
            continue
        print(
            f"process {child.pid} of this machine is {what}; it has a GPU open: "
            f"{_has_gpu_open(child.pid)}"
        )
        time.sleep(2)
        _show(what, gpus, int(seconds) - 4)
        child.join()
    _show("idle again", gpus, 3)


def _show(what: str, gpus: Any, seconds: int) -> None:
    for _ in range(seconds):
        for device in gpus.read():
            print(
                f"{what}: GPU {device.index} at {device.percent} %, {device.memory_used} bytes, "
                f"processes {device.pids}"
            )
        time.sleep(1)


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, PACKAGE / "activity" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def _has_gpu_open(pid: int | None) -> bool:
    files = Path(f"/proc/{pid}/fd")
    return any(os.readlink(file).startswith("/dev/nvidia") for file in files.iterdir())  # noqa: PTH115


def _hold(seconds: float, ready: Any) -> None:
    cuda = _cuda()
    memory = ctypes.c_uint64()
    _check(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(2 * GB)), "cuMemAlloc")
    ready.set()
    time.sleep(seconds)


def _work(seconds: float, ready: Any) -> None:
    cuda = _cuda()
    memory, module, function = ctypes.c_uint64(), ctypes.c_void_p(), ctypes.c_void_p()
    _check(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(4)), "cuMemAlloc")
    _check(cuda.cuModuleLoadData(ctypes.byref(module), PTX), "cuModuleLoadData")
    _check(cuda.cuModuleGetFunction(ctypes.byref(function), module, b"spin"), "cuModuleGetFunction")
    rounds = ctypes.c_uint64(10_000_000)
    arguments = (ctypes.c_void_p * 2)(
        ctypes.cast(ctypes.byref(memory), ctypes.c_void_p),
        ctypes.cast(ctypes.byref(rounds), ctypes.c_void_p),
    )
    ready.set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        launched = cuda.cuLaunchKernel(function, 256, 1, 1, 128, 1, 1, 0, None, arguments, None)
        _check(launched, "cuLaunchKernel")
        _check(cuda.cuCtxSynchronize(), "cuCtxSynchronize")


def _cuda() -> Any:
    cuda = ctypes.CDLL("libcuda.so.1")
    _check(cuda.cuInit(0), "cuInit")
    device, context = ctypes.c_int(), ctypes.c_void_p()
    _check(cuda.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    _check(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), "cuDevicePrimaryCtxRetain")
    _check(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    return cuda


def _check(code: int, what: str) -> None:
    if code:
        raise RuntimeError(f"{what}: CUDA error {code}")


if __name__ == "__main__":
    main()
