"""The templates and the Terraform module as files."""

from __future__ import annotations

from importlib.resources import files

from . import template


def cloudformation_files() -> dict[str, str]:
    """The templates, by their paths."""
    return {
        "fleet.yaml": template.as_yaml(template.stack()),
        "fleet-member.yaml": template.as_yaml(template.member()),
    }


def terraform_files() -> dict[str, str]:
    """The module, with the template that it deploys, by their paths."""
    folder = files(__package__).joinpath("terraform")
    module = {
        file.name: file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".tf")
    }
    return {**module, "fleet.yaml": template.as_yaml(template.stack())}
