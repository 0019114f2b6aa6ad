"""The configuration file: what is taken, and that what is wrong is named with its line."""

from __future__ import annotations

import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from sagemaker_autoshutdown.aws import Role
from sagemaker_autoshutdown.fleet.config import Account, Config, InvalidConfig, read
from sagemaker_autoshutdown.fleet.tables import line_of

WHOLE = """
interval = "10m"
data_dir = "record"
listen = "0.0.0.0:9000"
token_file = "token"
tags = ["team", "cost-center"]

[metrics]
by_owner = true

[prometheus]
url = "https://prometheus.example.com"
token_file = "token"
lookback = "2d"
reports_within = "15m"
headers = { X-Scope-OrgID = "team" }

[prices]
file = "prices.csv"
price_list_api = false
usd_per_hour = { "ml.t3.medium" = 0.04, canvas = "1.5" }

[[accounts]]
name = "research"
regions = ["us-east-1", "eu-central-1"]

[[accounts]]
name = "production"
role_arn = "arn:aws:iam::123456789012:role/fleet"
external_id = "secret-handshake"
regions = ["us-gov-west-1"]
"""


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    with pytest.raises(InvalidConfig) as error:
        read(path)
    return str(error.value).replace(str(path), "fleet.toml")


def test_everything_that_can_be_said_is_understood(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    path = tmp_path / "fleet.toml"
    path.write_text(WHOLE)
    config = read(path)
    assert config.accounts == (
        Account("research", None, ("us-east-1", "eu-central-1")),
        Account(
            "production",
            Role("arn:aws:iam::123456789012:role/fleet", "secret-handshake"),
            ("us-gov-west-1",),
        ),
    )
    assert config.interval == timedelta(minutes=10)
    assert config.folder == tmp_path / "record"
    assert (config.listen, config.token, config.by_owner) == ("0.0.0.0:9000", "t0ken", True)
    assert config.policy.reports_within == timedelta(minutes=15)
    assert config.policy.gap == timedelta(minutes=31)
    assert config.prometheus is not None
    assert config.prometheus.url == "https://prometheus.example.com"
    assert config.prometheus.headers == {"X-Scope-OrgID": "team", "Authorization": "Bearer t0ken"}
    assert "[172800s]" in config.prometheus.query
    assert config.prices == {"ml.t3.medium": Decimal("0.04"), "canvas": Decimal("1.5")}
    assert config.price_file == str(tmp_path / "prices.csv")
    assert not config.price_list_api
    assert config.tags == ("team", "cost-center")


def test_an_empty_file_is_as_no_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text("")
    assert read(path) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('intervall = "5m"', "line 1: intervall is not known here; known are accounts"),
        ("interval = 5", 'line 1: interval is a duration such as "5m", "90s" or "1h", not 5'),
        ('interval = "0s"', "line 1: interval is at least 1 s"),
        ("\n\nlisten = 9850", "line 3: listen is a text, not 9850"),
        ('listen = "9850"', "line 1: listen is an address and a port"),
        ('listen = "0.0.0.0:1"', "line 1: listen is open to other machines: name a token_file"),
        ('\n[metrics]\nby_owner = "yes"', "line 3: metrics.by_owner is true or false"),
        ('[prometheus]\nurl = "prom:9090"', "line 2: prometheus.url is the URL of a Prometheus"),
        ("[prometheus]", "line 1: prometheus.url is the URL"),
        ('[prices]\nusd_per_hour = { "ml.x" = -1 }', "line 2: prices.usd_per_hour.ml.x"),
        ("[accounts]\n", "line 1: accounts is a list of tables, each begun by [[accounts]]"),
        ("accounts = []", "line 1: accounts is empty"),
        (
            '[[accounts]]\nname = "a"\n\n[[accounts]]\nregions = ["Ohio"]',
            "line 5: accounts[2].regions names regions such as us-east-1, not 'Ohio'",
        ),
        ("[[accounts]]\nregions = []", "line 2: accounts[1].regions is empty"),
        ('[[accounts]]\nrole_arn = "fleet"', "line 2: accounts[1].role_arn is the ARN of a role"),
        ('[[accounts]]\nexternal_id = "x"', "line 2: accounts[1].external_id goes with a role"),
        ('[[accounts]]\nname = "x"\nregion = "y"', "line 3: accounts[1].region is not known here"),
        ('token_file = "nowhere"', "line 1: token_file can't be read"),
        ("tags = [1]", "line 1: tags is a list of keys"),
        ("interval = \nlisten = 1", "at line 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text)


def test_a_wrong_url_may_hold_a_password_and_is_not_shown(tmp_path: Path) -> None:
    assert "hunter2" not in refused(tmp_path, '[prometheus]\nurl = "htps://u:hunter2@x"')


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"fleet\.toml can't be read"):
        read(tmp_path / "fleet.toml")


def test_without_a_reader_of_toml_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    with pytest.raises(InvalidConfig, match=r"sagemaker-autoshutdown\[fleet\]"):
        read(tmp_path / "fleet.toml")


def test_a_line_is_found_in_tables_that_are_written_otherwise() -> None:
    text = 'prices.file = "x"\n\n[ prometheus . headers ]\n"X-A" = 1\n'
    assert line_of(text, ("prices", "file")) == 1
    assert line_of(text, ("prometheus", "headers", "X-A")) == 4
    assert line_of(text, ("prometheus", "url")) == 1
