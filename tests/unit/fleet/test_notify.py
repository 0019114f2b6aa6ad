"""Messages to a webhook, Slack, Teams and SNS, over real HTTP to a receiver here."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sagemaker_autoshutdown.aws import Aws, AwsError, ErrorKind
from sagemaker_autoshutdown.fleet.acting.model import Happened, Notice, RunId
from sagemaker_autoshutdown.fleet.acting.notify import (
    JSON,
    SLACK,
    TEAMS,
    Channels,
    Notify,
    Topic,
    Webhook,
    notifier,
)
from sagemaker_autoshutdown.fleet.acting.protocols import Unavailable

from .scenes import NOON, SCOPE, app

SECRET = "T000-secret-B000"  # noqa: S105
RUN = RunId(SCOPE, app("CodeEditor", name="default").key, NOON)
MARKED = Notice(
    Happened.MARKED, RUN, "ada", "gpus", "up <b>3 h</b> & more", NOON, NOON + timedelta(minutes=30)
)
STOPPED = Notice(Happened.STOPPED, RUN, "ada", "gpus", "up for 3 h", NOON)
SPARED = Notice(Happened.SPARED, RUN, "ada", "gpus", "it is not due any more", NOON)


@dataclass
class Receiver:
    """Accepts messages, and gives prepared answers."""

    url: str = ""
    status: int = 200
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.received.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(found.status)
            if found.status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/services/{SECRET}"
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def told(receiver: Receiver, form: str, *notices: Notice) -> dict[str, Any]:
    """The one message for these notices."""
    Webhook(receiver.url, form).tell(notices)
    [(kind, body)] = receiver.received
    assert kind == "application/json"
    return body


def test_a_webhook_gets_one_document_with_all_fields(receiver: Receiver) -> None:
    body = told(receiver, JSON, MARKED, STOPPED)
    first, second = body["notices"]
    assert (first["event"], second["event"]) == ("marked", "stopped")
    assert first["shutdown_at"] == "2026-09-01T12:30:00Z"
    assert (first["account_id"], first["owner"]) == (SCOPE.account_id, "ada")
    assert (first["rule"], first["why"]) == ("gpus", MARKED.why)
    assert second["shutdown_at"] is None
    assert "will be shut down at 2026-09-01 12:30 UTC" in body["text"]


def test_slack_gets_one_text_in_which_nothing_is_markup(receiver: Receiver) -> None:
    """In the form of an incoming webhook: {"text": ...}, with & < > escaped."""
    body = told(receiver, SLACK, MARKED, SPARED)
    assert set(body) == {"text"}
    first, second = body["text"].splitlines()
    assert "up &lt;b&gt;3 h&lt;/b&gt; &amp; more (rule gpus)" in first
    assert "will not be shut down: it is not due any more" in second


def test_teams_gets_a_message_with_one_adaptive_card(receiver: Receiver) -> None:
    """In the form of a workflow that posts the content of a webhook request."""
    body = told(receiver, TEAMS, MARKED, STOPPED)
    assert body["type"] == "message"
    [attachment] = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert [block["type"] for block in card["body"]] == ["TextBlock", "TextBlock"]
    assert all(block["wrap"] for block in card["body"])
    assert "was shut down: up for 3 h" in card["body"][1]["text"]


@pytest.mark.parametrize("form", [SLACK, TEAMS])
def test_a_chat_is_told_of_the_first_and_how_many_more(receiver: Receiver, form: str) -> None:
    text = json.dumps(told(receiver, form, *[MARKED] * 100))
    assert text.count("will be shut down") == 40
    assert "And 60 more: see fleet history." in text


@pytest.mark.parametrize("status", [302, 400, 403, 500])
def test_who_does_not_take_it_is_told_without_the_secret(receiver: Receiver, status: int) -> None:
    """A redirect is not followed: it would carry the message, and the URL, elsewhere."""
    receiver.status = status
    with pytest.raises(Unavailable, match=f"answered {status}") as found:
        Webhook(receiver.url, JSON).tell([MARKED])
    assert SECRET not in str(found.value)
    assert len(receiver.received) == 1


def test_a_webhook_that_is_not_there_is_told_without_the_secret() -> None:
    with pytest.raises(Unavailable, match="could not be reached") as found:
        Webhook(f"http://127.0.0.1:9/{SECRET}").tell([MARKED])
    assert SECRET not in str(found.value)


class Sns(Aws):
    """Records published messages."""

    def __init__(self, failed: int = 0, error: AwsError | None = None) -> None:
        super().__init__("us-east-1")
        self.batches: list[dict[str, Any]] = []
        self.failed, self.error = failed, error

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        assert (service, operation) == ("sns", "PublishBatch")
        if self.error:
            raise self.error
        self.batches.append(parameters)
        return {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError"}] * self.failed}


TOPIC = "arn:aws:sns:us-east-1:123456789012:fleet"


def test_sns_gets_ten_at_a_time_with_attributes_to_filter_by() -> None:
    sns = Sns()
    Topic(TOPIC, sns).tell([MARKED] * 23)
    sizes = [len(each["PublishBatchRequestEntries"]) for each in sns.batches]
    assert sizes == [10, 10, 3]
    entry = sns.batches[0]["PublishBatchRequestEntries"][0]
    assert json.loads(entry["Message"])["event"] == "marked"
    assert entry["MessageAttributes"]["owner"] == {"DataType": "String", "StringValue": "ada"}
    assert len(entry["Subject"]) <= 100
    ids = [each["Id"] for each in sns.batches[0]["PublishBatchRequestEntries"]]
    assert len(set(ids)) == 10


def test_what_sns_did_not_take_is_told() -> None:
    with pytest.raises(Unavailable, match="1 messages failed: InternalError"):
        Topic(TOPIC, Sns(failed=1)).tell([MARKED])
    denied = AwsError(ErrorKind.ACCESS_DENIED, "sns:PublishBatch", "AuthorizationError", "no")
    with pytest.raises(Unavailable, match="AuthorizationError"):
        Topic(TOPIC, Sns(error=denied)).tell([MARKED])


def test_one_channel_that_takes_it_is_enough(receiver: Receiver) -> None:
    receiver.status = 500
    sns = Sns()
    channels = notifier(Notify(TOPIC, receiver.url, SLACK), lambda region: sns)
    assert isinstance(channels, Channels)
    channels.tell([MARKED])
    assert len(sns.batches) == len(receiver.received) == 1
    with pytest.raises(Unavailable, match="answered 500"):
        Channels([Webhook(receiver.url).tell]).tell([MARKED])
    assert notifier(Notify()) is None
