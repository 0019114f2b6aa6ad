"""A fleet and a server of the extension meet: the fleet marks an app that its own extension could
not shut down, the server shows the mark, and a keep-alive in the server ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sagemaker_autoshutdown.hosts.marks import MARK_TAG
from tests.localstudio import Fault
from tests.localstudio.testing import BlockingStudio, running_studio

from ..prometheus import running_prometheus
from .conftest import Server, options, until

PREFIX = "sagemaker_autoshutdown_"
CONFIG = """
interval = "2s"
listen = "127.0.0.1:0"
data_dir = "record"
[prices]
price_list_api = false
[prometheus]
url = "{prometheus}"
[act]
enabled = ["reported"]
warning = "1h"
[act.limits]
share = 1.0
[[rules]]
name = "stuck"
when = {{ idle_for = "1s" }}
"""
#: ``fleet`` as it is, but for the minutes that an extension may be late: here 3 s.
FLEET = (
    "import sys; from datetime import timedelta; "
    "from sagemaker_autoshutdown.fleet.rules import judge; "
    "judge.OVERDUE = timedelta(seconds=3); "
    "from sagemaker_autoshutdown import cli; sys.exit(cli.main(['fleet', *sys.argv[1:]]))"
)


@contextmanager
def fleet_run(config: Path, environment: Mapping[str, str]) -> Iterator[None]:
    command = [sys.executable, "-c", FLEET, "run", "--config", str(config)]
    process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, "fleet run ended by itself"
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


def history(config: Path, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    command = [sys.executable, "-c", FLEET, "history", "--json", "--config", str(config)]
    done = subprocess.run(command, env=dict(environment), capture_output=True, check=True)
    events: list[dict[str, Any]] = json.loads(done.stdout)["events"]
    return events


def _tag(studio: BlockingStudio, arn: str) -> str:
    return str(studio.do(lambda s: s.account.tags.get(arn, {}).get(MARK_TAG, "")))


def test_a_mark_of_a_fleet_is_shown_by_the_server_and_ended_by_its_keep_alive(
    tmp_path: Path,
) -> None:
    with (
        running_prometheus(tmp_path / "prometheus") as prometheus,
        running_studio(tmp_path / "studio") as studio,
    ):
        traits = {"remote_write_url": prometheus.receiver, "remote_write_interval": 2}
        scene = studio.jupyterlab_space(options=options(**traits))
        arn = studio.describe(scene.target).key.arn  # type: ignore[arg-type]
        prometheus.wait(f"{PREFIX}app_idle_seconds")
        server = Server(studio, scene.target)
        assert server.app("default")["mark"] is None
        config = tmp_path / "fleet.toml"
        config.write_text(CONFIG.format(prometheus=prometheus.url))
        environment = {**os.environ, **studio.aws_environment()}
        # Its role may not shut it down, so that it is late.
        studio.do(lambda s: s.faults.on(Fault("DeleteApp", code="AccessDeniedException")))
        server.limit(2)
        with fleet_run(config, environment):
            mark = until(lambda: server.app("default")["mark"], "the mark in the status")
            assert mark["rule"] == "stuck"
            assert "past its own deadline" in mark["why"]
            assert _tag(studio, arn)
            server.ask("PUT", "apps/default/keep-alive", {"seconds": 3600})
            until(lambda: not _tag(studio, arn), "the end of the mark")
            until(lambda: server.app("default")["mark"] is None, "and in the status")
        assert studio.status(scene.target) == "InService"
        assert [event["event"] for event in history(config, environment)] in (
            ["marked", "spared"],
            ["marked", "kept"],
        )
