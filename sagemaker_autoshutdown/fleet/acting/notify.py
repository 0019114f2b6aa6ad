"""Notices about apps that will be shut down, were shut down, or were spared: SNS and a webhook. The
edge.

The webhook's URL is a secret: it is in a file of its own and in no message or error. It is called
with POST, and redirects are not followed.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...aws import Aws, AwsError
from ...clock import to_iso
from ..tables import Table, secret_in
from .model import Happened, Notice
from .protocols import Unavailable

#: Seconds that a webhook may take.
TIMEOUT = 10.0
#: The most messages that SNS accepts at once.
_BATCH = 10
#: Lines of one message to a chat; the others are counted.
_LINES = 40
JSON, SLACK, TEAMS = FORMATS = ("json", "slack", "teams")


@dataclass(frozen=True)
class Notify:
    """The recipients. There are none unless one of both is given."""

    sns_topic_arn: str = ""
    webhook: str = ""
    webhook_format: str = JSON


def read_notify(act: Table | None, folder: Path) -> Notify:
    """The table ``[act.notify]``."""
    table = act.table("notify") if act is not None else None
    if table is None:
        return Notify()
    topic = table.text("sns_topic_arn")
    if topic and not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}", topic):
        raise table.wrong(
            "sns_topic_arn",
            f"must be an ARN such as arn:aws:sns:us-east-1:123456789012:NAME: {topic!r}",
        )
    webhook = secret_in(table, "webhook_file", folder)
    parts = urlsplit(webhook)
    if webhook and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise table.wrong("webhook_file", "holds no URL")
    form = table.text("webhook_format", JSON)
    if form not in FORMATS:
        raise table.wrong("webhook_format", f"must be one of {', '.join(FORMATS)}, not {form!r}")
    table.end("sns_topic_arn, webhook_file and webhook_format")
    return Notify(topic, webhook, form)


def notifier(
    notify: Notify, aws: Callable[[str], Aws] = lambda region: Aws(region)
) -> Channels | None:
    """The channels of a configuration; None without any. ``aws`` returns the client for a
    region."""
    channels: list[Callable[[Sequence[Notice]], None]] = []
    if notify.sns_topic_arn:
        topic = notify.sns_topic_arn
        channels.append(Topic(topic, aws(topic.split(":")[3])).tell)
    if notify.webhook:
        channels.append(Webhook(notify.webhook, notify.webhook_format).tell)
    return Channels(channels) if channels else None


class Channels:
    """The :class:`~.protocols.Notifier` of some channels. One accepted message is enough."""

    def __init__(self, channels: Sequence[Callable[[Sequence[Notice]], None]]) -> None:
        self._channels = channels

    def tell(self, notices: Sequence[Notice]) -> None:
        """Tells all channels. Raises :class:`Unavailable` if none accepted the message."""
        problems = []
        for channel in self._channels:
            try:
                channel(notices)
            except Unavailable as error:
                problems.append(str(error))
        if len(problems) == len(self._channels):
            raise Unavailable("; ".join(problems))


class Topic:
    """An SNS topic: a message for each notice, with attributes that subscriptions can filter by."""

    def __init__(self, arn: str, aws: Aws) -> None:
        self._arn = arn
        self._aws = aws

    def tell(self, notices: Sequence[Notice]) -> None:
        """Publishes all of them."""
        for start in range(0, len(notices), _BATCH):
            entries = [
                self._entry(number, notice)
                for number, notice in enumerate(notices[start : start + _BATCH])
            ]
            try:
                answer = self._aws.call_blocking(
                    "sns",
                    "PublishBatch",
                    {"TopicArn": self._arn, "PublishBatchRequestEntries": entries},
                )
            except AwsError as error:
                raise Unavailable(str(error)) from None
            failed = answer.get("Failed") or []
            if failed:
                code = failed[0].get("Code", "")
                raise Unavailable(f"sns:PublishBatch: {len(failed)} messages failed: {code}")

    @staticmethod
    def _entry(number: int, notice: Notice) -> dict[str, Any]:
        key = notice.run.key
        attributes = {
            "event": notice.what.value,
            "account_id": notice.run.scope.account_id,
            "domain": key.domain,
            "owner": notice.owner or key.owner,
            "app_type": key.app_type,
        }
        subject = f"{key.app_type} {key.name}: {notice.what.value}"
        return {
            "Id": str(number),
            "Subject": re.sub(r"[^ -~]", "?", subject)[:100],
            "Message": json.dumps({"text": sentence(notice), **document(notice)}, indent=2),
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
                if value
            },
        }


class Webhook:
    """A URL that accepts JSON: ours, Slack's or Teams'."""

    def __init__(self, url: str, form: str = JSON) -> None:
        self._url = url
        self._form = form

    def tell(self, notices: Sequence[Notice]) -> None:
        """One message for all of them."""
        body = json.dumps(_BODIES[self._form](notices)).encode()
        host = urlsplit(self._url).hostname or ""
        headers = {"Content-Type": "application/json", "User-Agent": "sagemaker-autoshutdown"}
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT):
                return
        except urllib.error.HTTPError as error:
            with error:
                raise Unavailable(f"the webhook at {host} answered {error.code}") from None
        except Exception as error:  # the edge: no route, TLS, a proxy
            kind = type(getattr(error, "reason", error)).__name__
            raise Unavailable(f"the webhook at {host} could not be reached ({kind})") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """None: a redirect is an error."""
        return


def document(notice: Notice) -> dict[str, Any]:
    """A notice as fields."""
    key = notice.run.key
    return {
        "event": notice.what.value,
        "account_id": notice.run.scope.account_id,
        "region": notice.run.scope.region,
        "domain": key.domain,
        "owner": notice.owner or key.owner,
        key.owner_kind.replace("-", "_") or "name": key.owner or key.name,
        "app_type": key.app_type,
        "app_name": key.name,
        "rule": notice.rule,
        "why": notice.why,
        "at": to_iso(notice.at),
        "shutdown_at": to_iso(notice.due_at) if notice.due_at else None,
    }


def sentence(notice: Notice) -> str:
    """A notice for people."""
    what, why = notice.run.shown, notice.why
    if notice.what is Happened.MARKED:
        at = f"{notice.due_at:%Y-%m-%d %H:%M} UTC" if notice.due_at else "soon"
        return f"{what} will be shut down at {at}: {why} (rule {notice.rule})."
    if notice.what is Happened.STOPPED:
        return f"{what} was shut down: {why} (rule {notice.rule})."
    return f"{what} will not be shut down: {why}."


def _text(notices: Sequence[Notice], escape: Callable[[str], str] = lambda text: text) -> str:
    lines = [escape(sentence(notice)) for notice in notices[:_LINES]]
    if len(notices) > _LINES:
        lines.append(f"And {len(notices) - _LINES} more: see fleet history.")
    return "\n".join(lines)


def _slack(notices: Sequence[Notice]) -> dict[str, Any]:
    def escape(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    return {"text": _text(notices, escape)}


def _teams(notices: Sequence[Notice]) -> dict[str, Any]:
    blocks = [
        {"type": "TextBlock", "wrap": True, "text": line} for line in _text(notices).splitlines()
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    content_type = "application/vnd.microsoft.card.adaptive"
    return {
        "type": "message",
        "attachments": [{"contentType": content_type, "content": card}],
    }


_BODIES: Mapping[str, Callable[[Sequence[Notice]], dict[str, Any]]] = {
    JSON: lambda notices: {
        "text": _text(notices),
        "notices": [document(notice) for notice in notices],
    },
    SLACK: _slack,
    TEAMS: _teams,
}
