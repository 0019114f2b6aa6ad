"""The rollout page for admins names scripts, options and outputs that exist."""

from __future__ import annotations

import re

from sagemaker_autoshutdown import cli
from sagemaker_autoshutdown.lifecycle.script import Kind
from tests.paths import DOCS, LIFECYCLE_CONFIG

from .cloudformation_yaml import load

FOLDER = LIFECYCLE_CONFIG
PAGE = (DOCS / "rollout.md").read_text(encoding="utf-8")


def test_there_are_three_commands_from_nothing_to_installed() -> None:
    block = PAGE.partition("## From nothing to installed")[2].split("```")[1]
    assert len(block.strip().splitlines()) == 3


def test_every_option_that_is_explained_exists() -> None:
    parsed = cli.parser().parse_args(["lifecycle-config", "install"])
    names = {"package_version": "version", "set": "more"}
    for option in re.findall(r"^\| `--([a-z0-9-]+)", PAGE, re.MULTILINE):
        name = option.replace("-", "_")
        assert hasattr(parsed, names.get(name, name)), option


def test_every_script_is_named() -> None:
    assert all(f"[{kind.value}.sh](../lifecycle-config/{kind.value}.sh)" in PAGE for kind in Kind)


def test_every_output_that_is_to_be_attached_is_one() -> None:
    template = load(FOLDER / "cloudformation.yaml")
    references = set(re.findall(r"!Ref (\w+)", PAGE))
    assert references
    assert references <= set(template["Outputs"])
    outputs = re.findall(r'output "(\w+)"', (FOLDER / "terraform" / "outputs.tf").read_text())
    references = set(re.findall(r"= \[?module\.autoshutdown\.(\w+)", PAGE))
    assert references
    assert references <= set(outputs)
    given = re.search(r"--parameter-overrides (.+)", PAGE)
    assert given is not None
    assert {each.partition("=")[0] for each in given[1].split()} <= set(template["Parameters"])
