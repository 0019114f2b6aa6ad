"""An app in the place where a line is tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.images.images import (
    CONSTRAINTS,
    Environment,
    Image,
    build_wheel,
    environment,
    find_python,
    read_image,
)

from .classic import classic_app
from .table import CLASSIC, HERE, Situation
from .world import LackingError, Space, space

#: The packages of Classic's apps.
GATEWAY = "apps/kernel-gateway-2"


@contextmanager
def stage(situation: Situation, place: str, folder: Path) -> Iterator[Space]:
    """An app in which nothing is open yet. `LackingError` if it can't be had."""
    with ExitStack() as held:
        if place == HERE:
            yield held.enter_context(space(folder, **situation.traits))
            return
        server = held.enter_context(_environment(place))
        server.install(build_wheel())
        if place == CLASSIC:
            gateway = held.enter_context(_environment(GATEWAY))
            app = classic_app(folder, server.python, gateway.python, **situation.traits)
            yield held.enter_context(app)
        else:
            yield held.enter_context(space(folder, server.python, **situation.traits))


@contextmanager
def _environment(name: str) -> Iterator[Environment]:
    image: Image = read_image(CONSTRAINTS / f"{name}.txt")
    python = find_python(image.python)
    if python is None:
        raise LackingError(f"Python {image.python}, which {name} runs on")
    with environment(image, python) as found:
        yield found
