"""Cloud Custodian as an independent client of the local Studio.

It has an environment of its own, because it pins other versions of boto3 than the development
tools.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.programs import installed


def resources(
    resource: str, folder: Path, environment: Mapping[str, str], timeout: float = 170
) -> list[dict[str, Any]]:
    """Everything of a kind (``aws.sagemaker-app``) that Cloud Custodian finds."""
    folder.mkdir(parents=True)
    policy = folder / "policy.yml"
    policy.write_text(json.dumps({"policies": [{"name": "all", "resource": resource}]}))
    options = ["--cache-period", "0", "-s", str(folder / "out")]
    command = [installed("custodian"), "run", *options, str(policy)]
    done = subprocess.run(
        command,
        env={**environment, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(
        (folder / "out" / "all" / "resources.json").read_text()
    )
    return found
