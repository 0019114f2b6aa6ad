"""A script that had our place runs first, as it would without ours, whatever the result of ours."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sagemaker_autoshutdown.lifecycle.attach import combined, runs_first
from sagemaker_autoshutdown.lifecycle.script import InvalidScript, Kind, encode, render

from .test_script import shellchecked

ARN = "arn:aws:sagemaker:us-west-2:123456789012:studio-lifecycle-config/theirs"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs another's script and then ours, on a machine that is not an image of SageMaker's."""
    programs = tmp_path / "programs"
    programs.mkdir()

    def run(
        other: str, *changes: tuple[str, str], **stand_ins: str
    ) -> subprocess.CompletedProcess[str]:
        script = combined(render(Kind.SPACE), ARN, other)
        for before, after in (("\nROOT=''", f"\nROOT='{tmp_path}'"), *changes):
            assert script.count(before) == 1
            script = script.replace(before, after)
        for name, body in stand_ins.items():
            (programs / name).write_text(f"#!/bin/sh\n{body}\n")
            (programs / name).chmod(0o755)
        file = tmp_path / "on-start"
        file.write_text(script)
        file.chmod(0o755)
        env = {"PATH": f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin"}
        return subprocess.run([file], env=env, capture_output=True, text=True, check=False)

    return run


OTHERS = {
    "bash": '#!/bin/bash -u\nset -o pipefail\necho "it\'s $((6 * 7))"\nexit 7\n',
    "python": '#!/usr/bin/env python3\nimport sys\nprint(f"it\'s {6 * 7}")\nsys.exit(7)\n',
    "nothing": 'echo "it\'s $((6 * 7))"\nexit 7',
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize(
    "stand_ins",
    [
        {},
        {"mktemp": "exit 1"},
        {"mktemp": 'ln -s /dev/full "$0.file"; echo "$0.file"'},
        # As on a file system that does not allow execution.
        {"chmod": ""},
    ],
    ids=["as ever", "no temporary file", "disk full", "noexec"],
)
def test_it_runs_and_decides_whether_the_app_starts(
    run: Run, other: str, stand_ins: dict[str, str]
) -> None:
    result = run(other, **stand_ins)
    assert result.stdout.splitlines()[0] == "it's 42"
    assert "NOT INSTALLED" in result.stdout.splitlines()[1]
    assert result.returncode == 7
    assert "Permission denied" not in result.stderr


def test_the_time_that_it_takes_is_not_ours(run: Run, tmp_path: Path) -> None:
    """SageMaker counts both together, so ours is skipped if it would end too late."""
    late = run("sleep 2", ("\nFIRST_TIME=190", "\nFIRST_TIME=2"))
    assert re.search("NOT INSTALLED: the script that runs first took [0-9]+ s", late.stdout)
    assert late.returncode == 0
    # Ours gets its own time from when it begins.
    python = tmp_path / "opt/conda/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nsed "s/.*/it was asked/;q"\nexit 1\n')
    python.chmod(0o755)
    in_time = run("sleep 3", ("\nINSTALL_TIME=25", "\nINSTALL_TIME=3"))
    assert "it was asked" in in_time.stdout


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_shellcheck_finds_nothing(other: str, tmp_path: Path) -> None:
    assert shellchecked(combined(render(Kind.SPACE), ARN, other), tmp_path) == ""


def test_our_comments_take_no_room_from_theirs(tmp_path: Path) -> None:
    other = "#!/bin/bash\n# Of theirs.\n" + "true\n" * 500
    script = combined(render(Kind.CLASSIC), ARN, other)
    assert len(encode(script)) > 0
    assert "\n# Of theirs.\n" in script
    assert "# So that nothing" not in script
    assert runs_first(script) == ARN
    assert shellchecked(script, tmp_path) == ""


def test_what_is_too_long_all_the_same_is_refused() -> None:
    with pytest.raises(InvalidScript, match="detach that one"):
        encode(combined(render(Kind.SPACE), ARN, "true\n" * 5000))
