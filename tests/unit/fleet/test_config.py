"""The configuration file: which values are accepted, and that errors name their line."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from sagemaker_autoshutdown.aws import Role
from sagemaker_autoshutdown.fleet.config import Account, Config, InvalidConfig, read
from sagemaker_autoshutdown.fleet.tables import Table, line_of
from tests.paths import ROOT

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
role_arn = "arn:aws-us-gov:iam::123456789012:role/fleet"
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
    (tmp_path / "prices.csv").write_text("instance_type,usd_per_hour\nml.x,1\n")
    path = tmp_path / "fleet.toml"
    path.write_text(WHOLE)
    config = read(path)
    assert config.accounts == (
        Account("research", None, ("us-east-1", "eu-central-1")),
        Account(
            "production",
            Role("arn:aws-us-gov:iam::123456789012:role/fleet", "secret-handshake"),
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


def test_every_setting_is_in_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "prices.csv").write_text("instance_type,usd_per_hour\nml.x,1\n")
    path = tmp_path / "fleet.toml"
    acting = "[act.limits]\n[act.notify]\n[[rules]]\nwhich = {}\nwhen = { up_for = '1h' }\n"
    path.write_text(WHOLE + acting)
    names: set[str] = set()
    original = Table.end

    def end(table: Table, known: str) -> None:
        names.update(re.findall(r"\w+", known))
        original(table, known)

    monkeypatch.setattr(Table, "end", end)
    read(path)
    assert {"lookback", "cloudtrail", "max_keep", "webhook_format", "coverage"} <= names
    docs = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("fleet", "fleet-on-aws"))
    assert not names - {"and"} - set(re.findall(r"\w+", docs))


def test_an_empty_file_is_as_no_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text("")
    assert read(path) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('intervall = "5m"', "line 1: intervall is not known here; the keys here are accounts"),
        ("interval = 5", 'line 1: interval must be a duration such as "5m", "90s" or "1h", not 5'),
        ('interval = "0s"', "line 1: interval must be at least 1 s"),
        ("\n\nlisten = 9850", "line 3: listen must be a text, not 9850"),
        ('listen = "9850"', "line 1: listen must be an address and a port"),
        ('listen = "0.0.0.0:1"', "line 1: listen is open to other machines: name a token_file"),
        ('\n[metrics]\nby_owner = "yes"', "line 3: metrics.by_owner must be true or false"),
        (
            '[prometheus]\nurl = "prom:9090"',
            "line 2: prometheus.url must be the URL of a Prometheus",
        ),
        ("[prometheus]", "line 1: prometheus.url must be the URL"),
        ('[prices]\nusd_per_hour = { "ml.x" = -1 }', "line 2: prices.usd_per_hour.ml.x"),
        ("[accounts]\n", "line 1: accounts must be a list of tables, each begun by [[accounts]]"),
        ("accounts = []", "line 1: accounts is empty"),
        (
            '[[accounts]]\nname = "a"\n\n[[accounts]]\nregions = ["Ohio"]',
            "line 5: accounts[2].regions names regions such as us-east-1, not 'Ohio'",
        ),
        ("[[accounts]]\nregions = []", "line 2: accounts[1].regions is empty"),
        (
            '[[accounts]]\nrole_arn = "fleet"',
            "line 2: accounts[1].role_arn must be the ARN of a role",
        ),
        ('[[accounts]]\nexternal_id = "x"', "line 2: accounts[1].external_id goes with a role"),
        ('[[accounts]]\nname = "x"\nregion = "y"', "line 3: accounts[1].region is not known here"),
        ('token_file = "nowhere"', "line 1: token_file can't be read"),
        ("tags = [1]", "line 1: tags must be a list of keys"),
        ("interval = \nlisten = 1", "at line 1"),
        ('interval = "-5m"', "line 1: interval must be a duration such as"),
        ('interval = "999999999d"', "line 1: interval must be at most 3650d"),
        ("interval = true", "line 1: interval must be a duration such as"),
        ('[prometheus]\nurl = "http://p"\nlookback = "0s"', "line 3: prometheus.lookback must"),
        ('listen = "127.0.0.1:\u00b2"', "line 1: listen must be an address and a port"),
        ('listen = "127.0.0.1:99999"', "line 1: listen must be an address and a port"),
        ("[[accounts]]\nregions = [0]", "line 2: accounts[1].regions names regions such as"),
        ("[[accounts]]\nregions = [false]", "line 2: accounts[1].regions names regions such"),
        (
            '[[accounts]]\nregions = "us-east-1"',
            "line 2: accounts[1].regions must be a list such as",
        ),
        ("accounts = [7]", "line 1: accounts[1] must be a table"),
        ("prometheus = 7", "line 1: prometheus must be a table"),
        (
            '[[accounts]]\nregions = ["us-east-1"]\n[[accounts]]\n\nregions = ["us-east-1"]',
            "line 5: accounts[2].regions names us-east-1, which accounts[1] has",
        ),
        ("[[accounts]]\n[[accounts]]", "line 2: accounts[2].regions names the region of the"),
        (
            '[[accounts]]\nregions = ["cn-north-1"]\nrole_arn = "arn:aws:iam::123456789012:role/r"',
            "line 3: accounts[1].role_arn is in the partition aws, and cn-north-1 in aws-cn",
        ),
        (
            '[[accounts]]\nregions = ["us-east-1"]\n'
            'role_arn = "arn:aws-us-gov:iam::123456789012:role/r"',
            "line 3: accounts[1].role_arn is in the partition aws-us-gov",
        ),
        ('[prometheus]\nurl = "http://p/\\n"', "line 2: prometheus.url must be the URL"),
        ('[prometheus]\nurl = "http://p:x"', "line 2: prometheus.url must be the URL"),
        ('[prometheus]\nurl = "http://p?x=1"', "line 2: prometheus.url holds a user name"),
        (
            '[prometheus]\nurl = "http://p"\n[prometheus.headers]\nX-A = "a\\nX-B: b"',
            "line 4: prometheus.headers.X-A must be a text of one line",
        ),
        (
            '[prometheus]\nurl = "http://p"\n[prometheus.headers]\n"X A" = "a"',
            "line 4: prometheus.headers.X A is not the name of a header",
        ),
        ('\n[prices]\nfile = "nowhere.csv"', "line 3: prices.file can't be used"),
        ("\t[metrics]\n\tby_owner\t= 1", "line 2: metrics.by_owner must be true or false"),
        ('interval = "5m"\ninterval = "6m"', "at line 2"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text)


@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_files_of_any_editor_are_read_and_their_lines_named(
    tmp_path: Path, begin: bytes, end: bytes
) -> None:
    path = tmp_path / "fleet.toml"
    path.write_bytes(begin + end.join((b"# \xe2\x80\xa8 here", b'interval = "7m"', b"")))
    assert read(path).interval == timedelta(minutes=7)
    path.write_bytes(begin + end.join((b"# \xe2\x80\xa8 here", b'interval = "7x"', b"")))
    with pytest.raises(InvalidConfig, match="line 2: interval must be a duration"):
        read(path)


def test_a_file_in_another_encoding_is_told_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_bytes(b'interval = "7m"\n# \xfcber\n')
    with pytest.raises(InvalidConfig, match=r"fleet\.toml, line 2: this is not UTF-8"):
        read(path)
    path.write_text('interval = "7m"', encoding="utf-16")
    with pytest.raises(InvalidConfig, match="line 1: this is not UTF-8"):
        read(path)


def test_a_token_of_two_lines_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\nX-Evil: 1\n")
    message = refused(tmp_path, 'token_file = "token"')
    assert "line 1: token_file must hold a token" in message
    assert "hunter2" not in message


def test_a_password_in_a_url_is_refused_with_another_way(tmp_path: Path) -> None:
    message = refused(tmp_path, '[prometheus]\nurl = "https://u:hunter2@p"')
    assert "line 2: prometheus.url holds a user name, a password" in message
    assert "hunter2" not in message


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="can't be read: Is a directory"):
        read(tmp_path)


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
