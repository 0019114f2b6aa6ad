"""SageMaker's part of the engine. The edge.

Calls are made with ``Aws``, which never repeats DeleteApp or StopNotebookInstance by itself,
because that takes another observation. So nothing that repeats calls, such as
``lifecycle.throttling.Patient``, may replace it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from ...aws import Aws, AwsError, ErrorKind, answered_at
from ...hosts.marks import MARK_TAG
from ..model import NOTEBOOK_INSTANCE, SPACE, USER_PROFILE, Key
from .model import Present, RunId

#: The most events that CloudTrail returns at once.
_TRAIL_PAGE = 50


class SageMaker:
    """The :class:`~.protocols.Actor` of one account and region."""

    def __init__(
        self,
        aws: Aws,
        now: Callable[[], datetime],
        *,
        cloudtrail: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """With ``cloudtrail``, its events tell whether an app was started again."""
        self._aws = aws
        self._now = now
        self._monotonic = monotonic
        self._cloudtrail = cloudtrail

    def describe(self, run: RunId, arn: str = "", profile: str = "") -> Present | None:
        """The app's present description. Raises ``AwsError``."""
        tags = self._tags_of(run.key, arn, profile) if arn else None
        restarted = self._restarted(run) if arn and self._cloudtrail else None
        operation, parameters = _describe(run.key)
        asked = self._monotonic()
        try:
            answer = self._call(operation, parameters)
        except AwsError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise
        at = self._moment(answered_at(answer))
        is_app = run.key.app_type != NOTEBOOK_INSTANCE
        status = answer["Status" if is_app else "NotebookInstanceStatus"]
        created = answer["CreationTime" if is_app else "LastModifiedTime"]
        found_arn = str(answer["AppArn" if is_app else "NotebookInstanceArn"])
        if not arn:
            tags = self._tags_of(run.key, found_arn, profile)
        own, inherited = tags if tags is not None else ({}, None)
        return Present(
            str(status),
            restarted or created.astimezone(timezone.utc),
            at,
            found_arn,
            None if inherited is None else {**inherited, **own},
            own.get(MARK_TAG, ""),
            asked,
        )

    def mark(self, run: RunId, arn: str, text: str) -> None:
        """Puts the mark on it."""
        self._call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": MARK_TAG, "Value": text}]})

    def unmark(self, run: RunId, arn: str) -> None:
        """Takes the mark off. An app that is gone has none."""
        try:
            self._call("DeleteTags", {"ResourceArn": arn, "TagKeys": [MARK_TAG]})
        except AwsError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise

    def stop(self, run: RunId) -> None:
        """DeleteApp or StopNotebookInstance, once."""
        key = run.key
        if key.app_type == NOTEBOOK_INSTANCE:
            self._call("StopNotebookInstance", {"NotebookInstanceName": key.name})
        else:
            self._call("DeleteApp", _app(key))

    # -- below

    def _call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._aws.call_blocking("sagemaker", operation, parameters)

    def _tags_of(
        self, key: Key, arn: str, profile: str
    ) -> tuple[Mapping[str, str], Mapping[str, str]] | None:
        """Its own tags, and those of its domain, of the profile that owns its space and of its
        owner; None if they could not be read."""
        try:
            own = self._tags(arn)
            inherited: dict[str, str] = {}
            if key.app_type != NOTEBOOK_INSTANCE:
                start = arn[: arn.index(":app/")]
                names = [f"domain/{key.domain}", f"{key.owner_kind}/{key.domain}/{key.owner}"]
                if profile:
                    names.insert(1, f"{USER_PROFILE}/{key.domain}/{profile}")
                for name in names:
                    inherited.update(self._tags(f"{start}:{name}"))
        except AwsError as error:
            if error.kind is ErrorKind.ACCESS_DENIED:
                return None
            raise
        return own, inherited

    def _tags(self, arn: str) -> dict[str, str]:
        items = self._aws.pages_blocking("sagemaker", "ListTags", "Tags", {"ResourceArn": arn})
        return {str(item["Key"]): str(item["Value"]) for item in items}

    def _restarted(self, run: RunId) -> datetime | None:
        """When CloudTrail recorded a creation of this app since the run was first seen up."""
        if run.key.app_type == NOTEBOOK_INSTANCE:
            return None
        wanted: dict[str, Any] = {
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "CreateApp"}],
            "StartTime": run.up_since + timedelta(seconds=1),
            "MaxResults": _TRAIL_PAGE,
        }
        for item in self._aws.pages_blocking("cloudtrail", "LookupEvents", "Events", wanted):
            if _is_creation(item, run.key):
                at: datetime = item["EventTime"]
                return at.astimezone(timezone.utc)
        return None

    def _moment(self, date: str | None) -> datetime:
        """The time on SageMaker's clock, else on this machine's."""
        try:
            return parsedate_to_datetime(date or "").astimezone(timezone.utc)
        except (TypeError, ValueError):
            return self._now()


def _app(key: Key) -> dict[str, Any]:
    owner = "SpaceName" if key.owner_kind == SPACE else "UserProfileName"
    return {
        "DomainId": key.domain,
        owner: key.owner,
        "AppType": key.app_type,
        "AppName": key.name,
    }


def _describe(key: Key) -> tuple[str, dict[str, Any]]:
    if key.app_type == NOTEBOOK_INSTANCE:
        return "DescribeNotebookInstance", {"NotebookInstanceName": key.name}
    return "DescribeApp", _app(key)


def _is_creation(item: Mapping[str, Any], key: Key) -> bool:
    try:
        event = json.loads(item.get("CloudTrailEvent") or "{}")
        asked = event.get("requestParameters") or {}
    except (ValueError, AttributeError):
        return False
    owner = "spaceName" if key.owner_kind == SPACE else "userProfileName"
    return not event.get("errorCode") and (
        asked.get("domainId"),
        asked.get(owner),
        asked.get("appType"),
        asked.get("appName"),
    ) == (key.domain, key.owner, key.app_type, key.name)
