"""One reading of the process table serves all who need one, and no later check."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagemaker_autoshutdown.activity import process_groups
from sagemaker_autoshutdown.activity.process_groups import Interval, Sample, uses
from sagemaker_autoshutdown.activity.process_table import SHARED_FOR, ProcFs, Readings, Traffic

from ..machine import INIT, SERVER, Machine


def readings(machine: Machine) -> Readings:
    return Readings(machine, lambda: machine.time)


def test_what_was_read_a_moment_ago_is_shared_with_the_time_it_was_read_at() -> None:
    machine = Machine()
    shared = readings(machine)
    first = shared.take()
    machine.time += SHARED_FOR / 2
    assert shared.take() is first
    assert (first.at, machine.reads) == (0, 1)


def test_what_was_read_long_ago_or_before_it_was_needed_is_not() -> None:
    machine = Machine()
    shared = readings(machine)
    shared.take()
    machine.time += SHARED_FOR
    assert shared.take().at == SHARED_FOR
    assert shared.take(not_before=SHARED_FOR).at == SHARED_FOR
    assert machine.reads == 3


def test_a_check_takes_no_reading_of_the_check_before() -> None:
    machine = Machine()
    shared = readings(machine)
    shared.take()
    shared.begin()
    shared.take()
    assert machine.reads == 2


def test_traffic_is_measured_over_its_own_time_and_cpu_over_its_own() -> None:
    """Else a worker that writes just enough would seem to write too little."""
    processes = Machine().processes
    before = Sample(0, processes, {INIT: Traffic(0, 0)}, traffic_at=0.5)
    after = Sample(2, processes, {INIT: Traffic(150_000, 0)}, traffic_at=2.0)
    assert uses(Interval(before, after), [INIT])[INIT].written == pytest.approx(100_000)


def test_what_has_ended_is_searched_for_once_not_for_each_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With 100 kernels and 500 processes it took most of a check."""
    searches = []
    search = process_groups._of_the_ended

    def counted(before: Sample, after: Sample) -> object:
        searches.append(before)
        return search(before, after)

    monkeypatch.setattr(process_groups, "_of_the_ended", counted)
    machine = Machine()
    roots = {("kernel", f"k{number}"): 100 + number for number in range(20)}
    for pid in roots.values():
        machine.add(pid, SERVER, "python")
    rested = {key: float(10 + number) for number, key in enumerate(roots)}
    machine.jobs.observe(roots, rested)
    machine.wait(60)
    searches.clear()
    machine.jobs.observe(roots, {key: seconds + 60 for key, seconds in rested.items()})
    assert len(searches) == 1


def test_a_process_that_has_worked_or_become_another_is_read_anew(tmp_path: Path) -> None:
    stat = tmp_path / "7" / "stat"
    stat.parent.mkdir()
    line = "7 ({name}) S 1 7 7 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 500 0 0"
    table = ProcFs(str(tmp_path))
    seen = []
    for name, ticks in (("sh", 0), ("sh", 0), ("sh", 100), ("train", 100)):
        stat.write_text(line.format(name=name, ticks=ticks))
        seen.append(table.read()[7])
    assert seen[1] is seen[0]
    assert [process.name for process in seen] == ["sh", "sh", "sh", "train"]
    assert seen[2].own_cpu > seen[1].own_cpu == 0
    stat.unlink()
    stat.parent.rmdir()
    assert table.read() == {}


def test_a_process_that_has_written_is_measured_anew_and_one_that_has_not_is_not(
    tmp_path: Path,
) -> None:
    io = tmp_path / "7" / "io"
    io.parent.mkdir()
    table = ProcFs(str(tmp_path))
    seen = []
    for written in (5, 5, 1_000_005):
        io.write_text(f"rchar: 9\nwchar: {written}\nsyscr: 2\nread_bytes: 4096\n")
        seen.append(table.traffic(7))
    assert seen == [Traffic(5, 4096), Traffic(5, 4096), Traffic(1_000_005, 4096)]
    assert seen[1] is seen[0]
    io.unlink()
    assert table.traffic(7) is None
