"""The configuration file of a fleet: TOML, validated, with errors that name the line.

Without a file, the account and region of the environment are watched, and coverage is unknown. Only
reading a file needs a TOML reader: Python 3.11's own, or the extra ``[fleet]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..aws import Role
from ..model import longest_gap
from ..prices.table import load_own, parse_usd
from .acting.model import EXCEPTION_TAG
from .acting.notify import Notify, read_notify
from .model import Policy
from .reports import PrometheusServer
from .rules.file import read_rules
from .rules.model import Rules
from .tables import Table, Wrong, line_of, secret_in

DEFAULT_LISTEN = "127.0.0.1:9850"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


class InvalidConfig(Exception):
    """The file can't be used. The message says where it is wrong and what is allowed."""


@dataclass(frozen=True)
class Account:
    """An account and its regions. Without a role, the process's own credentials are used."""

    name: str = ""
    role: Role | None = None
    regions: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Config:
    """The configuration of ``fleet``."""

    accounts: tuple[Account, ...] = (Account(),)
    interval: timedelta = timedelta(minutes=5)
    data_dir: Path | None = None
    listen: str = DEFAULT_LISTEN
    token: str = ""
    by_owner: bool = False
    reports_within: timedelta = timedelta(minutes=10)
    prometheus: PrometheusServer | None = None
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    price_file: str = ""
    price_list_api: bool = True
    tags: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)
    notify: Notify = field(default_factory=Notify)
    cloudtrail: bool = False

    @property
    def swept_tags(self) -> tuple[str, ...]:
        """The tags that a sweep reads: for display, and for rules."""
        if not self.rules.rules:
            return self.tags
        return tuple(dict.fromkeys((*self.tags, EXCEPTION_TAG, *sorted(self.rules.tag_keys))))

    @property
    def policy(self) -> Policy:
        """The times by which sweeps are judged."""
        return Policy(self.reports_within, longest_gap(self.interval))

    @property
    def folder(self) -> Path:
        """Where the record is kept."""
        if self.data_dir is not None:
            return self.data_dir
        from jupyter_core.paths import jupyter_data_dir

        return Path(jupyter_data_dir()) / "sagemaker_autoshutdown"


def read(path: Path) -> Config:
    """The configuration in a file. Raises :class:`InvalidConfig`."""
    toml = _toml()
    try:
        # Windows' editors begin a file with a byte order mark.
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InvalidConfig(f"{path}, line {line}: this is not UTF-8. Save it as UTF-8.") from None
    except OSError as error:
        raise InvalidConfig(f"{path} can't be read: {error.strerror}.") from None
    try:
        document = toml.loads(text)
    except toml.TOMLDecodeError as error:
        last = text.rstrip("\n").count("\n") + 1
        why = str(error).replace("at end of document", f"at line {last}, the end of the file")
        raise InvalidConfig(f"{path}: {why}.") from None
    try:
        return _config(document, path.parent)
    except Wrong as wrong:
        line = line_of(text, wrong.path)
        raise InvalidConfig(f"{path}, line {line}: {wrong}.") from None


def _toml() -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise InvalidConfig(
        "A configuration file needs Python 3.11 or the package tomli: "
        'pip install "sagemaker-autoshutdown[fleet]".'
    )


_SECOND = timedelta(seconds=1)


def _config(document: Mapping[str, Any], folder: Path) -> Config:
    top = Table(document)
    accounts = _accounts(top)
    default = Config()
    interval = top.duration("interval", default.interval, _SECOND)
    data_dir = top.text("data_dir")
    listen = top.text("listen", DEFAULT_LISTEN)
    host, _, port = listen.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise top.wrong("listen", f'must be an address and a port such as "{DEFAULT_LISTEN}"')
    token = secret_in(top, "token_file", folder)
    if host not in LOOPBACK and not token:
        raise top.wrong(
            "listen", "is open to other machines: name a token_file, or listen on 127.0.0.1"
        )
    metrics = top.table("metrics")
    by_owner = False
    if metrics is not None:
        by_owner = metrics.switch("by_owner", False)
        metrics.end("by_owner")
    prometheus, within = _prometheus(top, folder, default.reports_within)
    own, price_file, price_list_api = _prices(top, folder)
    tags = top.take("tags", list, 'a list of keys such as ["team"]', [])
    if not all(isinstance(key, str) and key for key in tags):
        raise top.wrong("tags", 'must be a list of keys such as ["team"]')
    act = top.table("act")
    rules = read_rules(top, act)
    notify = read_notify(act, folder)
    cloudtrail = act.switch("cloudtrail", False) if act is not None else False
    if act is not None:
        act.end("enabled, warning, limits, notify and cloudtrail")
    top.end(
        "accounts, interval, data_dir, listen, token_file, metrics, prometheus, prices, tags, act "
        "and rules"
    )
    return Config(
        accounts,
        interval,
        (folder / Path(data_dir).expanduser()) if data_dir else None,
        listen,
        token,
        by_owner,
        within,
        prometheus,
        own,
        price_file,
        price_list_api,
        tuple(tags),
        rules,
        notify,
        cloudtrail,
    )


def _accounts(top: Table) -> tuple[Account, ...]:
    listed = top.take("accounts", list, "a list of tables, each begun by [[accounts]]", None)
    if listed is None:
        return (Account(),)
    accounts: list[Account] = []
    begun: dict[tuple[str, str], int] = {}
    for number, values in enumerate(listed):
        table = Table(values, ("accounts", number))
        arn = table.text("role_arn")
        if arn and not re.fullmatch(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", arn, re.A):
            raise table.wrong(
                "role_arn",
                f"must be the ARN of a role, such as arn:aws:iam::123456789012:role/NAME: {arn!r}",
            )
        external_id = table.text("external_id")
        if external_id and not arn:
            raise table.wrong("external_id", "goes with a role_arn")
        regions = table.take("regions", list, 'a list such as ["us-east-1"]', [""])
        for region in regions:
            if region != "" and not re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-[0-9]+", str(region)):
                raise table.wrong("regions", f"names regions such as us-east-1, not {region!r}")
            if arn and region and arn.split(":")[1] != partition_of(region):
                raise table.wrong(
                    "role_arn",
                    f"is in the partition {arn.split(':')[1]}, and {region} in "
                    f"{partition_of(region)}: a role works in the regions of its own partition",
                )
            earlier = begun.setdefault((arn.split(":")[4] if arn else "", region), number)
            if earlier != number:
                raise table.wrong(
                    "regions",
                    f"names {region or 'the region of the environment'}, which accounts"
                    f"[{earlier + 1}] has for the same account: name each once",
                )
        if not regions:
            raise table.wrong("regions", "is empty: leave it out for the environment's region")
        name = table.text("name")
        table.end("name, role_arn, external_id and regions")
        accounts.append(
            Account(name, Role(arn, external_id) if arn else None, tuple(dict.fromkeys(regions)))
        )
    if not accounts:
        raise top.wrong("accounts", "is empty: leave it out for the environment's account")
    return tuple(accounts)


def partition_of(region: str) -> str:
    """The partition of a region, as in ARNs."""
    for beginning, partition in _PARTITIONS.items():
        if region.startswith(beginning):
            return partition
    return "aws"


_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
    "eusc-": "aws-eusc",
}


def _prometheus(
    top: Table, folder: Path, within: timedelta
) -> tuple[PrometheusServer | None, timedelta]:
    table = top.table("prometheus")
    if table is None:
        return None, within
    url = table.text("url")
    try:
        parts = urlsplit(url)
        is_url = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and not re.search(r"[\s\x00-\x1f]", url)
        )
        has_more = "@" in parts.netloc or bool(parts.query or parts.fragment)
    except ValueError:
        is_url = has_more = False
    if not is_url:
        # Not the URL: a mistyped one may hold a password.
        raise table.wrong(
            "url", 'must be the URL of a Prometheus server, such as "https://prom.example.com"'
        )
    if has_more:
        raise table.wrong(
            "url",
            "holds a user name, a password or a query: name a token_file, or headers such as "
            '{ Authorization = "Basic ..." }',
        )
    headers = {}
    given = table.table("headers")
    if given is not None:
        for name, value in given.items():
            if not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e]*", value):
                raise given.wrong(name, "must be a text of one line, in ASCII")
            if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.A):
                raise given.wrong(name, "is not the name of a header")
            headers[name] = value
    token = secret_in(table, "token_file", folder)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    sigv4_region = table.text("sigv4_region")
    lookback = table.duration("lookback", timedelta(days=1), timedelta(minutes=1))
    within = table.duration("reports_within", within, _SECOND)
    remote_write = table.text("remote_write_url")
    if remote_write and not remote_write.startswith(("http://", "https://")):
        raise table.wrong(
            "remote_write_url", "must be the URL of a receiver, which begins with https://"
        )
    table.end(
        "url, headers, token_file, sigv4_region, lookback, reports_within and remote_write_url"
    )
    return PrometheusServer(url, headers, sigv4_region, lookback, remote_write), within


def _prices(top: Table, folder: Path) -> tuple[Mapping[str, Decimal], str, bool]:
    table = top.table("prices")
    if table is None:
        return {}, "", True
    file = table.text("file")
    price_list_api = table.switch("price_list_api", True)
    own: dict[str, Decimal] = {}
    given = table.table("usd_per_hour")
    if given is not None:
        for name, value in given.items():
            try:
                own[name] = parse_usd(value)
            except ValueError as error:
                raise given.wrong(name, f": {error}") from None
    table.end("file, price_list_api and usd_per_hour")
    path = str(folder / Path(file).expanduser()) if file else ""
    if path:
        try:
            load_own(Path(path), "")
        except Exception as error:  # an admin's file may hold anything
            raise table.wrong("file", f"can't be used: {error}") from None
    return own, path, price_list_api
