"""One environment an image, made when it is first needed.

Each test holds the locks of its own images only, and for no longer than it runs: workers may wait
for each other's images, and never in a circle.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .images import IMAGES, Environment, Image, build_wheel, environment, find_python


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The product's wheel."""
    return build_wheel()


@pytest.fixture(params=IMAGES, ids=lambda image: image.name)
def bare_image(request: pytest.FixtureRequest) -> Iterator[Environment]:
    """An image's environment, without the product in the beginning."""
    yield from environment_of(request.param)


@pytest.fixture
def one_image() -> Iterator[Environment]:
    """The newest image's environment, for what does not depend on versions."""
    yield from environment_named("sagemaker-distribution-4.4.1")


@pytest.fixture
def image(bare_image: Environment, wheel: Path) -> Environment:
    """An image's environment with the product in it."""
    bare_image.install(wheel)
    return bare_image


def environment_named(name: str) -> Iterator[Environment]:
    """The environment of the image of that name."""
    [image] = [image for image in IMAGES if image.name == name]
    yield from environment_of(image)


def environment_of(image: Image) -> Iterator[Environment]:
    """The image's environment; the product leaves it again, whatever a test does to it."""
    python = find_python(image.python)
    if python is None:
        pytest.skip(f"Python {image.python}, which {image.name} runs on, is not on this machine")
    with environment(image, python) as found:
        yield found
