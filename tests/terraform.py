"""Terraform with AWS's provider, for the modules that the package ships."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Terraform:
    """A module in a folder of its own, initialized."""

    command: str
    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of terraform's commands."""
        return subprocess.run(
            [self.command, *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )

    def done(self, *arguments: str) -> str:
        """What a command says that must not fail."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def set(self, **variables: Any) -> None:
        """The module's variables."""
        (self.folder / "test.auto.tfvars.json").write_text(json.dumps(variables))

    def plan(self, **variables: Any) -> dict[str, Any]:
        """The resources that would be created, by address."""
        self.set(**variables)
        self.done("plan", "-no-color", "-input=false", "-out=plan")
        shown = json.loads(self.run("show", "-json", "plan").stdout)
        found = shown["planned_values"]["root_module"]["resources"]
        return {each["address"]: each["values"] for each in found}


def initialized(folder: Path, provider: str, **environment: str) -> Terraform:
    """Terraform with AWS's provider, from the network or a mirror on this machine. ``provider`` is
    its configuration. Skips the test where there is none."""
    command = shutil.which("terraform")
    if command is None:
        pytest.skip("terraform is not on this machine; the module is parsed only")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    found = Terraform(command, folder, {**kept, **environment})
    (folder / "provider.tf").write_text(provider)
    if found.run("init", "-input=false", "-no-color").returncode == 0:
        return found
    for parent in (Path.home() / ".terraform.d", Path("/usr/local/share"), Path("/opt")):
        for mirror in {path.parents[2] for path in parent.glob("*/*/hashicorp/aws")}:
            if found.run("init", "-input=false", f"-plugin-dir={mirror}").returncode == 0:
                return found
    pytest.skip("terraform's AWS provider can't be had here; the module is parsed only")
