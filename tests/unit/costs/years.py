"""A year's ledger, filled straight into the tables by the benchmark and a test."""

from __future__ import annotations

import random
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path

from sagemaker_autoshutdown.costs.microseconds import DAY, SECOND, to_us
from sagemaker_autoshutdown.costs.store.database import open_for_writing
from sagemaker_autoshutdown.costs.store.days import keep_until

TYPES = ("ml.t3.medium", "ml.m5.xlarge", "ml.g4dn.xlarge", "ml.g5.2xlarge")
END = datetime(2026, 11, 1, tzinfo=timezone.utc)
YEAR = timedelta(days=365)


def fill(path: Path, runs: int = 10_000, stretches: int = 50_000, seed: int = 1) -> None:
    """A Classic user's year: four instances with two or three apps each, busy and idle in turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db, _ = open_for_writing(path)
    try:
        db.execute("BEGIN")
        _fill(db, runs, stretches, random.Random(seed))
        keep_until(db, to_us(END) // DAY)  # as observations do, day by day
        db.execute("INSERT INTO looks VALUES ('d-1', 'ada', ?)", (to_us(END),))
        db.execute("COMMIT")
    finally:
        db.close()


def _fill(db: sqlite3.Connection, runs: int, stretches: int, chance: random.Random) -> None:
    for number, instance_type in enumerate(TYPES, 1):
        db.execute(
            "INSERT INTO prices VALUES (?, 'us-east-1', ?, 'KernelGateway', ?, 'list', "
            "'2026-09-01', 0)",
            (number, instance_type, str(0.05 * number)),
        )
    apps = [(kind, name) for kind in range(len(TYPES)) for name in ("datascience", "pytorch")]
    each = runs // len(apps)
    start, year = to_us(END - YEAR), int(YEAR.total_seconds()) * SECOND
    run_id = 0
    for kind, name in apps:
        slot = year // each
        for number in range(each):
            run_id += 1
            began = start + number * slot + chance.randrange(slot // 3)
            ended = began + chance.randrange(slot // 3, slot // 2)
            db.execute(
                "INSERT INTO runs VALUES (?, 'us-east-1', 'd-1', 'ada', 'KernelGateway', ?, ?, ?, "
                "?, ?, ?, 0, ?, ?, ?, NULL)",
                (
                    run_id,
                    f"{name}-{kind}",
                    TYPES[kind],
                    f"d-1/ada/{TYPES[kind]}",
                    began,
                    ended,
                    ended,
                    began,
                    kind + 1,
                    chance.choice(["idle_timeout", ""]),
                ),
            )
            parts = stretches // runs
            edges = [began + (ended - began) * part // parts for part in range(parts + 1)]
            for part, (first, last) in enumerate(zip(edges, edges[1:])):
                db.execute(
                    "INSERT INTO stretches (run_id, started_at, ended_at, idle, estimated, "
                    "price_id) VALUES (?, ?, ?, ?, 0, ?)",
                    (run_id, first, last, part % 2, kind + 1),
                )
