"""One environment an image, made when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .images import IMAGES, Environment, build_wheel, environment, find_python


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The product's wheel."""
    return build_wheel()


@pytest.fixture(scope="session", params=IMAGES, ids=lambda image: image.name)
def bare_image(request: pytest.FixtureRequest) -> Iterator[Environment]:
    """An image's environment, without the product at the beginning of the session."""
    image = request.param
    python = find_python(image.python)
    if python is None:
        pytest.skip(f"Python {image.python}, which {image.name} runs on, is not on this machine")
    with environment(image, python) as found:
        yield found


@pytest.fixture
def image(bare_image: Environment, wheel: Path) -> Iterator[Environment]:
    """An image's environment with the product in it."""
    bare_image.install(wheel)
    yield bare_image
    bare_image.uninstall()
