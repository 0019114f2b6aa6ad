"""The file that keeps the user's settings and keep-alives.

A file that can't be understood is put aside, never overwritten. A write changes the whole file or
nothing, and one server waits for another's write. This module does not interpret the entries.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Union

from ..clock import from_iso, to_iso, utcnow
from .locks import FileLock, Locked

#: The types of a user's setting: seconds, or on and off.
Value = Union[float, bool]

FILE_VERSION = 1
LOCK_NAME = "settings.lock"
#: How many seconds to wait for another server's write, which takes milliseconds.
LOCK_WAIT = 5.0


@dataclass(frozen=True)
class KeepAlive:
    """A user's keep-alive for one run of an app.

    It belongs to the run that was up at ``given_at``: names are reused, and a run that started
    later is another one. (``run_started_at`` alone is not enough, because after a restart of the
    server it is known less exactly.)
    """

    until: datetime
    run_started_at: datetime
    given_at: datetime


@dataclass(frozen=True)
class Stored:
    """The content of the file, as far as it can be read; ``notes`` name unreadable entries."""

    settings: Mapping[str, object] = field(default_factory=dict)
    keep_alives: Mapping[str, KeepAlive] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def parse(text: str) -> tuple[dict[str, Any], Stored]:
    """The file's whole document, and the entries that are understood.

    Raises ``ValueError`` if it is not a document of ours. A bad entry does not spoil the others.
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    if document.get("version") != FILE_VERSION:
        raise ValueError(f"its version is {echo(document.get('version'))}, not {FILE_VERSION}")
    settings = document.setdefault("settings", {})
    keep_alive = document.setdefault("keep_alive", {})
    if not isinstance(settings, dict) or not isinstance(keep_alive, dict):
        raise ValueError("its settings or keep_alive are not a JSON object")
    keep_alives = {}
    notes = []
    for name, entry in keep_alive.items():
        try:
            run_started_at = from_iso(entry["run_started_at"])
            keep_alives[name] = KeepAlive(
                until=from_iso(entry["until"]),
                run_started_at=run_started_at,
                given_at=from_iso(entry.get("given_at") or entry["run_started_at"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            notes.append(f"The keep-alive of {name} could not be read and was ignored.")
    return document, Stored(settings, keep_alives, tuple(notes))


class _Unreadable(Exception):
    """The file makes no sense. Only a holder of the lock may put it aside."""


#: A disk's errors if it does not support locks.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class SettingsFile:
    """The file. Its methods block: call them in a thread.

    Several servers may share it. Under a lock, each write changes only its own entries, and keeps
    the rest of the file as it then is.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = utcnow) -> None:
        self.path = path
        self._now = now
        self._lock = threading.Lock()

    def read(self) -> Stored:
        """The stored entries; empty if there is no file. A broken file is put aside."""
        with self._lock:
            try:
                return self._read()[1]
            except _Unreadable:
                # Under the lock, and read again: another server may have put it aside by now.
                try:
                    with self._locked():
                        return self._read(may_put_aside=True)[1]
                except OSError as error:
                    return Stored(notes=(f"Your settings could not be read: {error}.",))

    def write(
        self,
        settings: Mapping[str, Value | None],
        keep_alives: Mapping[str, KeepAlive | None],
    ) -> Stored:
        """Changes these entries (None removes one) and returns everything that is then stored.

        Raises ``OSError`` if the file can't be written; it is then unchanged.
        """
        with self._lock, self._locked():
            self._clean_up()
            document, stored = self._read(for_writing=True, may_put_aside=True)
            apply(document["settings"], settings)
            apply(
                document["keep_alive"],
                {
                    name: None
                    if entry is None
                    else {
                        "until": to_iso(entry.until),
                        "run_started_at": to_iso(entry.run_started_at),
                        "given_at": to_iso(entry.given_at),
                    }
                    for name, entry in keep_alives.items()
                },
            )
            # Not the unreadable ones: somebody may want to look at them.
            for name, entry in stored.keep_alives.items():
                if entry.until <= self._now() and name not in keep_alives:
                    del document["keep_alive"][name]
            text = json.dumps(document, indent=2, sort_keys=True) + "\n"
            replace_file(self.path, text)
            return replace(parse(text)[1], notes=stored.notes)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps other servers from writing. Raises ``OSError``."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock = FileLock(self.path.with_name(LOCK_NAME), LOCK_WAIT)
        except Locked as error:
            raise OSError(f"another server writes them: {error}") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            yield  # a disk that does not support locks: two writes at once could lose one
            return
        except ImportError:  # Windows
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _clean_up(self) -> None:
        """Removes half-written files of a killed server. Needs the lock."""
        for left in self.path.parent.glob(f".{self.path.name}.*"):
            with contextlib.suppress(OSError):
                left.unlink()

    def _read(
        self, for_writing: bool = False, may_put_aside: bool = False
    ) -> tuple[dict[str, Any], Stored]:
        empty: dict[str, Any] = {"version": FILE_VERSION, "settings": {}, "keep_alive": {}}
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return empty, Stored()
        except UnicodeDecodeError as error:
            if not may_put_aside:
                raise _Unreadable from error
            return empty, self._put_aside(error, for_writing)
        except OSError as error:
            # The file may be sound and only out of reach, so it is neither put aside nor
            # overwritten.
            if for_writing:
                raise
            return empty, Stored(notes=(f"Your settings could not be read: {error}.",))
        try:
            return parse(text)
        except (ValueError, RecursionError) as error:
            if not may_put_aside:
                raise _Unreadable from error
            return empty, self._put_aside(error, for_writing)

    def _put_aside(self, error: Exception, for_writing: bool) -> Stored:
        aside = self.path.with_name(f"{self.path.name}.broken-{self._now():%Y%m%dT%H%M%SZ}")
        try:
            self.path.replace(aside)
        except OSError as failure:
            if for_writing:
                raise
            where = f"could not be put aside: {failure}"
        else:
            where = f"is now {aside.name}"
        return Stored(
            notes=(
                f"{self.path.name} could not be read ({error}) and {where}. The administrator's "
                "settings apply.",
            )
        )


def replace_file(path: Path, text: str) -> None:
    """Writes all of it or nothing, even if the machine stops in the middle; readable by its
    owner only."""
    directory = path.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes it readable by its owner only.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=directory)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    # The new name is on disk once its directory is. Not every file system supports that.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def apply(target: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Changes these entries of ``target``; None removes one."""
    for name, value in changes.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value


def echo(value: object) -> str:
    """The value as JSON, cut to a readable length."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
