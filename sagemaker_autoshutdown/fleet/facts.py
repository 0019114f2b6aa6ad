"""Facts for rules that a sweep does not hold: the edge.

Canvas: the CloudWatch metric ``TimeSinceLastActive``, in seconds, of each session (five hundred in
a call). AWS's own sample of an automatic shutdown uses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone

from ..aws import Aws, AwsError
from .model import CANVAS, Key, Sweep
from .reports import AppReports, apps_of_scope, span_of
from .rules.model import Facts, Idle, Rules

NAMESPACE, METRIC = "/aws/sagemaker/Canvas/AppActivity", "TimeSinceLastActive"
#: The most queries in one call.
_AT_ONCE = 500
_LOOKBACK = timedelta(minutes=20)
_PERIOD = 60


def gather(
    aws: Aws, sweep: Sweep, rules: Rules, reported: AppReports | None, *, expects_reports: bool
) -> tuple[Facts, str]:
    """The facts of one scope, and a problem, if there is one.

    ``reported`` is Prometheus's answer; None if it gave none or is not configured.
    """
    canvas, problem = None, ""
    if rules.asks_canvas:
        keys = [
            resource.key
            for resource in sweep.resources
            if resource.key.app_type == CANVAS and resource.status == "InService"
        ]
        try:
            canvas = canvas_idle(aws, keys, sweep.at)
        except AwsError as error:
            problem = f"{error}: for how long sessions of Canvas are idle is not known"
    of_apps = None if reported is None else apps_of_scope(reported, sweep.scope)
    return Facts(of_apps, expects_reports, canvas), problem


def canvas_idle(aws: Aws, keys: Sequence[Key], now: datetime) -> dict[Key, Idle]:
    """How long each session has been idle; missing if CloudWatch has nothing recent. Raises
    ``AwsError``."""
    found: dict[Key, Idle] = {}
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        asked = {
            "MetricDataQueries": [_query(number, key) for number, key in enumerate(part)],
            "StartTime": now - _LOOKBACK,
            "EndTime": now + timedelta(minutes=1),
            "ScanBy": "TimestampDescending",
        }
        for item in aws.pages_blocking("cloudwatch", "GetMetricData", "MetricDataResults", asked):
            newest = _newest(item["Timestamps"], item["Values"])
            if newest is not None:
                found[part[int(item["Id"][1:])]] = newest
    return found


def _newest(times: Iterable[datetime], values: Iterable[float]) -> Idle | None:
    pairs = [(at.astimezone(timezone.utc), value) for at, value in zip(times, values)]
    if not pairs:
        return None
    at, seconds = max(pairs)
    idle = span_of(seconds)
    return None if idle is None else Idle(idle, at)


def _query(number: int, key: Key) -> dict[str, object]:
    dimensions = [
        {"Name": "DomainId", "Value": key.domain},
        {"Name": "UserProfileName", "Value": key.owner},
    ]
    metric = {"Namespace": NAMESPACE, "MetricName": METRIC, "Dimensions": dimensions}
    # If two sources differ, the one that saw the session used last counts.
    stat = {"Metric": metric, "Period": _PERIOD, "Stat": "Minimum"}
    return {"Id": f"q{number}", "MetricStat": stat, "ReturnData": True}
