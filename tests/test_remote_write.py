"""Remote write: what can't be sent is kept, bounded, and counted."""

from __future__ import annotations

import asyncio
import http.server
import logging
import math
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily
from traitlets.config import Config, LoggingConfigurable

from sagemaker_autoshutdown import config as config_module
from sagemaker_autoshutdown.aws import sigv4_headers
from sagemaker_autoshutdown.metrics import Metrics
from sagemaker_autoshutdown.model import Host, HostKind
from sagemaker_autoshutdown.remote_write import encode as encode_module
from sagemaker_autoshutdown.remote_write import writer as writer_module
from sagemaker_autoshutdown.remote_write.encode import STALE, MissingExtra, Sample, Series, decode
from sagemaker_autoshutdown.remote_write.setup import remote_writer, series_of
from sagemaker_autoshutdown.remote_write.writer import RemoteWriter

HOST = Host(HostKind.CLASSIC, "us-east-2", "d-1", "ada", account_id="123456789012")


def series(name: str) -> Series:
    return (("__name__", name), ("owner", "ada"))


class Receiver:
    """A real HTTP server that takes writes, or refuses them with ``status``."""

    def __init__(self) -> None:
        self.status = 204
        self.retry_after: str | None = None
        self.requests: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.status)
                if receiver.retry_after:
                    self.send_header("Retry-After", receiver.retry_after)
                if receiver.status in (302, 307):
                    self.send_header("Location", receiver.url + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/write"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def received(self) -> list[list[Sample]]:
        return [decode(body) for _, body in self.requests]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


class Counts:
    def __init__(self) -> None:
        self.samples = {"sent": 0, "dropped": 0}
        self.requests = {"ok": 0, "failed": 0, "refused": 0}
        self.pending = 0

    def count_remote_samples(self, outcome: str, samples: int) -> None:
        self.samples[outcome] += samples

    def count_remote_request(self, outcome: str) -> None:
        self.requests[outcome] += 1

    def set_remote_pending(self, samples: int) -> None:
        self.pending = samples


class Sender:
    """A writer on a clock of its own."""

    def __init__(self, receiver: Receiver, **options: Any) -> None:
        self.now = 1_000_000.0
        self.gathered: list[tuple[Series, float]] = [(series("a"), 1.0), (series("b"), 2.0)]
        self.counts = Counts()
        self.writer = RemoteWriter(
            receiver.url,
            lambda: self.gathered,
            self.counts,
            interval=60,
            clock=lambda: self.now,
            **options,
        )

    def tick(self, seconds: float = 60) -> None:
        self.now += seconds
        self.writer.tick()


def test_samples_arrive_as_they_were(receiver: Receiver) -> None:
    sender = Sender(receiver, headers={"X-Scope-OrgID": "team"})
    sender.tick()
    (samples,) = receiver.received()
    assert samples == [
        Sample(series("a"), 1.0, 1_000_060_000),
        Sample(series("b"), 2.0, 1_000_060_000),
    ]
    headers, _ = receiver.requests[0]
    assert headers["content-encoding"] == "snappy"
    assert headers["x-prometheus-remote-write-version"] == "0.1.0"
    assert headers["x-scope-orgid"] == "team"
    assert (sender.counts.samples, sender.counts.pending) == ({"sent": 2, "dropped": 0}, 0)


def test_a_series_that_ends_is_said_to_have_ended_once(receiver: Receiver) -> None:
    sender = Sender(receiver)
    sender.tick()
    sender.gathered = sender.gathered[:1]
    sender.tick()
    sender.tick()
    counts = [len(samples) for samples in receiver.received()]
    assert counts == [2, 2, 1]
    ended = receiver.received()[1][1]
    assert ended.series == series("b")
    assert math.isnan(ended.value)
    assert struct.pack("<d", ended.value) == struct.pack("<d", STALE)


def test_what_can_not_be_sent_is_kept_and_sent_in_order(receiver: Receiver) -> None:
    sender = Sender(receiver)
    receiver.status = 503
    for _ in range(3):
        sender.tick()
    assert sender.counts.pending == 6
    assert sender.counts.requests["failed"] == 3
    receiver.status, before = 204, len(receiver.requests)
    sender.tick()
    times = [samples[0].timestamp for samples in receiver.received()[before:]]
    assert times == sorted(times)
    assert len(times) == 4
    assert (sender.counts.samples, sender.counts.pending) == ({"sent": 8, "dropped": 0}, 0)


def test_a_receiver_that_fails_is_asked_later_and_later(receiver: Receiver) -> None:
    sender = Sender(receiver)
    receiver.status = 500
    asked = []
    for _ in range(200):
        sender.tick(1)
        asked.append(len(receiver.requests))
    assert 5 <= asked[-1] <= 10  # after 1, 2, 4, 8 ... seconds


def test_a_receiver_that_asks_for_time_gets_it(receiver: Receiver) -> None:
    sender = Sender(receiver)
    receiver.status, receiver.retry_after = 429, "100"
    sender.tick(60)
    sender.tick(60)
    assert len(receiver.requests) == 1
    sender.tick(60)
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302, 307])
def test_what_is_refused_is_dropped_and_counted_and_redirects_are_not_followed(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender(receiver)
    receiver.status = status
    sender.tick()
    assert len(receiver.requests) == 1
    assert sender.counts.requests["refused"] == 1
    assert sender.counts.samples == {"sent": 0, "dropped": 2}
    assert "refuses metrics" in caplog.text


def test_what_waits_is_bounded_in_age(receiver: Receiver) -> None:
    sender = Sender(receiver)
    receiver.status = 503
    for _ in range(180):  # three hours
        sender.tick()
    assert sender.counts.pending <= 2 * 61
    assert sender.counts.samples["dropped"] == 360 - sender.counts.pending


def test_what_waits_is_bounded_in_number(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_PENDING", 10)
    sender = Sender(receiver)
    receiver.status = 503
    for _ in range(20):
        sender.tick()
    assert sender.counts.pending == 10
    assert sender.counts.samples["dropped"] == 30


def test_a_receiver_that_is_not_there_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver()
    receiver.stop()
    sender = Sender(receiver)
    for _ in range(5):
        sender.tick(200)
    assert sender.counts.requests["failed"] == 5
    assert caplog.text.count("can't be sent") == 1


def test_credentials_that_can_not_be_had_are_a_failure_to_try_again(receiver: Receiver) -> None:
    def sign(*_: object) -> dict[str, str]:
        raise OSError("no credentials")

    sender = Sender(receiver, sign=sign)
    sender.tick()
    assert sender.counts.requests["failed"] == 1
    assert receiver.requests == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/", "prometheus:9090"])
def test_only_a_url_of_http_is_a_receiver(url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        RemoteWriter(url, list, Counts(), interval=60)
    config = Config()
    config.SageMakerAutoShutdown.remote_write_url = url
    _, problems = config_module.load(LoggingConfigurable(config=config))
    assert "https://" in problems[0]


def test_amazons_signature_is_botocores(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")

    def sign(url: str, body: bytes, headers: Any) -> dict[str, str]:
        return sigv4_headers(url, body, headers, service="aps", region="eu-west-1")

    sender = Sender(receiver, sign=sign)
    sender.tick()
    headers, _ = receiver.requests[0]
    assert "/eu-west-1/aps/aws4_request" in headers["authorization"]
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "x-amz-date"} <= set(signed)
    # What is signed is what arrives.
    assert all(name in headers for name in signed)


# --- put together ---------------------------------------------------------------------------------


def test_every_series_says_whose_it_is_and_labels_are_in_order() -> None:
    family = GaugeMetricFamily("m", "help", labels=["z", "empty", "owner"])
    family.add_metric(["last", "", "ada"], 3)
    assert series_of([family], {"region": "us-east-2", "account_id": "1"}) == [
        (
            (
                ("__name__", "m"),
                ("account_id", "1"),
                ("owner", "ada"),
                ("region", "us-east-2"),
                ("z", "last"),
            ),
            3.0,
        )
    ]


def settings(url: str) -> config_module.SageMakerAutoShutdown:
    config = Config()
    config.SageMakerAutoShutdown.remote_write_url = url
    config.SageMakerAutoShutdown.remote_write_interval = 1.0
    loaded, problems = config_module.load(LoggingConfigurable(config=config))
    assert problems == []
    return loaded


def test_it_is_off_unless_a_receiver_is_named() -> None:
    loop = asyncio.new_event_loop()
    try:
        assert remote_writer(HOST, settings(""), Metrics(HOST), loop, logging.getLogger()) is None
    finally:
        loop.close()


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cramjam", None)
    with pytest.raises(MissingExtra, match=r"sagemaker-autoshutdown\[remote-write\]"):
        encode_module.check_installed()


def test_samples_are_gathered_on_the_loop_and_sent_off_it(receiver: Receiver) -> None:
    metrics = Metrics(HOST)
    gathered_in = []
    collect = metrics.collect

    def collect_and_tell() -> Any:
        gathered_in.append(threading.current_thread())
        return collect()

    metrics.collect = collect_and_tell  # type: ignore[method-assign]

    async def until_sent() -> None:
        loop = asyncio.get_running_loop()
        writer = remote_writer(HOST, settings(receiver.url), metrics, loop, logging.getLogger())
        assert writer is not None
        writer.start()
        writer.start()
        for _ in range(500):
            if receiver.requests:
                break
            await asyncio.sleep(0.02)
        writer.close()

    asyncio.run(until_sent())
    assert gathered_in[0] is threading.main_thread()
    (samples, *_) = receiver.received()
    labels = dict(samples[0].series)
    assert labels["account_id"] == "123456789012"
    assert labels["domain"] == "d-1"
