"""A receiver's knowledge of a server that has shut down the app in which it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.localstudio import Timing
from tests.localstudio.testing import running_studio

from ..prometheus import running_prometheus, wait_for
from .conftest import Server, options

PREFIX = "sagemaker_autoshutdown_"


@pytest.mark.parametrize(
    "grace", [pytest.param(10.0, id="ended"), pytest.param(0.0, id="killed at once")]
)
def test_the_last_cost_and_the_shutdown_of_a_space_are_not_lost_with_its_server(
    tmp_path: Path, grace: float
) -> None:
    # The server has 10 s for its last values: a busy machine takes more than a fraction of one.
    timing = Timing(until_stop=10.0, grace=grace)
    with (
        running_prometheus(tmp_path / "receiving") as receiving,
        running_studio(tmp_path / "studio", timing=timing) as studio,
    ):
        # Except for a first time, nothing is sent within the interval.
        traits = {"remote_write_url": receiving.receiver, "remote_write_interval": 3600}
        scene = studio.jupyterlab_space(options=options(**traits))
        receiving.wait(f"{PREFIX}info")
        server = Server(studio, scene.target)
        server.limit(3)
        studio.wait_for(scene.target, "Deleted")

        def last(metric: str) -> dict[tuple[str, ...], float]:
            return receiving.values(f"last_over_time({PREFIX}{metric}[10m])")

        wait_for(
            lambda: last('shutdowns_total{reason="idle_timeout",outcome="accepted"}') == {(): 1.0},
            "the shutdown at the receiver",
        )
        assert last('cost_usd_total{state="idle"}')[()] > 0
        assert last('month_cost_usd{kind="idle"}')[()] > 0
        if grace:
            wait_for(lambda: not receiving.query(f"{PREFIX}info"), "the series have ended")
