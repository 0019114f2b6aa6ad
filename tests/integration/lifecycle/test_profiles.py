"""A user profile's settings hide the domain's: earlier settings must go on applying."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sagemaker_autoshutdown.lifecycle.attach import NO_ARN, is_ours, without_nothing
from tests.localstudio import names

from .conftest import IMAGE, Account

CLASSIC, LAB = "JupyterServerAppSettings", "JupyterLabAppSettings"
ADA = ("--user-profile", "ada")
VERSION_3 = f"arn:aws:sagemaker:{names.REGION}:{names.ACCOUNT}:image/jupyter-server-3"


def set_classic(account: Account, **members: Any) -> None:
    """The domain's settings for JupyterServer apps."""
    settings = account.domain["DefaultUserSettings"]
    settings[CLASSIC] = members
    account.client.update_domain(DomainId=account.domain_id, DefaultUserSettings=settings)


def set_profile(account: Account, **settings: Any) -> None:
    """The settings of ada's profile."""
    account.client.update_user_profile(
        DomainId=account.domain_id, UserProfileName="ada", UserSettings=settings
    )


def without_ours(app: dict[str, Any]) -> Any:
    """Settings of a type of apps, as they were before ours."""
    spec = {k: v for k, v in app.get("DefaultResourceSpec", {}).items() if not is_ours(str(v))}
    listed = [arn for arn in app.get("LifecycleConfigArns", []) if not is_ours(arn)]
    rest = {k: v for k, v in app.items() if k != "BuiltInLifecycleConfigArn"}
    return without_nothing({**rest, "DefaultResourceSpec": spec, "LifecycleConfigArns": listed})


def test_a_profiles_own_script_does_not_hide_the_domains_image_and_scripts(
    account: Account,
) -> None:
    other = account.create_config("other", "JupyterServer")
    repositories = [{"RepositoryUrl": "https://example.com/repo.git"}]
    set_classic(
        account,
        DefaultResourceSpec={"InstanceType": "system", "SageMakerImageArn": VERSION_3},
        LifecycleConfigArns=[other],
        CodeRepositories=repositories,
    )
    code, out, _ = account.run("install", "--yes", *ADA)
    assert code == 0
    classic = account.profile("ada")[CLASSIC]
    ours = classic["DefaultResourceSpec"]["LifecycleConfigArn"]
    assert classic == {
        "DefaultResourceSpec": {
            "InstanceType": "system",
            "SageMakerImageArn": VERSION_3,
            "LifecycleConfigArn": ours,
        },
        "LifecycleConfigArns": [other, ours],
        "CodeRepositories": repositories,
    }
    lab = account.profile("ada")[LAB]
    assert lab["DefaultResourceSpec"]["SageMakerImageArn"] == IMAGE
    assert lab["CustomImages"]
    assert lab["AppLifecycleManagement"]["IdleSettings"]["IdleTimeoutInMinutes"] == 120
    # It is shown before the admin agrees.
    copied = "CodeRepositories, DefaultResourceSpec, LifecycleConfigArns"
    assert f"has no {copied} of its own in its {CLASSIC}" in out


def test_uninstall_takes_the_copies_of_the_domains_settings_away_or_says_so(
    account: Account,
) -> None:
    set_classic(
        account,
        DefaultResourceSpec={"InstanceType": "system", "SageMakerImageArn": VERSION_3},
        CodeRepositories=[{"RepositoryUrl": "https://example.com/repo.git"}],
    )
    account.run("install", "--yes", *ADA)
    # The domain's may change meanwhile.
    set_classic(account, DefaultResourceSpec={"InstanceType": "system"})
    code, out, _ = account.run("uninstall", "--yes", *ADA)
    assert (code, account.configs) == (0, [])
    ada = account.profile("ada")
    assert ada[LAB].get("BuiltInLifecycleConfigArn") in (None, NO_ARN)
    if account.studio.studio.account.deep_updates:  # which keep members that they are not given
        assert "still has settings that this command wrote" in out
        assert "UserSettings.JupyterLabAppSettings.CustomImages" in out
    else:
        assert without_nothing(ada) == {}


def test_a_copy_that_was_changed_since_is_not_taken_away(account: Account) -> None:
    account.run("install", "--yes", *ADA)
    settings = account.profile("ada")
    settings[LAB]["DefaultResourceSpec"]["InstanceType"] = "ml.g5.xlarge"
    set_profile(account, **{LAB: settings[LAB]})
    code, out, _ = account.run("uninstall", "--yes", *ADA)
    assert code == 0
    spec = account.profile("ada")[LAB]["DefaultResourceSpec"]
    assert spec["InstanceType"] == "ml.g5.xlarge"
    assert "has been changed since: it stays" in out


def test_what_a_profile_has_of_its_own_is_neither_copied_nor_taken_away(account: Account) -> None:
    own = {
        CLASSIC: {"DefaultResourceSpec": {"InstanceType": "system"}},
        LAB: {"DefaultResourceSpec": {"InstanceType": "ml.t3.medium"}},
    }
    set_classic(
        account, DefaultResourceSpec={"InstanceType": "system", "SageMakerImageArn": VERSION_3}
    )
    set_profile(account, **own)
    account.run("install", "--yes", *ADA)
    during = account.profile("ada")
    assert {name: without_ours(app) for name, app in during.items()} == own
    account.run("uninstall", "--yes", *ADA)
    assert without_nothing(account.profile("ada")) == own


def test_a_second_install_takes_over_what_the_domain_has_changed(account: Account) -> None:
    set_classic(account, DefaultResourceSpec={"InstanceType": "system"})
    account.run("install", "--yes", *ADA)
    begin = account.changes()
    assert account.run("install", "--yes", *ADA)[0] == 0
    assert account.changes() == begin
    set_classic(
        account, DefaultResourceSpec={"InstanceType": "system", "SageMakerImageArn": VERSION_3}
    )
    account.run("install", "--yes", *ADA)
    spec = account.profile("ada")[CLASSIC]["DefaultResourceSpec"]
    assert spec["SageMakerImageArn"] == VERSION_3
    assert len(account.configs) == 2


def test_a_profile_that_goes_back_to_the_domains_settings_does_not_keep_its_script(
    account: Account,
) -> None:
    """Installed for ada, then for all, then taken back from ada: the domain's must apply to her."""
    theirs = account.create_config("theirs", "JupyterServer")
    built_in = account.create_config("built-in", "JupyterLab")
    settings = account.domain["DefaultUserSettings"]
    settings[LAB]["BuiltInLifecycleConfigArn"] = built_in
    account.client.update_domain(DomainId=account.domain_id, DefaultUserSettings=settings)
    set_classic(
        account,
        DefaultResourceSpec={"InstanceType": "system", "LifecycleConfigArn": theirs},
        LifecycleConfigArns=[theirs],
    )
    account.run("install", "--yes", *ADA)
    classic = account.profile("ada")[CLASSIC]["DefaultResourceSpec"]["LifecycleConfigArn"]
    assert "# Runs first" in account.script(classic)
    account.run("install", "--yes")
    account.run("uninstall", "--yes", *ADA)
    ada = account.profile("ada")
    assert ada[CLASSIC].get("DefaultResourceSpec", {}).get("LifecycleConfigArn") in (None, NO_ARN)
    assert ada[CLASSIC].get("LifecycleConfigArns", []) == []
    assert ada[LAB].get("BuiltInLifecycleConfigArn") in (None, NO_ARN)


def test_a_profiles_own_script_gets_its_place_back(account: Account) -> None:
    own = account.create_config("own", "JupyterServer")
    before = {
        "DefaultResourceSpec": {"InstanceType": "system", "LifecycleConfigArn": own},
        "LifecycleConfigArns": [own],
    }
    set_profile(account, **{CLASSIC: before})
    account.run("install", "--yes", *ADA)
    account.run("install", "--yes", *ADA, "--idle-timeout", "1h")
    account.run("uninstall", "--yes", *ADA)
    assert without_nothing(account.profile("ada")[CLASSIC]) == before
    assert account.configs == ["own"]


def test_the_domains_own_idle_shutdown_is_said_for_a_profile_too(account: Account) -> None:
    _, out, _ = account.run("install", "--dry-run", *ADA)
    assert "own idle shutdown is on in the domain's DefaultUserSettings" in out
    idle = {"LifecycleManagement": "DISABLED"}
    set_profile(account, **{LAB: {"AppLifecycleManagement": {"IdleSettings": idle}}})
    _, out, _ = account.run("install", "--dry-run", *ADA)
    assert "own idle shutdown" not in out


def test_settings_of_the_domain_that_this_botocore_does_not_know_are_not_half_copied(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for a member that AWS may add."""
    from sagemaker_autoshutdown.aws import Aws

    see = Aws.call_seeing_all

    def seeing(self: Aws, service: str, operation: str, parameters: dict[str, Any]) -> Any:
        answer, unknown = see(self, service, operation, parameters)
        future = f"DefaultUserSettings.{LAB}.FutureSettings"
        return answer, [*unknown, future] if operation == "DescribeDomain" else unknown

    monkeypatch.setattr(Aws, "call_seeing_all", seeing)
    code, _, err = account.run("install", "--yes", *ADA)
    assert (code, "FutureSettings" in err) == (1, True)
    assert account.changes() == []
    own = {"DefaultResourceSpec": {"InstanceType": "ml.t3.medium"}}
    set_profile(account, **{LAB: own})
    assert account.run("install", "--yes", "--kind", "space", *ADA)[0] == 0


def test_a_script_that_is_not_utf_8_is_not_changed_by_being_copied(account: Account) -> None:
    script = "#!/bin/bash\necho 'caf\xe9'\n".encode("latin-1")
    theirs = account.client.create_studio_lifecycle_config(
        StudioLifecycleConfigName="theirs",
        StudioLifecycleConfigContent=base64.b64encode(script).decode(),
        StudioLifecycleConfigAppType="JupyterLab",
    )["StudioLifecycleConfigArn"]
    settings = account.domain["DefaultUserSettings"]
    settings[LAB]["BuiltInLifecycleConfigArn"] = theirs
    account.client.update_domain(DomainId=account.domain_id, DefaultUserSettings=settings)
    changes = account.changes()
    code, _, err = account.run("install", "--yes")
    assert (code, "theirs" in err, "not valid UTF-8 (byte 21)" in err) == (1, True, True)
    assert account.changes() == changes


def test_an_uninstall_from_the_domain_does_not_hide_that_a_profile_keeps_its_own(
    account: Account,
) -> None:
    account.run("install", "--yes", "--user-profile", "ada", "--idle-timeout", "1h")
    account.run("install", "--yes")
    _, out, _ = account.run("uninstall", "--yes")
    assert "`lifecycle-config status` shows who still has it" in out
    assert "script of their own" in out
    _, out, _ = account.run("status")
    # Her own Classic, and the private space that she owns.
    assert "2 of 4 will start with it" in out
