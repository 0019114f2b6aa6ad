"""One environment an image, made when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .images import IMAGES, Environment, Image, build_wheel, environment, find_python


def pytest_itemcollected(item: pytest.Item) -> None:
    """One worker runs all of them: a module holds the lock of its image's environment, so two
    workers that each hold one could wait for each other.

    Not in ``pytest_collection_modifyitems``: xdist has read the groups by then.
    """
    item.add_marker(pytest.mark.xdist_group("images"))


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The product's wheel."""
    return build_wheel()


@pytest.fixture(scope="module", params=IMAGES, ids=lambda image: image.name)
def bare_image(request: pytest.FixtureRequest) -> Iterator[Environment]:
    """An image's environment, without the product in the beginning."""
    yield from _environment(request.param)


@pytest.fixture(scope="module")
def one_image() -> Iterator[Environment]:
    """The newest image's environment, for what does not depend on versions."""
    yield from one_environment("sagemaker-distribution-4.4.1")


def one_environment(name: str) -> Iterator[Environment]:
    """The environment of the image of that name."""
    [image] = [image for image in IMAGES if image.name == name]
    yield from _environment(image)


def _environment(image: Image) -> Iterator[Environment]:
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
