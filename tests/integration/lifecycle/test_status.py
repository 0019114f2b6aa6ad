"""``lifecycle-config status``: who has it, who must restart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sagemaker_autoshutdown import __version__, aws
from sagemaker_autoshutdown.lifecycle import throttling as waiting
from tests.localstudio import AppKey, Fault, user
from tests.localstudio.state import Resource

from .conftest import Account


def rows(account: Account, *more: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What the command says, by owner and kind."""
    code, out, _ = account.run("status", "--json", *more)
    assert code == 0
    return {(row["owner"], row["kind"]): row for row in json.loads(out)}


def start_app(account: Account, owner_kind: str, owner: str, app_type: str) -> None:
    """An app that is in service as far as the API can tell, started with what is attached now."""
    from tests.localstudio.operations.lifecycle import configs_of

    state = account.studio.studio.account
    key = AppKey(account.domain_id, owner_kind, owner, app_type, "default")

    def enter() -> None:
        now = account.studio.studio.now()
        chosen, built_in = configs_of(state, key, {})
        app = state.create_app(
            key,
            Resource(
                "system" if app_type == "JupyterServer" else "ml.t3.medium",
                lifecycle_config_arn=chosen,
                built_in_lifecycle_config_arn=built_in,
            ),
            now,
        )
        state.app_is_up(key, app.run, now)

    account.studio.do(lambda _: enter())


def test_it_tells_who_runs_which_version_and_who_must_restart(account: Account) -> None:
    start_app(account, "user-profile", "ada", "JupyterServer")
    start_app(account, "space", "team-a", "JupyterLab")
    assert {row["advice"] for row in rows(account).values()} == {"not installed"}

    account.run("install", "--yes")
    told = rows(account)
    assert {row["next_start"] for row in told.values()} == {__version__}
    must = {key for key, row in told.items() if row["advice"] == "must restart"}
    assert must == {("ada", "classic"), ("team-a", "space")}
    assert told["ada", "classic"]["runs"] is None
    assert told["grace", "classic"]["status"] == ""

    start_app(account, "space", "shared", "JupyterLab")
    assert rows(account)["shared", "space"] == {
        "owner_kind": "space",
        "owner": "shared",
        "kind": "space",
        "status": "InService",
        "runs": __version__,
        "next_start": __version__,
        "advice": "",
    }
    account.run("install", "--yes", "--package-version", "9.9.9")
    told = rows(account)
    assert (told["shared", "space"]["runs"], told["shared", "space"]["next_start"]) == (
        __version__,
        "9.9.9",
    )
    assert told["shared", "space"]["advice"] == "must restart"

    account.run("uninstall", "--yes")
    assert rows(account)["shared", "space"]["advice"] == "uninstalled at the next start"
    _, out, _ = account.run("status")
    assert "0 of 4 have it" in out


def test_a_profile_with_a_script_of_its_own_hides_the_domains(account: Account) -> None:
    theirs = account.create_config("theirs", "JupyterServer")
    account.client.update_user_profile(
        DomainId=account.domain_id,
        UserProfileName="grace",
        UserSettings={
            "JupyterServerAppSettings": {
                "DefaultResourceSpec": {"InstanceType": "system", "LifecycleConfigArn": theirs},
                "LifecycleConfigArns": [theirs],
            }
        },
    )
    account.run("install", "--yes")
    told = rows(account)
    assert told["grace", "classic"]["advice"] == "not installed: it has theirs"
    assert told["ada", "classic"]["next_start"] == __version__
    account.run("install", "--yes", "--user-profile", "grace")
    assert rows(account)["grace", "classic"]["next_start"] == __version__


def test_a_large_domain_is_read_to_its_last_user_profile(account: Account) -> None:
    for number in range(230):
        account.studio.create_owner(user(f"u-{number:03}"))
    account.run("install", "--yes")
    told = rows(account)
    assert len([key for key in told if key[0].startswith("u-")]) == 230
    assert len(account.studio.calls("ListUserProfiles")) == 3


def test_a_profile_that_stayed_at_an_older_version_is_counted(account: Account) -> None:
    account.run("install", "--yes", "--user-profile", "ada")
    account.run("install", "--yes", "--package-version", "9.9.9")
    _, out, _ = account.run("status")
    assert f"4 of 4 have it from their next start on ({__version__}: 2, 9.9.9: 2)" in out


def test_a_domain_with_too_many_calls_for_aws_is_read_all_the_same(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(waiting, "sleep", waits.append)
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    account.run("install", "--yes")
    account.studio.fault(Fault("DescribeUserProfile", code="ThrottlingException", times=2))
    code, out, err = account.run("status")
    assert code == 0
    assert "4 of 4 have it" in out
    assert waits == [2, 4]
    assert err == (
        "AWS limits the rate of calls: waiting 2 s.\nAWS limits the rate of calls: waiting 4 s.\n"
    )


def test_aws_that_refuses_for_minutes_is_not_waited_for_for_ever(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(waiting, "sleep", waits.append)
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    account.studio.fault(Fault("ListApps", code="ThrottlingException"))
    code, _, err = account.run("status")
    assert code == 1
    assert "limits the rate of calls: wait" in err
    assert 60 <= sum(waits) <= 180
