"""Remote write: unsent samples are kept, bounded, and counted."""

from __future__ import annotations

import asyncio
import html
import http.server
import json
import logging
import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import cramjam
import pytest
from prometheus_client.core import GaugeMetricFamily
from traitlets.config import Config, LoggingConfigurable
from traitlets.config.loader import DeferredConfigString

from sagemaker_autoshutdown.aws import sigv4_headers
from sagemaker_autoshutdown.metrics.collector import Metrics
from sagemaker_autoshutdown.metrics.remote_write import encode as encode_module
from sagemaker_autoshutdown.metrics.remote_write import writer as writer_module
from sagemaker_autoshutdown.metrics.remote_write.encode import (
    STALE,
    MissingExtra,
    Sample,
    Series,
    write_request,
)
from sagemaker_autoshutdown.metrics.remote_write.receiver import Receiver as RemoteReceiver
from sagemaker_autoshutdown.metrics.remote_write.setup import remote_writer, series_of
from sagemaker_autoshutdown.metrics.remote_write.writer import RemoteWriter
from sagemaker_autoshutdown.model import Host, HostKind, Reason
from sagemaker_autoshutdown.settings import admin as config_module

from ..prometheus import wait_for

HOST = Host(HostKind.CLASSIC, "us-east-2", "d-1", "ada", account_id="123456789012")


def decode(body: bytes) -> list[Sample]:
    """The samples in a request's body."""
    message = write_request().FromString(bytes(cramjam.snappy.decompress_raw(body)))
    return [
        Sample(
            tuple((label.name, label.value) for label in series.labels),
            sample.value,
            sample.timestamp,
        )
        for series in message.timeseries
        for sample in series.samples
    ]


def series(name: str) -> Series:
    return (("__name__", name), ("owner", "ada"))


class Receiver:
    """A real HTTP server that accepts writes, or refuses them with ``status``."""

    def __init__(self) -> None:
        self.status = 204
        self.retry_after: str | None = None
        self.answer: Callable[[dict[str, str]], str] = lambda headers: ""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((headers, body))
                answer = receiver.answer({"path": self.path, **headers}).encode()
                self.send_response(receiver.status)
                if receiver.retry_after:
                    self.send_header("Retry-After", receiver.retry_after)
                if receiver.status in (302, 307):
                    self.send_header("Location", receiver.url + "/elsewhere")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

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

    def __init__(self, receiver: Receiver, url: str = "", **options: Any) -> None:
        self.now = 1_000_000.0
        self.gathered: list[tuple[Series, float]] = [(series("a"), 1.0), (series("b"), 2.0)]
        self.counts = Counts()
        self.writer = RemoteWriter(
            url or receiver.url,
            lambda: self.gathered,
            self.counts,
            interval=3600,
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


SECRET = "s3cr3t/t0ken"  # noqa: S105
QUOTED = "s3cr3t%2Ft0ken"


def echo(headers: dict[str, str]) -> str:
    return f"no rights: {headers}"


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("{}", {"Authorization": f"Bearer {SECRET}"}),
        ("{}", {"X-Scope-OrgID": SECRET}),
        ("{}", {"Authorization": f"Bearer {SECRET}\nX-Evil: 1"}),
        ("{}", {f"Authorization {SECRET}": "Bearer"}),
        ("{}", {"Authorization": f"Bearer {SECRET} \u2014"}),
        (f"{{}}?token={SECRET}", {}),
        (f"{{}}?token={QUOTED}", {}),
        (f"{{}}?token={SECRET} ", {}),
        (f"{{}}?a=b c&token={SECRET}", {}),
        (f"http://ada:{SECRET.replace('/', '')}@{{host}}/write", {}),
        (f"http://ada:{QUOTED}@{{host}}/write", {}),
        (f"http://ada:{SECRET.replace('/', '')}@127.0.0.1:1/write", {}),
    ],
    ids=lambda value: str(value)[:50],
)
@pytest.mark.parametrize("status", [204, 302, 400, 401, 403, 429, 500])
def test_no_token_gets_into_the_log(
    receiver: Receiver,
    url: str,
    headers: dict[str, str],
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.status, receiver.answer = status, echo
    host = receiver.url.split("/")[2]
    sender = Sender(receiver, url.format(receiver.url, host=host), headers=headers)
    for _ in range(3):
        sender.tick(100_000)
    receiver.status = 204
    sender.tick(100_000)
    assert status == 204 or "metrics" in caplog.text
    for secret in (SECRET, QUOTED, SECRET.replace("/", ""), "s3cr3t"):
        assert secret not in caplog.text


def test_what_amazon_quotes_of_a_signed_request_is_not_logged(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    def sign(*_: object) -> dict[str, str]:
        return {"X-Amz-Security-Token": SECRET, "Authorization": f"AWS4-HMAC-SHA256 {SECRET}"}

    sender = Sender(receiver, sign=sign)
    receiver.status, receiver.answer = 403, echo
    sender.tick()
    assert "403" in caplog.text
    assert SECRET not in caplog.text


def _cut(secret: str) -> str:
    return secret[:-3]


def _spelled_out(secret: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in secret)


@pytest.mark.parametrize(
    "written",
    [str.upper, repr, _cut, _spelled_out, quote, html.escape, json.dumps, lambda s: s[::-1]],
    ids=["upper", "repr", "cut", "escaped", "quoted", "html", "json", "reversed"],
)
@pytest.mark.parametrize("way", ["header", "query", "password", "signature"])
def test_a_secret_that_comes_back_in_any_form_stays_out_of_the_log(
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    written: Callable[[str], str],
    way: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "s3cr3t<&>/t0ken"  # noqa: S105
    host = receiver.url.split("/")[2]
    options: dict[str, dict[str, Any]] = {
        "header": {"headers": {"Authorization": f"Bearer {secret}"}},
        "query": {"url": f"{receiver.url}?token={quote(secret)}"},
        "password": {"url": f"http://ada:{quote(secret, safe='')}@{host}/write"},
        "signature": {"sign": lambda *_: {"X-Amz-Security-Token": secret}},
    }
    receiver.status = 400
    receiver.answer = lambda headers: f"out of order sample, {written(secret)}"
    Sender(receiver, **options[way]).tick()
    assert written(secret)[:6] not in caplog.text
    assert "(400 Bad Request: out of order sample)" in caplog.text


@pytest.mark.parametrize("is_secret", [True, False])
def test_what_a_library_says_of_an_answer_that_is_none_holds_no_secret(
    caplog: pytest.LogCaptureFixture, is_secret: bool
) -> None:
    """It quotes a line that it can't parse."""
    quoting = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = quoting.accept()
        with connection:
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65536)
            connection.sendall(b"You sent: s3cr3t\r\n\r\n")

    headers = {"Authorization": "Bearer s3cr3t"} if is_secret else {}
    answering = threading.Thread(target=answer)
    answering.start()
    with quoting:
        found = RemoteReceiver(f"http://127.0.0.1:{quoting.getsockname()[1]}/write", headers).post(
            b"body", 30
        )
        answering.join(30)
    assert (found.outcome, "s3cr3t" in found.why) == ("failed", not is_secret)


def test_an_answer_to_a_request_without_a_credential_is_told_as_it_is(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status, receiver.answer = 400, lambda headers: "no series today"
    Sender(receiver).tick()
    assert "no series today" in caplog.text


def test_a_long_answer_is_not_cut_in_the_middle_of_a_token(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender(receiver, headers={"Authorization": f"Bearer {SECRET}"})
    receiver.status, receiver.answer = 403, lambda headers: "x" * 270 + SECRET * 2
    sender.tick()
    assert "s3cr3t" not in caplog.text


def test_a_url_with_a_user_and_password_logs_in(receiver: Receiver) -> None:
    host = receiver.url.split("/")[2]
    Sender(receiver, f"http://ada:p%40ss@{host}/write").tick()
    Sender(receiver, f"http://ada:x@{host}/write", headers={"authorization": "Bearer y"}).tick()
    sent = [headers["authorization"] for headers, _ in receiver.requests]
    assert sent == ["Basic YWRhOnBAc3M=", "Bearer y"]


def test_a_token_with_a_line_end_is_sent_without_it(receiver: Receiver) -> None:
    Sender(receiver, headers={"Authorization": "Bearer abc\n"}).tick()
    assert receiver.requests[0][0]["authorization"] == "Bearer abc"


def test_a_receiver_that_refuses_for_days_is_told_of_once_a_day_and_when_it_changes(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender(receiver)
    receiver.status = 401
    for _ in range(24 * 60):
        sender.tick(60)
    assert caplog.text.count("refuses metrics (401") == 1
    sender.tick(60)
    assert caplog.text.count("refuses metrics (401") == 2
    receiver.status = 404
    sender.tick(60)
    sender.tick(60)
    assert caplog.text.count("refuses metrics (404") == 1
    assert sender.counts.requests["refused"] == 24 * 60 + 3


def test_a_receiver_that_now_takes_and_now_refuses_does_not_fill_the_log(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sender = Sender(receiver)
    for number in range(120):  # two hours
        receiver.status = (400, 204)[number % 2]
        sender.tick(60)
    assert caplog.text.count("refuses metrics") == caplog.text.count("sent again") == 2


def test_an_answer_that_breaks_off_is_still_an_answer(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise ConnectionResetError

    sender = Sender(receiver)
    receiver.status = 401
    monkeypatch.setattr("urllib.error.HTTPError.read", broken, raising=False)
    sender.tick()
    assert sender.counts.requests["refused"] == 1


# --- the end --------------------------------------------------------------------------------------


def test_the_last_values_are_sent_before_the_server_is_gone_and_then_their_series_end(
    receiver: Receiver,
) -> None:
    sender = Sender(receiver)
    sender.tick()
    sender.gathered = [(series("a"), 7.0)]
    sender.writer.start()
    sender.writer.close(30)
    _, last, ends = receiver.received()
    assert [(sample.series, sample.value) for sample in last[:1]] == [(series("a"), 7.0)]
    assert [sample.series for sample in ends] == [series("a")]
    assert struct.pack("<d", ends[0].value) == struct.pack("<d", STALE)
    assert ends[0].timestamp > last[0].timestamp


def test_a_receiver_that_hangs_holds_up_the_servers_end_for_moments_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        writer = RemoteWriter(
            f"http://127.0.0.1:{hanging.getsockname()[1]}/", list, Counts(), interval=3600
        )
        writer._seen = {series("a")}
        writer.start()
        started = time.monotonic()
        writer.close(0.3)
        assert time.monotonic() - started < 10


def test_a_back_off_does_not_keep_the_last_values(receiver: Receiver) -> None:
    sender = Sender(receiver)
    receiver.status = 500
    sender.tick()
    receiver.status = 204
    sender.writer.start()
    sender.writer.close(30)
    assert [len(samples) for samples in receiver.received()[1:]] == [2, 2, 2]


def test_a_shutdown_does_not_wait_for_the_interval(receiver: Receiver) -> None:
    sender = Sender(receiver)
    sender.writer.start()
    sender.writer.on_shutdown(Reason.IDLE_TIMEOUT, True)
    wait_for(lambda: receiver.requests, "a request")
    sender.gathered = [(series("a"), 8.0)]
    sender.writer.on_shutdown(Reason.IDLE_TIMEOUT, True)
    wait_for(lambda: len(receiver.requests) > 1, "another")
    assert receiver.received()[1][0].value == 8.0
    sender.writer.close(30)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://x/",
        "prometheus:9090",
        f"ada:{SECRET}@prometheus:9090",
        f"ftp://ada:{SECRET}@x/",
        f"https://?token={SECRET}",
        f"https://ada:x@prometheus:{SECRET}",
        f"https://[{SECRET}/",
    ],
)
def test_only_a_url_of_http_is_a_receiver_and_a_wrong_one_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="https://") as refused:
        RemoteWriter(url, list, Counts(), interval=60)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("remote_write_url", f"ada:{SECRET}@prometheus:9090"),
        ("remote_write_url", [SECRET]),
        ("remote_write_headers", f"Bearer {SECRET}"),
        ("remote_write_headers", [SECRET]),
        ("remote_write_headers", DeferredConfigString(f"Bearer {SECRET}")),
        ("remote_write_headers", DeferredConfigString(f"{{'Authorization': '{SECRET}'")),
    ],
)
def test_a_setting_that_is_refused_does_not_show_its_token(
    name: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config()
    config.SageMakerAutoShutdown[name] = value
    _, (problem,) = config_module.load(LoggingConfigurable(config=config))
    assert name in problem
    assert name != "remote_write_url" or "https://" in problem
    assert "s3cr3t" not in problem + caplog.text


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
    # The received body is the signed one.
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


def test_a_second_server_of_one_home_sends_no_series_of_the_same_name(receiver: Receiver) -> None:
    """The counters of one would mix with those of the other, and each fall would count anew."""
    elsewhere = True
    loop = asyncio.new_event_loop()
    try:
        writer = remote_writer(
            HOST,
            settings(receiver.url),
            Metrics(HOST),
            loop,
            logging.getLogger(),
            is_elsewhere=lambda: elsewhere,
        )
        assert writer is not None
        writer.tick()
        assert receiver.requests == []
        elsewhere = False
        writer.tick()
        assert len(receiver.requests) == 1
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
        while not receiver.requests:
            await asyncio.sleep(0.02)
        # Its last values are gathered by this loop.
        await asyncio.to_thread(writer.close, 60)

    asyncio.run(until_sent())
    assert gathered_in[0] is threading.main_thread()
    (samples, *_) = receiver.received()
    labels = dict(samples[0].series)
    assert labels["account_id"] == "123456789012"
    assert labels["domain"] == "d-1"
