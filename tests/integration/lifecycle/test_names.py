"""Names of lifecycle configurations show the installed version and the owner."""

from __future__ import annotations

import base64

import pytest

from sagemaker_autoshutdown.lifecycle import attach
from sagemaker_autoshutdown.lifecycle.script import (
    InvalidScript,
    Kind,
    ScriptSettings,
    config_name,
    made_by_command,
    render,
    version_of,
)

from .conftest import Account

ARN = "arn:aws:sagemaker:us-east-2:123456789012:studio-lifecycle-config/"
#: Possible names of others' configurations.
FOREIGN = [
    "sagemaker-autoshutdown-team-space-cleanup",
    "sagemaker-autoshutdown-classic-notify",
    "sagemaker-autoshutdown-0-1-0-space-mine",
    "my-sagemaker-autoshutdown-0-1-0-space-01234567",
]


def test_the_version_of_a_script_that_runs_first_does_not_become_ours() -> None:
    theirs = "#!/bin/bash\nVERSION=2.31.0\necho $VERSION\n"
    ours = render(Kind.CLASSIC, ScriptSettings(version="9.8.7"))
    name = config_name(Kind.CLASSIC, attach.combined(ours, ARN + "theirs", theirs))
    assert version_of(name) == "9.8.7"


@pytest.mark.parametrize("kind", Kind)
def test_a_long_version_does_not_make_a_name_that_the_api_refuses(kind: Kind) -> None:
    version = "1.22.333rc4.post5.dev20260101+g0123456789abcdef0123456789abcdef"
    name = config_name(kind, render(kind, ScriptSettings(version=version)))
    assert len(name) <= 63
    assert made_by_command(name)
    assert str(version_of(name)).startswith("1.22.333")


@pytest.mark.parametrize(
    "version",
    [
        "",
        "1.2.3\nrm -rf /",
        "1.2; touch /tmp/x",
        "$(id)",
        "1.2.3'",
        "latest",
        "==1.2",
        "1.2.*",
        "v1",
    ],
)
def test_a_version_that_is_none_does_not_reach_a_script(version: str) -> None:
    with pytest.raises(InvalidScript, match=r"looks like 1\.2\.3"):
        ScriptSettings(version=version)


@pytest.mark.parametrize("version", ["0.1.0", "1.2.3rc1", "1.0.post1.dev2", "2.0+local.1"])
def test_every_version_of_a_package_index_can_be_installed(version: str) -> None:
    assert f"\nVERSION={version}\n" in render(Kind.SPACE, ScriptSettings(version=version))


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_name_that_begins_as_ours_do_is_not_ours(name: str) -> None:
    assert not attach.is_ours(ARN + name)
    assert version_of(name) is None


def test_a_foreign_script_whose_name_begins_as_ours_do_is_kept_and_not_deleted(
    account: Account,
) -> None:
    theirs = account.create_config(FOREIGN[0], "JupyterLab", "#!/bin/bash\necho theirs\n")
    settings = account.domain["DefaultUserSettings"]
    settings["JupyterLabAppSettings"]["BuiltInLifecycleConfigArn"] = theirs
    account.client.update_domain(DomainId=account.domain_id, DefaultUserSettings=settings)
    account.run("install", "--yes", "--kind", "space")
    lab = account.domain["DefaultUserSettings"]["JupyterLabAppSettings"]
    assert "echo theirs" in account.script(lab["BuiltInLifecycleConfigArn"])
    account.run("uninstall", "--yes")
    lab = account.domain["DefaultUserSettings"]["JupyterLabAppSettings"]
    assert lab["BuiltInLifecycleConfigArn"] == theirs
    assert account.configs == [FOREIGN[0]]


def test_a_config_of_the_template_is_known_but_not_taken_for_the_commands() -> None:
    name = "sagemaker-autoshutdown-1-2-3-space-r1"
    assert version_of(name) == "1.2.3"
    assert not made_by_command(name)
    assert made_by_command(config_name(Kind.SPACE, base64.b64encode(b"x").decode()))


def test_what_the_template_attached_is_neither_run_twice_nor_taken_off(account: Account) -> None:
    theirs = account.create_config("sagemaker-autoshutdown-1-2-3-space-r1", "JupyterLab")
    settings = account.domain["DefaultUserSettings"]
    settings["JupyterLabAppSettings"]["BuiltInLifecycleConfigArn"] = theirs
    account.client.update_domain(DomainId=account.domain_id, DefaultUserSettings=settings)
    before, changes = account.domain, account.changes()
    code, _, err = account.run("install", "--yes")
    assert (code, "made by the CloudFormation template: change it there" in err) == (1, True)
    code, out, _ = account.run("uninstall", "--yes")
    assert (code, "made by the CloudFormation template" in out) == (0, True)
    assert (account.domain, account.changes()) == (before, changes)
    # It does not get in the way of a user profile.
    assert account.run("install", "--yes", "--user-profile", "ada")[0] == 0
    ada = account.profile("ada")["JupyterLabAppSettings"]
    assert "Runs first" not in account.script(ada["BuiltInLifecycleConfigArn"])
