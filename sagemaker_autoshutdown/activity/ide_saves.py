"""When somebody last saved a file in a remote IDE (VS Code and its relatives, code-server).

These IDEs keep a history on the machine where the files are: each save adds a copy to the file's
own folder. So a folder's time tells when its file was saved, and the list inside names the file. An
IDE whose history is switched off leaves no trace.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from .browser_requests import Use

#: Where the histories are, below the home.
HISTORIES = (
    ".*-server*/data/User/History",
    ".local/share/code-server/User/History",
    ".local/share/*-server*/data/User/History",
)
#: A list of a file's copies has a few thousand bytes.
_LARGEST_LIST = 1_000_000


def last_save(now: datetime, home: Path | None = None) -> Use | None:
    """The latest save; None if there is none. ``home`` is by default the user's. Blocks for
    milliseconds; call it in a thread. Raises nothing."""
    latest, folder = 0.0, ""
    try:
        home = home or Path.home()
    except RuntimeError:  # the home is unknown
        return None
    for saved_at, path in _folders(home):
        # A time in the future comes from a wrong clock.
        if latest < saved_at <= now.timestamp():
            latest, folder = saved_at, path
    if not folder:
        return None
    return Use(_name(Path(folder)), datetime.fromtimestamp(latest, timezone.utc))


def _folders(home: Path) -> Iterator[tuple[float, str]]:
    try:
        for pattern in HISTORIES:
            for history in home.glob(pattern):
                with os.scandir(history) as entries:
                    yield from ((entry.stat().st_mtime, entry.path) for entry in entries)
    except OSError:
        return


def _name(folder: Path) -> str:
    """The file's name, without its folders."""
    try:
        entries = folder / "entries.json"
        if entries.stat().st_size <= _LARGEST_LIST:
            resource = json.loads(entries.read_text(encoding="utf-8"))["resource"]
            return PurePosixPath(unquote(resource)).name or "a file"
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return "a file"
