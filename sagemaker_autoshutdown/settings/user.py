"""The user's settings within the admin's bounds, and the keep-alives.

The pure half checks a user's changes and merges allowed ones with the admin's settings into one
``Policy``. ``Settings`` keeps it: a change applies at once, whether or not it can be saved, and a
failed save becomes a problem. ``settings.file`` owns the file; other modules decide deadlines, and
whether a keep-alive may be given.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..clock import utcnow
from ..errors import InvalidRequest
from ..model import Problem
from ..threads import in_thread
from .admin import MAX_SECONDS, MIN_SECONDS, USER_SETTINGS, Policy, SageMakerAutoShutdown
from .file import KeepAlive, SettingsFile, Stored, Value, apply, echo
from .source import SettingsSource

log = logging.getLogger(__name__)

FILE_NAME = "settings.json"
#: Seconds to read or write the file. A network disk that hangs must not block start or request.
FILE_TIMEOUT = 10

_FIXED = "Your administrator has fixed this setting."


# ---- the user's settings, pure ------------------------------------------------------------------


def bounds(config: SageMakerAutoShutdown, name: str) -> tuple[float, float] | None:
    """The least and the most seconds that a user may set; None for settings that are on or off."""
    if name in ("idle_timeout", "closed_idle_timeout"):
        low, high = config.min_idle_timeout, config.max_idle_timeout
        return (
            MIN_SECONDS if low is None else low,
            MAX_SECONDS if high is None else high,
        )
    if name == "warning_time":
        return (MIN_SECONDS, MAX_SECONDS)
    return None


def refusal(config: SageMakerAutoShutdown, name: str, value: object) -> str:
    """A text about the allowed values if ``value`` is not one; else empty. None is the admin's
    value."""
    if name not in USER_SETTINGS:
        return f"is not a setting; your settings are {', '.join(USER_SETTINGS)}"
    if value is None:
        return ""
    if not config.user_may_change(name):
        fixed = getattr(config, name)
        if fixed is None:
            return "is fixed by your administrator: it is the same as idle_timeout"
        at = json.dumps(fixed) if isinstance(fixed, bool) else f"{_number(fixed)} seconds"
        return f"is fixed by your administrator at {at}"
    limits = bounds(config, name)
    if limits is None:
        if isinstance(value, bool):
            return ""
        return f"must be true or false, or null for the administrator's value; got {echo(value)}"
    low, high = limits
    # A bool is an int to Python. The comparison refuses NaN and accepts integers of any size.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high:
        return ""
    return (
        f"must be a number of seconds from {_number(low)} to {_number(high)}, or null for the "
        f"administrator's value; got {echo(value)}"
    )


def check(config: SageMakerAutoShutdown, changes: object) -> dict[str, Value | None]:
    """The ``changes`` as valid values, or ``InvalidRequest`` with all errors."""
    if not isinstance(changes, Mapping):
        raise InvalidRequest(
            f"Send a JSON object with any of {', '.join(USER_SETTINGS)}; got {echo(changes)}."
        )
    errors = {
        str(name): text for name, value in changes.items() if (text := refusal(config, name, value))
    }
    if errors:
        raise InvalidRequest(
            "; ".join(f"{name} {text}" for name, text in errors.items()) + ".", errors
        )
    return {
        name: float(value) if bounds(config, name) and value is not None else value
        for name, value in changes.items()
    }


def applicable(
    config: SageMakerAutoShutdown, stored: Mapping[str, Any]
) -> tuple[dict[str, Value], list[str]]:
    """The stored settings that apply now, and notes on the others. They may be from a time of
    other bounds, and the present admin's win: too long a time is cut, a fixed setting is left
    out."""
    values: dict[str, Value] = {}
    notes = []
    for name in USER_SETTINGS:
        value = stored.get(name)
        if value is None:
            continue
        if not refusal(config, name, value):
            values[name] = float(value) if bounds(config, name) else value
            continue
        yours = f"your own value of {name} ({echo(value)})"
        if not config.user_may_change(name):
            notes.append(f"Your administrator has fixed {name}: {yours} does not apply.")
            continue
        limits = bounds(config, name)
        if limits is None or not _is_time(value):
            notes.append(f"The stored value of {name} ({echo(value)}) is invalid and was ignored.")
            continue
        low, high = limits
        values[name] = float(min(max(value, low), high))
        notes.append(
            f"Your administrator allows {name} from {_number(low)} to {_number(high)} seconds: "
            f"{yours} was changed to {_number(values[name])}."
        )
    return values, notes


def merge(config: SageMakerAutoShutdown, values: Mapping[str, Value]) -> Policy:
    """The policy in force: the admin's, with the user's ``values``."""
    policy = config.policy()
    if "idle_timeout" in values:
        policy = replace(policy, user_idle_timeout=timedelta(seconds=values["idle_timeout"]))
    if "closed_idle_timeout" in values:
        own = timedelta(seconds=values["closed_idle_timeout"])
        policy = replace(policy, user_closed_idle_timeout=own)
    if "warning_time" in values:
        policy = replace(policy, warning_time=timedelta(seconds=values["warning_time"]))
    return replace(
        policy,
        keep_terminals=bool(values.get("keep_terminals", policy.keep_terminals)),
        ignore_connections=bool(values.get("ignore_connections", policy.ignore_connections)),
    )


def describe(config: SageMakerAutoShutdown, values: Mapping[str, Value]) -> dict[str, Any]:
    """The settings as ``GET settings`` shows them, without ``saved`` and ``notes``."""
    shown: dict[str, Any] = {}
    for name in USER_SETTINGS:
        admin = getattr(config, name)
        low, high = bounds(config, name) or (None, None)
        editable = config.user_may_change(name)
        shown[name] = {
            "value": values.get(name, admin),
            "admin": admin,
            "user": values.get(name),
            "source": "user" if name in values else "admin",
            "min": low,
            "max": high,
            "editable": editable,
            "why_fixed": "" if editable else _FIXED,
        }
    shown["rules"] = [
        {
            "instance_type": rule.instance_type,
            "owner": rule.owner,
            "app_type": rule.app_type,
            "idle_timeout": rule.idle_timeout.total_seconds(),
            "closed_idle_timeout": None
            if rule.closed_idle_timeout is None
            else rule.closed_idle_timeout.total_seconds(),
        }
        for rule in config.policy().rules
    ]
    shown["max_keep_alive"] = config.max_keep_alive
    shown["dry_run"] = config.dry_run or config.stop_shutdowns
    return shown


def _is_time(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _number(seconds: float) -> str:
    """Never in the form ``3.16e+07``."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


# ---- in force -----------------------------------------------------------------------------------


class Settings:
    """The settings in force. Reading them costs nothing; changing them writes the file."""

    def __init__(
        self, config: SageMakerAutoShutdown, file: SettingsFile, now: Callable[[], datetime]
    ) -> None:
        """The admin's settings alone; see :meth:`load`."""
        self._config = config
        self._file = file
        self._now = now
        self._stored: dict[str, object] = {}
        self._keep_alives: dict[str, KeepAlive] = {}
        # Settings in force that are not on disk yet; None removes one.
        self._unsaved: dict[str, Value | None] = {}
        self._unsaved_keep_alives: dict[str, KeepAlive | None] = {}
        self._problem: Problem | None = None
        self._file_notes: tuple[str, ...] = ()
        self._writing: asyncio.Lock | None = None
        # Whether a thread is writing: on a disk that hangs it outlasts the wait for it.
        self._at_work = False
        self._saving: asyncio.Future[None] | None = None
        self._source: SettingsSource | None = None
        self._following: asyncio.Future[None] | None = None
        #: Called with the names of the admin's settings that changed.
        self.on_admin_change: list[Callable[[Sequence[str]], None]] = []
        self._compute()

    @classmethod
    def of(cls, config: SageMakerAutoShutdown, now: Callable[[], datetime] = utcnow) -> Settings:
        """The settings of ``config.data_dir``; the admin's alone until :meth:`read`."""
        return cls(config, SettingsFile(Path(config.data_dir) / FILE_NAME, now), now)

    @classmethod
    async def load(
        cls, config: SageMakerAutoShutdown, now: Callable[[], datetime] = utcnow
    ) -> Settings:
        """The settings of ``config.data_dir``, read."""
        settings = cls.of(config, now)
        await settings.read()
        return settings

    def follow(self, source: SettingsSource) -> None:
        """Takes the admin's settings from there, from :meth:`read` on."""
        self._source = source

    def follow_again(self) -> None:
        """Reads the admin's settings again if it is time. Returns at once."""
        at_work = self._following is not None and not self._following.done()
        if self._source is not None and self._source.is_due and not at_work:
            self._following = asyncio.ensure_future(self._refresh(self._source))

    async def _refresh(self, source: SettingsSource) -> None:
        changed = await source.refresh()
        if changed:
            self._compute()
            for told in self.on_admin_change:
                told(changed)

    async def read(self) -> None:
        """Reads the user's settings and keep-alives from disk.

        Never raises: unreadable entries are named in the log and in ``describe()["notes"]``, and
        the admin's settings apply.
        """
        if self._source is not None:
            await self._source.start()
            for told in self.on_admin_change:
                told(())
        try:
            stored = await asyncio.wait_for(in_thread(self._file.read), FILE_TIMEOUT)
        except asyncio.TimeoutError:
            stored = Stored(notes=(f"Your settings could not be read within {FILE_TIMEOUT} s.",))
        self._stored = dict(stored.settings)
        self._keep_alives = self._bounded(stored.keep_alives)
        self._file_notes = stored.notes
        self._compute()
        for note in (*stored.notes, *self._notes):
            log.warning("sagemaker_autoshutdown: %s", note)

    def _compute(self) -> None:
        self._values, self._notes = applicable(self._config, self._stored)
        self._policy = merge(self._config, self._values)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    @property
    def max_keep_alive(self) -> timedelta:
        """The longest keep-alive; 0 allows none."""
        return timedelta(seconds=self._config.max_keep_alive)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of the file and of the admin's settings, for the status."""
        own = () if self._problem is None else (self._problem,)
        return (*own, *(self._source.problems if self._source is not None else ()))

    @property
    def admin_notes(self) -> tuple[str, ...]:
        """Notes on the admin's settings, for the status."""
        stopped = ("Your administrator has stopped all shutdowns.",)
        return (
            *(stopped if self._config.stop_shutdowns else ()),
            *(self._source.notes if self._source is not None else ()),
        )

    def describe(self) -> dict[str, Any]:
        """The body of ``GET settings``."""
        notes = [*self._file_notes, *self._notes, *self.admin_notes]
        if self._problem is not None:
            notes.append(f"{self._problem.message} {self._problem.remedy}")
        return {
            **describe(self._config, self._values),
            "saved": self._problem is None,
            "notes": notes,
        }

    def kept_until(self, runs: Mapping[str, datetime]) -> dict[str, datetime]:
        """The ends of the keep-alives of these runs (app names and starts of runs)."""
        kept = {}
        for name, run_started_at in runs.items():
            entry = self._keep_alives.get(name)
            if entry is not None and run_started_at <= entry.given_at:
                # The admin's present limit, not the one at the time of the request.
                kept[name] = min(entry.until, entry.given_at + self.max_keep_alive)
        return kept

    def _bounded(self, stored: Mapping[str, KeepAlive]) -> dict[str, KeepAlive]:
        """The stored keep-alive, given now at the latest: a file can be edited, a clock can be
        wrong, and the longest keep-alive counts from the time when it was given."""
        now = self._now()
        return {
            name: replace(entry, given_at=min(entry.given_at, now))
            for name, entry in stored.items()
        }

    async def change(self, changes: object) -> None:
        """Changes the user's settings; None returns to the admin's. All or nothing.

        The change applies at once, and is on disk when this returns, unless ``problems`` says
        otherwise. Raises ``InvalidRequest`` that says what is allowed.
        """
        checked = check(self._config, changes)
        apply(self._stored, checked)
        self._unsaved.update(checked)
        self._compute()
        await self._save()

    async def keep_alive(self, app_name: str, run_started_at: datetime, until: datetime) -> None:
        """Keeps this run of an app up until that time."""
        self._set_keep_alive(app_name, KeepAlive(until, run_started_at, self._now()))
        await self._save()

    async def end_keep_alive(self, app_name: str) -> None:
        """Takes a keep-alive back, if there is one."""
        if app_name in self._keep_alives:
            self._set_keep_alive(app_name, None)
            await self._save()

    def _set_keep_alive(self, app_name: str, entry: KeepAlive | None) -> None:
        now = self._now()
        self._keep_alives = {
            name: other for name, other in self._keep_alives.items() if other.until > now
        }
        apply(self._keep_alives, {app_name: entry})
        self._unsaved_keep_alives[app_name] = entry

    def save_again(self) -> None:
        """Tries once more to save unsaved changes, if there are any. Returns at once."""
        if self._problem is not None and not self._at_work:
            self._saving = asyncio.ensure_future(self._save())

    def _write(
        self, settings: Mapping[str, Value | None], keep_alives: Mapping[str, KeepAlive | None]
    ) -> Stored:
        try:
            return self._file.write(settings, keep_alives)
        finally:
            self._at_work = False

    async def _save(self) -> None:
        # Not created in __init__: before Python 3.10 a lock belongs to the event loop that creates
        # it.
        if self._writing is None:
            self._writing = asyncio.Lock()
        async with self._writing:
            settings, keep_alives = dict(self._unsaved), dict(self._unsaved_keep_alives)
            if not settings and not keep_alives:
                return  # the earlier write has saved it as well
            self._at_work = True
            try:
                stored = await asyncio.wait_for(
                    in_thread(lambda: self._write(settings, keep_alives)), FILE_TIMEOUT
                )
            except (OSError, asyncio.TimeoutError) as error:
                self._not_saved(error)
                return
            self._saved(settings, keep_alives, stored)

    def _saved(
        self,
        settings: Mapping[str, Value | None],
        keep_alives: Mapping[str, KeepAlive | None],
        stored: Stored,
    ) -> None:
        # Changes made meanwhile are still unsaved.
        for name, value in settings.items():
            if self._unsaved.get(name) is value:
                del self._unsaved[name]
        for name, entry in keep_alives.items():
            if self._unsaved_keep_alives.get(name) is entry:
                del self._unsaved_keep_alives[name]
        if self._problem is not None:
            log.info("sagemaker_autoshutdown: the settings can be saved again")
            self._problem = None
        for note in set(stored.notes) - set(self._file_notes):
            log.warning("sagemaker_autoshutdown: %s", note)
            self._file_notes = (*self._file_notes, note)
        # Another server of this user may have changed other settings.
        self._stored = dict(stored.settings)
        apply(self._stored, self._unsaved)
        self._compute()

    def _not_saved(self, error: Exception) -> None:
        reason = f"no answer in {FILE_TIMEOUT} s" if not str(error) else str(error)
        message = f"Your settings can't be saved ({reason}). They apply until the server restarts."
        if self._problem is None or self._problem.message != message:
            log.warning("sagemaker_autoshutdown: %s", message)
        self._problem = Problem(
            code="settings_not_saved",
            message=message,
            remedy=f"Make room on the disk, or make {self._file.path.parent} writable. Saving is "
            "retried automatically.",
            since=self._problem.since if self._problem is not None else self._now(),
        )
