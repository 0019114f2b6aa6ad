"""The cost of a sweep of an account, and that of other tools for the same.

``python -m tests.benchmarks.bench_fleet [APPS ...]``. Printed, never asserted. The fleets are the
local Studio's; the measured code runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from sagemaker_autoshutdown.clock import utcnow
from sagemaker_autoshutdown.fleet.config import Config
from sagemaker_autoshutdown.fleet.metrics import FleetMetrics
from sagemaker_autoshutdown.fleet.recorder import Recorder
from sagemaker_autoshutdown.fleet.service import Fleet
from sagemaker_autoshutdown.fleet.store import FILE_NAME, Store
from tests import custodian
from tests.localstudio import fleet
from tests.localstudio.testing import BlockingStudio, running_studio
from tests.programs import installed

from .__main__ import say, table

APPS = (1_000, 5_000, 10_000, 100_000)
#: The largest fleet that the slow tools are tried with; beyond it their calls are calculated.
OTHERS_UP_TO = 1_000
#: Pages of ten, ListApps's default.
DEFAULT_PAGE = 10


# ---- in a process of its own ---------------------------------------------------------------------


def worker(folder: Path) -> None:
    """Two rounds of ``fleet run`` and a scrape; prints what they took."""
    base = _peak()
    store = Store(folder / FILE_NAME)
    config = Config(data_dir=folder, price_list_api=False)
    fleet_ = Fleet(config)
    metrics = FleetMetrics()
    started = utcnow()
    rounds = []
    now = [started]
    recorder = Recorder(fleet_, store, metrics, lambda: now[0])
    for number in range(2):
        now[0] = started + config.interval * number
        before, clock = _cpu(), time.perf_counter()
        written = store._db.total_changes
        failures = recorder.round()
        assert not failures, failures
        rounds.append(
            {
                "cpu": _cpu() - before,
                "wall": time.perf_counter() - clock,
                "rows": store._db.total_changes - written,
            }
        )
    registry = CollectorRegistry()
    registry.register(metrics)
    scrapes = []
    for _ in range(11):
        clock = time.perf_counter()
        text = generate_latest(registry)
        scrapes.append(time.perf_counter() - clock)
    samples = sum(not line.startswith(b"#") for line in text.splitlines())
    sys.stdout.write(
        json.dumps(
            {
                "rounds": rounds,
                "memory": _peak() - base,
                "samples": samples,
                "scrape": sorted(scrapes)[len(scrapes) // 2],
                "bytes": len(text),
            }
        )
    )


def describe_each() -> None:
    """As a script does that reads each app."""
    import boto3

    client = boto3.client("sagemaker")
    for page in client.get_paginator("list_apps").paginate():
        for app in page["Apps"]:
            names = ("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName")
            client.describe_app(**{name: app[name] for name in names if name in app})


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak() -> int:
    """The peak of this program: ru_maxrss would begin with that of the process that ran it."""
    (line,) = (
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) * 1024


# ---- the tables ----------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Runs all of them."""
    if arguments[:1] == ["worker"]:
        worker(Path(arguments[1]))
        return 0
    if arguments[:1] == ["describe-each"]:
        describe_each()
        return 0
    sizes = [int(each) for each in arguments] or list(APPS)
    say(
        "A sweep of an account: fleet run",
        "First and second round, the record written and metrics made; memory is the peak beyond",
        "the loaded program. Samples: what a scrape has. Rows: what is written to the record.",
        "It takes some 4 minutes, most of them for the local Studio's answers about 100,000 apps.",
    )
    rows, others = [], []
    for apps in sizes:
        with tempfile.TemporaryDirectory() as folder, running_studio(Path(folder)) as studio:
            made = studio.do(
                lambda s, apps=apps: fleet.fill(  # type: ignore[misc]
                    s.account, s.now(), apps=apps, domains=max(3, apps // 500)
                )
            )
            found = _in_process(studio, "worker", folder)
            calls = Counter(call.operation for call in studio.calls())
            first, second = found["rounds"]
            rows.append(
                [
                    f"{apps:,}",
                    f"{calls['ListApps'] // 2:,}",
                    f"{sum(calls.values()) - calls['ListApps']:,}",
                    f"{first['cpu']:.2f} s",
                    f"{second['cpu']:.2f} s",
                    f"{second['wall']:.1f} s",
                    f"{found['memory'] / 1e6:.0f} MB",
                    f"{first['rows']:,}",
                    f"{second['rows']:,}",
                    f"{found['samples']:,}",
                    f"{found['scrape'] * 1000:.1f} ms",
                ]
            )
            others.append(_others(studio, apps, Path(folder), len(made.apps)))
    heads = ["apps", "ListApps", "other calls*", "CPU 1st", "CPU 2nd", "time 2nd", "memory"]
    table([*heads, "rows 1st", "rows 2nd", "samples", "scrape"], rows)
    sys.stdout.write("\n* of two rounds: ListSpaces, ListNotebookInstances, ListDomains, and one\n")
    sys.stdout.write("DescribeDomain for each domain, which is kept for an hour.\n")
    say(
        "What others need to see the same apps",
        "Calls and CPU of Cloud Custodian's sagemaker-app and of a script that describes each app;",
        f"measured up to {OTHERS_UP_TO:,} apps, calculated (~) beyond.",
    )
    table(["apps", "ours", "Custodian", "CPU", "describe each", "CPU"], others)
    return 0


def _others(studio: BlockingStudio, apps: int, folder: Path, count: int) -> list[str]:
    ours = -(-count // 100)
    if apps > OTHERS_UP_TO:
        listing = -(-count // DEFAULT_PAGE)
        tags = -(-count // 100)
        return [
            f"{apps:,}",
            f"{ours:,}",
            f"~{listing + count + tags:,}",
            "",
            f"~{listing + count:,}",
            "",
        ]
    environment = {**os.environ, **studio.aws_environment()}
    installed("custodian")
    before = len(studio.calls())
    cpu = _children()
    custodian.resources("aws.sagemaker-app", folder / "custodian", environment, timeout=1200)
    custodians, custodians_cpu = len(studio.calls()) - before, _children() - cpu
    before, cpu = len(studio.calls()), _children()
    command = [sys.executable, "-m", "tests.benchmarks.bench_fleet", "describe-each"]
    subprocess.run(command, env=environment, check=True)
    return [
        f"{apps:,}",
        f"{ours:,}",
        f"{custodians:,}",
        f"{custodians_cpu:.1f} s",
        f"{len(studio.calls()) - before:,}",
        f"{_children() - cpu:.1f} s",
    ]


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _in_process(studio: BlockingStudio, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_fleet", *arguments],
        env={**os.environ, **studio.aws_environment()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
