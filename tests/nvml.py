"""A stand-in of Nvidia's library, compiled from ``integration/nvml/standin.c``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.paths import ROOT

#: The name under which the library is asked for, and the variable that names its devices' file.
LIBRARY, DEVICES = "libnvidia-ml.so.1", "NVML_STANDIN"
COMPILER = "cc"


def build_library(folder: Path) -> Path:
    """The library, in that folder. CalledProcessError if it can't be built."""
    built = folder / LIBRARY
    source = ROOT / "tests" / "integration" / "nvml" / "standin.c"
    compiler = shutil.which(COMPILER) or COMPILER
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(built), str(source)], check=True)
    return built
