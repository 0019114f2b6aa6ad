"""``lifecycle-config bundle`` and ``render``."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from sagemaker_autoshutdown import cli
from sagemaker_autoshutdown.lifecycle.script import Kind, ScriptSettings, render


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    file = tmp_path / "sagemaker_autoshutdown-1.2.3-py3-none-any.whl"
    file.write_bytes(b"not unpacked here")
    return file


def test_a_bundle_holds_the_wheel_its_checksum_and_the_scripts(
    wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = "s3://bucket/sagemaker-autoshutdown-1.2.3.tar.gz"
    code = cli.main(["lifecycle-config", "bundle", str(wheel), "--wheel", where])
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert code == 0
    assert f"--sha256 {sha256}" in capsys.readouterr().out
    bundle = wheel.with_name("sagemaker-autoshutdown-1.2.3.tar.gz")
    with tarfile.open(bundle) as archive:
        contents = {
            member.name.partition("/")[2]: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
        }
    assert contents.pop(wheel.name) == wheel.read_bytes()
    assert contents.pop("SHA256SUMS").decode() == f"{sha256}  {wheel.name}\n"
    settings = ScriptSettings(version="1.2.3", wheel=where, sha256=sha256)
    expected = {f"{kind.value}.sh": render(kind, settings).encode() for kind in Kind}
    assert contents == expected
    first = bundle.read_bytes()
    cli.main(["lifecycle-config", "bundle", str(wheel), "--wheel", where])
    assert bundle.read_bytes() == first


def test_anything_but_our_wheel_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other-1.0-py3-none-any.whl"
    other.touch()
    assert cli.main(["lifecycle-config", "bundle", str(other)]) == 2
    assert "not a wheel of sagemaker-autoshutdown" in capsys.readouterr().err


def test_render_writes_a_file_with_lf_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "space.sh"
    assert cli.main(["lifecycle-config", "render", "space", "-o", str(file)]) == 0
    assert file.read_bytes() == render(Kind.SPACE).encode()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--idle-timeout", "soon"), "not a duration"),
        (("--set", "max_keep_alive"), "has no value"),
        (("--set", "max_keep_alive=4h"), "is not NAME=JSON: write times in seconds"),
        (("--set", "no_such=1"), "no_such is not a setting"),
        (("--wheel", "wheel.whl"), "absolute path"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(
    arguments: tuple[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = cli.main(["lifecycle-config", "render", "space", *arguments])
    except SystemExit as end:  # argparse's own
        code = int(str(end.code))
    assert code == 2
    assert says in capsys.readouterr().err
