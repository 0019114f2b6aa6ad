"""Which servers report, and what they say of their apps: one Prometheus query each. The edge.

It asks with POST, which can be signed for Amazon Managed Prometheus, and follows no redirect, which
would carry credentials elsewhere. What goes wrong is told without the URL's password, the headers
or the query string.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode, urlsplit

from ..aws import sigv4_headers
from ..metrics.collector import PREFIX
from .model import ReportKey, Reports, Scope
from .rules.model import Reported

#: Seconds that an answer may take.
TIMEOUT = 60.0
#: The longest answer that is read, in bytes: more than thousands of servers need.
_READ = 64 * 1024 * 1024

_LABELS = "account_id, region, domain, owner_kind, owner, host_kind"
_IDLE, _DEADLINE, _KEPT = _OF_APPS = (
    "idle_seconds",
    "shutdown_timestamp_seconds",
    "kept_until_timestamp_seconds",
)

#: What is reported of each app: by account, region, server, app type and app name.
AppReports = Mapping[tuple[str, str, ReportKey, str, str], Reported]


class NotAsked(Exception):
    """Prometheus could not be asked. The message says why and what to check."""


@dataclass(frozen=True)
class PrometheusServer:
    """Where the extensions' metrics are. ``url`` is the base, to which ``/api/v1/query`` is added.
    ``remote_write_url`` is where the fleet's own metrics are sent, by the engines on AWS.

    ``lookback`` is how far back a server that is gone is still found the first time; what has been
    heard of once is remembered here.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    sigv4_region: str = ""
    lookback: timedelta = timedelta(days=1)
    remote_write_url: str = ""

    @property
    def query(self) -> str:
        """The query. A server that answers but could not look at its apps keeps an old time, so it
        is not taken for one that looks after them."""
        return (
            f"max by ({_LABELS}) (max_over_time("
            f"{PREFIX}last_check_timestamp_seconds[{int(self.lookback.total_seconds())}s]))"
        )

    def ask(self) -> Mapping[tuple[str, str, ReportKey], datetime]:
        """When each server last looked after its apps, by account and region too; these are empty
        for metrics that were scraped. Raises :class:`NotAsked`."""
        found: dict[tuple[str, str, ReportKey], datetime] = {}
        for series in self._series(self.query):
            try:
                labels = series["metric"]
                at = datetime.fromtimestamp(float(series["value"][1]), timezone.utc)
            except (KeyError, IndexError, TypeError, ValueError, OverflowError, OSError):
                continue
            name = ReportKey(*(str(labels.get(each, "")) for each in ReportKey._fields))
            found[str(labels.get("account_id", "")), str(labels.get("region", "")), name] = at
        return found

    def ask_apps(self) -> AppReports:
        """What servers say of their apps now, by account and region too. Raises
        :class:`NotAsked`."""
        found: dict[tuple[str, str, ReportKey, str, str], dict[str, float]] = {}
        for series in self._series(f'{{__name__=~"{PREFIX}app_({"|".join(_OF_APPS)})"}}'):
            try:
                labels, value = series["metric"], float(series["value"][1])
                name = labels["__name__"][len(PREFIX + "app_") :]
            except (KeyError, IndexError, TypeError, ValueError):
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

    def _series(self, query: str) -> list[dict[str, Any]]:
        shown = urlsplit(self.url)
        where = f"{shown.scheme}://{shown.hostname or ''}{shown.path}"
        body = urlencode({"query": query}).encode()
        url = self.url.rstrip("/") + "/api/v1/query"
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self.headers}
        try:
            if self.sigv4_region:
                headers = sigv4_headers(url, body, headers, service="aps", region=self.sigv4_region)
            request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310
            opener = urllib.request.build_opener(_NoRedirects)
            with opener.open(request, timeout=TIMEOUT) as answer:
                document = json.loads(answer.read(_READ))
            result = document["data"]["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise NotAsked(f"Prometheus at {where} answered {error.code}") from None
        except (KeyError, TypeError, ValueError):
            raise NotAsked(
                f"{where} did not answer as a Prometheus server does: check prometheus.url"
            ) from None
        except Exception as error:  # the edge: no route, no credentials, TLS, a proxy
            kind = type(getattr(error, "reason", error)).__name__
            raise NotAsked(f"Prometheus at {where} could not be reached ({kind})") from None
        return result if isinstance(result, list) else []


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """None: a redirect is an error."""
        return


def of_scope(found: Mapping[tuple[str, str, ReportKey], datetime], scope: Scope) -> Reports:
    """The servers of one account and region. Metrics that were scraped name neither: a domain's id
    is unique without them."""
    reports: dict[ReportKey, datetime] = {}
    for (account_id, region, name), at in found.items():
        if account_id in ("", scope.account_id) and region in ("", scope.region):
            known = reports.get(name)
            reports[name] = at if known is None else max(known, at)
    return reports


def apps_of_scope(found: AppReports, scope: Scope) -> Mapping[tuple[ReportKey, str, str], Reported]:
    """The same of the apps."""
    return {
        (server, app_type, name): reported
        for (account_id, region, server, app_type, name), reported in found.items()
        if account_id in ("", scope.account_id) and region in ("", scope.region)
    }


def _reported(values: Mapping[str, float]) -> Reported:
    idle = values.get(_IDLE)
    return Reported(
        None if idle is None else timedelta(seconds=idle),
        _moment(values.get(_DEADLINE)),
        _moment(values.get(_KEPT)),
    )


def _moment(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
