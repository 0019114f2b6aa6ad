"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(str, Enum):
    """How serious a finding is."""

    OK = "ok"
    #: Worth knowing; no action is needed.
    NOTE = "note"
    #: The product works, but perhaps not as expected.
    WARNING = "warning"
    #: The product does not work.
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One checked item. ``remedy`` says what to do; empty if no action is needed."""

    level: Level
    title: str
    detail: str
    remedy: str = ""
