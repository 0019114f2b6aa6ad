"""Which servers report, and their reports on their apps: one Prometheus query each. The edge.

It calls with POST, which can be signed for Amazon Managed Prometheus, and follows no redirect,
which would carry credentials elsewhere. Errors do not contain the URL's password, the headers or
the query string. A server that is missing from an incomplete answer is not known to be silent.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from http.client import HTTPException, IncompleteRead
from math import isfinite
from typing import Any
from urllib.parse import urlencode, urlsplit

from ..aws import sigv4_headers
from ..metrics.collector import PREFIX
from ..text import clean
from .model import ReportKey, Reports, Scope, Sweep
from .rules.model import Reported

#: Seconds that an answer may take.
TIMEOUT = 60.0
#: The longest answer that is read, in bytes: more than thousands of servers need.
_READ = 64 * 1024 * 1024
_PIECE = 1024 * 1024
#: The most characters of an error or a warning that are shown.
_SHOWN = 300

_LABELS = "account_id, region, domain, owner_kind, owner, host_kind"
_IDLE, _DEADLINE, _KEPT = _OF_APPS = (
    "idle_seconds",
    "shutdown_timestamp_seconds",
    "kept_until_timestamp_seconds",
)

#: The reports on each app: by account, region, server, app type and app name.
AppReports = Mapping[tuple[str, str, ReportKey, str, str], Reported]


@dataclass(frozen=True)
class Heard:
    """When each server last checked its apps, also by account and region; these are empty for
    metrics that were scraped.

    ``doubt`` says why servers may be missing. It is empty for a reliable answer.
    """

    servers: Mapping[tuple[str, str, ReportKey], datetime] = field(default_factory=dict)
    doubt: str = ""


class NotAsked(Exception):
    """Prometheus could not be asked. The message says why and what to check."""


@dataclass(frozen=True)
class PrometheusServer:
    """The server that holds the extensions' metrics. ``url`` is the base, to which
    ``/api/v1/query`` is added. A fleet on AWS sends its own metrics to ``remote_write_url``.

    ``lookback`` is how far back a server that is gone is still found the first time; the record
    remembers every server that reported once.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    sigv4_region: str = ""
    lookback: timedelta = timedelta(days=1)
    remote_write_url: str = ""

    @property
    def query(self) -> str:
        """The query. A server that answers but could not check its apps keeps an old time, so it
        does not count as one that shuts them down."""
        return (
            f"max by ({_LABELS}) (max_over_time("
            f"{PREFIX}last_check_timestamp_seconds[{int(self.lookback.total_seconds())}s]))"
        )

    def ask(self) -> Heard:
        """When each server last checked its apps. Raises :class:`NotAsked`."""
        found: dict[tuple[str, str, ReportKey], datetime] = {}
        result, warning = self._series(self.query)
        for series in result:
            try:
                labels = series["metric"]
                at = datetime.fromtimestamp(float(series["value"][1]), timezone.utc)
            except (KeyError, IndexError, TypeError, ValueError, OverflowError, OSError):
                continue
            name = ReportKey(*(str(labels.get(each, "")) for each in ReportKey._fields))
            key = str(labels.get("account_id", "")), str(labels.get("region", "")), name
            found[key] = max(at, found.get(key, at))
        if warning:
            doubt = f"Prometheus at {self._where} answered in part and warns: {warning}"
        elif not found:
            # Nobody has the extension, or this is the wrong server or tenant: both look the same.
            doubt = (
                f"Prometheus at {self._where} has no metrics of this extension: check that it "
                "receives them, and prometheus.url and its headers"
            )
        else:
            doubt = ""
        return Heard(found, doubt)

    def ask_apps(self) -> AppReports:
        """The servers' present reports on their apps, also by account and region. Raises
        :class:`NotAsked`."""
        found: dict[tuple[str, str, ReportKey, str, str], dict[str, float]] = {}
        result, warning = self._series(f'{{__name__=~"{PREFIX}app_({"|".join(_OF_APPS)})"}}')
        if warning:
            # A newer report on an app may be missing, which would say that it is in use.
            raise NotAsked(f"Prometheus at {self._where} answered in part and warns: {warning}")
        for series in result:
            try:
                labels, value = series["metric"], float(series["value"][1])
                name = labels["__name__"][len(PREFIX + "app_") :]
            except (KeyError, IndexError, TypeError, ValueError):
                continue
            if not isfinite(value):
                continue
            key = (
                str(labels.get("account_id", "")),
                str(labels.get("region", "")),
                ReportKey(*(str(labels.get(each, "")) for each in ReportKey._fields)),
                str(labels.get("app_type", "")),
                str(labels.get("app_name", "")),
            )
            values = found.setdefault(key, {})
            # If two servers report one app, the one that saw it used last counts.
            best = min if name == _IDLE else max
            values[name] = best(value, values.get(name, value))
        return {key: _reported(values) for key, values in found.items()}

    @property
    def _where(self) -> str:
        shown = urlsplit(self.url)
        port = f":{shown.port}" if shown.port else ""
        return f"{shown.scheme}://{shown.hostname or ''}{port}{shown.path}"

    def _series(self, query: str) -> tuple[list[Any], str]:
        """The series of a query, and a warning that some may be missing."""
        where = self._where
        body = urlencode({"query": query}).encode()
        url = self.url.rstrip("/") + "/api/v1/query"
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self.headers}
        try:
            if self.sigv4_region:
                headers = sigv4_headers(url, body, headers, service="aps", region=self.sigv4_region)
            request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310
            opener = urllib.request.build_opener(_NoRedirects)
            with opener.open(request, timeout=TIMEOUT) as answer:
                text = _read_all(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise NotAsked(self._refusal(error)) from None
        except HTTPException as error:
            why = type(error).__name__
            raise NotAsked(f"The answer of Prometheus at {where} broke off ({why})") from None
        except _TooLong:
            raise NotAsked(
                f"Prometheus at {where} answered more than {_READ // 2**20} MB: {_LESS}"
            ) from None
        except Exception as error:  # the edge: no route, no credentials, TLS, a proxy
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise NotAsked(
                    f"Prometheus at {where} did not answer within {TIMEOUT:g} s"
                ) from None
            kind = type(reason).__name__
            raise NotAsked(f"Prometheus at {where} could not be reached ({kind})") from None
        try:
            document = json.loads(text)
            result = document["data"]["result"]
            if document.get("status", "success") != "success" or not isinstance(result, list):
                raise ValueError
            warnings = document.get("warnings") or []
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            raise NotAsked(
                f"{where} did not answer as a Prometheus server does: check prometheus.url"
            ) from None
        if not isinstance(warnings, list):
            warnings = [warnings]
        return result, _short("; ".join(map(str, warnings)))

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        """Prometheus's reason for a refusal, and the remedy."""
        message = f"Prometheus at {self._where} answered {error.code}"
        if error.code in (401, 403):
            # Not the body: a proxy's page says nothing more.
            return (
                f"{message}: it does not accept the credentials. Check token_file, headers or "
                "sigv4_region of [prometheus] (with sigv4_region, the role needs aps:QueryMetrics)"
            )
        try:
            said = _short(str(json.loads(error.read(_PIECE))["error"]))
        except Exception:  # not JSON, or cut off: the status must do
            return message
        message = f"{message}: {said}"
        if "too many samples" in said or "limit" in said.lower():
            message += f". {_LESS.capitalize()}"
        return message


#: The remedy if a query is too much for a server.
_LESS = (
    'set a shorter lookback in [prometheus], such as lookback = "1h". The record remembers every '
    "server that reported once"
)


class _TooLong(Exception):
    """An answer that is longer than the limit."""


def _read_all(answer: Any) -> bytes:
    """The body. Reading may not take longer than an answer may, even if it comes byte by byte."""
    ends = time.monotonic() + TIMEOUT
    pieces, length = [], 0
    while True:
        piece = answer.read1(_PIECE)
        if not piece:
            break
        pieces.append(piece)
        length += len(piece)
        if length > _READ:
            raise _TooLong
        if time.monotonic() > ends:
            raise TimeoutError
    promised = answer.headers.get("Content-Length", "")
    if promised.isdecimal() and length < int(promised):
        raise IncompleteRead(b"")
    return b"".join(pieces)


def _short(text: str) -> str:
    text = clean(" ".join(text.split())).rstrip(".")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """None: a redirect is an error."""
        return


def with_reports(sweep: Sweep, heard: Heard) -> Sweep:
    """The sweep with the reports of its servers."""
    reports = of_scope(heard, sweep.scope)
    return replace(sweep, reports=reports, reports_are_whole=not heard.doubt)


def of_scope(heard: Heard, scope: Scope) -> Reports:
    """The servers of one account and region. Scraped metrics name neither, but a domain's id is
    unique without them."""
    reports: dict[ReportKey, datetime] = {}
    for (account_id, region, name), at in heard.servers.items():
        if account_id in ("", scope.account_id) and region in ("", scope.region):
            known = reports.get(name)
            reports[name] = at if known is None else max(known, at)
    return reports


def apps_of_scope(found: AppReports, scope: Scope) -> Mapping[tuple[ReportKey, str, str], Reported]:
    """The same for apps."""
    return {
        (server, app_type, name): reported
        for (account_id, region, server, app_type, name), reported in found.items()
        if account_id in ("", scope.account_id) and region in ("", scope.region)
    }


def _reported(values: Mapping[str, float]) -> Reported:
    idle = values.get(_IDLE)
    return Reported(
        None if idle is None else span_of(idle),
        _moment(values.get(_DEADLINE)),
        _moment(values.get(_KEPT)),
    )


def span_of(seconds: float) -> timedelta | None:
    """A measured duration; None if it can't be one. Whoever may write a metric chooses it."""
    try:
        return timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None


def _moment(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
