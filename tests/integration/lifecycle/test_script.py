"""The scripts equal the repository's files, are small enough, are clean, and hold only valid
values."""

from __future__ import annotations

import base64
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown import __version__
from sagemaker_autoshutdown.lifecycle import script as script_module
from sagemaker_autoshutdown.lifecycle.script import (
    MAX_CONTENT,
    InvalidScript,
    Kind,
    ScriptSettings,
    config_name,
    encode,
    normalized,
    render,
    version_of,
)
from tests.paths import LIFECYCLE_CONFIG

FOLDER = LIFECYCLE_CONFIG
WORST = ScriptSettings(
    wheel="s3://" + "b" * 63 + "/" + "k" * 200 + ".whl",
    sha256="0" * 64,
    more={"idle_timeout_rules": [{"instance_type": "ml.g*", "idle_timeout": 900}] * 10},
)


@pytest.mark.parametrize("kind", Kind)
def test_the_scripts_that_admins_read_are_those_that_the_command_renders(kind: Kind) -> None:
    shown = (FOLDER / f"{kind.value}.sh").read_bytes()
    assert shown == render(kind).encode(), (
        f"lifecycle-config render {kind.value} > lifecycle-config/{kind.value}.sh"
    )


@pytest.mark.parametrize("kind", Kind)
def test_shellcheck_finds_nothing(kind: Kind, tmp_path: Path) -> None:
    assert shellchecked(render(kind, WORST), tmp_path) == ""


def shellchecked(script: str, folder: Path) -> str:
    """shellcheck's findings."""
    file = folder / "on-start.sh"
    file.write_text(script)
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck is not None
    result = subprocess.run([shellcheck, str(file)], capture_output=True, text=True, check=False)
    return result.stdout


@pytest.mark.parametrize("kind", Kind)
def test_a_script_fits_into_what_the_api_takes(kind: Kind) -> None:
    content = encode(render(kind, WORST))
    assert len(content) < MAX_CONTENT
    assert base64.b64decode(content).decode() == render(kind, WORST)


@pytest.mark.parametrize("kind", Kind)
def test_no_kind_takes_more_than_a_minute(kind: Kind) -> None:
    """Together, whatever hangs; a killed command may take 2 s more."""
    script, killed, after = render(kind), 2, 5
    times = {
        name: int(seconds)
        for name, seconds in re.findall(r"^(INSTALL|RESTART|FIRST)_TIME=(\d+)$", script, re.M)
    }
    assert script.count(f"TIME_LIMIT=$((SECONDS + {after}))") == 2
    longest = times["INSTALL"] + killed + times["RESTART"] + after + killed
    assert longest <= 60
    # SageMaker's own limit also includes the script that runs first.
    assert times["FIRST"] + longest < 270


@pytest.mark.parametrize("kind", Kind)
def test_thirty_rules_fit_since_comments_make_room_for_them(kind: Kind) -> None:
    rules = [
        {"instance_type": "ml.g*", "owner": f"team-{n:02}-*", "idle_timeout": 900}
        for n in range(30)
    ]
    settings = ScriptSettings(more={"idle_timeout_rules": rules})
    script = render(kind, settings)
    assert len(encode(script)) <= MAX_CONTENT
    told = next(line for line in script.splitlines() if line.startswith("MORE_SETTINGS="))
    assert json.loads(shlex.split(told.partition("=")[2])[0]) == settings.more
    assert subprocess.run(["/bin/bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_the_comments_that_an_admin_edits_by_go_last() -> None:
    below = render(Kind.CLASSIC, ScriptSettings(more={"data_dir": "x" * 300}))
    assert "# The source of its wheel." in below
    assert "# Logs a failure in one line" not in below
    assert "# Logs a failure in one line" in render(Kind.CLASSIC)


def test_a_script_that_is_too_long_is_refused_before_the_api_does() -> None:
    with pytest.raises(InvalidScript, match="16384"):
        encode("#" * MAX_CONTENT)


def test_f9_a_checkout_with_crlf_line_ends_registers_lf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = render(Kind.SPACE)
    package = tmp_path / "checkout"
    shutil.copytree(str(resources.files("sagemaker_autoshutdown.lifecycle") / "scripts"), package)
    for part in package.iterdir():
        part.write_bytes(part.read_bytes().replace(b"\n", b"\r\n"))
    monkeypatch.setattr(
        script_module, "part", lambda name: (package / f"{name}.sh").read_bytes().decode()
    )
    assert render(Kind.SPACE) == expected
    assert "\r" not in normalized("\ufeff#!/bin/bash\r\nexit 0\r\n")


@pytest.mark.parametrize(
    "value", ["it's", 'a "b" $HOME `id`', "back\\slash \\1", "$(touch /tmp/x)", "ünicode"]
)
def test_no_value_can_become_a_command(value: str, tmp_path: Path) -> None:
    rendered = render(Kind.SPACE, ScriptSettings(more={"data_dir": value}))
    top = rendered.partition("# ---- Nothing to edit below.")[0]
    file = tmp_path / "top.sh"
    file.write_text(top + '\nprintf %s "$MORE_SETTINGS"\n')
    told = subprocess.run(["/bin/bash", str(file)], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == {"data_dir": value}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"wheel": "wheel.whl"}, "absolute path"),
        ({"wheel": "s3://bucket"}, "s3://BUCKET/KEY"),
        ({"wheel": "http://plain/x.whl"}, "https://"),
        ({"wheel": "/it's here/x.whl"}, "in letters, digits"),
        ({"index_url": "https://a b/"}, "the package index must be"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"idle_timeout": 0}, "idle_timeout must be in seconds"),
        ({"more": {"idle_timout_rules": []}}, "idle_timout_rules is not a setting"),
        ({"more": {"idle_timeout": 60}}, "option of its own"),
        ({"more": {"max_keep_alive": "long"}}, "max_keep_alive"),
    ],
)
def test_what_would_only_fail_in_the_app_is_refused_now(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidScript, match=says):
        ScriptSettings(**settings)


@pytest.mark.parametrize(
    ("seconds", "told"), [(10_000_001.0, "10000001"), (86400.0, "86400"), (1234567.5, "1234567.5")]
)
def test_a_long_limit_is_not_rounded(seconds: float, told: str) -> None:
    script = render(Kind.SPACE, ScriptSettings(idle_timeout=seconds, warning_time=seconds))
    assert f"\nIDLE_TIMEOUT={told}\nWARNING_TIME={told}\n" in script


@pytest.mark.parametrize("kind", Kind)
def test_a_name_carries_the_version_and_is_new_for_each_content(kind: Kind) -> None:
    one = config_name(kind, render(kind))
    other = config_name(kind, render(kind, ScriptSettings(idle_timeout=60)))
    assert one != other
    assert len(one) <= 63
    assert version_of(one) == __version__
    assert version_of(f"arn:aws:sagemaker:r:1:studio-lifecycle-config/{one}") == __version__
    assert version_of("my-sagemaker-autoshutdown") is None
