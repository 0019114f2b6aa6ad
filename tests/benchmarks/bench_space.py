"""One check in a JupyterLab space, with real kernels and processes, and the CPU of an hour of them:
``python -m tests.benchmarks.bench_space``."""

from __future__ import annotations

import os
import statistics
from dataclasses import replace
from typing import Any

from tests.localstudio.testing import QUICK, running_studio

from .__main__ import aim, ms, say, table
from .alone import be_alone
from .scene import folder, run, space_scene

#: ipykernels, small kernels and processes of a terminal.
SCENES = {
    "8 kernels": (8, 0, 0),
    "100 kernels, 500 processes": (0, 100, 500),
}
TIMES = 10
#: How long the server's own CPU is measured, in seconds.
IDLE = 10
#: SageMaker is asked for the app every five minutes.
CHECKS_PER_HOUR, ASKED_PER_HOUR = 60, 12


def main() -> None:
    """Measures and prints."""
    be_alone()
    say(
        "One check in a JupyterLab space, nothing of which is in use",
        "The first kernels are ipykernels, the hundred real but smaller ones; the processes sleep",
        "in a terminal. A check every 2.5 s; the server's own CPU meanwhile is taken off. Stall:",
        "the longest single callback of the event loop, by the clock and in CPU time. An hour has",
        f"{CHECKS_PER_HOUR} checks, and asks SageMaker for the app {ASKED_PER_HOUR} times.",
        f"Load of this machine: {' '.join(f'{load:.1f}' for load in os.getloadavg())}.",
    )
    rows = []
    for name, (ipykernels, small_kernels, processes) in SCENES.items():
        plan = {
            "job": "space",
            "ipykernels": ipykernels,
            "small_kernels": small_kernels,
            "processes": processes,
            "seconds": IDLE,
            "times": TIMES,
        }
        found = _measured(plan)
        assert found["work"] >= ipykernels + small_kernels
        assert found["processes"] >= ipykernels + small_kernels + processes
        each, idle = found["each"], found["cpu_per_second"]
        spent = statistics.mean(cost["cpu"] - idle * cost["wall"] for cost in each)
        asked = found["describing"]
        hour = spent * CHECKS_PER_HOUR + asked * ASKED_PER_HOUR
        rows.append(
            [
                name,
                ms(statistics.median(cost["stall"] for cost in each)),
                ms(max(cost["stall"] for cost in each)),
                ms(max(cost["stall_cpu"] for cost in each)),
                ms(statistics.median(cost["held_cpu"] for cost in each)),
                ms(spent),
                f"{hour:.2f} s",
            ]
        )
    head = ["", "stall p50", "stall max", "stall CPU max", "loop CPU p50", "CPU of one"]
    table([*head, "CPU per hour"], rows)
    aim("under 0.3 CPU s an hour with 8 kernels; no stall over 2 ms with 100")


def _measured(plan: dict[str, Any]) -> dict[str, Any]:
    timing = replace(QUICK, pending=0, deleting=3600)
    with folder() as work, running_studio(work / "studio", timing=timing) as studio:
        return run(space_scene(studio, work), plan)


if __name__ == "__main__":
    main()
