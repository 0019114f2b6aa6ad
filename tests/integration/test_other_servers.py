"""Other Jupyter servers on this machine, found by their processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sagemaker_autoshutdown.activity.other_servers import FRESH, OtherServers

LISTEN = """
import socket, time
with socket.create_server(("127.0.0.1", 0)):
    time.sleep(1000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is not on this machine")
def test_a_script_that_becomes_a_server_after_minutes_is_found(
    tmp_path: Path, app_of_its_own: None
) -> None:
    """One that installs packages first, and ends with ``exec jupyter lab``."""
    (tmp_path / "jupyter-lab").write_text(LISTEN)
    command = ["sh", "-c", f"read line; exec {sys.executable} {tmp_path}/jupyter-lab"]
    servers = OtherServers()

    def seen() -> list[int]:
        return [each.server.pid for each in asyncio.run(servers.observe())]

    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(FRESH + 1):
                assert seen() == []
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            end = time.monotonic() + 120
            while seen() != [process.pid]:
                assert time.monotonic() < end, "the server was not found"
                time.sleep(0.1)
        finally:
            process.kill()
