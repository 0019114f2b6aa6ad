"""The server under the supervisor of Studio's images: a restart never leaves it stopped."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagemaker_autoshutdown.lifecycle.script import Kind, render

from .images import Environment
from .standin import Server, StandIn
from .test_lifecycle_scripts import settings_for

#: In the environment that runs the tests.
PROGRAMS = Path(sys.executable).parent
#: Seconds: longer than the script waits for it here.
SLOW = 5
CONF = """\
[supervisord]
nodaemon = true
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
[unix_http_server]
file = {folder}/socket
[supervisorctl]
serverurl = unix://{folder}/socket
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:jupyterlabserver]
command = {command}
directory = {home}
autorestart = true
stopwaitsecs = 30
stdout_logfile = {log}
redirect_stderr = true
"""


@pytest.fixture
def stand_in(one_image: Environment, tmp_path: Path) -> StandIn:
    """A space with the two programs that its image has."""
    space = StandIn(Kind.SPACE, one_image, tmp_path / "root")
    conf = space.root / "etc/supervisor/conf.d/supervisord.conf"
    space.add_program("supervisorctl", f'exec {PROGRAMS}/supervisorctl "$@"')
    space.add_program(
        "restart-jupyter-server", f"exec supervisorctl -c {conf} restart jupyterlabserver"
    )
    return space


@pytest.fixture
def server(stand_in: StandIn) -> Iterator[Server]:
    """Its server, which stops slowly."""
    server = Server(stand_in)
    slow = stand_in.root / "start-jupyter-server"
    slow.write_text(
        f"#!/bin/bash\ntrap 'sleep {SLOW}; kill $!; wait; exit' TERM\n"
        f"{shlex.join(server.command)} &\nwait\n"
    )
    slow.chmod(0o755)
    conf = stand_in.root / "etc/supervisor/conf.d/supervisord.conf"
    conf.parent.mkdir(parents=True)
    # Not below the test's own folder: the names of sockets can't be long.
    with tempfile.TemporaryDirectory() as folder:
        conf.write_text(
            CONF.format(folder=folder, command=slow, home=stand_in.home, log=server.log)
        )
        supervisor = subprocess.Popen(
            [PROGRAMS / "supervisord", "-c", conf],
            env=server.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            server.wait_until(lambda: server.ask("api")[0] == 200)
            yield server
        finally:
            supervisor.terminate()
            supervisor.wait(120)


def test_a_server_that_is_slow_to_stop_is_not_left_stopped(
    stand_in: StandIn, server: Server, wheel: Path
) -> None:
    script = render(Kind.SPACE, settings_for(stand_in, wheel))
    assert "\nRESTART_TIME=20\n" in script
    outcome = stand_in.run(script.replace("RESTART_TIME=20", f"RESTART_TIME={SLOW - 4}"))
    [line] = outcome.log
    assert "the server is slow to restart, and is still restarting" in line
    server.wait_for_extension()


def test_a_server_that_restarts_in_time_is_waited_for(
    stand_in: StandIn, server: Server, wheel: Path
) -> None:
    outcome = stand_in.run(render(Kind.SPACE, settings_for(stand_in, wheel)))
    assert "the server was restarted with it" in outcome.log[0]
    server.wait_for_extension()


def test_a_restart_that_fails_half_way_is_made_good(
    stand_in: StandIn, server: Server, wheel: Path
) -> None:
    real = PROGRAMS / "supervisorctl"
    half = f'[ "$3" != restart ] || {{ {real} -c "$2" stop "$4"; exit 1; }}'
    stand_in.add_program("supervisorctl", f'{half}\nexec {real} "$@"')
    outcome = stand_in.run(render(Kind.SPACE, settings_for(stand_in, wheel)))
    assert "the server was restarted with it" in outcome.log[0]
    server.wait_for_extension()


def test_a_restart_that_can_not_be_done_says_why(stand_in: StandIn, wheel: Path) -> None:
    conf = stand_in.root / "etc/supervisor/conf.d/supervisord.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(CONF.format(folder="/no", command="true", home="/", log="/dev/null"))
    outcome = stand_in.run(render(Kind.SPACE, settings_for(stand_in, wheel)))
    [line] = outcome.log
    assert "no server was running (unix:///no/socket no such file), the next" in line
