"""GPUs, read from a stand-in of Nvidia's library that the test compiles (``nvml/standin.c``)."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sagemaker_autoshutdown.activity.gpu import GpuError, Gpus
from sagemaker_autoshutdown.activity.gpu_watch import GpuWatch
from sagemaker_autoshutdown.model import App, Reason, Work

from ..nvml import COMPILER, DEVICES, build_library
from ..worlds import START, app, at

GB = 10**9
ON_A_GPU = (app("a", instance_type="ml.g5.xlarge"),)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which(COMPILER) is None:
        pytest.skip("a C compiler (cc) is not on this machine")
    return str(build_library(tmp_path_factory.mktemp("nvml")))


class Machine:
    """A machine whose GPUs a test moves, and the work that is seen."""

    def __init__(self, library: str, file: Path) -> None:
        self.file = file
        self.gpus = Gpus(library=library)
        self.watch = GpuWatch(self.gpus, patience=5, unknown_for=timedelta(hours=4))
        self.seconds = 0.0

    def has(self, *lines: str) -> None:
        """Each line: utilization, memory used, MIG, process ids."""
        self.file.write_text("\n".join(lines) + "\n")

    def observe(self, after: float = 60, apps: tuple[App, ...] = ON_A_GPU) -> list[Work]:
        self.seconds += after
        return list(asyncio.run(self.watch.observe(apps, self.now)))

    @property
    def now(self) -> datetime:
        return at(seconds=self.seconds)


@pytest.fixture
def machine(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    file = tmp_path / "devices"
    monkeypatch.setenv(DEVICES, str(file))
    return Machine(library, file)


def texts(work: list[Work]) -> list[str]:
    return [each.text for item in work for each in item.evidence]


def holds(work: list[Work]) -> list[bool]:
    assert {item.hold for item in work} <= {None, Reason.GPU_BUSY}
    return [item.hold is not None for item in work]


class TestReading:
    def test_all_devices_are_read(self, machine: Machine) -> None:
        machine.has("87 4000000000 0 11 12", "0 1000 0")
        first, second = machine.gpus.read()
        assert (first.index, first.name, first.percent) == (0, "Stand-in A10G", 87)
        assert (first.memory_used, first.pids) == (4 * GB, (11, 12))
        assert (second.index, second.percent, second.pids) == (1, 0, ())

    def test_one_that_mig_divides_does_not_tell(self, machine: Machine) -> None:
        machine.has("0 1000 1")
        assert machine.gpus.read()[0].percent is None

    def test_more_processes_than_there_was_room_for_are_read(self, machine: Machine) -> None:
        machine.has("5 1000 0 " + " ".join(str(pid) for pid in range(1, 101)))
        assert machine.gpus.read()[0].pids == tuple(range(1, 101))

    def test_one_that_fell_off_the_bus_does_not_hide_the_others(self, machine: Machine) -> None:
        machine.has("-3 0 0", "40 0 0")
        assert [gpu.percent for gpu in machine.gpus.read()] == [None, 40]

    def test_a_library_without_a_driver_is_no_gpu(self, machine: Machine) -> None:
        machine.has("error 9")
        assert machine.gpus.read() == ()
        assert machine.gpus.missing == "NVML: Driver Not Loaded"

    def test_a_driver_that_comes_up_after_the_server_is_asked_again(self, machine: Machine) -> None:
        machine.has("error 9")
        machine.gpus.read()
        machine.has("87 1000 0")
        assert [gpu.percent for gpu in machine.gpus.read()] == [87]
        assert machine.gpus.missing == ""

    def test_a_machine_without_the_library_has_none(self) -> None:
        gpus = Gpus(library="libthere-is-none.so.1")
        assert gpus.read() == ()
        assert "libthere-is-none" in gpus.missing

    def test_an_old_library_that_lacks_a_call_is_read_as_far_as_it_goes(
        self, machine: Machine, library: str, tmp_path: Path
    ) -> None:
        source = (Path(__file__).parent / "nvml" / "standin.c").read_text()
        for name in ("ComputeRunningProcesses_v3", "MigMode"):
            source = source.replace(f"nvmlDeviceGet{name}", f"nothing{name}")
        (tmp_path / "old.c").write_text(source)
        cc = shutil.which("cc")
        assert cc
        old = tmp_path / "old.so"
        subprocess.run([cc, "-shared", "-fPIC", "-o", old, tmp_path / "old.c"], check=True)
        machine.has("87 1000 0 11")
        (gpu,) = Gpus(library=str(old)).read()
        assert (gpu.percent, gpu.pids) == (87, None)

    def test_a_driver_that_fails_later_is_an_error_and_is_asked_again(
        self, machine: Machine
    ) -> None:
        machine.has("87 1000 0")
        machine.gpus.read()
        machine.has("error 999")
        with pytest.raises(GpuError):
            machine.gpus.read()
        machine.has("50 1000 0")
        assert [gpu.percent for gpu in machine.gpus.read()] == [50]


class TestWhatItMeans:
    @pytest.mark.parametrize(("percent", "works"), [(4, False), (5, True), (87, True)])
    def test_a_device_that_is_used_holds_its_app(
        self, machine: Machine, percent: int, works: bool
    ) -> None:
        machine.has(f"{percent} 4000000000 0")
        (work,) = machine.observe()
        assert holds([work]) == [works]
        assert texts([work]) == [f"GPU 0 at {percent} %"]
        assert work.gpu_percent == percent
        assert work.apps == {"a"}

    def test_a_loaded_model_that_nobody_asks_holds_nothing(self, machine: Machine) -> None:
        machine.has("0 20000000000 0 11")
        assert holds(machine.observe()) == [False]

    def test_the_program_that_uses_it_is_named_if_it_is_one_of_this_machine(
        self, library: str, machine: Machine
    ) -> None:
        """In a container the library reports the ids of the machine below."""
        named: Callable[[int], str] = {12: "train.py"}.get  # type: ignore[assignment]
        machine.watch = GpuWatch(machine.gpus, program_of=lambda pid: named(pid) or "")
        machine.has("87 1000 0 11 12")
        assert texts(machine.observe()) == ["GPU 0 at 87 % (train.py)"]
        machine.has("87 1000 0 11")
        assert texts(machine.observe()) == ["GPU 0 at 87 %"]

    def test_it_is_known_when_one_last_worked(self, machine: Machine) -> None:
        machine.has("87 1000 0", "0 0 0")
        machine.observe()
        worked_at, began = machine.now, START + timedelta(seconds=60)
        machine.has("0 1000 0", "0 0 0")
        first, second = machine.observe(after=3600)
        assert (first.last_activity, second.last_activity) == (worked_at, began)
        assert texts([first]) == ["GPU 0 at 0 %, without work for 1 h"]

    def test_one_that_can_not_tell_holds_while_it_is_used_but_not_for_ever(
        self, machine: Machine
    ) -> None:
        machine.has("0 20000000000 1 11")
        assert holds(machine.observe()) == [True]
        assert holds(machine.observe(after=3 * 3600)) == [True]
        machine.has("0 21000000000 1 11")
        assert holds(machine.observe(after=1800)) == [True], "more data is a sign of life"
        assert holds(machine.observe(after=3.9 * 3600)) == [True]
        assert holds(machine.observe(after=3600)) == [False]
        machine.has("0 22000000000 1 11")
        assert holds(machine.observe()) == [True]

    def test_one_that_can_not_tell_and_is_used_by_nothing_holds_nothing(
        self, machine: Machine
    ) -> None:
        machine.has("0 500000000 1")
        assert holds(machine.observe()) == [False]

    def test_a_driver_that_hangs_holds_nothing_up_and_is_unknown(self, machine: Machine) -> None:
        machine.watch = GpuWatch(machine.gpus, patience=0.3, unknown_for=timedelta(hours=4))
        machine.has("87 1000 0")
        machine.observe()
        machine.has("-2 1000 0")
        assert holds(machine.observe()) == [True]
        assert machine.watch.notes == ("the GPU can't be seen: no answer in 0.3 s",)
        assert holds(machine.observe()) == [True]
        assert "has not answered the last question" in machine.watch.notes[0]
        assert holds(machine.observe(after=4 * 3600)) == [False]

    def test_one_that_fails_in_a_way_nobody_expects_is_unknown_and_not_gone(
        self, machine: Machine
    ) -> None:
        def fail(pid: int) -> str:
            raise AttributeError("no such thing")

        machine.has("0 1000 0 11")
        machine.watch = GpuWatch(machine.gpus, program_of=fail, unknown_for=timedelta(hours=4))
        assert holds(machine.observe()) == [False]
        machine.has("87 1000 0 11")
        assert holds(machine.observe()) == [True]
        assert "no such thing" in machine.watch.notes[0]

    def test_a_clock_that_jumps_a_day_does_not_end_what_is_unknown(self, machine: Machine) -> None:
        machine.has("0 20000000000 1 11")
        machine.observe()
        machine.watch.clock_jumped(timedelta(days=1))
        assert holds(machine.observe(after=24 * 3600)) == [True]

    def test_a_gpu_instance_whose_gpu_can_not_be_seen_is_told(self) -> None:
        watch = GpuWatch(Gpus(library="libthere-is-none.so.1"))
        assert asyncio.run(watch.observe(ON_A_GPU, START)) == ()
        assert "only the CPU" in watch.notes[0]

    def test_one_without_a_gpu_needs_no_word_of_it(self) -> None:
        watch = GpuWatch(Gpus(library="libthere-is-none.so.1"))
        assert asyncio.run(watch.observe((app("a", instance_type="ml.t3.medium"),), START)) == ()
        assert watch.notes == ()
