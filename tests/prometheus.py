"""A real Prometheus server for tests, and queries to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.localstudio.processes import free_port

#: Seconds for it to start, and for any sample to show.
LIMIT = 180.0


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    @property
    def receiver(self) -> str:
        """The address for remote writes."""
        return f"{self.url}/api/v1/write"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The present series of an expression."""
        return self._ask("query", query=expression)

    def _ask(self, what: str, **parameters: Any) -> list[dict[str, Any]]:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=90) as reply:  # noqa: S310
                found: list[dict[str, Any]] = json.load(reply)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None
        return found

    def query_range(self, expression: str, step: int) -> list[dict[str, Any]]:
        """The series of an expression over the last week, as Grafana asks for it: at multiples
        of ``step`` seconds."""
        end = int(time.time()) // step * step
        start = max(end - 7 * 86_400, end - 10_000 * step)
        return self._ask("query_range", query=expression, start=start, end=end, step=step)

    def values(self, expression: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The present values by some labels."""
        return {
            tuple(series["metric"].get(label, "") for label in labels): float(series["value"][1])
            for series in self.query(expression)
        }

    def wait(self, expression: str) -> list[dict[str, Any]]:
        """Waits until an expression returns something."""
        found: list[dict[str, Any]] = wait_for(lambda: self.query(expression), expression)
        return found


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Waits until the condition returns something."""
    end = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {LIMIT} s: {what}"
        time.sleep(0.1)
    return found


@contextmanager
def running_prometheus(
    folder: Path, scrapes: list[dict[str, Any]] | None = None, rules: Path | None = None
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these and accepts remote writes, until the block ends."""
    program = shutil.which("prometheus")
    assert program, "prometheus is missing: make system-packages"
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": scrapes or [],
    }
    if rules is not None:
        groups = yaml.safe_load(rules.read_text())["groups"]
        for group in groups:
            group.pop("interval", None)  # minutes: a test waits for seconds
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
        config["rule_files"] = ["rules.yml"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--web.enable-remote-write-receiver",
        "--log.level=warn",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        server = Prometheus(f"http://{address}")
        wait_for(lambda: _is_ready(server, process, folder / "log"), "prometheus is ready")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(server: Prometheus, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        with urllib.request.urlopen(f"{server.url}/-/ready", timeout=30) as reply:  # noqa: S310
            return bool(reply.status == 200)
    except OSError:
        return False
