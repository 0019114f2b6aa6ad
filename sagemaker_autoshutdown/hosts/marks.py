"""The mark: the tag by which a fleet announces that it will shut an app down. Its text, and how a
server reads its own.

Marks are read while somebody looks at the status: nobody else needs them. Reading them is
optional. If the role may not (``sagemaker:ListTags``), no mark is shown, and the server tries again
an hour later. After other failures, the last marks that were read stay.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..aws import Aws, AwsError, ErrorKind, member
from ..clock import from_iso, to_iso
from ..model import App, AppStatus, Host, HostKind, Mark, OwnerKind

#: The key of the tag.
MARK_TAG = "sagemaker-autoshutdown-shutdown"
#: The most characters that a tag's value may have.
_LENGTH = 256
_TEXT = re.compile(r"at=(?P<at>\S+) rule=(?P<rule>\S*) n=\d+(?: why=(?P<why>.*))?")

#: The wait after a refusal; somebody may grant the right while the server runs.
REFUSED_FOR = timedelta(hours=1)
#: A mark that is this long past its time is left over: a fleet sweeps more often than that, and one
#: that was removed leaves its marks behind.
LEFT_OVER_AFTER = timedelta(days=1)


def mark_text(due_at: datetime, rule: str, number: int, why: str) -> str:
    """The value of the tag, in the characters and the length that a tag allows.

    ``number`` makes each mark of a run different, so that a late one is not taken for the newest.
    """
    text = f"at={to_iso(due_at.replace(microsecond=0))} rule={rule} n={number} why={why}"
    return re.sub(r"[^\w .:/=+\-@]", "-", text)[:_LENGTH].rstrip()


def mark_of(text: str) -> Mark | None:
    """The mark in such a value; None for any other value."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    try:
        return Mark(from_iso(found["at"]), found["rule"], found["why"] or "")
    except ValueError:
        return None


#: Seconds that a reader of the status waits for the marks.
PATIENCE = 1.0


class Marks:
    """The marks of this server's own apps."""

    def __init__(self, host: Host, aws: Aws, interval: timedelta, log: logging.Logger) -> None:
        """``interval`` is the least time from one reading to the next."""
        self._host = host
        self._aws = aws
        self._interval = interval.total_seconds()
        self._log = log
        #: By the app's name and the start of its run, because names are reused.
        self._arns: dict[tuple[str, datetime], str] = {}
        self._marks: dict[tuple[str, datetime], Mark] = {}
        self._not_before = 0.0
        self._was_refused = False
        self._task: asyncio.Task[None] | None = None

    def of(self, apps: Iterable[App], now: datetime) -> Mapping[str, Mark]:
        """The marks of these runs, by the app's name."""
        marks = {app.name: self._marks.get((app.name, app.run_started_at)) for app in apps}
        return {
            name: mark
            for name, mark in marks.items()
            if mark is not None and now - mark.shutdown_at < LEFT_OVER_AFTER
        }

    async def refresh(self, apps: Iterable[App]) -> None:
        """Reads them if it is time. Returns after ``PATIENCE``, while the reading goes on."""
        up = [app for app in apps if app.status is AppStatus.IN_SERVICE]
        loop = asyncio.get_running_loop()
        is_busy = self._task is not None and not self._task.done()
        if not up or is_busy or loop.time() < self._not_before:
            return
        self._not_before = loop.time() + self._interval
        self._task = loop.create_task(self._read(up))
        await asyncio.wait({self._task}, timeout=PATIENCE)

    async def stop(self) -> None:
        """Ends a reading that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _read(self, apps: list[App]) -> None:
        keys = {(app.name, app.run_started_at) for app in apps}
        self._arns = {key: arn for key, arn in self._arns.items() if key in keys}
        found = {key: mark for key, mark in self._marks.items() if key in keys}
        try:
            for app in apps:
                key = (app.name, app.run_started_at)
                mark = mark_of((await self._tags(app)).get(MARK_TAG, ""))
                # A mark that is due before the run began is left over from an earlier one.
                if mark is not None and mark.shutdown_at > app.run_started_at:
                    found[key] = mark
                else:
                    found.pop(key, None)
            self._was_refused = False
        except AwsError as error:
            if error.kind is ErrorKind.ACCESS_DENIED:
                found = {}
                self._refused(error)
        except Exception:  # the checks go on, however odd a tag is
            self._log.debug("sagemaker_autoshutdown: tags could not be read", exc_info=True)
        self._marks = found

    def _refused(self, error: AwsError) -> None:
        self._not_before += REFUSED_FOR.total_seconds()
        if not self._was_refused:
            self._log.info(
                "sagemaker_autoshutdown: a fleet's mark would not be shown here, because the "
                "execution role does not allow %s. Without a fleet, nobody needs it",
                error.operation,
            )
        self._was_refused = True

    async def _tags(self, app: App) -> dict[str, str]:
        key = (app.name, app.run_started_at)
        if key not in self._arns:
            self._arns[key] = await self._arn(app)
        items = await self._aws.pages("sagemaker", "ListTags", "Tags", ResourceArn=self._arns[key])
        return {str(item["Key"]): str(item["Value"]) for item in items}

    async def _arn(self, app: App) -> str:
        """Its ARN as SageMaker writes it: ListApps returns none, and the spelling is special."""
        host = self._host
        wanted: dict[str, Any]
        if host.kind is HostKind.NOTEBOOK_INSTANCE:
            operation, name = "DescribeNotebookInstance", "NotebookInstanceArn"
            wanted = {"NotebookInstanceName": app.name}
        else:
            owner = "SpaceName" if host.owner_kind is OwnerKind.SPACE else "UserProfileName"
            operation, name = "DescribeApp", "AppArn"
            wanted = {
                "DomainId": host.domain_id,
                owner: host.owner,
                "AppType": app.app_type.value,
                "AppName": app.name,
            }
        answer = await self._aws.call("sagemaker", operation, **wanted)
        return str(member(answer, name, f"sagemaker:{operation}"))
