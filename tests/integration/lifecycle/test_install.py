"""``lifecycle-config install`` and ``uninstall`` against the local Studio: nothing is lost."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from sagemaker_autoshutdown.lifecycle import policy
from sagemaker_autoshutdown.lifecycle.attach import NO_ARN, is_ours, without_nothing
from sagemaker_autoshutdown.lifecycle.script import Kind, ScriptSettings, render
from tests.localstudio import Fault, names
from tests.localstudio.operations import SERVICES, Backend

from .conftest import Account

CLASSIC, LAB = "JupyterServerAppSettings", "JupyterLabAppSettings"


def places(settings: dict[str, Any]) -> dict[str, str | None]:
    """The ARN in our place, by kind."""
    spec = settings.get(CLASSIC, {}).get("DefaultResourceSpec", {})
    return {
        "classic": spec.get("LifecycleConfigArn"),
        "space": settings.get(LAB, {}).get("BuiltInLifecycleConfigArn"),
    }


def without_places(settings: dict[str, Any]) -> Any:
    """Settings without lifecycle configurations, to see other changes."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items() if "Lifecycle" not in k or "App" in k}
        return value

    cleaned = clean(settings)
    for group in cleaned.values():
        if group.get(CLASSIC, {}).get("DefaultResourceSpec") == {"InstanceType": "system"}:
            del group[CLASSIC]["DefaultResourceSpec"]  # the default
    return without_nothing(cleaned)


def test_install_attaches_both_kinds_and_keeps_all_that_is_there(account: Account) -> None:
    before = account.domain
    code, out, _ = account.run("install", "--yes", "--idle-timeout", "30m")
    assert code == 0
    after = account.domain
    for group in ("DefaultUserSettings", "DefaultSpaceSettings"):
        for kind, arn in places(after[group]).items():
            assert arn is not None
            assert is_ours(arn), (group, kind)
            assert account.script(arn) == render(Kind(kind), ScriptSettings(idle_timeout=1800))
    assert without_places(after) == without_places(before)
    assert "own idle shutdown is on in the DefaultUserSettings" in out
    # A default that is not selectable keeps the app from starting.
    classic = after["DefaultUserSettings"][CLASSIC]
    assert classic["LifecycleConfigArns"] == [classic["DefaultResourceSpec"]["LifecycleConfigArn"]]


def test_a_second_install_changes_nothing(account: Account) -> None:
    account.run("install", "--yes")
    changes = account.changes()
    code, out, _ = account.run("install", "--yes")
    assert (code, "Nothing needs to be changed." in out) == (0, True)
    assert account.changes() == changes


def test_uninstall_takes_back_exactly_what_was_attached(account: Account) -> None:
    before = account.domain
    account.run("install", "--yes")
    code, _, _ = account.run("uninstall", "--yes")
    assert code == 0
    after = account.domain
    assert without_nothing(_plain(after)) == without_nothing(_plain(before))
    assert account.configs == []
    changes = account.changes()
    assert account.run("uninstall", "--yes")[0] == 0
    assert account.changes() == changes


def test_what_other_scripts_are_attached_stays_attached(account: Account) -> None:
    theirs = account.create_config("theirs", "JupyterServer")
    chosen = account.create_config("chosen", "JupyterLab")
    kernels = account.create_config("kernels", "KernelGateway")
    settings = account.domain["DefaultUserSettings"]
    settings[CLASSIC]["LifecycleConfigArns"] = [theirs]
    settings[LAB]["LifecycleConfigArns"] = [chosen]
    settings[LAB]["DefaultResourceSpec"]["LifecycleConfigArn"] = chosen
    settings["KernelGatewayAppSettings"]["LifecycleConfigArns"] = [kernels]
    account.client.update_domain(DomainId=account.domain_id, DefaultUserSettings=settings)
    before = account.domain
    account.run("install", "--yes")
    after = account.domain["DefaultUserSettings"]
    assert after[CLASSIC]["LifecycleConfigArns"][0] == theirs
    assert after[LAB]["LifecycleConfigArns"] == [chosen]
    assert after[LAB]["DefaultResourceSpec"]["LifecycleConfigArn"] == chosen
    assert after["KernelGatewayAppSettings"]["LifecycleConfigArns"] == [kernels]
    account.run("uninstall", "--yes")
    assert without_nothing(_plain(account.domain)) == without_nothing(_plain(before))


def test_a_default_script_that_was_there_goes_on_running_and_gets_its_place_back(
    account: Account, tmp_path: Any
) -> None:
    marks = tmp_path / "marks"
    theirs = account.create_config(
        "theirs", "JupyterServer", f'#!/bin/bash\necho "it\'s theirs" >> {marks}\nexit 7\n'
    )
    built_in = account.create_config("built-in", "JupyterLab")
    settings = account.domain["DefaultUserSettings"]
    settings[CLASSIC] = {
        "DefaultResourceSpec": {"InstanceType": "system", "LifecycleConfigArn": theirs},
        "LifecycleConfigArns": [theirs],
    }
    settings[LAB]["BuiltInLifecycleConfigArn"] = built_in
    account.client.update_domain(DomainId=account.domain_id, DefaultUserSettings=settings)
    before = account.domain

    code, out, _ = account.run("install", "--yes")
    assert (code, "theirs still runs, before our script" in out) == (0, True)
    ours = places(account.domain["DefaultUserSettings"])["classic"]
    assert ours is not None
    assert is_ours(ours)
    file = tmp_path / "on-start"
    file.write_text(account.script(ours).replace("\nROOT=''", f"\nROOT={tmp_path}/no-image"))
    env = {"PATH": "/usr/bin:/bin"}
    result = subprocess.run(["/bin/bash", str(file)], env=env, capture_output=True, text=True)
    assert marks.read_text() == "it's theirs\n"
    assert "NOT INSTALLED" in result.stdout
    # As without ours: a script that fails keeps the app from starting.
    assert result.returncode == 7

    # Another version replaces ours only, not theirs.
    account.run("install", "--yes", "--idle-timeout", "1h")
    newer = places(account.domain["DefaultUserSettings"])["classic"]
    assert newer not in (None, ours, theirs)
    assert f's theirs" >> {marks}' in account.script(str(newer))
    account.run("uninstall", "--yes")
    assert without_nothing(_plain(account.domain)) == without_nothing(_plain(before))
    assert sorted(account.configs) == ["built-in", "theirs"]


def test_a_few_users_first_and_then_the_domain(account: Account) -> None:
    before = account.domain, account.profile("grace")
    account.run("install", "--yes", "--user-profile", "ada")
    assert all(is_ours(arn) for arn in places(account.profile("ada")).values())
    assert (account.domain, account.profile("grace")) == before
    account.run("uninstall", "--yes", "--user-profile", "ada")
    assert places(account.profile("ada")) in (
        {"classic": None, "space": None},
        {"classic": NO_ARN, "space": NO_ARN},
    )
    assert account.configs == []


def test_an_upgrade_replaces_ours_and_removes_the_old_one(account: Account) -> None:
    account.run("install", "--yes")
    old = set(account.configs)
    code, _, _ = account.run("install", "--yes", "--package-version", "9.9.9")
    assert code == 0
    assert len(account.configs) == 2
    assert not old & set(account.configs)
    assert all("9-9-9" in name for name in account.configs)


def test_a_plan_is_shown_and_nothing_is_done_before_it_is_agreed_to(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = account.run("install", "--dry-run")
    assert code == 0
    assert "create the lifecycle configuration sagemaker-autoshutdown-" in out
    assert f"update domain {account.domain_id}" in out
    code, _, err = account.run("install")
    assert (code, "--yes" in err) == (2, True)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for answer, done in (("\n", False), ("no\n", False), ("y\n", True)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        code, _, _ = account.run("install")
        assert (code == 0, bool(account.changes())) == (done, done)


def test_settings_that_this_botocore_does_not_know_are_not_written_back(account: Account) -> None:
    described = account.client.describe_domain(DomainId=account.domain_id)
    settings = described["DefaultUserSettings"]
    settings[LAB]["FutureSettings"] = {"Mode": "New"}
    body = {"DomainId": account.domain_id, "DomainArn": described["DomainArn"]}
    account.studio.fault(
        Fault("DescribeDomain", body=json.dumps({**body, "DefaultUserSettings": settings}))
    )
    code, _, err = account.run("install", "--yes", "--domain-id", account.domain_id)
    assert code == 1
    assert f"does not know DefaultUserSettings.{LAB}.FutureSettings" in err
    assert "pip install --upgrade" in err
    assert account.changes() == []


def test_what_aws_lost_on_the_way_is_found_when_it_is_read_back(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for an update that does more than it should."""
    functions = SERVICES[0].functions
    update = functions["UpdateDomain"]

    async def forgetful(backend: Backend, p: dict[str, Any]) -> dict[str, Any] | None:
        answer = await update(backend, p)
        domain = backend.account.domain(p["DomainId"])
        settings = {
            **domain.settings,
            "DefaultUserSettings": dict(domain.settings["DefaultUserSettings"]),
        }
        del settings["DefaultUserSettings"]["SharingSettings"]
        backend.account.domains[domain.id] = replace(domain, settings=settings)
        return answer

    monkeypatch.setitem(functions, "UpdateDomain", forgetful)
    code, _, err = account.run("install", "--yes")
    assert code == 1
    assert "reads back differently at DefaultUserSettings.SharingSettings" in err


def test_a_missing_right_is_named(account: Account) -> None:
    account.studio.fault(Fault("UpdateDomain", code="AccessDeniedException"))
    code, _, err = account.run("install", "--yes")
    assert code == 1
    assert "sagemaker:UpdateDomain" in err
    assert "policy admin" in err
    account.studio.faults_off()
    # The same command continues from there.
    assert account.run("install", "--yes")[0] == 0


def test_a_script_that_is_still_in_use_is_left_and_said(account: Account) -> None:
    account.run("install", "--yes")
    account.studio.fault(Fault("DeleteStudioLifecycleConfig", code="ResourceInUse"))
    code, out, _ = account.run("uninstall", "--yes")
    assert code == 0
    assert "it is still in use" in out


def test_the_policy_that_is_printed_is_all_that_is_needed(account: Account) -> None:
    _, out, _ = account.run("policy", "admin")
    [statement] = json.loads(out)["Statement"]
    for command in (
        ("install", "--yes"),
        ("install", "--yes", "--user-profile", "ada"),
        ("status",),
        ("uninstall", "--yes"),
        ("uninstall", "--yes", "--user-profile", "ada"),
    ):
        begin = len(account.studio.calls())
        assert account.run(*command)[0] == 0
        called = {f"sagemaker:{call.operation}" for call in account.studio.calls()[begin:]}
        assert called <= set(policy.ADMIN[command[0]])
        assert called <= set(statement["Action"])


def test_own_scripts_get_the_line_ends_that_they_need(account: Account, tmp_path: Any) -> None:
    file = tmp_path / "mine.sh"
    file.write_bytes(render(Kind.SPACE).replace("\n", "\r\n").encode())
    assert account.run("install", "--yes", "--script", str(file))[0] == 2
    account.run("install", "--yes", "--kind", "space", "--script", str(file))
    arn = places(account.domain["DefaultUserSettings"])["space"]
    assert account.script(str(arn)) == render(Kind.SPACE)


def test_more_than_one_domain_must_be_chosen_from(account: Account) -> None:
    account.studio.create_domain("second")
    code, _, err = account.run("install", "--yes")
    assert (code, account.domain_id in err, "second" in err) == (1, True, True)


def _plain(domain: dict[str, Any]) -> dict[str, Any]:
    """A Classic default with nothing but the only instance type there means nothing."""
    for group in domain.values():
        spec = group.get(CLASSIC, {}).get("DefaultResourceSpec")
        if spec is not None and spec.get("LifecycleConfigArn") in (None, NO_ARN):
            spec.pop("LifecycleConfigArn", None)
            if spec == {"InstanceType": "system"}:
                del group[CLASSIC]["DefaultResourceSpec"]
    return domain


def test_the_roles_policy_is_filled_in_for_a_domain(account: Account) -> None:
    code, out, err = account.run("policy", "execution-role", "--domain-id", account.domain_id)
    assert code == 0
    statements = {each["Sid"]: each for each in json.loads(out)["Statement"]}
    assert statements["SageMakerAutoShutdownPrivateSpaces"]["Resource"] == (
        f"arn:aws:sagemaker:{names.REGION}:{names.ACCOUNT}:app/{account.domain_id}/*"
    )
    assert err == f"For the execution roles: {names.ROLE_ARN.rpartition('/')[2]}\n"
    code, out, _ = account.run("policy", "status")
    assert (code, json.loads(out)) == (0, policy.status_policy())


def test_a_wheel_without_a_checksum_is_warned_of(account: Account) -> None:
    code, out, _ = account.run("install", "--dry-run", "--wheel", "s3://bucket/a.whl")
    assert code == 0
    assert "WARNING: the script installs any file at s3://bucket/a.whl" in out
    _, out, _ = account.run(
        "install", "--dry-run", "--wheel", "s3://bucket/a.whl", "--sha256", "0" * 64
    )
    assert "WARNING" not in out
