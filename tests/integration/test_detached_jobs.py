"""Jobs that have left their terminal or kernel are work as well; services are not."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from sagemaker_autoshutdown.activity.background_jobs import BackgroundJobs
from sagemaker_autoshutdown.activity.terminal_input import _GET_NUMBER
from sagemaker_autoshutdown.model import Reason
from tests.localstudio.processes import Process

from ..machine import FROM_A_KERNEL, FROM_A_TERMINAL, INIT, SERVER, Machine
from ..worlds import START

SHELL, JOB, WORKER = 10, 11, 12


def left_behind(machine: Machine, name: str = "python", **marks: str) -> Machine:
    """The machine with a job that somebody left behind, observed once."""
    machine.add(JOB, INIT, name, marks)
    assert machine.detached() == ()
    return machine


class TestWhatIsWork:
    @pytest.mark.parametrize("marks", [FROM_A_TERMINAL, FROM_A_KERNEL], ids=["terminal", "kernel"])
    def test_a_job_whose_terminal_or_kernel_is_gone_is_seen(self, marks: dict[str, str]) -> None:
        one = left_behind(Machine(), **marks)
        one.use(JOB, 30)
        (job,) = one.detached()
        assert (job.pid, job.program, job.started_at) == (JOB, "python", START)

    def test_one_that_is_still_below_its_terminal_is_not_counted_twice(self) -> None:
        one = Machine()
        one.add(SHELL, SERVER, "bash", FROM_A_TERMINAL)
        one.add(JOB, SHELL, "python", FROM_A_TERMINAL)
        one.observe({"terminal": SHELL})
        one.use(JOB, 30)
        jobs = one.observe({"terminal": SHELL})
        assert list(jobs.below) == ["terminal"]
        assert jobs.outside == ()

    def test_one_that_hides_its_environment_is_known_from_when_it_had_a_terminal(self) -> None:
        """A program that sets its own title overwrites Linux's copy of its environment."""
        one = Machine()
        one.add(SHELL, SERVER, "bash")
        one.add(JOB, SHELL)
        one.observe({"terminal": SHELL})
        one.end(SHELL)
        one.observe()
        one.use(JOB, 30)
        assert [job.pid for job in one.detached()] == [JOB]
        one.use(JOB, 30)
        assert [job.pid for job in one.detached()] == [JOB]

    def test_what_runs_in_tmux_is_seen_and_named(self) -> None:
        one = Machine()
        one.add(JOB, INIT, "tmux: server", FROM_A_TERMINAL)
        one.add(SHELL, JOB, "bash")
        one.add(WORKER, SHELL, "python")
        one.command_lines[WORKER] = ["python", "-u", "/home/me/train.py", "--token=secret"]
        one.detached()
        one.use(WORKER, 30)
        (job,) = one.detached()
        assert job.program == "train.py"

    def test_what_runs_now_is_named_not_what_has_run_most(self) -> None:
        one = Machine()
        one.add(JOB, INIT, "tmux: server", FROM_A_TERMINAL)
        one.add(SHELL, JOB, "ipython")
        one.use(SHELL, 9999)
        one.add(WORKER, JOB, "julia")
        one.detached()
        one.use(WORKER, 30)
        assert [job.program for job in one.detached()] == ["julia"]

    def test_a_script_of_many_short_commands_is_a_job(self) -> None:
        one = left_behind(Machine(), "bash", **FROM_A_TERMINAL)
        one.add(WORKER, JOB, "convert")
        one.use(WORKER, 40)
        one.end(WORKER)
        assert [job.program for job in one.detached()] == ["bash"]

    def test_a_server_that_is_the_first_process_adopts_them_itself(self) -> None:
        one = left_behind(Machine(server=INIT), **FROM_A_TERMINAL)
        one.add(SHELL, INIT, "bash", FROM_A_TERMINAL)
        one.observe({"terminal": SHELL})
        one.use(JOB, 30)
        jobs = one.observe({"terminal": SHELL})
        assert ([job.pid for job in jobs.outside], jobs.below) == ([JOB], {})

    def test_a_subreaper_above_the_server_adopts_them(self) -> None:
        one = Machine()
        one.add(3, INIT, "supervisord")
        one.move(SERVER, parent=3)
        one.add(JOB, 3, "python", FROM_A_TERMINAL)
        one.detached()
        one.use(JOB, 30)
        assert [job.pid for job in one.detached()] == [JOB]

    def test_thirty_of_them_at_3_percent_each_are_one_group_that_works(self) -> None:
        one = Machine()
        for pid in range(100, 130):
            one.add(pid, INIT, "worker", FROM_A_TERMINAL, session=pid)
        one.detached()
        for pid in range(100, 130):
            one.use(pid, 1.8)
        (job,) = one.detached()
        assert job.evidence[-1].text == "30 processes in all: 90 % of a CPU"

    def test_one_that_hardly_uses_cpu_and_downloads_is_seen(self) -> None:
        one = left_behind(Machine(), "fetch", **FROM_A_TERMINAL)
        one.use(JOB, 1.8)
        one.write(JOB, 60 * 10**6)
        (job,) = one.detached()
        assert [each.text for each in job.evidence] == ["fetch: 3 % of a CPU, 1 MB/s"]

    def test_one_that_holds_its_app_does_so_without_a_terminal_too(self) -> None:
        one = Machine()
        one.add(JOB, INIT, "papermill", FROM_A_TERMINAL)
        (job,) = one.detached()
        assert (job.reason, job.program) == (Reason.HOLDING_PROGRAM, "papermill")

    @pytest.mark.parametrize(
        "guest", ["sshd", "ssm-session-wor", "containerd-shim", "conmon", "cron", "crond", "atd"]
    )
    def test_what_runs_in_a_login_or_a_container_is_work(self, guest: str) -> None:
        one = Machine()
        one.add(3, INIT, guest)
        one.add(JOB, 3, "train")
        one.detached()
        one.use(JOB, 30)
        assert [job.program for job in one.detached()] == ["train"]

    def test_one_that_has_cleared_its_environment_is_work(self) -> None:
        one = Machine()
        one.add(JOB, INIT, "train")
        one.cleared.add(JOB)
        one.detached()
        one.use(JOB, 30)
        assert [job.program for job in one.detached()] == ["train"]

    def test_a_server_that_was_started_in_a_login_is_not_its_own_job(self) -> None:
        one = Machine()
        one.add(3, INIT, "sshd")
        one.add(4, 3, "bash")
        one.move(SERVER, parent=4)
        one.detached()
        for pid in (3, 4, SERVER):
            one.use(pid, 30)
        assert one.detached() == ()


class TestWhatIsNone:
    def test_a_service_that_waits_does_not_hold_the_instance(self) -> None:
        one = left_behind(Machine(), "ssh-agent", **FROM_A_TERMINAL)
        one.use(JOB, 0.5)
        assert one.detached() == ()

    def test_what_the_machine_itself_runs_is_no_job(self) -> None:
        one = left_behind(Machine(), "metrics-agent")
        one.use(JOB, 30)
        assert one.detached() == ()

    def test_a_server_that_was_started_in_a_jupyter_terminal_does_not_claim_its_neighbours(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for mark, value in FROM_A_TERMINAL.items():
            monkeypatch.setenv(mark, value)
        one = left_behind(Machine(), **FROM_A_TERMINAL)
        one.use(JOB, 30)
        assert one.detached() == ()

    @pytest.mark.parametrize("name", ["tensorboard", "code-server", "gpg-agent", "dockerd"])
    def test_a_service_that_never_rests_does_not_hold_the_instance_for_ever(
        self, name: str
    ) -> None:
        one = left_behind(Machine(), name, **FROM_A_TERMINAL)
        one.use(JOB, 30)
        assert one.detached() == ()

    def test_a_job_below_a_service_is_a_job_all_the_same(self) -> None:
        one = Machine(ignored=["code-server"])
        one.add(JOB, INIT, "code-server", FROM_A_TERMINAL)
        one.add(WORKER, JOB, "python")
        one.detached()
        one.use(WORKER, 30)
        assert [job.program for job in one.detached()] == ["python"]

    @pytest.mark.parametrize(
        ("lists", "below"),
        [({"ignored": ["*"]}, []), ({"ignored_detached": ["*"]}, ["terminal"])],
        ids=["ignored_programs", "ignore_detached_jobs"],
    )
    def test_an_admin_can_switch_it_off(
        self, lists: dict[str, list[str]], below: list[str]
    ) -> None:
        """The earlier setting was for detached jobs only, and still is."""
        one = left_behind(Machine(**lists), **FROM_A_TERMINAL)  # type: ignore[arg-type]
        one.add(SHELL, SERVER, "bash", session=SHELL)
        one.add(WORKER, SHELL)
        one.observe({"terminal": SHELL})
        one.use(JOB, 30)
        one.use(WORKER, 30)
        jobs = one.observe({"terminal": SHELL})
        assert (list(jobs.below), jobs.outside) == (below, ())

    def test_one_that_reuses_a_process_id_is_another(self) -> None:
        one = Machine()
        one.add(SHELL, SERVER, "bash")
        one.add(JOB, SHELL)
        one.observe({"terminal": SHELL})
        one.end(JOB)
        one.add(JOB, INIT, "cron")
        one.observe()
        one.use(JOB, 30)
        assert one.detached() == ()


@pytest.mark.parametrize(
    ("command_line", "shown"),
    [
        (["python", "train.py", "--password", "secret"], "train.py"),
        (["python", "-u", "/home/me/src/train.py"], "train.py"),
        (["bash", "run.sh"], "run.sh"),
        (["python", "-c", "login('secret')"], "python"),
        (["python", "secret"], "python"),
        (["python", "-X", "secret", "train.py"], "train.py"),
        (["python", "-msecret.but.a.module", "secret"], "secret.but.a.module"),
        (["bash", "-lc", "secret /x"], "bash"),
        (["node", "--require", "secret", "-e", "secret"], "node"),
        (["tool", "secret"], "tool"),
        (["tool", "--in", "secret", "file.py"], "tool"),
        (["title: with secret"], "title"),
        (["python"], "python"),
        ([], "python"),
    ],
)
def test_arguments_are_not_shown_since_they_may_hold_secrets(
    command_line: list[str], shown: str
) -> None:
    one = Machine()
    one.add(JOB, INIT, "python", FROM_A_TERMINAL, runs=command_line)
    one.detached()
    one.use(JOB, 30)
    assert [job.program for job in one.detached()] == [shown]


# ---- real ones ----------------------------------------------------------------------------------

BURN = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()))\nwhile True: pass\n"


@contextmanager
def server_after(folder: Path, command: str, script: str = BURN) -> Iterator[int]:
    """The process id of a server. A terminal of its own has run a command, and has ended.

    As in Studio, a process above the server adopts what is left behind, and ends it at the end. The
    machine's first process must not: each server on this machine, also of the tests that run beside
    this one, would take it for a job of its own.
    """
    (folder / "burn.py").write_text(script)
    terminal = f"burn='{sys.executable} burn.py pid' && {command}"
    env = {**os.environ, **FROM_A_TERMINAL}
    env.pop("TMUX", None)
    with asyncio.Runner() as runner:
        line = f"setsid -w sh -c {shlex.quote(terminal)} < /dev/null; exec sleep 1000"
        process = runner.run(
            Process.start(["sh", "-c", line], env=env, cwd=folder, log_path=folder / "log")
        )
        try:
            yield process.pid
        finally:
            runner.run(process.stop(0.1))


def pid_of_job(folder: Path) -> int:
    """The process id of the script ``burn.py``, once it runs."""
    file, deadline = folder / "pid", time.monotonic() + 120
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline, "the job did not start"
        time.sleep(0.05)
    return int(file.read_text())


def is_seen(server: int, program: str) -> bool:
    """Whether the job is seen within a time, and by which name."""
    jobs = BackgroundJobs(server=server)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for job in jobs.observe({}).outside:
            if any(each.text.startswith(program) for each in job.evidence):
                return True
        time.sleep(0.2)
    return False


@pytest.mark.parametrize(
    "command",
    [
        "nohup $burn &",
        "setsid $burn &",
        '(setsid sh -c "$burn & exit" &)',
        'tmux -S $PWD/tmux new-session -d "$burn"',
    ],
    ids=["nohup", "setsid", "double fork", "tmux"],
)
def test_a_real_job_that_left_its_shell_is_seen(tmp_path: Path, command: str) -> None:
    assert shutil.which("tmux"), "tests/install-system-packages.sh installs tmux"
    with server_after(tmp_path, command) as server:
        pid_of_job(tmp_path)
        assert is_seen(server, "burn.py")


def test_a_real_job_that_waits_is_not_seen(tmp_path: Path) -> None:
    waits = BURN.replace("while True: pass", "import time; time.sleep(1000)")
    with server_after(tmp_path, "nohup $burn &", waits) as server:
        pid = pid_of_job(tmp_path)
        jobs = BackgroundJobs(server=server)
        for _ in range(2):
            assert [job for job in jobs.observe({}).outside if job.pid == pid] == []


def test_a_terminal_of_another_program_tells_when_somebody_typed_into_it() -> None:
    """For example one of a remote IDE; it counts by its input, like Jupyter's own."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv("/bin/cat", ["cat"])  # noqa: S606
    number = int.from_bytes(fcntl.ioctl(terminal, _GET_NUMBER, bytes(4)), sys.byteorder)
    device = Path(f"/dev/pts/{number}")
    jobs = BackgroundJobs()

    def typed_at() -> datetime:
        """An earlier test may have left a terminal of its own."""
        (found,) = (each for each in jobs.observe({}).terminals if each.number == number)
        assert found.program
        return found.typed_at

    try:
        before = typed_at()
        past = time.time() - 3600
        os.utime(device, (past, past))
        quiet = typed_at()
        assert quiet < before
        os.write(terminal, b"x\r")
        # The terminal's own echo comes first: only the second `x` says that the program has read
        # the first.
        shown = b""
        while shown.count(b"x") < 2:
            shown += os.read(terminal, 100)
        assert typed_at() > quiet
        # A terminal of Jupyter's counts as such, and not again.
        others = jobs.observe({"terminal": pid}).terminals
        assert number not in {each.number for each in others}
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
