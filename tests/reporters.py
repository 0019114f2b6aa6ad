"""Servers that report: the metric by which a fleet knows that an extension watches apps, and the
metrics of an app that is past its deadline.

A real Prometheus scrapes it. The value is the time of the scrape, because a server that checks
every minute reports a time of at most a minute ago.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from sagemaker_autoshutdown.fleet.model import ReportKey
from sagemaker_autoshutdown.metrics.collector import PREFIX

from .serving import serving as serve


class Reporters:
    """Serves ``/metrics`` for a set of servers, which can be changed."""

    def __init__(self) -> None:
        self._names: frozenset[ReportKey] = frozenset()
        #: The app of each server that is idle: its type, for how many seconds, and its deadline.
        self.idle: dict[ReportKey, tuple[str, float, float]] = {}

    def set(self, names: frozenset[ReportKey]) -> None:
        """These report from now on."""
        self._names = names

    @property
    def names(self) -> frozenset[ReportKey]:
        """The servers that report."""
        return self._names

    def text(self) -> str:
        """The text of a scrape."""
        name, now = f"{PREFIX}last_check_timestamp_seconds", time.time()
        lines = [f"# TYPE {name} gauge"]
        for key in self._names:
            labels = ",".join(f'{label}="{value}"' for label, value in key._asdict().items())
            lines.append(f"{name}{{{labels}}} {now}")
            if key in self.idle:
                app_type, seconds, deadline = self.idle[key]
                app = f'{{{labels},app_type="{app_type}",app_name="default"}}'
                lines.append(f"{PREFIX}app_idle_seconds{app} {seconds}")
                lines.append(f"{PREFIX}app_shutdown_timestamp_seconds{app} {deadline}")
        return "\n".join([*lines, ""])


@contextmanager
def serving(reporters: Reporters) -> Iterator[str]:
    """Its address, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = reporters.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # Prometheus ends amid a scrape
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A scrape a second is not worth logging."""

    with serve(Handler) as url:
        yield url.partition("//")[2]
