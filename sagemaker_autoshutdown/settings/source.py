"""Reads the admin's settings from one place for all servers: an object in S3 or a parameter of SSM.

Its settings win over those that the server was started with, one by one, if they can change while a
server runs (traits tagged ``live``). The document applies as a whole or not at all: an invalid one
changes nothing, and while it can't be read, the last good one stays in force, also after a restart.
IAM controls who may write there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..aws import Aws, AwsError, content_at
from ..clock import from_iso, to_iso, utcnow
from ..model import Problem
from ..threads import in_thread
from .admin import SageMakerAutoShutdown
from .file import echo, replace_file

log = logging.getLogger(__name__)

FILE_NAME = "admin-settings.json"
#: Seconds for one reading, and for the file that keeps the last good one.
READ_TIMEOUT = 20
FILE_TIMEOUT = 10
#: The most bytes that are read: enough for rules for thousands of owners.
MAX_BYTES = 1_000_000
#: The most characters of an error message.
MAX_SAID = 1000


class InvalidSettings(ValueError):
    """The document is invalid. The message names every error."""


def live_names() -> tuple[str, ...]:
    """The settings that can change while a server runs."""
    return tuple(sorted(SageMakerAutoShutdown.class_traits(config=True, live=True)))


def parse(text: str) -> dict[str, Any]:
    """The settings of a document, checked like the admin's own. Pure.

    The document is a JSON object with settings by name, or such an object under the name that
    Jupyter's configuration uses for it. Raises `InvalidSettings`.
    """
    try:
        # Windows' editors begin a file with a byte order mark.
        document = json.loads(text.lstrip("\ufeff"), object_pairs_hook=_without_repeats)
    except RecursionError:
        raise InvalidSettings("the JSON is nested too deeply") from None
    except InvalidSettings:
        raise
    except ValueError as error:
        raise InvalidSettings(f"it is not valid JSON: {error}") from None
    if isinstance(document, dict) and set(document) == {SageMakerAutoShutdown.__name__}:
        document = document[SageMakerAutoShutdown.__name__]
    if not isinstance(document, dict):
        raise InvalidSettings(
            f"it must be a JSON object with settings by name, got {echo(document)}"
        )
    taken: dict[str, Any] = {}
    wrong = []
    names = live_names()
    for name, value in document.items():
        if name not in names:
            fixed = name in SageMakerAutoShutdown.class_trait_names(config=True)
            why = "can't change while a server runs" if fixed else "is not a setting"
            wrong.append(f"{_shown(name)} {why}; settings allowed here are {', '.join(names)}")
            continue
        try:
            taken[name] = getattr(SageMakerAutoShutdown(**{name: value}), name)
        except Exception as error:  # a number too large for a float, and other errors
            wrong.append(str(error))
    low, high = taken.get("min_idle_timeout"), taken.get("max_idle_timeout")
    if low is not None and high is not None and low > high:
        wrong.append(f"min_idle_timeout ({low:g} s) is above max_idle_timeout ({high:g} s)")
    if wrong:
        raise InvalidSettings(_shortened("; ".join(wrong)))
    return taken


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Refuses a name that is given twice: either value may be the intended one."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidSettings(f"{_shown(name)} is given twice")
        found[name] = value
    return found


def _shown(name: str) -> str:
    """An arbitrary name, made safe to show."""
    return echo(name).strip('"')


def _shortened(text: str) -> str:
    """Short enough for a log and a status, whatever the document holds."""
    return text if len(text) <= MAX_SAID else f"{text[:MAX_SAID]}..."


def fetch(aws: Aws, source: str) -> str:
    """The text at a source. Blocks. Raises `AwsError`, and `InvalidSettings` for binary data and
    for text that is too long."""
    content = content_at(aws, source, MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InvalidSettings(f"it is longer than {MAX_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidSettings(f"it is not UTF-8: {error}") from None


class SettingsSource:
    """Keeps a configuration in step with its source. Its methods are for the event loop."""

    def __init__(
        self,
        config: SageMakerAutoShutdown,
        read: Callable[[], str],
        now: Callable[[], datetime] = utcnow,
    ) -> None:
        """``read`` returns the content of ``config.settings_source``; it blocks."""
        self.where: str = config.settings_source
        self._config = config
        self._read = read
        self._now = now
        self._file = Path(config.data_dir) / FILE_NAME
        # The values that apply if the source does not set them.
        self._own = {name: getattr(config, name) for name in live_names()}
        self._settings: Mapping[str, Any] = {}
        self._read_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._problem: Problem | None = None
        self._is_kept = False
        self._read_task: asyncio.Future[str] | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The source's problem, for the status."""
        return () if self._problem is None else (self._problem,)

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the settings come from, for people."""
        if self._read_at is None:
            return (f"The administrator's settings at {self.where} have not been read yet.",)
        names = ", ".join(sorted(self._settings)) or "nothing"
        at = to_iso(self._read_at)
        return (f"{self.where} sets {names} (last read at {at}).",)

    async def start(self) -> None:
        """Takes the last good settings of an earlier run, then the present ones. Never raises."""
        try:
            stored = await asyncio.wait_for(in_thread(self._stored), FILE_TIMEOUT)
        except (OSError, ValueError, KeyError, TypeError, asyncio.TimeoutError) as error:
            if not isinstance(error, FileNotFoundError):
                log.warning("sagemaker_autoshutdown: %s can't be read: %r", self._file, error)
        else:
            if stored is not None:
                self._settings, self._read_at = stored
                self._is_kept = True
                self._put_in_force(self._settings)
        await self.refresh()

    @property
    def is_due(self) -> bool:
        """Whether it is time to read again."""
        interval = timedelta(seconds=self._config.settings_source_interval)
        return self._tried_at is None or not (
            timedelta(0) <= self._now() - self._tried_at < interval
        )

    async def refresh(self) -> list[str]:
        """Reads the source and applies it; returns the names of the settings that changed. Never
        raises."""
        if self._read_task is not None and not self._read_task.done():
            return []  # a thread that hangs; its result is ignored
        self._tried_at = self._now()
        self._read_task = asyncio.ensure_future(in_thread(self._read))
        try:
            text = await asyncio.wait_for(asyncio.shield(self._read_task), READ_TIMEOUT)
            settings = parse(text)
        except asyncio.TimeoutError:
            self._failed(f"no answer in {READ_TIMEOUT} s", "")
        except AwsError as error:
            self._failed(str(error), error.remedy)
        except InvalidSettings as error:
            self._failed(str(error), "Your administrator has to correct them there.")
        except Exception as error:  # the connection broke within the answer, or another error
            self._failed(repr(error), "")
        else:
            return await self._take(settings)
        return []

    async def _take(self, settings: Mapping[str, Any]) -> list[str]:
        if self._problem is not None:
            log.info("sagemaker_autoshutdown: %s can be read again", self.where)
        self._problem = None
        self._read_at = self._now()
        is_new = settings != self._settings
        self._settings = settings
        changed = self._put_in_force(settings)
        if changed:
            told = ", ".join(f"{name}={echo(getattr(self._config, name))}" for name in changed)
            log.info("sagemaker_autoshutdown: %s changed %s", self.where, told)
        if is_new or not self._is_kept:
            await self._keep(self._read_at)
        return changed

    def _put_in_force(self, settings: Mapping[str, Any]) -> list[str]:
        wanted = {**self._own, **settings}
        low, high = wanted["min_idle_timeout"], wanted["max_idle_timeout"]
        if low is not None and high is not None and low > high:
            wanted["min_idle_timeout"] = high
        changed = [name for name in wanted if getattr(self._config, name) != wanted[name]]
        for name in changed:
            setattr(self._config, name, wanted[name])
        return changed

    def _failed(self, why: str, remedy: str) -> None:
        if self._read_at is None:
            stands = "the settings at this server's start apply"
        else:
            stands = f"those read at {to_iso(self._read_at)} apply"
        message = f"The settings at {self.where} can't be used ({why}): {stands}."
        if self._problem is None:
            log.warning("sagemaker_autoshutdown: %s", message)
        since = self._problem.since if self._problem is not None else self._now()
        remedy = remedy or "Reading is retried automatically."
        self._problem = Problem("settings_source", message, remedy, since)

    # -- the last good one, on disk

    def _stored(self) -> tuple[dict[str, Any], datetime] | None:
        document = json.loads(self._file.read_text(encoding="utf-8"))
        if document["source"] != self.where:
            return None
        return parse(json.dumps(document["settings"])), from_iso(document["read_at"])

    async def _keep(self, read_at: datetime) -> None:
        document = {
            "source": self.where,
            "read_at": to_iso(read_at),
            "settings": dict(self._settings),
        }
        text = json.dumps(document, indent=2, sort_keys=True) + "\n"
        self._is_kept = True
        try:
            await asyncio.wait_for(in_thread(lambda: replace_file(self._file, text)), FILE_TIMEOUT)
        except (OSError, asyncio.TimeoutError) as error:
            log.warning(
                "sagemaker_autoshutdown: the administrator's settings can't be saved for the next "
                "start: %r",
                error,
            )
