"""The local Studio as a command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.localstudio import make_client
from tests.localstudio.cli import parse

from .conftest import http_request
from .test_processes import lives, wait_until


def start(tmp_path: Path, *arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """The command, once it is up, and its ready file."""
    ready = tmp_path / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.localstudio", "--frontend=server"]
    command += [f"--ready-file={ready}", "--seconds-to-start=0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None, "the ready file")
        assert process.poll() is None
    except AssertionError:
        process.kill()
        process.communicate()
        raise
    assert ready.stat().st_mode & 0o077 == 0
    return process, json.loads(ready.read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_however_the_command_ends_nothing_is_left_behind(tmp_path: Path, number: int) -> None:
    process, told = start(tmp_path, "--app=datascience-1.0,ml.m5.large")
    try:
        running = told["running"]
        assert [each["AppType"] for each in running] == ["JupyterServer", "KernelGateway"]
        assert running[1]["InstanceType"] == "ml.m5.large"
        apps = make_client(told["endpoint_url"]).list_apps()["Apps"]
        assert [app["Status"] for app in apps] == ["InService", "InService"]
        opens = {"Authorization": f"Bearer {told['control_token']}"}
        status, state = http_request(f"{told['control_url']}state", "GET", opens)
        assert (status, state["endpoint_url"]) == (200, told["endpoint_url"])
        pids = [pid for each in running for pid in each["pids"]]
        assert len(pids) >= 2
    finally:
        os.kill(process.pid, number)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == (0 if number != signal.SIGKILL else -signal.SIGKILL)
    wait_until(lambda: not any(lives(pid) for pid in pids), "all processes gone")
    assert told["browser_url"] in output
    assert "export AWS_ENDPOINT_URL_SAGEMAKER=" in output


def test_a_command_that_is_ended_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "studio"
    command = [sys.executable, "-m", "tests.localstudio", f"--work-dir={home}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"Starting" in process.stdout.readline()
        wait_until(lambda: bool(running_in(home)), "the server has been started")
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    assert running_in(home) == []


def running_in(home: Path) -> list[int]:
    """The processes whose working folder is below a studio's."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(home) in process.cwd():
                found.append(process.pid)
    return found


def test_the_command_ends_by_itself_when_told_for_how_long(tmp_path: Path) -> None:
    process, _ = start(tmp_path, "--host=notebook-instance", "--for=0.5")
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_arguments_after_two_dashes_are_the_servers() -> None:
    options = parse(["--host", "space", "--", "--SageMakerAutoShutdown.idle_timeout=60"])
    assert options.server_arguments == ["--SageMakerAutoShutdown.idle_timeout=60"]


def test_an_app_for_a_host_that_has_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--host=space", "--app=datascience-1.0"])
    assert "--app is for --host classic" in capsys.readouterr().err
