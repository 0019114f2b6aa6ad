"""Processes in and below a kernel, a terminal or the server, and whether they are work."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from sagemaker_autoshutdown.activity import background_jobs
from sagemaker_autoshutdown.activity.background_jobs import (
    DASK_MARK,
    MAX_AGE,
    BackgroundJobs,
    Finding,
)
from sagemaker_autoshutdown.activity.process_groups import WorkRule
from sagemaker_autoshutdown.activity.process_table import Process, Traffic
from sagemaker_autoshutdown.model import Reason

from ..machine import INIT, SERVER, Machine
from ..worlds import START

KERNEL, SHELL, JOB, CHILD = 8, 10, 11, 12
MB = 10**6
VS_CODE = "/root/.vscode-server/cli/servers/Stable-1/server"
ROOTS = {"kernel": KERNEL, "terminal": SHELL}


def machine(job: str = "python", *runs: str, waiting_for: float = 0.0) -> Machine:
    """A machine with a kernel, and with a terminal in which a job runs; it was observed once."""
    made = Machine(waiting_for=waiting_for)
    made.add(KERNEL, SERVER, "python", session=KERNEL, runs=["python", "-m", "ipykernel_launcher"])
    made.add(SHELL, SERVER, "bash", session=SHELL, runs=["-bash"])
    made.add(JOB, SHELL, job, runs=runs)
    assert observed(made) == {}
    return made


def observed(machine: Machine, passed: float = 60.0, **rested: float) -> dict[object, list[str]]:
    """The work that holds its app after some time, and its evidence."""
    jobs = machine.observe(ROOTS, passed=passed, rested=rested)
    found: dict[object, Finding] = {**jobs.below, **{job.program: job for job in jobs.outside}}
    return {key: [each.text for each in job.evidence] for key, job in found.items()}


def holds(machine: Machine, passed: float = 60.0) -> bool:
    return list(observed(machine, passed)) == ["terminal"]


class TestOneProcess:
    def test_f18_a_job_that_uses_cpu_is_seen_and_shown(self) -> None:
        one = machine("python", "python", "train.py", "--password=secret")
        one.use(JOB, 37.2)
        one.write(JOB, 240 * MB)
        assert observed(one) == {"terminal": ["train.py: 62 % of a CPU, 4 MB/s"]}

    def test_a_job_that_only_waits_is_none(self) -> None:
        one = machine()
        one.use(JOB, 0.1)
        assert not holds(one)

    @pytest.mark.parametrize(("seconds", "works"), [(2.9, False), (3.1, True)])
    def test_a_fair_share_of_a_cpu_is_work(self, seconds: float, works: bool) -> None:
        one = machine()
        one.use(JOB, seconds)
        assert holds(one) is works

    @pytest.mark.parametrize(("per_second", "works"), [(99_000, False), (101_000, True)])
    def test_a_download_that_takes_hardly_any_cpu_is_work(
        self, per_second: int, works: bool
    ) -> None:
        one = machine("fetch")
        one.use(JOB, 1.8)  # 3 %
        one.write(JOB, 60 * per_second)
        assert holds(one) is works

    @pytest.mark.parametrize(("per_second", "works"), [(99_000, False), (101_000, True)])
    def test_streaming_over_the_network_is_work(self, per_second: int, works: bool) -> None:
        one = machine("python", "python", "train.py")
        one.open_sockets[JOB] = [7, 8]
        one.bytes_sent.update({7: 60 * per_second - 1000, 8: 1000})
        shown = {"terminal": [f"train.py: 0 % of a CPU, {per_second // 1000} kB/s"]}
        assert observed(one) == (shown if works else {})

    def test_what_others_send_is_no_work_of_a_job_with_a_quiet_connection(self) -> None:
        one = machine("ssh", "ssh", "-N", "host")
        one.open_sockets[JOB] = [7]
        one.bytes_sent.update({7: 1000, 8: 600 * MB})
        assert not holds(one)

    def test_a_connection_counts_what_went_over_it_since(self) -> None:
        one = machine()
        one.open_sockets[JOB] = [7]
        one.bytes_sent[7] = 600 * MB
        assert holds(one)
        assert not holds(one)

    def test_connections_are_not_read_while_hardly_anything_goes_over_the_network(self) -> None:
        one = machine()
        one.open_sockets[JOB] = [7]
        for sent in (40_000, 49_000, 51_000, 90_000, 100_000, 102_000, 103_000):
            one.bytes_sent[7] = sent
            assert not holds(one)
        assert one.connections_read == 3  # at first, and where 50,000 more had gone over it

    def test_what_went_over_a_connection_in_quiet_hours_is_no_work_of_a_busy_minute(self) -> None:
        one = machine("ssh", "ssh", "-N", "host")
        one.open_sockets[JOB] = [7]
        for minute in range(600):
            one.bytes_sent[7] = 20_000 * minute
            assert not holds(one)
        one.bytes_sent[8] = 600 * MB
        assert not holds(one)

    def test_work_that_follows_quiet_hours_is_seen_at_the_next_check(self) -> None:
        one = machine("python", "python", "train.py")
        one.open_sockets[JOB] = [7]
        for minute in range(60):
            one.bytes_sent[7] = 1000 * minute
            assert not holds(one)
        one.bytes_sent[7] += 7 * MB
        assert holds(one)

    def test_where_interfaces_do_not_tell_connections_are_read_each_time(self) -> None:
        one = machine("python", "python", "train.py")
        one.carried = lambda: None  # type: ignore[method-assign]
        one.open_sockets[JOB] = [7]
        assert not holds(one)
        one.bytes_sent[7] = 7 * MB
        assert holds(one)

    def test_an_interface_that_goes_away_does_not_keep_connections_unread(self) -> None:
        """The sum is smaller without it: that of a container, of a VPN."""
        one = machine("python", "python", "train.py")
        one.open_sockets[JOB] = [7]
        carried = [100 * MB, 8 * MB]
        one.carried = lambda: carried.pop(0)  # type: ignore[method-assign]
        assert not holds(one)
        one.bytes_sent[7] = 7 * MB
        assert holds(one)

    def test_waiting_for_a_slow_disk_is_work_for_a_limited_time(self) -> None:
        one = machine("python", "python", "train.py", waiting_for=3600)
        assert not holds(one)
        one.processes[JOB] = replace(one.processes[JOB], blocked=True)
        assert not holds(one)  # it may have waited for a moment
        assert observed(one) == {"terminal": ["train.py: 0 % of a CPU, waits for a disk"]}
        for _ in range(58):
            assert holds(one)
        assert not holds(one, 120)
        one.use(JOB, 1.0)
        assert holds(one)

    @pytest.mark.parametrize(("seconds", "works"), [(57.0, True), (20.0, False)])
    def test_a_job_that_others_leave_hardly_any_cpu_is_work(
        self, seconds: float, works: bool
    ) -> None:
        one = machine("python", "python", "train.py")
        one.processes[JOB] = replace(one.processes[JOB], runnable=True)
        one.starved[JOB] = 100.0
        assert not holds(one)
        one.use(JOB, 2.4)
        one.starved[JOB] += seconds
        shown = {"terminal": ["train.py: 4 % of a CPU, waits for a CPU"]}
        assert observed(one) == (shown if works else {})
        # What rests when it is seen has what it needs.
        one.starved[JOB] += seconds
        one.processes[JOB] = replace(one.processes[JOB], runnable=False)
        assert not holds(one)

    def test_reading_from_a_disk_is_work(self) -> None:
        one = machine("sha256sum")
        one.write(JOB, 0, read=60 * MB)
        assert holds(one)

    def test_a_thread_of_an_idle_kernel_is_work(self) -> None:
        one = machine()
        one.use(KERNEL, 30)
        assert observed(one) == {"kernel": ["the kernel itself: 50 % of a CPU"]}

    def test_an_idle_kernel_s_heartbeat_is_none(self) -> None:
        one = machine()
        one.use(KERNEL, 1.2)
        assert observed(one) == {}

    def test_a_shell_that_was_replaced_by_a_program_is_work(self) -> None:
        one = machine()
        one.end(JOB)
        one.processes[SHELL] = replace(one.processes[SHELL], name="python")
        one.command_lines[SHELL] = ["python", "train.py"]
        one.use(SHELL, 60)
        assert observed(one) == {"terminal": ["train.py: 100 % of a CPU"]}

    def test_a_process_whose_traffic_is_not_ours_to_see_counts_by_its_cpu(self) -> None:
        """A process that sudo has started."""
        one = machine()
        del one.traffics[JOB]
        assert not holds(one)
        one.use(JOB, 30)
        assert holds(one)

    def test_traffic_that_was_not_seen_before_is_not_taken_for_new(self) -> None:
        one = machine()
        del one.traffics[JOB]
        assert not holds(one)
        one.traffics[JOB] = Traffic(900 * MB, 900 * MB)
        assert not holds(one)

    def test_a_process_that_reuses_an_id_starts_anew(self) -> None:
        one = machine()
        one.processes[JOB] = Process(SHELL, one.time, 0.5, 0.0, "sleep", SHELL)
        one.traffics[JOB] = Traffic(10, 0)
        assert not holds(one)
        one.processes[SHELL] = Process(SERVER, one.time, 0.0, 0.0, "bash", SHELL)
        assert not holds(one)

    def test_a_new_process_is_seen_at_once(self) -> None:
        one = machine()
        one.add(CHILD, SHELL, "julia")
        one.use(CHILD, 30)
        assert holds(one)


class TestTogether:
    @pytest.mark.parametrize(("workers", "works"), [(10, False), (30, True)])
    def test_many_that_do_little_each_are_work(self, workers: int, works: bool) -> None:
        one = machine()
        for pid in range(100, 100 + workers):
            one.add(pid, JOB)
        observed(one)
        for pid in range(100, 100 + workers):
            one.use(pid, 1.8)  # 3 %
        assert holds(one) is works

    def test_a_job_of_another_terminal_is_not_this_ones(self) -> None:
        one = machine()
        one.use(JOB, 30)
        assert "kernel" not in observed(one)

    def test_what_left_its_parent_but_not_its_terminal_is_that_terminal_s(self) -> None:
        one = machine()
        one.add(CHILD, JOB, "train")
        observed(one)
        one.end(JOB)
        assert one.processes[CHILD].parent == INIT
        one.use(CHILD, 30)
        assert observed(one) == {"terminal": ["train: 50 % of a CPU"]}

    def test_a_kernel_in_the_server_s_session_does_not_own_what_the_server_started(self) -> None:
        one = machine()
        one.processes[KERNEL] = replace(one.processes[KERNEL], session=INIT)
        one.add(40, SERVER, "rsession", session=INIT)
        observed(one)
        one.use(40, 30)
        assert observed(one) == {"rsession": ["rsession: 50 % of a CPU"]}
        one.use(KERNEL, 30)
        assert observed(one) == {"kernel": ["the kernel itself: 50 % of a CPU"]}

    def test_more_than_a_few_are_summed_up(self) -> None:
        one = machine()
        for pid in range(100, 106):
            one.add(pid, JOB, "worker")
            one.use(pid, 30)
        (texts,) = observed(one).values()
        assert texts == ["worker: 50 % of a CPU"] * 3 + ["6 processes in all: 300 % of a CPU"]


class TestWhatHasEnded:
    def test_many_short_commands_in_a_row_are_work(self) -> None:
        """A build starts a process for each file; none outlasts two observations."""
        one = machine("make")
        for pid in range(100, 110):
            one.add(pid, JOB, "cc1")
            one.use(pid, 4)
            one.end(pid)
        assert holds(one)

    def test_a_loop_of_short_commands_that_mostly_wait_for_others_is_work(self) -> None:
        """Each loads its libraries and calls a model elsewhere."""
        one = machine("bash", "bash", "ask.sh")
        for pid in range(100, 106):
            one.add(pid, JOB)
            one.use(pid, 1)
            one.end(pid)
        assert observed(one) == {"terminal": ["ask.sh: 10 % of a CPU"]}

    def test_a_loop_that_sleeps_is_none(self) -> None:
        """``while true; do date; sleep 1; done``"""
        one = machine("bash")
        for pid in range(100, 160):
            one.add(pid, JOB, "sleep")
            one.use(pid, 0.01)
            one.end(pid)
        assert not holds(one)

    def test_what_an_ended_child_did_long_ago_is_no_work_of_now(self) -> None:
        one = machine("bash")
        one.add(CHILD, JOB)
        one.use(CHILD, 3600)
        one.write(CHILD, 9000 * MB, 9000 * MB)
        assert holds(one)
        assert not holds(one), "it did nothing since"
        one.end(CHILD)
        assert not holds(one), "its counts were added to its parent's"

    def test_not_even_if_its_parent_ended_with_it(self) -> None:
        one = machine("bash")
        one.add(CHILD, JOB, "bash")
        one.add(13, CHILD)
        one.use(13, 3600)
        one.write(13, 9000 * MB)
        assert holds(one)
        one.end(13)
        one.end(CHILD)
        assert not holds(one)

    def test_what_it_did_since_is(self) -> None:
        one = machine("bash")
        one.add(CHILD, JOB, "curl")
        one.write(CHILD, 9000 * MB)
        observed(one)
        one.write(CHILD, 60 * MB)
        one.end(CHILD)
        assert holds(one)

    def test_a_child_that_nobody_waits_for_does_not_hide_other_work(self) -> None:
        """Its parent ignores SIGCHLD: its counts are added to none."""
        one = machine("bash")
        one.add(CHILD, JOB)
        one.use(CHILD, 3600)
        observed(one)
        del one.processes[CHILD]
        one.use(JOB, 30)
        assert holds(one)


class TestClusters:
    def cluster(self, workers: int, environment: dict[str, str], name: str = "python") -> Machine:
        one = machine()
        for pid in range(100, 100 + workers):
            one.add(pid, KERNEL, name, environment, session=KERNEL)
        observed(one)
        return one

    def work(self, one: Machine, share: float) -> None:
        for pid in one.processes:
            if pid >= 100:
                one.use(pid, 60 * share)

    @pytest.mark.parametrize(
        ("mark", "name"),
        [({DASK_MARK: "8"}, "python"), ({}, "ray::IDLE"), ({}, "raylet"), ({}, "dask-worker")],
    )
    @pytest.mark.parametrize("workers", [4, 48])
    def test_an_idle_one_of_any_size_is_no_work(
        self, workers: int, mark: dict[str, str], name: str
    ) -> None:
        one = self.cluster(workers, mark, name)
        self.work(one, 0.035)
        assert observed(one) == {}

    def test_the_same_processes_would_be_work_were_they_no_cluster(self) -> None:
        one = self.cluster(48, {})
        self.work(one, 0.035)
        assert list(observed(one)) == ["kernel"]

    def test_one_of_its_workers_at_work_is_work(self) -> None:
        one = self.cluster(48, {DASK_MARK: "8"})
        one.use(120, 30)
        assert list(observed(one)) == ["kernel"]

    def test_what_keeping_it_costs_a_kernel_is_no_work_of_the_kernel(self) -> None:
        """Measured: 6.4 % for a kernel that keeps 16 workers, at 1.8 % each."""
        one = self.cluster(16, {DASK_MARK: "8"})
        self.work(one, 0.018)
        one.use(KERNEL, 60 * 0.064)
        assert observed(one) == {}
        self.work(one, 0.018)
        one.use(KERNEL, 60 * 0.60)
        assert list(observed(one)) == ["kernel"]


class TestPrograms:
    @pytest.mark.parametrize(
        ("name", "runs"),
        [
            ("top", ["top"]),
            ("htop", ["htop"]),
            ("nvidia-smi", ["nvidia-smi", "dmon"]),
            ("tail", ["tail", "-f", "log"]),
            ("node", ["/usr/lib/code-server/lib/node", "/usr/lib/code-server", "--port", "1"]),
            ("node", ["node", "/usr/lib/code-server/lib/vscode/out/bootstrap-fork", "--type=x"]),
            ("tensorboard", ["/opt/conda/bin/python", "/opt/conda/bin/tensorboard", "--logdir"]),
            ("python", ["python", "-m", "tensorboard.main", "--logdir", "x"]),
            ("python3.11", ["python3.11", "-um", "tensorboard.main"]),
            ("pyright-langser", ["node", "/opt/pyright-langserver.js", "--stdio"]),
            ("jedi-language-s", ["/opt/conda/bin/python", "/opt/conda/bin/jedi-language-server"]),
            (
                "node",
                ["node", "/root/.vscode-server/extensions/ms-python.vscode-pylance-1/dist/x.js"],
            ),
            ("node", ["node", f"{VS_CODE}/out/bootstrap-fork", "--type=extensionHost"]),
            ("node", ["node", "/opt/amazon-q/aws-lsp-codewhisperer.js", "--stdio"]),
            ("docker", ["docker", "stats"]),
            ("bpytop", ["/opt/python", "/opt/bin/bpytop"]),
            ("mlflow", ["/opt/python", "/opt/bin/mlflow", "ui", "--port", "5001"]),
            ("python", ["python", "-m", "mlflow", "server"]),
            ("python", ["python", "-m", "mlflow.server.jobs._job_runner"]),
            ("uvicorn", ["/opt/python", "/opt/bin/uvicorn", "main:app", "--reload"]),
            ("fastapi", ["/opt/python", "/opt/bin/fastapi", "dev", "main.py"]),
        ],
    )
    def test_monitors_and_services_that_never_rest_never_count(
        self, name: str, runs: list[str]
    ) -> None:
        one = machine(name, *runs)
        one.use(JOB, 30)
        one.write(JOB, 600 * MB)
        assert not holds(one)

    @pytest.mark.parametrize("command", ["artifacts download", "models predict", "gc"])
    def test_other_commands_of_a_program_that_also_serves_count(self, command: str) -> None:
        one = machine("mlflow", "/opt/python", "/opt/bin/mlflow", *command.split())
        one.use(JOB, 30)
        assert holds(one)

    def test_a_shell_s_loop_that_runs_a_monitor_only_shows_something(self) -> None:
        one = machine("bash", "bash")
        for _ in range(3):
            one.add(CHILD, JOB, "nvidia-smi")
            one.use(CHILD, 30)
            assert not holds(one, 1)
            one.end(CHILD)
            one.add(CHILD, JOB, "sleep")
            assert not holds(one, 59)
            one.end(CHILD)

    def test_a_monitor_that_ends_while_it_is_read_is_not_taken_for_something_else(self) -> None:
        one = machine("bash", "bash")
        for runs in ([], ["python", "nvidia-smi"], []):  # a process that ends has no command line
            one.add(CHILD, JOB, "python", runs=runs)
            assert not holds(one, 1)
            one.use(CHILD, 30)
            one.end(CHILD)
        assert not holds(one, 59)

    def test_a_shell_that_runs_something_else_as_well_works(self) -> None:
        one = machine("bash", "bash")
        one.add(CHILD, JOB, "htop")
        assert not holds(one)
        one.end(CHILD)
        one.add(CHILD, JOB, "bash")  # of which a loop is made
        one.add(13, CHILD, "convert")
        assert not holds(one, 1)
        one.use(13, 30)
        one.end(13)
        assert holds(one, 59)

    def test_what_watch_repeats_does_not_count_either(self) -> None:
        one = machine("watch", "watch", "-n1", "du -sh /data")
        one.add(CHILD, JOB, "sh")
        one.add(13, CHILD, "du")
        one.use(13, 30)
        assert not holds(one)

    def test_a_job_below_a_service_counts(self) -> None:
        one = machine("node", "node", "/usr/lib/code-server/out/node/entry.js")
        one.add(CHILD, JOB, "python", runs=["python", "train.py"])
        one.use(CHILD, 30)
        assert holds(one)

    @pytest.mark.parametrize(
        "runs",
        [
            ["--connect", "127.0.0.1:1", "--adapter-access-token", "x", "train.py"],
            ["--listen", "5678", "--wait-for-client", "-m", "train"],
        ],
    )
    def test_what_an_ide_debugs_counts_though_the_ide_does_not(self, runs: list[str]) -> None:
        folder = "/root/.local/share/code-server/extensions/ms-python.debugpy/libs"
        one = machine("python", "python", f"{folder}/debugpy/launcher/../../debugpy", *runs)
        one.use(JOB, 30)
        assert observed(one) == {"terminal": [f"{runs[-1]}: 50 % of a CPU"]}

    @pytest.mark.parametrize(
        "script",
        [
            "ms-python.python-2024.22.0/python_files/vscode_pytest/run_pytest_script.py",
            "ms-python.python-2024.22.0/python_files/unittestadapter/execution.py",
            "julialang.language-julia-1.105.2/scripts/terminalserver/terminalserver.jl",
        ],
    )
    def test_what_an_ide_runs_for_its_user_counts_though_the_ide_does_not(
        self, script: str
    ) -> None:
        one = machine("python", "python", f"/root/.local/share/code-server/extensions/{script}")
        one.use(JOB, 30)
        assert holds(one)

    def test_a_name_that_would_break_a_line_of_the_log_is_made_harmless(self) -> None:
        one = machine("x) R\n1 \x1b[2J")
        one.use(JOB, 30)
        assert observed(one) == {"terminal": ["x_R_1_2J: 50 % of a CPU"]}

    def test_a_script_in_a_folder_that_is_called_like_a_service_counts(self) -> None:
        one = machine("python", "python", "/home/me/tensorboard/train.py")
        one.use(JOB, 30)
        assert holds(one)

    @pytest.mark.parametrize(
        ("name", "runs", "shown"),
        [
            ("papermill", ["/opt/python", "/opt/bin/papermill", "a.ipynb"], "papermill"),
            ("aws", ["/usr/bin/aws", "--profile", "x", "s3", "cp", "a", "b"], "aws"),
            ("python", ["python", "-m", "papermill", "a.ipynb"], "papermill"),
            ("rsync", ["rsync", "-a", "x", "y"], "rsync"),
            ("jupyter-nbconve", ["/opt/python", "/opt/bin/jupyter-nbconvert"], "jupyter-nbconvert"),
            ("rclone", ["rclone", "--fast-list", "copy", "mount", "s3:x"], "rclone"),
            ("rclone", ["rclone", "sync", "serve", "s3:x", "--transfers", "8"], "rclone"),
            ("aria2c", ["aria2c", "-x", "16", "https://x/y"], "aria2c"),
            ("git", ["git", "-C", "x", "clone", "https://x/y"], "git"),
            ("pip3", ["/opt/python", "/opt/bin/pip3", "install", "torch"], "pip3"),
            ("python", ["python", "-m", "pip", "download", "torch"], "pip"),
            ("micromamba", ["micromamba", "create", "-n", "x"], "micromamba"),
            ("conda", ["/opt/python", "/opt/bin/conda", "env", "create", "-f", "x"], "conda"),
            ("hf", ["/opt/python", "/opt/bin/hf", "download", "org/model"], "hf"),
            ("apt-get", ["apt-get", "-y", "install", "r-base"], "apt-get"),
            ("npm install loda", ["npm install lodash"], "npm"),
            ("node", ["node", "/usr/bin/npm", "ci"], "npm"),
            ("poetry", ["/opt/python", "/opt/bin/poetry", "install"], "poetry"),
            ("uv", ["uv", "add", "torch"], "uv"),
            ("uv", ["uv", "python", "install", "3.12"], "uv"),
            ("kaggle", ["/opt/python", "/opt/bin/kaggle", "datasets", "download", "x"], "kaggle"),
            ("gdown", ["/opt/python", "/opt/bin/gdown", "1x"], "gdown"),
            ("sm-docker", ["/opt/python", "/opt/bin/sm-docker", "build", "."], "sm-docker"),
            ("dbt", ["/opt/python", "/opt/bin/dbt", "run"], "dbt"),
            ("aws", ["aws", "sagemaker", "wait", "training-job-completed-or-stopped"], "aws"),
        ],
    )
    def test_programs_that_wait_for_others_hold_their_app(
        self, name: str, runs: list[str], shown: str
    ) -> None:
        one = Machine()
        one.add(SHELL, SERVER, "bash", session=SHELL)
        one.add(JOB, SHELL, name, runs=runs)
        finding = one.observe(ROOTS).below["terminal"]
        assert finding.reason is Reason.HOLDING_PROGRAM
        assert [each.text for each in finding.evidence] == [f"{shown} is running"]

    @pytest.mark.parametrize(
        "runs",
        [
            ["/usr/bin/aws", "sso", "login"],
            ["git", "gui"],
            ["git", "credential-cache--daemon", "socket"],
            ["/opt/python", "/opt/bin/conda", "run", "-n", "env", "python", "serve.py"],
            ["uv", "run", "serve.py"],
            ["npm run dev"],
            ["/opt/python", "/opt/bin/poetry", "run", "python", "serve.py"],
            ["/opt/python", "/opt/bin/dbt", "docs", "serve"],
        ],
        ids=" ".join,
    )
    def test_other_commands_of_the_same_program_do_not(self, runs: list[str]) -> None:
        assert not holds(machine(runs[0].rpartition("/")[2], *runs))

    @pytest.mark.parametrize(
        "runs",
        [
            ["/opt/python", "/opt/bin/jupyter-nbconvert", "a.ipynb", "--post", "serve"],
            ["jupyter-nbconvert", "--to", "slides", "a.ipynb", "--post=serve"],
            ["jupyter-nbconvert", "a.ipynb", "--NbConvertApp.postprocessor_class=serve"],
            ["python", "-m", "nbconvert", "a.ipynb", "--to", "slides", "--post", "serve"],
            ["python", "-m", "nbconvert", *map(str, range(60)), "--post", "serve"],
            ["rclone", "mount", "s3:bucket", "mnt", "--daemon"],
            ["rclone", "--vfs-cache-mode", "writes", "mount", "s3:bucket", "mnt"],
            ["rclone", "nfsmount", "s3:bucket", "mnt"],
            ["rclone", "serve", "http", "s3:bucket"],
            ["rclone", "rcd", "--rc-no-auth"],
            ["rclone", "config"],
            ["aria2c", "--enable-rpc", "-D"],
            ["aria2c", "--enable-rpc=true"],
            ["rsync", "--daemon", "--no-detach"],
            ["git", "fetch", "--all", "--prune"],
        ],
        ids=" ".join,
    )
    def test_one_that_serves_until_somebody_ends_it_does_not_but_counts_by_its_work(
        self, runs: list[str]
    ) -> None:
        one = machine()
        one.add(CHILD, JOB, runs[0].rpartition("/")[2][:15], runs=runs)
        assert not holds(one)
        one.use(CHILD, 30)
        assert holds(one)

    def test_one_that_has_ended_does_not_though_nobody_took_note(self) -> None:
        one = machine()
        one.add(CHILD, JOB, "rsync")
        assert holds(one)
        one.processes[CHILD] = replace(one.processes[CHILD], ended=True)
        assert not holds(one)

    def test_one_that_is_stopped_or_asks_the_user_for_something_does_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = machine()
        one.add(CHILD, JOB, "scp")
        assert holds(one)
        one.processes[CHILD] = replace(one.processes[CHILD], stopped=True)
        assert not holds(one)
        one.processes[CHILD] = replace(one.processes[CHILD], stopped=False, terminal=3)
        assert holds(one)
        monkeypatch.setattr(background_jobs, "asks_for_input", lambda number, pids: number == 3)
        assert not holds(one)

    def test_one_whose_child_asks_the_user_for_something_does_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = machine()
        one.add(CHILD, JOB, "scp")
        one.add(13, CHILD, "ssh")
        one.processes[CHILD] = replace(one.processes[CHILD], terminal=3)
        asked = []
        monkeypatch.setattr(
            background_jobs, "asks_for_input", lambda number, pids: asked.append((number, pids))
        )
        assert holds(one)
        assert asked == [(3, [CHILD, 13])]

    def test_one_whose_pager_waits_for_the_user_does_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = machine()
        one.add(CHILD, SHELL, "aws", runs=["aws", "s3", "ls"])
        one.add(13, SHELL, "less")
        one.processes[CHILD] = replace(one.processes[CHILD], terminal=3, group=CHILD)
        one.processes[13] = replace(one.processes[13], terminal=3, group=13)
        monkeypatch.setattr(background_jobs, "asks_for_input", lambda number, pids: 13 in pids)
        assert holds(one)
        one.processes[13] = replace(one.processes[13], group=CHILD)
        assert not holds(one)

    def test_one_that_makes_no_progress_holds_for_a_limited_time(self) -> None:
        one = machine(waiting_for=3600)
        one.add(CHILD, JOB, "curl")
        for _ in range(60):
            assert holds(one)
            one.write(CHILD, 60 * 100)  # a progress bar
            one.use(CHILD, 0.1)
        assert not holds(one)

    @pytest.mark.parametrize("what", ["cpu", "writes", "network", "child"])
    def test_one_that_makes_slow_progress_holds_for_as_long_as_it_runs(self, what: str) -> None:
        one = machine(waiting_for=3600)
        one.add(CHILD, JOB, "rsync")
        one.add(13, CHILD, "ssh")
        one.open_sockets[13] = [7]
        for _ in range(200):
            assert holds(one)
            one.use(CHILD, 1.0 * (what == "cpu"))
            one.write(CHILD, 120_000 * (what == "writes"))
            one.write(13, 120_000 * (what == "child"))
            one.bytes_sent[7] = one.bytes_sent.get(7, 0) + 120_000 * (what == "network")

    def test_time_in_which_nobody_looked_is_no_time_without_progress(self) -> None:
        one = machine(waiting_for=3600)
        one.add(CHILD, JOB, "rsync")
        assert holds(one)
        one.write(CHILD, 600 * MB)
        assert holds(one, 4 * 3600)
        assert holds(one, 3590)
        assert not holds(one)

    def test_a_loop_that_asks_a_bucket_in_passing_does_not(self) -> None:
        one = machine("bash")
        for _ in range(3):
            one.time += 59
            one.add(CHILD, JOB, "aws", runs=["aws", "s3", "ls"])
            assert not holds(one, 1)
            one.end(CHILD)

    def test_work_is_told_before_what_only_holds(self) -> None:
        one = machine()
        one.add(CHILD, SHELL, "rsync")
        one.use(JOB, 30)
        assert one.observe(ROOTS).below["terminal"].reason is Reason.BACKGROUND_JOB


class TestTheServersOwn:
    def test_a_service_behind_the_server_s_proxy_is_seen(self) -> None:
        one = machine()
        one.add(30, SERVER, "rsession")
        observed(one)
        one.use(30, 240)
        ((job,), below) = (one.observe(ROOTS).outside, one.observe(ROOTS, passed=0.1).below)
        assert (job.reason, job.program, below) == (Reason.DETACHED_JOB, "rsession", {})

    def test_what_runs_in_its_terminals_is_seen(self) -> None:
        one = machine()
        one.add(30, SERVER, "node", runs=["node", "/usr/lib/code-server/out/node/entry.js"])
        one.add(31, 30, "bash", session=31)
        one.add(32, 31, "python", session=31, runs=["python", "train.py"])
        observed(one)
        one.use(32, 30)
        assert observed(one) == {"train.py": ["train.py: 50 % of a CPU"]}

    def test_a_language_server_that_idles_noisily_is_none(self) -> None:
        one = machine()
        one.add(30, SERVER, "pylsp", runs=["/opt/python", "/opt/bin/pylsp"])
        observed(one)
        one.use(30, 30)
        assert observed(one) == {}

    def test_the_server_itself_is_none(self) -> None:
        one = machine()
        one.use(SERVER, 60)
        one.write(SERVER, 900 * MB)
        assert observed(one) == {}


class TestReadings:
    def test_the_first_observation_waits_for_a_second_reading_and_knows(self) -> None:
        """A server that restarts beside a job must not call it idle."""

        class Burning(Machine):
            def wait(self, seconds: float) -> None:
                super().wait(seconds)
                self.use(JOB, seconds)

        one = Burning()
        one.add(SHELL, SERVER, "bash", session=SHELL)
        one.add(JOB, SHELL)
        assert holds(one)
        assert (one.waited, one.reads) == (2, 2)

    def test_observations_that_follow_at_once_do_not_forget_the_job(self) -> None:
        one = machine()
        one.use(JOB, 30)
        assert holds(one)
        assert holds(one, passed=0.1)

    def test_observations_a_second_apart_judge_by_two_seconds(self) -> None:
        one = machine()
        waited = one.waited
        for _ in range(5):
            one.use(JOB, 0.04)
            assert not holds(one, passed=1)
        for _ in range(2):
            one.use(JOB, 0.11)
            seen = holds(one, passed=1)
        assert seen
        assert one.waited == waited, "the readings before are old enough"

    def test_an_observation_after_many_that_were_skipped_does_not_average_over_hours(self) -> None:
        """While a cell runs nobody reads the table."""
        one = machine()
        one.use(JOB, 30)
        assert not holds(one, passed=MAX_AGE + 1), "it was long ago"

        class Burning(Machine):
            def wait(self, seconds: float) -> None:
                super().wait(seconds)
                self.use(JOB, seconds)

        one.__class__ = Burning
        assert holds(one, passed=6 * 3600), "it has just begun"

    def test_what_a_cell_used_is_not_taken_for_background_work(self) -> None:
        one = machine()
        one.use(KERNEL, 30)
        assert observed(one, kernel=5.0) == {}
        one.use(KERNEL, 30)
        assert list(observed(one, kernel=65.0)) == ["kernel"]

    def test_what_a_cell_left_running_is(self) -> None:
        class Burning(Machine):
            def wait(self, seconds: float) -> None:
                super().wait(seconds)
                self.use(KERNEL, seconds)

        one = machine()
        one.__class__ = Burning
        assert list(observed(one, kernel=5.0)) == ["kernel"]

    def test_one_kernel_s_cells_do_not_shorten_the_view_on_the_others(self) -> None:
        one = machine()
        one.use(JOB, 30)
        assert list(observed(one, kernel=0.5)) == ["terminal"]

    def test_the_numbers_are_the_admin_s(self) -> None:
        one = machine()
        one.jobs._rule = WorkRule(cpu=0.6, group_cpu=9, bytes_per_second=1e9)
        one.use(JOB, 30)
        one.write(JOB, 600 * MB)
        assert not holds(one)

    def test_nothing_is_remembered_of_what_is_gone(self) -> None:
        one = machine()
        for number in range(50):
            one.add(100 + number, JOB)
            observed(one)
            one.end(100 + number)
        observed(one)
        assert len(one.jobs._facts) < 10
        assert len(one.jobs._ours) < 10
        assert len(one.jobs._samples) < 3


# ---- real ones ----------------------------------------------------------------------------------


@contextlib.contextmanager
def a_shell(command: str) -> Iterator[int]:
    """A real shell in a session of its own, as a terminal's is."""
    shell = subprocess.Popen(["/bin/sh", "-c", command], start_new_session=True)
    try:
        yield shell.pid
    finally:
        # By parent, since what left the session is in no group of the shell's.
        started = psutil.Process(shell.pid).children(recursive=True)
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def seen_in(shell: int, bound: float = 120.0) -> Finding | None:
    """The work in a real shell within a time."""
    jobs = BackgroundJobs(server=os.getpid())
    deadline = time.monotonic() + bound
    while time.monotonic() < deadline:
        found = jobs.observe({"shell": shell}).below.get("shell")
        if found is not None:
            return found
        time.sleep(0.2)
    return None


@pytest.mark.parametrize(
    "command",
    [
        f"{sys.executable} -c 'while True: pass' & wait",
        f"exec {sys.executable} -c 'while True: pass'",
        f"setsid {sys.executable} -c 'while True: pass' & wait",
        "while true; do head -c 200000 /dev/zero > /dev/null; sleep 0.5; done",
    ],
    ids=["below", "in its place", "a session of its own", "writes, hardly any CPU"],
)
def test_real_work_in_a_real_shell_is_seen(command: str) -> None:
    with a_shell(command) as shell:
        found = seen_in(shell)
    assert found is not None
    assert found.started_at > START


@pytest.mark.parametrize("command", ["sleep 99; true", "while true; do sleep 1; done"])
def test_a_real_shell_that_waits_is_idle(command: str) -> None:
    with a_shell(command) as shell:
        assert seen_in(shell, bound=5) is None
