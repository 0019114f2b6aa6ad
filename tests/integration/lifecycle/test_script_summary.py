"""The plan describes the script, so that an admin knows what to agree to."""

from __future__ import annotations

from typing import Any

import pytest

from sagemaker_autoshutdown import __version__
from sagemaker_autoshutdown.lifecycle.attach import combined
from sagemaker_autoshutdown.lifecycle.script import Kind, ScriptSettings, render
from sagemaker_autoshutdown.lifecycle.script_summary import described, notes, replaced, unbounded
from sagemaker_autoshutdown.settings.admin import MAX_SECONDS
from sagemaker_autoshutdown.text import span

from .conftest import Account
from .test_notebooks import NAME, enter

SETTINGS = ScriptSettings(
    wheel="s3://bucket/a.whl",
    sha256="0" * 64,
    idle_timeout=10_800,
    more={"max_idle_timeout": 14_400, "idle_timeout_rules": [{"owner": "it's", "idle_timeout": 9}]},
)


def test_a_limit_in_the_wrong_unit_is_seen_before_it_is_agreed_to(account: Account) -> None:
    _, out, _ = account.run("install", "--dry-run", "--idle-timeout", "30")
    assert "after 30 s idle" in out
    assert out.count("after 30 s idle") == 1


def test_an_upgrade_without_the_options_of_the_install_does_not_silently_undo_them(
    account: Account,
) -> None:
    given = ("--idle-timeout", "3h", "--wheel", "s3://bucket/a.whl", "--set", "dry_run=true")
    account.run("install", "--yes", *given)
    _, out, _ = account.run("install", "--dry-run", "--package-version", "9.9.9")
    assert "IDLE_TIMEOUT=10800, now 7200" in out
    assert "WHEEL=s3://bucket/a.whl, now none" in out
    assert 'MORE_SETTINGS={"dry_run":true}, now {}' in out
    assert out.count("IDLE_TIMEOUT=10800") == 1

    _, out, _ = account.run("install", "--dry-run", "--package-version", "9.9.9", *given)
    assert "other settings" not in out


def test_a_notebook_instances_options_are_not_silently_undone_either(account: Account) -> None:
    enter(account)
    account.run("install", "--yes", "--notebook-instance", NAME, "--idle-timeout", "3h")
    _, out, _ = account.run("install", "--dry-run", "--notebook-instance", NAME)
    assert "after 2 h idle" in out
    assert "IDLE_TIMEOUT=10800, now 7200" in out


def test_the_settings_of_a_script_that_runs_first_are_not_taken_for_ours() -> None:
    theirs = "#!/bin/bash\nVERSION=7\nIDLE_TIMEOUT=60\n"
    whole = combined(render(Kind.SPACE, SETTINGS), "arn", theirs)
    assert described(whole) == described(render(Kind.SPACE, SETTINGS))
    assert replaced(whole, render(Kind.SPACE, SETTINGS)) == ""


def test_what_is_installed_and_what_it_does_is_said() -> None:
    said = described(render(Kind.SPACE, SETTINGS))
    assert f"installs {__version__} from s3://bucket/a.whl (checksum checked)" in said
    assert "after 3 h idle" in said
    assert "warns users 10 min before" in said
    assert '"max_idle_timeout":14400' in said
    assert "from the package index (checksum not checked)" in described(render(Kind.SPACE))


@pytest.mark.parametrize(
    ("more", "is_said"),
    [
        ({}, True),
        ({"max_idle_timeout": 14400}, False),
        ({"max_idle_timeout": None}, True),
        ({"allow_user_settings": False}, False),
        ({"allow_user_settings": ["warning_time"]}, False),
        ({"allow_user_settings": ["idle_timeout"]}, True),
    ],
)
def test_a_limit_that_users_may_set_without_bound_is_said_before_it_is_agreed_to(
    more: dict[str, Any], is_said: bool
) -> None:
    said = unbounded(render(Kind.SPACE, ScriptSettings(more=more)))
    assert (f"users may set any limit up to {span(MAX_SECONDS)}" in said) == is_said
    assert ("max_idle_timeout" in said) == is_said
    assert (said in notes(render(Kind.SPACE, ScriptSettings(more=more)), None)) == is_said


def test_no_password_or_token_gets_from_a_script_into_a_pipelines_log(account: Account) -> None:
    index = "https://reader:hunter2@packages.example.com/simple"
    headers = '{"Authorization":"Bearer hunter2"}'
    secret = ("--index-url", index, "--set", f"remote_write_headers={headers}")
    _, out, err = account.run("install", "--yes", *secret, "--set", "dry_run=true")
    assert "https://***@packages.example.com/simple" in out
    assert '"dry_run":true' in out
    assert "everyone who may read the script can see" in out
    _, changed, _ = account.run("install", "--dry-run")
    assert "remote_write_headers" in changed
    assert "hunter2" not in out + err + changed


def test_a_script_of_ones_own_is_not_claimed_to_do_what_it_does_not() -> None:
    assert described("#!/bin/bash\nexit 0\n") == ""
    assert replaced(render(Kind.SPACE), "#!/bin/bash\nIDLE_TIMEOUT='9\n") == ""
