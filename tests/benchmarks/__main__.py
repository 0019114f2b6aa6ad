"""``python -m tests.benchmarks [delay] [checks] [hour] [load] [messages]``: all of them if none
is named."""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tests.localstudio import Fault
from tests.localstudio.testing import QUICK, BlockingStudio, running_studio
from tests.paths import ROOT

from .alone import be_alone
from .scene import Scene, folder, gateway, run, scene, server

#: How long the API takes for every answer, in seconds, while delays are measured.
API_LATENCY = 0.1
LIMIT, WARNING = 75.0, 5.0
#: The kernels that answer no question meanwhile.
SILENT = (10, 30, 50)
RUNS_OF_CRON_PER_HOUR = 12
KERNELS_PER_HOUR_TABLE = 8
#: The apps are listed every five minutes; the sessions, too, and for the names of new kernels.
APPS_PER_HOUR = SESSIONS_PER_HOUR = 12
#: While a panel is open, each app's tags are listed.
TAGS_PER_HOUR = 12
APPS_PER_HOUR_TABLE = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    be_alone()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"any of {', '.join(SECTIONS)} (default: all)")
    chosen = parser.parse_args(arguments).what or list(SECTIONS)
    unknown = set(chosen) - set(SECTIONS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    for name in chosen:
        SECTIONS[name]()


@contextlib.contextmanager
def a_scene(kernels: int, apps: int = 10, **more: Sequence[float]) -> Iterator[Scene]:
    """A studio of its own with this many kernels and apps."""
    timing = replace(QUICK, pending=0, deleting=3600)
    with folder() as work, running_studio(work / "studio", timing=timing) as studio:
        yield scene(studio, work, kernels, apps, **more)


def delay() -> None:
    """From a deadline to the arrival of DeleteApp."""
    apps = 60
    say(
        "From a deadline to the arrival of DeleteApp",
        f"Default settings but idle_timeout={LIMIT:g} and warning_time={WARNING:g} (so that it "
        f"takes minutes, not hours): {apps} apps",
        "with a kernel each, whose cells end at different times within one poll interval (60 s). "
        f"Every answer of the API takes {API_LATENCY * 1000:g} ms. All kernels are asked before "
        f"their apps' warning and shutdown; {len(SILENT)} of them are silent, which keeps their "
        "apps.",
    )
    begin = time.time() + 15
    ends = [begin + 50 * number / apps for number in range(apps)]
    with a_scene(apps, apps, busy_until=ends, silent=SILENT) as made:
        made.studio.fault(Fault(delay=API_LATENCY))
        traits = {"idle_timeout": LIMIT, "warning_time": WARNING}
        with gateway(made.kernels) as url, server(made, url, {"job": "wait"}, traits=traits):
            due = apps - len(SILENT)
            _wait_for_deletions(made.studio, due, timeout=ends[-1] + LIMIT + 60 - time.time())
            calls = {call.app_name: call.at.timestamp() for call in made.studio.calls("DeleteApp")}
    delays = [
        calls[kernel["app_name"]] - (kernel["busy_until"] + LIMIT)
        for kernel in made.kernels
        if kernel["app_name"] in calls
    ]
    table(
        ["deadlines", "met", "p50", "p99", "longest", "too early"],
        [
            [
                str(due),
                str(len(delays)),
                ms(percentile(delays, 50)),
                ms(percentile(delays, 99)),
                ms(max(delays)),
                str(sum(late < 0 for late in delays)),
            ]
        ],
    )
    aim("p99 under 1000 ms")


def _wait_for_deletions(studio: BlockingStudio, count: int, timeout: float) -> None:
    end = time.monotonic() + timeout
    while len(studio.calls("DeleteApp")) < count and time.monotonic() < end:
        time.sleep(0.5)


def checks() -> None:
    """The event loop's time and the CPU of each check."""
    say(
        "One check: 10 apps in Studio Classic",
        "Kernels are models of a stand-in gateway. Stall: the longest single callback of the event",
        "loop, by the clock and (its own part, on a machine that others use) in CPU time; loop:",
        "all callbacks of a check; lag: how late a 1 ms timer was, which shows other threads too; "
        "CPU: all threads of the server, AWS's call included.",
    )
    rows = []
    for kernels in (1, 10, 100, 1000):
        with a_scene(kernels) as made:
            result = run(made, {"job": "checks", "times": 30, "lists_apps": True})
            assert result["work"] == kernels
            rows.append([f"{kernels} kernels", *columns(result["each"])])
    with a_scene(100) as made:
        listing = run(made, {"job": "listing", "times": 30})
    rows.append(["Jupyter's own listing of 100", *columns(listing["each"])])
    table(["", "stall p50", "stall max", "stall CPU max", "loop p50", "lag p50", "CPU p50"], rows)
    aim("no stall over 2 ms at 100 kernels")


def columns(each: list[dict[str, float]]) -> list[str]:
    """The figures of a row."""

    def median(name: str) -> str:
        return ms(statistics.median(cost[name] for cost in each))

    def longest(name: str) -> str:
        return ms(max(cost[name] for cost in each))

    return [
        median("stall"),
        longest("stall"),
        longest("stall_cpu"),
        median("held"),
        median("lag"),
        median("cpu"),
    ]


def hour() -> None:
    """CPU of an hour: this product beside stand-ins of today's tools."""
    kernels = KERNELS_PER_HOUR_TABLE
    say(
        f"CPU of an hour with {kernels} kernels in {APPS_PER_HOUR_TABLE} apps, at default settings",
        "Measured over some rounds, with pauses between as caches are cold once a minute, and "
        "extrapolated; our row has the apps and the sessions, listed every five minutes. The "
        "others are stand-ins: their requests, not their code.",
    )
    with a_scene(kernels, APPS_PER_HOUR_TABLE) as made:
        idle = run(made, {"job": "idle", "seconds": 20}, extension=False)["cpu_per_second"]
        plan = {"times": 30}
        ours = run(made, {"job": "checks", **plan})["each"]
        probe = run(made, {"job": "in_process_probe", **plan}, extension=False)["each"]
        questions = run(made, {"job": "http_questions", **plan}, extension=False)["each"]
        one = run(made, {"job": "one_question", **plan}, extension=False)["each"]
        script = _cron_script()
        parts = run(made, {"job": "parts", **plan})
    # The server's own idle CPU, in the pauses that are measured along.
    pause = 2 * 0.05 * idle

    nothing = parts.pop("nothing")
    sessions = (parts["sessions"] - nothing) / 1000 * SESSIONS_PER_HOUR
    apps = (parts["AWS: ListApps"] - nothing) / 1000 * APPS_PER_HOUR
    tags = (parts.pop("AWS: ListTags") - nothing) / 1000 * TAGS_PER_HOUR * APPS_PER_HOUR_TABLE

    def row(
        name: str,
        each: list[dict[str, float]],
        per_hour: int,
        more: float = 0.0,
        more_per_hour: float = 0.0,
    ) -> list[str]:
        cpu = statistics.mean(cost["cpu"] for cost in each) - pause + more
        stalls = [cost["stall"] for cost in each]
        return [
            name,
            str(per_hour),
            ms(cpu),
            f"{cpu * per_hour + more_per_hour:.2f} s",
            ms(statistics.median(stalls)),
            ms(max(stalls)),
        ]

    table(
        ["", "per hour", "CPU of one", "CPU per hour", "stall p50", "stall max"],
        [
            row("ours: one check a minute", ours, 60, more_per_hour=apps + sessions),
            row("AWS's probe: read in process, once a minute", probe, 60),
            row(
                "AWS's cron script: a process every 5 min", one, RUNS_OF_CRON_PER_HOUR, more=script
            ),
            row("Classic extension: four questions every 10 s", questions, 360),
        ],
    )
    sys.stdout.write(
        f"\nThe idle server itself: {idle * 3600:.2f} CPU s an hour. While the panel is open, the "
        f"tags of a fleet take {tags:.2f} s more.\n"
    )
    table(
        ["of a check", "CPU"],
        [[name, f"{cpu - nothing:.2f} ms"] for name, cpu in parts.items()],
    )
    aim("under 0.3 CPU s an hour")


def _cron_script() -> float:
    """CPU seconds of one run of the script; the server's CPU for its request is counted apart."""
    times = 5
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(times):
        answer = "data:application/json,[]"
        script = ROOT / "tests" / "benchmarks" / "cron_script.py"
        subprocess.run([sys.executable, str(script), answer], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / times


def load() -> None:
    """The cost of loading for a server."""
    say(
        "Loading the extension into a server that is up, before the first AWS call",
        "Each in a fresh process, byte code compiled; median and worst of 10. Later, with the "
        "server up, the extension puts its parts together: the CPU that takes, and the longest "
        "that the loop waited.",
    )
    rows = []
    with a_scene(1, 1) as made:
        environments = {
            "Studio Classic": made.environment(),
            "off SageMaker": {
                **made.environment(),
                "RESOURCE_METADATA_FILE": str(made.folder / "none"),
            },
        }
        for name, environment in environments.items():
            found: list[dict[str, Any]] = [_load_once(environment) for _ in range(11)][1:]
            rows.append(
                [
                    name,
                    *(
                        ms(choose(each["seconds"] for each in found))
                        for choose in (statistics.median, max)
                    ),
                    ms(statistics.median(each["cpu"] for each in found)),
                    ms(statistics.median(each["cpu_later"] for each in found)),
                    ms(statistics.median(each["held_later"] for each in found)),
                    *(
                        f"{choose(each['bytes'] for each in found) / 1e6:.1f} MB"
                        for choose in (statistics.median, max)
                    ),
                ]
            )
    head = ["", "time p50", "time max", "CPU p50", "CPU later", "loop held later"]
    table([*head, "memory p50", "memory max"], rows)
    aim("under 50 ms and 5 MB")


def _load_once(environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.load"]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


# ---- printing -----------------------------------------------------------------------------------


def messages() -> None:
    """A kernel's messages, with and without listening to it."""
    rounds = 5
    say(
        "A kernel's messages",
        "10,000 small messages of one kernel, as a client on the server's event loop gets them,",
        f"with and without our listening, in turns; the median of {rounds} runs each.",
    )
    runs: dict[str, list[dict[str, float]]] = {"silent": [], "listening": []}
    for _ in range(rounds):
        for how, found in runs.items():
            command = [sys.executable, "-m", "tests.benchmarks.messages", how]
            told = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, text=True)
            found.append(json.loads(told.stdout.splitlines()[-1]))

    def row(name: str, found: list[dict[str, float]]) -> list[str]:
        names = ("median", "p99", "cpu", "wall")
        median = {each: statistics.median(run[each] for run in found) for each in names}
        per_message = f"{median['cpu'] / 10_000 * 1e6:.1f} us"
        return [
            name,
            ms(median["median"]),
            ms(median["p99"]),
            per_message,
            f"{median['wall']:.2f} s",
        ]

    table(
        ["", "delay (median)", "delay (99th)", "server's CPU a message", "all of them"],
        [row("without", runs["silent"]), row("listening", runs["listening"])],
    )
    aim("no measurable delay")


def say(title: str, *about: str) -> None:
    """A heading."""
    sys.stdout.write(f"\n{title}\n{'=' * len(title)}\n{' '.join(about)}\n\n")
    sys.stdout.flush()


def aim(text: str) -> None:
    """The target."""
    sys.stdout.write(f"\nAim: {text}.\n")
    sys.stdout.flush()


def table(heads: list[str], rows: list[list[str]]) -> None:
    """Columns that line up."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for row in [heads, *rows]:
        cells = [
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths))
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def ms(seconds: float) -> str:
    """Milliseconds."""
    return f"{seconds * 1000:.2f} ms"


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that this percentage does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)]


SECTIONS = {
    "delay": delay,
    "checks": checks,
    "hour": hour,
    "load": load,
    "messages": messages,
}

if __name__ == "__main__":
    main()
