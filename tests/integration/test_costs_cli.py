"""``costs`` and ``what-if``, against a real server and a real ledger."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown import cli
from sagemaker_autoshutdown.cli import status as status_command
from sagemaker_autoshutdown.clock import utcnow
from sagemaker_autoshutdown.costs.observation import AppObservation, Observation, Use
from sagemaker_autoshutdown.costs.store.ledger import FILE_NAME, Ledger
from sagemaker_autoshutdown.model import App, AppStatus, AppType, Money, Price, PriceSource
from sagemaker_autoshutdown.status import to_json
from sagemaker_autoshutdown.text import usd
from tests.localstudio import ServerOptions
from tests.localstudio.testing import enter_app, running_studio
from tests.unit.costs.test_ledger import HOST


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The options for a server that has recorded costs."""
    options = ServerOptions(
        frontend="server",
        args=(
            "--SageMakerAutoShutdown.poll_interval=1",
            "--SageMakerAutoShutdown.price_list_api=False",
        ),
    )
    with running_studio(tmp_path_factory.mktemp("studio"), server=options) as studio:
        scene = studio.classic()
        enter_app(studio, "one", scene.owner, "ml.g5.48xlarge")
        enter_app(studio, "two", scene.owner, "ml.g5.48xlarge")
        launch = studio.server(scene.target)
        # One word: a token may begin with a dash.
        named = [f"--url={launch.url}", f"--token={launch.token}"]
        studio.wait_for_call("ListApps", count=4, timeout=180)
        yield named


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert cli.main(list(arguments)) == 0
    return capsys.readouterr().out


def spent(server: list[str], capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The costs in JSON, once there are any."""
    end = time.monotonic() + 120
    while True:
        found = json.loads(output(capsys, "costs", "--json", *arguments, *server))
        if Decimal(found["total"]["usd"]) > 0:
            return found
        assert time.monotonic() < end, "nothing was spent"
        time.sleep(0.2)


def test_costs_are_shown_by_group_and_add_up(
    server: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = spent(server, capsys, "--group-by", "app")
    assert [row["key"] for row in found["rows"]] == ["one", "two"]
    assert sum(Decimal(row["usd"]) for row in found["rows"]) == Decimal(found["total"]["usd"])
    text = output(capsys, "costs", "--group-by", "instance-type", *server)
    assert text.splitlines()[0].split()[:4] == ["instance", "type", "USD", "in"]
    assert text.splitlines()[1].startswith("ml.g5.48xlarge")
    assert text.splitlines()[2].startswith("total")


def test_costs_come_as_csv(server: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    spent(server, capsys)
    text = output(capsys, "costs", "--csv", "--group-by", "app", *server)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["key"] for row in rows] == ["one", "two"]
    assert {row["estimated"] for row in rows} <= {"true", "false"}
    assert all(Decimal(row["usd"]) >= 0 for row in rows)


def test_a_time_in_which_nothing_was_spent(
    server: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = output(capsys, "costs", "--from", "2020-01-01", "--to", "2020-02-01", *server)
    assert text == "No costs are recorded for that time.\n"


def test_a_start_after_the_end_is_refused_with_what_is_wrong(
    server: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["costs", "--from", "2020-02-01", "--to", "2020-01-01", *server]) == 1
    assert "must not be after" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "0.00"),
        ("0.000001", "<0.01"),
        ("0.005", "<0.01"),
        ("0.01", "0.01"),
        ("12", "12.00"),
        ("-0.001", ">-0.01"),
        ("-3.5", "-3.50"),
    ],
)
def test_what_is_less_than_a_cent_is_not_shown_as_nothing(amount: str, shown: str) -> None:
    assert usd(Decimal(amount)) == shown


def test_status_shows_less_than_a_cent_as_costs_do() -> None:
    spent = to_json(Money(Decimal("0.004"), idle_usd=Decimal("0.003"), idle_share=0.75))
    shown = status_command._costs({"today": spent, "month": spent, "last_30_days": spent})
    assert shown.splitlines()[1].split()[2:] == ["<0.01", "<0.01", "(75%)", "0.00"]
    assert "VOLUME" not in shown


def test_status_shows_what_a_spaces_volume_costs_beside_its_app() -> None:
    spent = to_json(Money(Decimal(3), volume_usd=Decimal(11)))
    shown = status_command._costs({"today": spent, "month": spent, "last_30_days": spent})
    assert "VOLUME" in shown.splitlines()[0]
    assert shown.splitlines()[1].split()[-1] == "11.00"


# --- what-if ------------------------------------------------------------------------------------


def record(folder: Path, closed_after: float | None = None) -> Path:
    """Two hours of use and eight without, until now, at a dollar an hour. After this many hours
    the browser was closed."""
    now = utcnow()
    start = now - timedelta(hours=10)
    closed_at = None if closed_after is None else start + timedelta(hours=closed_after)
    made = Ledger(folder, gap=timedelta(hours=1))
    app = App("a", AppType.KERNEL_GATEWAY, AppStatus.IN_SERVICE, "ml.x", start, start)
    price = Price("ml.x", Decimal(1), PriceSource.OVERRIDE)
    for half_hours in range(1, 21):
        at = start + timedelta(minutes=30 * half_hours)
        idle = half_hours > 4
        use, since = (Use.IDLE, start + timedelta(hours=2)) if idle else (Use.HELD, None)
        seen = AppObservation(app, "i", use, since, price)
        closed = closed_at if closed_at is not None and closed_at <= at else None
        made.record(Observation(at, HOST, (seen,), closed_since=closed))
    made.close()
    return folder / FILE_NAME


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return record(tmp_path)


def test_what_other_limits_would_have_saved(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = output(capsys, "what-if", "--ledger", str(ledger), "--idle-timeout", "2h", "1h", "20h")
    rows = [line.split() for line in text.splitlines()[3:6]]
    assert rows == [
        ["1", "h", "3.00", "7.00", "70%", "1", "0"],
        ["2", "h", "4.00", "6.00", "60%", "1", "0"],
        ["20", "h", "10.00", "0.00", "0%", "0", "0"],
    ]
    assert "10.00 USD were spent, 8.00 of it while idle" in text


def test_what_if_in_json(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "what-if", "--json", "--ledger", str(ledger), "--idle-timeout", "1h")
    (outcome,) = json.loads(text)["outcomes"]
    assert (outcome["idle_timeout"], outcome["saved_usd"], outcome["shutdowns"]) == (
        3600.0,
        "7.000000",
        1,
    )


def test_what_a_limit_for_closed_browsers_would_have_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = str(record(tmp_path, closed_after=3))
    options = ["--ledger", ledger, "--idle-timeout", "2h", "30m", "--closed-idle-timeout"]
    lines = output(capsys, "what-if", *options, "1h", "15m").splitlines()
    assert lines[2].split()[:4] == ["idle", "timeout", "tabs", "closed"]
    assert [line.split() for line in lines[3:8]] == [
        ["30", "min", "same", "2.50", "7.50", "75%", "1", "0"],
        ["30", "min", "15", "min", "2.50", "7.50", "75%", "1", "0"],
        ["2", "h", "same", "4.00", "6.00", "60%", "1", "0"],
        ["2", "h", "15", "min", "3.25", "6.75", "68%", "1", "0"],
        ["2", "h", "1", "h", "4.00", "6.00", "60%", "1", "0"],
    ]
    assert "never says" not in "".join(lines)
    found = json.loads(output(capsys, "what-if", "--json", *options, "15m"))
    assert found["saw_closed"] is True
    assert [one["closed_idle_timeout"] for one in found["outcomes"]] == [None, 900.0, None, 900.0]


def test_a_record_that_knows_nothing_of_browsers_says_so(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = output(capsys, "what-if", "--ledger", str(ledger), "--closed-idle-timeout", "15m")
    assert "the record never says that all tabs were closed" in text


def test_what_if_without_a_ledger_says_where_it_looked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["what-if", "--ledger", str(tmp_path / "none.sqlite3")]) == 1
    assert "none.sqlite3" in capsys.readouterr().err
    (tmp_path / "rubbish").write_bytes(b"rubbish" * 1000)
    assert cli.main(["what-if", "--ledger", str(tmp_path / "rubbish")]) == 1
    assert "can't be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--idle-timeout", "soon"],
        ["--closed-idle-timeout", "0"],
        ["--idle-timeout", "0"],
        ["--days", "nan"],
    ],
)
def test_a_limit_that_is_none_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["what-if", *arguments])
    assert left.value.code == 2
