"""The CloudFormation template and the Terraform module as files: written by the command, and
kept in ``lifecycle-config/`` of the repository."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from ..settings.admin import SageMakerAutoShutdown
from . import cloudformation, policy
from .script import Kind, render

#: The settings of a script without a variable of their own.
_OWN = {"idle_timeout", "warning_time", "keep_terminals"}


def cloudformation_files() -> dict[str, str]:
    """The template, by its path."""
    return {"cloudformation.yaml": cloudformation.template()}


def terraform_files() -> dict[str, str]:
    """The module and its scripts, by their paths."""
    folder = files(__package__).joinpath("terraform")
    sources = {
        f"terraform/{file.name}": file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".tf")
    }
    names = sorted({*SageMakerAutoShutdown.class_trait_names(config=True)} - _OWN)
    return {
        **sources,
        "terraform/policy.json": json.dumps(policy.role_policy(), indent=2) + "\n",
        "terraform/settings.json": json.dumps(names, indent=2) + "\n",
        **{f"{kind.value}.sh": render(kind) for kind in Kind},
    }


def write(contents: dict[str, str], folder: Path) -> list[Path]:
    """Writes the files below a folder; returns their paths. Raises ``OSError``."""
    written = []
    for name, content in sorted(contents.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.replace("\r\n", "\n").encode())
        written.append(path)
    return written
