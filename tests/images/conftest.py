"""An image's environment for each test, created when it is first needed.

A test holds its environments only while it runs. No worker waits for another.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .images import IMAGES, Environment, Image, build_wheel, environment, find_python
from .standin import RUNS

#: A worker's report on a run of a script, for the process that sums up.
_RUN = "run of a lifecycle script"


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The product's wheel."""
    return build_wheel()


@pytest.fixture(params=IMAGES, ids=lambda image: image.name)
def bare_image(request: pytest.FixtureRequest) -> Iterator[Environment]:
    """An image's environment, without the product at first."""
    yield from environment_of(request.param)


@pytest.fixture
def one_image() -> Iterator[Environment]:
    """The newest image's environment, for tests that do not depend on versions."""
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
    """The image's environment; the product is removed again after any test."""
    python = find_python(image.python)
    if python is None:
        pytest.skip(f"Python {image.python}, which {image.name} runs on, is not on this machine")
    with environment(image, python) as found:
        yield found


@pytest.fixture(autouse=True)
def _runs_of_scripts(request: pytest.FixtureRequest) -> Iterator[None]:
    before = len(RUNS)
    yield
    for run in RUNS[before:]:
        is_failing = any("NOT INSTALLED" in line for line in run.log)
        request.node.user_properties.append((_RUN, (run.code, run.seconds, is_failing)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The results of all scripts, and the durations of failed ones."""
    runs = [
        value
        for report in terminalreporter.stats.get("", ())
        if report.when == "teardown"
        for name, value in report.user_properties
        if name == _RUN
    ]
    failing = [seconds for _, seconds, is_failing in runs if is_failing]
    codes = sorted({code for code, *_ in runs})
    if failing:
        terminalreporter.write_line(
            f"{len(runs)} runs of lifecycle scripts, exit codes {codes}; {len(failing)} in which "
            f"something failed took at most {max(failing):.1f} s"
        )
