"""Sends the metrics of one sweep to a Prometheus server. The edge.

A function lives for one sweep, so nothing is queued: the next sweep's counters include unsent ones
anyway, and unsent gauges would be outdated by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime

from ...aws import sigv4_headers
from ...metrics.collector import PREFIX
from ...metrics.remote_write.encode import Sample, encode
from ...metrics.remote_write.receiver import FAILED, OK, Receiver
from ...metrics.remote_write.setup import series_of
from ..metrics import FleetMetrics
from ..reports import PrometheusServer

#: Samples in one request: every receiver accepts this many.
AT_ONCE = 2000
#: Seconds that an answer may take, and before the second and the third attempt.
TIMEOUT = 10.0
WAITS = (1.0, 4.0)
JOB = "sagemaker_autoshutdown_fleet"
#: Not known to a sweep: other functions carry tasks out, and the audit counts them.
NOT_KNOWN = frozenset({f"{PREFIX}fleet_acting_events"})


class NotSent(Exception):
    """Metrics could not be sent. The message says why, and holds no secret."""


def send(
    server: PrometheusServer,
    metrics: FleetMetrics,
    at: datetime,
    left: Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Sends all samples, as of a time; returns their number. Raises :class:`NotSent`."""
    stamp = int(at.timestamp() * 1000)
    families = [each for each in metrics.collect() if each.name not in NOT_KNOWN]
    samples = [Sample(series, value, stamp) for series, value in series_of(families, {"job": JOB})]
    receiver = Receiver(server.remote_write_url, server.headers, _sign(server))
    for start in range(0, len(samples), AT_ONCE):
        _post(receiver, encode(samples[start : start + AT_ONCE]), left, sleep)
    return len(samples)


def _post(
    receiver: Receiver, body: bytes, left: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    for wait in (*WAITS, None):
        answer = receiver.post(body, max(min(TIMEOUT, left()), 1.0))
        if answer.outcome == OK:
            return
        if answer.outcome != FAILED or wait is None or left() < wait + TIMEOUT:
            raise NotSent(f"{receiver.label} did not take metrics ({answer.why})")
        sleep(wait)


def _sign(
    server: PrometheusServer,
) -> Callable[[str, bytes, Mapping[str, str]], Mapping[str, str]] | None:
    if not server.sigv4_region:
        return None

    def sign(url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        return sigv4_headers(url, body, headers, service="aps", region=server.sigv4_region)

    return sign
