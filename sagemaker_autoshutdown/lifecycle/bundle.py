"""One file for sites without a package index: the wheel, its checksum and the scripts."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

from .script import InvalidScript, Kind

_WHEEL_NAME = re.compile(r"sagemaker_autoshutdown-(?P<version>[^-]+)-py3-none-any\.whl")


def version_of_wheel(wheel: Path) -> str:
    """The version of a wheel of this product, by its name; `InvalidScript` for any other file."""
    found = _WHEEL_NAME.fullmatch(wheel.name)
    if found is None:
        raise InvalidScript(f"{wheel.name} is not a wheel of sagemaker-autoshutdown")
    return found["version"]


def sha256_of(wheel: Path) -> str:
    """The checksum for the script."""
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def write(bundle: Path, wheel: Path, scripts: Mapping[Kind, str]) -> None:
    """Writes it; the same contents give the same bytes, whenever and wherever."""
    folder = f"sagemaker-autoshutdown-{version_of_wheel(wheel)}"
    members = {
        wheel.name: wheel.read_bytes(),
        "SHA256SUMS": f"{sha256_of(wheel)}  {wheel.name}\n".encode(),
        **{f"{kind.value}.sh": script.encode() for kind, script in scripts.items()},
    }
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(members.items()):
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            info.mode = 0o755 if name.endswith(".sh") else 0o644
            archive.addfile(info, io.BytesIO(content))
    bundle.write_bytes(gzip.compress(plain.getvalue(), mtime=0))
