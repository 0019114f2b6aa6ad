"""What the admin's page says can be typed."""

from __future__ import annotations

import re
import shlex

import cfnlint.decode.cfn_yaml
import pytest

from sagemaker_autoshutdown import cli
from sagemaker_autoshutdown.lifecycle.script import Kind
from tests.paths import LIFECYCLE_CONFIG

FOLDER = LIFECYCLE_CONFIG
README = (FOLDER / "README.md").read_text()
COMMANDS = re.findall(r"^jupyter sagemaker-autoshutdown (.*)$", README, re.MULTILINE)


def test_there_are_three_commands_from_nothing_to_installed() -> None:
    block = README.partition("## From nothing to installed")[2].split("```")[1]
    assert len(block.strip().splitlines()) == 3


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command: str) -> None:
    parsed = cli.parser().parse_args(shlex.split(command, comments=True))
    assert callable(parsed.run)


def test_every_option_that_is_explained_exists() -> None:
    parsed = cli.parser().parse_args(["lifecycle-config", "install"])
    names = {"package_version": "version", "set": "more"}
    for option in re.findall(r"^\| `--([a-z0-9-]+)", README, re.MULTILINE):
        name = option.replace("-", "_")
        assert hasattr(parsed, names.get(name, name)), option


def test_every_script_is_named() -> None:
    assert all(f"[{kind.value}.sh]({kind.value}.sh)" in README for kind in Kind)


def test_every_output_that_is_to_be_attached_is_one() -> None:
    template = cfnlint.decode.cfn_yaml.load(str(FOLDER / "cloudformation.yaml"))
    references = set(re.findall(r"!Ref (\w+)", README))
    assert references
    assert references <= set(template["Outputs"])
    outputs = re.findall(r'output "(\w+)"', (FOLDER / "terraform" / "outputs.tf").read_text())
    references = set(re.findall(r"= \[?module\.autoshutdown\.(\w+)", README))
    assert references
    assert references <= set(outputs)
    given = re.search(r"--parameter-overrides (.+)", README)
    assert given is not None
    assert {each.partition("=")[0] for each in given[1].split()} <= set(template["Parameters"])
