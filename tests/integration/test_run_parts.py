"""``make test`` runs its parts side by side, and fails if one of them does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

from tests.paths import ROOT

# Each of the first two ends only once the other has begun.
MAKEFILE = """
one two:
\t@touch $@.begun; until test -e one.begun && test -e two.begun; do sleep 0.05; done; echo I am $@
endless:
\t@echo $$$$ > endless.pid; sleep 600
bad:
\t@echo this is why; exit 1
"""


def run_parts(folder: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    started = start_parts(folder, *parts)
    output, _ = started.communicate(timeout=300)
    return subprocess.CompletedProcess(parts, started.returncode, output)


def start_parts(folder: Path, *parts: str) -> subprocess.Popen[str]:
    (folder / "Makefile").write_text(MAKEFILE)
    return subprocess.Popen(
        [str(ROOT / "tests" / "run-parts.sh"), *parts],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # As in a terminal, however the tests were started.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_parts_run_side_by_side_and_are_summed_up(tmp_path: Path) -> None:
    done = run_parts(tmp_path, "one", "two")
    assert done.returncode == 0, done.stdout
    assert "I am one" in done.stdout
    assert "---- two\n\nI am two\n" in done.stdout
    assert [line.split(" in ")[0].split() for line in done.stdout.splitlines()[-2:]] == [
        ["one", "passed"],
        ["two", "passed"],
    ]


def test_a_part_that_fails_stops_no_other_and_is_not_missed(tmp_path: Path) -> None:
    for parts in (["bad", "one", "two"], ["one", "bad", "two"]):
        for begun in tmp_path.glob("*.begun"):
            begun.unlink()
        done = run_parts(tmp_path, *parts)
        assert done.returncode == 1
        assert "this is why" in done.stdout
        results = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[-3:]}
        assert results == {"bad": "FAILED", "one": "passed", "two": "passed"}


def test_an_interrupt_leaves_nothing_running(tmp_path: Path) -> None:
    started = start_parts(tmp_path, "one", "endless")
    pid_file = tmp_path / "endless.pid"
    until = time.monotonic() + 120
    while not (pid_file.exists() and pid_file.read_text().endswith("\n")):
        assert time.monotonic() < until
        time.sleep(0.05)
    shell = psutil.Process(int(pid_file.read_text()))
    below = [shell, *shell.children(recursive=True)]
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does
    started.communicate(timeout=120)
    assert started.returncode == 130
    assert psutil.wait_procs(below, timeout=60)[1] == []
