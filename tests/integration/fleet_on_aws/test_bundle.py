"""The zip of the functions, for each architecture and Python that Lambda may run it with."""

from __future__ import annotations

import io
import platform
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from sagemaker_autoshutdown import cli
from sagemaker_autoshutdown.fleet.on_aws import bundle
from sagemaker_autoshutdown.fleet.on_aws.template import ARCHITECTURES, PYTHONS
from tests.images.images import find_python

#: The field of an ELF file that names its machine.
MACHINE = slice(18, 20)
CODES = {"arm64": b"\xb7\x00", "x86_64": b"\x3e\x00"}


@pytest.mark.whole_stack
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_zip_is_for_its_architecture_and_imports_where_that_can_run(
    architecture: str, python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fleet.zip"
    of_code = ("--architecture", architecture, "--python", python)
    assert cli.main(["fleet", "bundle", *of_code, "--output", str(path)]) == 0, capsys.readouterr()

    made = bundle.Bundle(path.read_bytes(), architecture, python)
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".so")]
        assert {archive.read(name)[MACHINE] for name in compiled} == {CODES[architecture]}
        versions = [name for name in compiled if ".cpython-" in name]
        assert all(f"cpython-{python.replace('.', '')}-" in name for name in versions)
    here = find_python(python)
    if here and platform.machine() in bundle.MACHINES[architecture]:
        bundle.try_import(made, here)


@pytest.mark.whole_stack
def test_a_zip_without_time_zones_is_refused(code: bundle.Bundle) -> None:
    """With hours in Europe/Berlin, no function could read its configuration."""
    bundle.try_import(code)
    with zipfile.ZipFile(io.BytesIO(code.content)) as archive:
        kept = {
            name: archive.read(name)
            for name in archive.namelist()
            if not name.startswith("tzdata/")
        }
    without = replace(code, content=bundle.zipped(kept))
    with pytest.raises(bundle.NotBundled, match="Europe/Berlin"):
        bundle.try_import(without)
