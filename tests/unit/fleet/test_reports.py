"""Prometheus's possible answers, and the knowledge that follows: against a server that really
answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.fleet import reports
from sagemaker_autoshutdown.fleet.config import Config
from sagemaker_autoshutdown.fleet.facts import canvas_idle
from sagemaker_autoshutdown.fleet.model import JUPYTER_LAB, Coverage, ReportKey, Sweep
from sagemaker_autoshutdown.fleet.reports import (
    Heard,
    NotAsked,
    PrometheusServer,
    of_scope,
    with_reports,
)
from sagemaker_autoshutdown.fleet.rules.model import Idle, Reported
from sagemaker_autoshutdown.fleet.service import Fleet

from .scenes import NOON, SCOPE, app, sweep
from .test_coverage import judged

Answer = Callable[[BaseHTTPRequestHandler], None]
LAB = app(JUPYTER_LAB, owner="team-a", in_space=True)
OTHER = app(JUPYTER_LAB, owner="team-b", in_space=True)
LABELS = {"domain": "d-1", "owner_kind": "space", "owner": "team-a", "host_kind": "space"}
KEY = ReportKey("d-1", "space", "team-a", "space")


def series(at: datetime = NOON, **labels: str) -> dict[str, Any]:
    return {"metric": {**LABELS, **labels}, "value": [0, str(at.timestamp())]}


def good(*result: Any, **more: Any) -> str:
    data = {"resultType": "vector", "result": list(result)}
    return json.dumps({"status": "success", "data": data, **more})


def body(text: str, status: int = 200, kind: str = "application/json") -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(text.encode())))
        handler.end_headers()
        handler.wfile.write(text.encode())

    return send


def broken_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(good(series())[:40].encode())


def broken_off_in_chunks(handler: BaseHTTPRequestHandler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"1f4\r\n{")
    handler.close_connection = True


def byte_by_byte(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    ended = threading.Event()
    while True:
        try:
            handler.wfile.write(b" ")
        except OSError:
            return
        ended.wait(0.05)


def never(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.settimeout(30)
    handler.rfile.read()  # until the other side has had enough


@contextmanager
def answering(answer: Answer) -> Iterator[PrometheusServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """The other side may hang up."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield PrometheusServer(f"http://127.0.0.1:{server.server_port}/prom")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


TOO_MANY = json.dumps(
    {
        "status": "error",
        "errorType": "execution",
        "error": "query processing would load too many samples into memory in query execution",
    }
)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(body("no", 401), "answered 401: it does not accept the cred", id="401"),
        pytest.param(body("no", 403), "sigv4_region, the role needs aps:QueryMetrics", id="403"),
        pytest.param(body("<h1>Oops</h1>", 500, "text/html"), "answered 500", id="500"),
        pytest.param(body('{"error": "x\\u001b[2J"}', 503), "answered 503: x?[2J", id="503"),
        pytest.param(
            body("<html>Sign in</html>", kind="text/html"),
            "did not answer as a Prometheus server does: check prometheus.url",
            id="html",
        ),
        pytest.param(body("[1, 2]"), "did not answer as a Prometheus server", id="another API"),
        pytest.param(body('{"data": {"result": 7}}'), "did not answer as", id="no list"),
        pytest.param(
            body('{"status": "error", "data": {"result": []}}'), "did not answer as", id="error"
        ),
        pytest.param(body(TOO_MANY, 422), "too many samples into memory", id="samples"),
        pytest.param(
            body(TOO_MANY, 422),
            'Set a shorter lookback in [prometheus], such as lookback = "1h"',
            id="samples: what to do",
        ),
        pytest.param(broken_off, "broke off (IncompleteRead)", id="broken off"),
        pytest.param(broken_off_in_chunks, "broke off (IncompleteRead)", id="broken chunks"),
        pytest.param(byte_by_byte, "did not answer within 0.3 s", id="byte by byte"),
        pytest.param(never, "did not answer within 0.3 s", id="never"),
    ],
)
def test_an_answer_that_says_nothing_is_told_and_nobody_is_taken_for_uncovered(
    answer: Answer, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer in (byte_by_byte, never):
        monkeypatch.setattr(reports, "TIMEOUT", 0.3)
    with answering(answer) as server:
        heard, problem = Fleet(Config(prometheus=server)).heard()
        with pytest.raises(NotAsked):
            server.ask_apps()
    assert message in problem
    assert heard is None
    assert judged(sweep(0, LAB), LAB) is Coverage.UNKNOWN


def test_an_answer_that_is_too_long_is_told_with_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "_READ", 100)
    with (
        answering(body(good(*[series()] * 3))) as server,
        pytest.raises(NotAsked, match="lookback"),
    ):
        server.ask()


def seen_with(answer: Answer, found: Sweep) -> tuple[Sweep, str]:
    with answering(answer) as server:
        heard, problem = Fleet(Config(prometheus=server)).heard()
    assert heard is not None
    return with_reports(found, heard), problem


def test_a_server_that_is_missing_from_an_answer_with_warnings_is_not_taken_for_uncovered() -> None:
    text = good(series(), warnings=["partial response: store-3 is down", "x"])
    found, problem = seen_with(body(text), sweep(0, LAB, OTHER))
    assert "answered in part and warns: partial response: store-3 is down; x" in problem
    assert judged(found, LAB) is Coverage.REPORTS
    assert judged(found, OTHER) is Coverage.UNKNOWN


def test_a_server_is_not_taken_for_silent_on_an_answer_with_warnings() -> None:
    old = datetime.fromtimestamp(NOON.timestamp() - 3600, timezone.utc)
    found, _ = seen_with(body(good(series(old), warnings=["x"])), sweep(0, LAB))
    assert judged(found, LAB) is Coverage.UNKNOWN
    found, _ = seen_with(body(good(series(old))), sweep(0, LAB))
    assert judged(found, LAB) is Coverage.SILENT


def test_what_apps_say_is_not_believed_on_an_answer_with_warnings() -> None:
    text = good(series(__name__="sagemaker_autoshutdown_app_idle_seconds"), warnings=["x"])
    with answering(body(text)) as server, pytest.raises(NotAsked, match="warns: x"):
        server.ask_apps()


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e300", "-1e300"])
def test_no_value_that_somebody_writes_into_a_metric_stops_the_sweep_of_all_apps(
    value: str,
) -> None:
    written = [
        {**series(__name__=f"sagemaker_autoshutdown_app_{name}"), "value": [0, value]}
        for name in reports._OF_APPS
    ]
    with answering(body(good(*written))) as server:
        found = server.ask_apps()
    assert set(found.values()) <= {Reported()}


class _Measured(Aws):
    """CloudWatch, in which somebody's roles may write as well."""

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        values = {"q0": 7200.0, "q1": 1e108}
        return {
            "MetricDataResults": [
                {"Id": name, "Timestamps": [NOON], "Values": [value]}
                for name, value in values.items()
            ]
        }


def test_no_value_in_cloudwatch_stops_the_sweep_of_all_apps() -> None:
    keys = [app("Canvas", owner=name).key for name in ("ada", "eve")]
    found = canvas_idle(_Measured("us-east-1"), keys, NOON)
    assert found == {keys[0]: Idle(timedelta(hours=2), NOON)}


def test_hints_about_a_query_are_no_warning() -> None:
    text = good(series(), infos=["PromQL info: metric might not be a counter"], warnings=None)
    found, problem = seen_with(body(text), sweep(0, OTHER))
    assert problem == ""
    assert judged(found, OTHER) is Coverage.NONE


def test_a_prometheus_without_our_metrics_may_be_the_wrong_one() -> None:
    found, problem = seen_with(body(good()), sweep(0, LAB))
    assert "has no metrics of this extension: check that it receives them" in problem
    assert judged(found, LAB) is Coverage.UNKNOWN


def test_of_several_series_of_one_server_the_newest_counts() -> None:
    """One scraped, one written by the server itself; two replicas of a Prometheus."""
    older = datetime.fromtimestamp(NOON.timestamp() - 3600, timezone.utc)
    text = good(
        series(),
        series(older),
        series(older, account_id=SCOPE.account_id, region=SCOPE.region),
        series(account_id="999999999999", region=SCOPE.region, owner="team-b"),
    )
    with answering(body(text)) as server:
        heard = server.ask()
    assert of_scope(heard, SCOPE) == {KEY: NOON}


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e300", "x", None])
def test_a_series_that_makes_no_sense_does_not_hide_the_others(value: Any) -> None:
    wrong = {"metric": {**LABELS, "owner": "team-b"}, "value": [0, value]}
    with answering(body(good(wrong, {"metric": None}, 7, series()))) as server:
        assert server.ask() == Heard({("", "", KEY): NOON})
