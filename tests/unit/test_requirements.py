"""A clone installs the same versions in a year as were tested today."""

from __future__ import annotations

import re

import tomllib

from tests.paths import ROOT

REQUIREMENTS = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
PINNED = {
    line.partition("==")[0]
    for line in REQUIREMENTS.splitlines()
    if re.match(r"[a-z0-9.-]+==", line)
}


def canonical(requirement: str) -> str:
    """The name in a requirement, in the spelling of the compiled file."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!; ]", requirement)[0]).lower()


def test_no_development_dependency_is_left_unpinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        canonical(each)
        for each in [*project["dependencies"], *extras["remote-write"], *extras["dev"]]
    } - {project["name"]}
    assert wanted <= PINNED, f"make upgrade: {sorted(wanted - PINNED)} are not pinned"


def test_the_pins_hold_no_address_or_path_of_the_machine_that_made_them() -> None:
    assert not re.findall(r"://|^-|^/| @ ", REQUIREMENTS, flags=re.MULTILINE)
