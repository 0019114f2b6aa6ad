"""Reads a TOML document table by table, so that an error names the line. Pure, except for
secrets, which are in files of their own."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

#: Longer than any meaningful duration in a configuration.
LONGEST = timedelta(days=3650)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Wrong(Exception):
    """An invalid value. ``path`` leads to it, such as ("accounts", 1, "regions")."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(f"{_shown(path)} {message}")
        self.path = path


def _shown(path: tuple[str | int, ...]) -> str:
    return "".join(
        f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path
    ).lstrip(".")


class Table:
    """A table of the file. Its keys are taken one by one; keys that are left are errors."""

    def __init__(self, values: Any, path: tuple[str | int, ...] = ()) -> None:
        self.path = path
        if not isinstance(values, dict):
            # The value is not shown, because it may be a secret in the wrong place.
            what = "a text" if isinstance(values, str) else type(values).__name__
            raise Wrong(path, f"must be a table, not {what}")
        self._left = dict(values)

    @property
    def names(self) -> list[str]:
        """The keys that have not been taken."""
        return list(self._left)

    def has(self, name: str) -> bool:
        """Whether a key is given and has not been taken."""
        return name in self._left

    def take(self, name: str, kind: type | tuple[type, ...], what: str, default: Any) -> Any:
        """A value of a kind."""
        if name not in self._left:
            return default
        value = self._left.pop(name)
        # True is an int to Python, but a number to nobody else.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(name, f"must be {what}, not {value!r}")
        return value

    def text(self, name: str, default: str = "") -> str:
        """A text."""
        found: str = self.take(name, str, "a text", default)
        return found

    def switch(self, name: str, default: bool) -> bool:
        """True or false."""
        found: bool = self.take(name, bool, "true or false", default)
        return found

    def duration(self, name: str, default: timedelta, least: timedelta) -> timedelta:
        """A duration, as a text."""
        if name not in self._left:
            return default
        value = self._left.pop(name)
        seconds = _seconds(value)
        if seconds is None:
            raise self.wrong(name, f'must be a duration such as "5m", "90s" or "1h", not {value!r}')
        if timedelta(seconds=seconds) < least:
            raise self.wrong(name, f"must be at least {least.total_seconds():g} s")
        if timedelta(seconds=seconds) > LONGEST:
            raise self.wrong(name, f"must be at most {LONGEST.days}d")
        return timedelta(seconds=seconds)

    def table(self, name: str) -> Table | None:
        """A table within this one; None if there is none."""
        if name not in self._left:
            return None
        return Table(self._left.pop(name), (*self.path, name))

    def items(self) -> list[tuple[str, Any]]:
        """All remaining keys, with their values."""
        items = list(self._left.items())
        self._left.clear()
        return items

    def wrong(self, name: str, message: str) -> Wrong:
        """An error about a key."""
        return Wrong((*self.path, name), message)

    def end(self, known: str) -> None:
        """Refuses keys that have not been taken."""
        for name in self._left:
            raise self.wrong(name, f"is not known here; the keys here are {known}")


def _seconds(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    found = re.fullmatch(r"\s*([0-9]{1,9})\s*([smhd])\s*", value)
    return int(found[1]) * _UNITS[found[2]] if found else None


def secret_in(table: Table, name: str, folder: Path) -> str:
    """The secret in a file, because more people may read the configuration than may know the
    secret."""
    path = table.text(name)
    if not path:
        return ""
    try:
        secret = (folder / Path(path).expanduser()).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise table.wrong(name, f"can't be read: {error}") from None
    if not secret:
        raise table.wrong(name, "is an empty file")
    if not re.fullmatch(r"[\x21-\x7e]+", secret):
        raise table.wrong(name, "must hold a token in ASCII and nothing else")
    return secret


def line_of(text: str, path: tuple[str | int, ...]) -> int:
    """The line of a value, or the line on which the table begins that would hold it.

    A TOML reader does not tell. This function knows headings and keys at the start of lines; for an
    inline table it finds the line on which the table begins.
    """
    counts: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    best, depth = 1, 0
    for number, line in enumerate(text.split("\n"), 1):
        heading = re.match(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]", line)
        if heading:
            table = _keys(heading[2])
            if heading[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            found = table
        else:
            key = re.match(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*[\w\"'.-]+)*)\s*=", line)
            if not key:
                continue
            found = (*table, *_keys(key[1]))
        if len(found) > depth and path[: len(found)] == found:
            best, depth = number, len(found)
    return best


def _keys(dotted: str) -> tuple[str, ...]:
    parts = re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", dotted)
    return tuple(part.strip("\"'") for part in parts)
