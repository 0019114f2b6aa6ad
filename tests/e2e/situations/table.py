"""The table: activity in an app, and whether the app is then in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .world import Space

#: Where lines are tried: in a space with the packages of this environment, or in the stand-in of an
#: image, by its name. In Classic's the apps run Classic's Kernel Gateway.
HERE = ""
SMD_1, SMD_2, SMD_4 = (f"sagemaker-distribution-{each}" for each in ("1.0.0", "2.0.1", "4.4.1"))
CLASSIC = "studio-classic-jupyterlab3"


@dataclass(frozen=True)
class Situation:
    """One line. ``in_sample``: ``make test`` tries it as well, in the first of its places."""

    name: str
    in_use: bool
    arrange: Callable[[Space], None]
    traits: Mapping[str, Any] = field(default_factory=dict)
    in_sample: bool = False
    places: tuple[str, ...] = (HERE,)


SITUATIONS: list[Situation] = []


def situation(
    name: str,
    *,
    in_use: bool,
    in_sample: bool = False,
    only: tuple[str, ...] = (HERE,),
    on: tuple[str, ...] = (),
    **traits: Any,
) -> Callable[[Callable[[Space], None]], Callable[[Space], None]]:
    """Enters a situation into the table. It is tried here, and ``on`` images where versions
    matter; or ``only`` on some."""

    def enter(arrange: Callable[[Space], None]) -> Callable[[Space], None]:
        places = (*only, *on)
        SITUATIONS.append(Situation(name, in_use, arrange, traits, in_sample, places))
        return arrange

    return enter
