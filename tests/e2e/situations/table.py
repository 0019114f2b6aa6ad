"""The table: what happens in a space, and whether it is in use then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .world import Space


@dataclass(frozen=True)
class Situation:
    """One line. ``in_sample``: it is tried by ``make test`` as well."""

    name: str
    in_use: bool
    arrange: Callable[[Space], None]
    traits: Mapping[str, Any] = field(default_factory=dict)
    in_sample: bool = False


SITUATIONS: list[Situation] = []


def situation(
    name: str, *, in_use: bool, in_sample: bool = False, **traits: Any
) -> Callable[[Callable[[Space], None]], Callable[[Space], None]]:
    """Enter a situation into the table."""

    def enter(arrange: Callable[[Space], None]) -> Callable[[Space], None]:
        SITUATIONS.append(Situation(name, in_use, arrange, traits, in_sample))
        return arrange

    return enter
