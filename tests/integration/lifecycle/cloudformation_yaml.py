"""Reads CloudFormation's YAML, with its short forms of functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def load(file: Path) -> Any:
    """The template in this file."""
    # Its import takes seconds, which each process that collects the tests would spend.
    import cfnlint.decode.cfn_yaml

    return cfnlint.decode.cfn_yaml.load(str(file))
