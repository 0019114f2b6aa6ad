"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(str, Enum):
    """How bad it is."""

    OK = "ok"
    #: Worth knowing; nothing needs to be done.
    NOTE = "note"
    #: It works, but not as one may think.
    WARNING = "warning"
    #: It keeps it from working.
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``remedy`` says what to do; empty if nothing."""

    level: Level
    title: str
    detail: str
    remedy: str = ""
