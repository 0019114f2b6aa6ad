"""Studio's own idle shutdown for Code Editor: set by the install, restored by the uninstall."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localstudio import names

from .conftest import USER_SETTINGS, Account

IMAGE = {"DefaultResourceSpec": {"InstanceType": "ml.t3.large"}}


def editor(account: Account) -> dict[str, Any]:
    """Code Editor's settings of the domain."""
    return dict(account.domain["DefaultUserSettings"].get("CodeEditorAppSettings") or {})


def idle(account: Account) -> dict[str, Any]:
    """When Studio shuts it down."""
    return dict((editor(account).get("AppLifecycleManagement") or {}).get("IdleSettings") or {})


def set_editor(account: Account, settings: dict[str, Any]) -> None:
    """As another admin has set it."""
    account.client.update_domain(
        DomainId=account.domain_id,
        DefaultUserSettings={"ExecutionRole": names.ROLE_ARN, "CodeEditorAppSettings": settings},
    )


def test_it_is_set_shown_in_the_plan_and_taken_back(account: Account) -> None:
    set_editor(account, IMAGE)
    code, out, _ = account.run("install", "--yes", "--native-idle", "2h")
    assert code == 0
    assert "Studio's own idle shutdown of Code Editor: after 120 minutes (off now)" in out
    assert idle(account) == {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 120}
    assert editor(account)["DefaultResourceSpec"] == IMAGE["DefaultResourceSpec"]
    again, out, _ = account.run("install", "--yes", "--native-idle", "2h")
    assert (again, "Nothing needs to be changed" in out) == (0, True)
    assert account.run("uninstall", "--yes")[0] == 0
    assert idle(account)["LifecycleManagement"] == "DISABLED"
    assert editor(account)["DefaultResourceSpec"] == IMAGE["DefaultResourceSpec"]
    lab = account.domain["DefaultUserSettings"]["JupyterLabAppSettings"]
    assert (
        lab["AppLifecycleManagement"]
        == (USER_SETTINGS["JupyterLabAppSettings"]["AppLifecycleManagement"])
    )


def test_what_was_set_before_comes_back_after_changes_of_ours(account: Account) -> None:
    before = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 600}
    set_editor(account, {"AppLifecycleManagement": {"IdleSettings": before}})
    account.run("install", "--yes", "--native-idle", "2h")
    account.run("install", "--yes", "--native-idle", "3h")
    assert idle(account)["IdleTimeoutInMinutes"] == 180
    assert account.run("uninstall", "--yes")[0] == 0
    assert idle(account) == before


def test_an_install_without_it_takes_it_back(account: Account) -> None:
    account.run("install", "--yes", "--native-idle", "2h")
    code, out, _ = account.run("install", "--yes")
    assert (code, "is restored to its earlier value (after 120 minutes now)" in out) == (0, True)
    assert idle(account)["LifecycleManagement"] == "DISABLED"


def test_what_somebody_else_has_set_since_is_left(account: Account) -> None:
    account.run("install", "--yes", "--native-idle", "2h")
    theirs = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 90}
    set_editor(account, {"AppLifecycleManagement": {"IdleSettings": theirs}})
    assert account.run("uninstall", "--yes")[0] == 0
    assert idle(account) == theirs


# ---- JupyterLab: a second net below ours


def lab(account: Account, group: str = "DefaultUserSettings") -> dict[str, Any]:
    """JupyterLab's settings of the domain."""
    return dict(account.domain[group].get("JupyterLabAppSettings") or {})


def lab_idle(account: Account, group: str = "DefaultUserSettings") -> dict[str, Any]:
    """When Studio shuts it down."""
    managed = lab(account, group).get("AppLifecycleManagement") or {}
    return dict(managed.get("IdleSettings") or {})


BEFORE = USER_SETTINGS["JupyterLabAppSettings"]["AppLifecycleManagement"]["IdleSettings"]
NET = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 300}


def test_a_net_for_jupyterlab_is_held_off_by_our_server_and_taken_back(account: Account) -> None:
    code, out, _ = account.run("install", "--yes", "--native-idle-jupyterlab", "5h")
    assert code == 0
    assert "Studio's own idle shutdown of JupyterLab: after 300 minutes (after 120 minutes" in out
    assert "only while that server lives" in out
    assert "Switch one of the two off" not in out
    for group in ("DefaultUserSettings", "DefaultSpaceSettings"):
        assert lab_idle(account, group) == NET
        script = account.script(lab(account, group)["BuiltInLifecycleConfigArn"])
        assert '"hold_off_native_idle":true' in script
    assert idle(account) == {}
    again, out, _ = account.run("install", "--yes", "--native-idle-jupyterlab", "5h")
    assert (again, "Nothing needs to be changed" in out) == (0, True)

    assert account.run("uninstall", "--yes")[0] == 0
    assert lab_idle(account) == BEFORE
    assert lab_idle(account, "DefaultSpaceSettings")["LifecycleManagement"] == "DISABLED"
    assert (
        lab(account)["DefaultResourceSpec"]
        == (USER_SETTINGS["JupyterLabAppSettings"]["DefaultResourceSpec"])
    )


def test_an_install_without_it_takes_the_net_back_and_the_hold_too(account: Account) -> None:
    account.run("install", "--yes", "--native-idle-jupyterlab", "5h", "--native-idle", "2h")
    account.run("install", "--yes", "--native-idle-jupyterlab", "6h", "--native-idle", "3h")
    assert lab_idle(account)["IdleTimeoutInMinutes"] == 360
    assert idle(account)["IdleTimeoutInMinutes"] == 180
    code, out, _ = account.run("install", "--yes")
    assert (code, "Switch one of the two off" in out) == (0, True)
    assert lab_idle(account) == BEFORE
    assert idle(account)["LifecycleManagement"] == "DISABLED"
    assert "hold_off" not in account.script(lab(account)["BuiltInLifecycleConfigArn"])


def test_what_somebody_else_has_set_for_jupyterlab_since_is_left(account: Account) -> None:
    account.run("install", "--yes", "--native-idle-jupyterlab", "5h")
    theirs = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 90}
    settings = account.domain["DefaultUserSettings"]
    settings["JupyterLabAppSettings"]["AppLifecycleManagement"]["IdleSettings"] = theirs
    account.client.update_domain(DomainId=account.domain_id, DefaultUserSettings=settings)
    assert account.run("uninstall", "--yes")[0] == 0
    assert lab_idle(account) == theirs


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--native-idle-jupyterlab", "30m"), "from 60 to 525600 minutes"),
        (("--native-idle-jupyterlab", "2h", "--user-profile", "ada"), "for whole domains"),
        (
            ("--native-idle-jupyterlab", "2h", "--kind", "space", "--script", "x.sh"),
            "can't be used with --script",
        ),
        (("--native-idle", "30m"), "from 60 to 525600 minutes"),
        (("--native-idle", "2h", "--user-profile", "ada"), "for whole domains"),
        (("--native-idle", "2h", "--kind", "classic"), "in the script for spaces"),
    ],
)
def test_what_studio_does_not_take_is_refused(
    account: Account, arguments: tuple[str, ...], says: str
) -> None:
    code, _, err = account.run("install", "--yes", *arguments)
    assert (code, says in err) == (2, True)
