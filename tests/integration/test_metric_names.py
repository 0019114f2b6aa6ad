"""Prometheus itself agrees with the metrics' names."""

from __future__ import annotations

import shutil
import subprocess

from prometheus_client import generate_latest

from sagemaker_autoshutdown.costs.totals import Spent
from sagemaker_autoshutdown.model import Totals
from tests.unit.test_metrics import Server, status


def test_promtool_finds_nothing_to_say_about_the_names() -> None:
    server = Server()
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: make system-packages"
    server.spent = (Spent("ml.t3.medium", "KernelGateway", 1.5, 0.5, 0.25),)
    server.status = status(totals=Totals())
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=generate_latest(server.registry),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
