"""Wherever the command stops, every app starts with a script that exists, and the output names
the state."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sagemaker_autoshutdown import aws
from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.lifecycle import throttling
from sagemaker_autoshutdown.lifecycle.attach import is_ours
from tests.localstudio import Fault

from .conftest import Account

CLASSIC, LAB = "JupyterServerAppSettings", "JupyterLabAppSettings"
BOTH = ("--user-profile", "ada", "--user-profile", "grace")
NEWER = ("--package-version", "9.9.9")


class Terminal(io.StringIO):
    """A user who types."""

    def __init__(self, typed: str | Callable[[], str]) -> None:
        super().__init__(typed if isinstance(typed, str) else "")
        self.typed = typed

    def isatty(self) -> bool:
        return True

    def readline(self, *size: Any) -> str:  # type: ignore[override]
        return super().readline(*size) if isinstance(self.typed, str) else self.typed()


def attached_scripts(account: Account) -> list[str]:
    """The ARNs in our places, of the domain and of both profiles."""
    settings = [account.domain["DefaultUserSettings"], account.domain["DefaultSpaceSettings"]]
    settings += [account.profile(name) for name in ("ada", "grace")]
    found = [each.get(LAB, {}).get("BuiltInLifecycleConfigArn") for each in settings]
    specs = [each.get(CLASSIC, {}).get("DefaultResourceSpec", {}) for each in settings]
    found += [spec.get("LifecycleConfigArn") for spec in specs]
    return [arn for arn in found if is_ours(arn)]


def assert_all_start(account: Account) -> None:
    """The attached script exists: otherwise an app does not start."""
    assert {arn.rpartition("/")[2] for arn in attached_scripts(account)} <= {*account.configs}


def test_nothing_is_deleted_before_all_is_updated_and_read_back(account: Account) -> None:
    account.run("install", "--yes", *BOTH)
    begin = len(account.changes())
    assert account.run("install", "--yes", *BOTH, *NEWER)[0] == 0
    made = account.changes()[begin:]
    kinds = ["Delete" if name.startswith("Delete") else "other" for name in made]
    assert kinds == sorted(kinds, reverse=True)
    operations = [call.operation for call in account.studio.calls()]
    assert operations[operations.index("DeleteStudioLifecycleConfig") - 1] == "DescribeUserProfile"
    assert len(account.configs) == len(set(attached_scripts(account)))


def test_an_update_that_fails_half_way_leaves_the_old_script_for_who_still_has_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.run("install", "--yes", *BOTH)
    call = Aws.call_blocking

    def failing(self: Aws, service: str, operation: str, p: dict[str, Any]) -> dict[str, Any]:
        if operation == "UpdateUserProfile" and p["UserProfileName"] == "grace":
            account.studio.fault(Fault("UpdateUserProfile", code="ThrottlingException"))
        return call(self, service, operation, p)

    monkeypatch.setattr(Aws, "call_blocking", failing)
    monkeypatch.setattr(throttling, "sleep", lambda seconds: None)
    code, out, err = account.run("install", "--yes", *BOTH, *NEWER)
    assert code == 1
    assert "done: update user profile ada" in out
    assert "not done: update user profile grace" in out
    assert "not done: delete the lifecycle configuration" in out
    assert "Run the command again: it checks and continues" in err
    assert_all_start(account)
    monkeypatch.undo()
    for name, value in account.studio.aws_environment().items():
        monkeypatch.setenv(name, value)
    account.studio.faults_off()
    assert account.run("install", "--yes", *BOTH, *NEWER)[0] == 0
    assert all("9-9-9" in name for name in account.configs)
    assert_all_start(account)


CHANGES = [
    "CreateStudioLifecycleConfig",
    "UpdateDomain",
    "DescribeDomain",
    "DescribeStudioLifecycleConfig",
]


@pytest.mark.parametrize("operation", CHANGES)
@pytest.mark.parametrize("error", ["AccessDeniedException", "ThrottlingException"])
def test_a_call_that_is_refused_is_named_and_the_next_run_goes_on(
    account: Account, monkeypatch: pytest.MonkeyPatch, operation: str, error: str
) -> None:
    monkeypatch.setattr(throttling, "sleep", lambda seconds: None)
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    account.run("install", "--yes")
    account.studio.fault(Fault(operation, code=error))
    code, out, err = account.run("install", "--yes", *NEWER)
    assert code == 1
    assert operation in err
    if error == "AccessDeniedException":
        assert f"sagemaker:{operation}; `lifecycle-config policy admin`" in err
    else:
        assert "limits the rate of calls: wait" in err
    assert "Traceback" not in out + err
    assert "doctor" not in err
    account.studio.faults_off()
    assert_all_start(account)
    assert account.run("install", "--yes", *NEWER)[0] == 0
    assert all("9-9-9" in name for name in account.configs)


def test_what_can_not_be_deleted_is_named_with_the_command_for_it(account: Account) -> None:
    account.run("install", "--yes")
    old = account.configs
    account.studio.fault(Fault("DeleteStudioLifecycleConfig", code="AccessDeniedException"))
    code, _, err = account.run("install", "--yes", *NEWER)
    assert code == 1
    assert "made and verified" in err
    for name in old:
        assert f"delete-studio-lifecycle-config --studio-lifecycle-config-name {name}" in err
    assert_all_start(account)


@pytest.mark.parametrize("ends", [KeyboardInterrupt, EOFError])
def test_ctrl_c_and_ctrl_d_at_the_question_change_nothing_and_say_so(
    account: Account, monkeypatch: pytest.MonkeyPatch, ends: type[BaseException]
) -> None:
    def end() -> str:
        raise ends

    monkeypatch.setattr(sys, "stdin", Terminal(end))
    code, _, err = account.run("install")
    assert (code, err, account.changes()) == (1, "Nothing was changed.\n", [])


def test_ctrl_c_in_the_midst_says_what_stands(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Aws.call_blocking

    def interrupted(self: Aws, service: str, operation: str, p: dict[str, Any]) -> dict[str, Any]:
        if operation == "UpdateDomain":
            raise KeyboardInterrupt
        return call(self, service, operation, p)

    monkeypatch.setattr(Aws, "call_blocking", interrupted)
    code, out, err = account.run("install", "--yes")
    assert code == 1
    assert "done: create the lifecycle configuration" in out
    assert f"not done: update domain {account.domain_id}" in out
    assert err.startswith("Interrupted")


def test_what_a_stopped_upgrade_leaves_behind_is_named_with_the_command_for_it(
    account: Account,
) -> None:
    """If the update was accepted all the same, the next run has nothing to do."""
    account.run("install", "--yes")
    old = account.configs
    account.studio.fault(Fault("UpdateDomain", drop=True, after=True))
    code, out, _ = account.run("install", "--yes", *NEWER)
    assert code == 1
    for name in old:
        assert f"delete-studio-lifecycle-config --studio-lifecycle-config-name {name}" in out


def test_what_somebody_else_changed_while_the_question_stood_is_not_overwritten(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile() -> str:
        settings = account.domain["DefaultUserSettings"]
        settings[LAB]["DefaultResourceSpec"]["InstanceType"] = "ml.g5.xlarge"
        account.client.update_domain(DomainId=account.domain_id, DefaultUserSettings=settings)
        return "y\n"

    monkeypatch.setattr(sys, "stdin", Terminal(meanwhile))
    code, _, err = account.run("install")
    assert (code, "have changed since the plan was made" in err) == (1, True)
    assert account.changes() == ["UpdateDomain"]
    spec = account.domain["DefaultUserSettings"][LAB]["DefaultResourceSpec"]
    assert spec["InstanceType"] == "ml.g5.xlarge"


def test_two_installs_at_once_do_not_fail_for_each_other(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Aws.call_blocking

    def twice(self: Aws, service: str, operation: str, p: dict[str, Any]) -> dict[str, Any]:
        answer = call(self, service, operation, p)
        return call(self, service, operation, p) if operation.startswith("Create") else answer

    monkeypatch.setattr(Aws, "call_blocking", twice)
    code, out, _ = account.run("install", "--yes")
    assert (code, "it already exists" in out) == (0, True)
    assert_all_start(account)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--domain-id", "d-nowhere"), "Check --domain-id"),
        (("--user-profile", "nobody"), "--user-profile"),
    ],
)
def test_a_name_that_is_not_there_is_said_with_what_to_check(
    account: Account, arguments: tuple[str, ...], says: str
) -> None:
    code, _, err = account.run("install", "--yes", *arguments)
    assert (code, says in err, "already gone" in err) == (1, True, False)
    assert account.changes() == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("install", "--kind", "space", "--notebook-instance", "x"), "--kind is for the apps of"),
        (("install", "--package-version", "1; id", "--dry-run"), "looks like 1.2.3"),
        (("install", "--index-url", "ftp://x", "--dry-run"), "the package index must be"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_asked(
    account: Account, arguments: tuple[str, ...], says: str
) -> None:
    begin = len(account.studio.calls())
    code, _, err = account.run(*arguments)
    assert (code, says in err, len(account.studio.calls()) - begin) == (2, True, 0)


def test_a_kind_that_there_is_not_is_answered_with_those_there_are(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        account.run("render", "lab")
    assert "'lab' is not one of classic, space, notebook-instance" in capsys.readouterr().err
