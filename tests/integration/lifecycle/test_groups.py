"""Installing for some user profiles: by list, tag, percentage, or earlier installation."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown.lifecycle.attach import current, is_ours
from sagemaker_autoshutdown.lifecycle.groups import _share_of
from sagemaker_autoshutdown.lifecycle.parallel import AT_ONCE
from sagemaker_autoshutdown.lifecycle.script import Kind
from tests.localstudio import Fault, space, user
from tests.localstudio.operations import SERVICES, Backend

from .conftest import Account

NEWER = ("--package-version", "9.9.9")
NOBODY = "no user profile of the domain is in this group\n"


def having(account: Account) -> set[str]:
    """The user profiles with a script of their own."""
    listed: Any = account.client.list_user_profiles(
        DomainIdEquals=account.domain_id, MaxResults=100
    )
    names = [each["UserProfileName"] for each in listed["UserProfiles"]]
    return {name for name in names if is_ours(current(Kind.CLASSIC, account.profile(name)))}


def test_a_list_in_a_file_is_installed_for_without_who_is_excluded(
    account: Account, tmp_path: Path
) -> None:
    account.studio.create_owner(user("team-lin"))
    file = tmp_path / "pilots"
    file.write_text("# The pilots.\nada\n\ngrace # since March\nteam-lin\n")
    some = ("--profiles-from", str(file), "--exclude", "team-*")
    assert account.run("install", "--yes", *some)[0] == 0
    assert having(account) == {"ada", "grace"}
    assert account.run("uninstall", "--yes", "--profiles-from", str(file))[0] == 0
    assert having(account) == set()


def test_a_tag_names_a_team(account: Account) -> None:
    account.studio.create_owner(user("lin"), Tags=[{"Key": "team", "Value": "ml"}])
    account.studio.create_owner(user("kay"), Tags=[{"Key": "team", "Value": "bi"}])
    assert account.run("install", "--yes", "--tag", "team=ml")[0] == 0
    assert having(account) == {"lin"}
    code, _, err = account.run("install", "--yes", "--tag", "team=none")
    assert (code, "no user profile of the domain is in this group" in err) == (1, True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Kostenstelle für KI", "Büro 7 +-=._:/@"),
        ("a=b", "c"),
        ("a", "b=c"),
        ("empty", ""),
        ("k" * 128, "v" * 256),
        ("--yes", "-x"),
    ],
    ids=["unicode", "equals in the key", "equals in the value", "empty", "long", "as an option"],
)
def test_a_tag_may_hold_whatever_aws_takes(account: Account, key: str, value: str) -> None:
    account.studio.create_owner(user("lin"), Tags=[{"Key": key, "Value": value}])
    account.studio.create_owner(user("kay"), Tags=[{"Key": key, "Value": f"x{value}"[:256]}])
    account.studio.create_owner(user("mia"), Tags=[{"Key": f"x{key}"[:128], "Value": value}])
    assert account.run("install", "--yes", f"--tag={key}={value}")[0] == 0
    assert having(account) == {"lin"}


def test_names_as_long_and_as_short_as_aws_takes_them_are_installed_for_and_shown(
    account: Account, tmp_path: Path
) -> None:
    longest = "a" + "-b" * 31  # 63 characters
    for name in (longest, "z", "7"):
        account.studio.create_owner(user(name))
    file = tmp_path / "names"
    file.write_text(f"{longest}\nz\n7\n")
    assert account.run("install", "--yes", "--profiles-from", str(file))[0] == 0
    assert having(account) == {longest, "z", "7"}
    _, out, _ = account.run("status")
    assert f"user-profile {longest} " in out
    account.studio.create_owner(
        space("s" * 63),
        OwnershipSettings={"OwnerUserProfileName": longest},
        SpaceSharingSettings={"SharingType": "Private"},
        SpaceSettings={"AppType": "JupyterLab"},
    )
    _, out, _ = account.run("status", "--json")
    [told] = [row for row in json.loads(out) if row["owner"] == "s" * 63]
    assert told["from"] == "user profile"
    assert account.run("uninstall", "--yes", "--profiles-from", str(file))[0] == 0
    assert having(account) == set()


ALL = ("--percent", "99.999999")


def test_who_is_deleted_meanwhile_keeps_nobody_else_waiting(account: Account) -> None:
    account.studio.create_owner(user("lin"), Tags=[{"Key": "team", "Value": "ml"}])
    for options in (ALL, ("--tag", "team=ml"), ("--everywhere-it-is-mine",)):
        account.studio.fault(Fault("DescribeUserProfile", code="ResourceNotFound", times=1))
        code, out, err = account.run("install", "--yes", *options, *NEWER)
        assert (code, err) == ((0, "") if "Done" in out else (1, NOBODY))
        account.run("install", "--yes", *ALL)
    # If a profile was named, the output mentions it.
    account.studio.fault(Fault("DescribeUserProfile", code="ResourceNotFound", times=1))
    code, _, err = account.run("install", "--yes", "--user-profile", "ada", *NEWER)
    assert (code, "there is no such thing" in err) == (1, True)


def test_a_user_profile_that_takes_no_change_keeps_nobody_else_waiting(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = SERVICES[0].functions
    describe = functions["DescribeUserProfile"]

    async def broken(backend: Backend, p: dict[str, Any]) -> Any:
        described = dict(await describe(backend, p) or {})
        if p["UserProfileName"] == "grace":
            described |= {"Status": "Failed", "FailureReason": "its home could not be made"}
        return described

    monkeypatch.setitem(functions, "DescribeUserProfile", broken)
    for command in ("install", "uninstall"):
        code, out, err = account.run(command, "--yes", *ALL)
        assert code == 1
        grace = f"user profile grace of {account.domain_id}"
        assert f"Not yet: {grace} is Failed (its home could not be made)" in out
        assert "Done and verified." in out
        assert "Not yet" in err
        assert having(account) == ({"ada"} if command == "install" else set())


def test_a_group_is_read_a_few_at_once_and_its_domain_once(account: Account) -> None:
    for number in range(30):
        account.studio.create_owner(user(f"u-{number:02}"))
    begin = len(account.studio.calls())
    assert account.run("install", "--yes", *ALL)[0] == 0
    made = Counter(call.operation for call in account.studio.calls()[begin:])
    assert made["DescribeDomain"] <= AT_ONCE
    assert made["DescribeUserProfile"] == 3 * 32  # for the plan, before and after the change


def test_a_larger_share_includes_the_smaller_one(account: Account) -> None:
    names = [f"u-{number:02}" for number in range(12)]
    for name in names:
        account.studio.create_owner(user(name))
    everybody = {*names, "ada", "grace"}
    account.run("install", "--yes", "--percent", "30")
    few = having(account)
    assert few == {name for name in everybody if _share_of(name) < 30}
    account.run("install", "--yes", "--percent", "60")
    assert few < having(account) < everybody


def test_a_share_is_as_large_as_it_says() -> None:
    chosen = [n for n in range(2000) if _share_of(f"user-{n}") < 5]
    assert 60 <= len(chosen) <= 140


def test_all_overrides_are_upgraded_or_removed_at_once(account: Account) -> None:
    account.studio.create_owner(user("lin"))
    account.run("install", "--yes", "--user-profile", "ada", "--user-profile", "lin")
    mine = "--everywhere-it-is-mine"
    assert account.run("install", "--yes", mine, "--idle-timeout", "1h")[0] == 0
    assert having(account) == {"ada", "lin"}
    arn = current(Kind.CLASSIC, account.profile("lin"))
    assert arn is not None
    assert "IDLE_TIMEOUT=3600" in account.script(arn)
    assert account.run("uninstall", "--yes", mine)[0] == 0
    assert having(account) == set()
    assert account.run("uninstall", "--yes", mine)[0] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--percent", "0"), "not a percentage"),
        (("--tag", "team"), "is not KEY=VALUE"),
        (("--exclude", "ada"), "--exclude leaves user profiles out of a group"),
        (("--profiles-from", "/no/such/file"), "--profiles-from: "),
        (("--notebook-instance", "a", "--percent", "5"), "can't be used with"),
    ],
)
def test_what_makes_no_sense_is_refused(
    account: Account, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    try:
        code, _, err = account.run("install", "--yes", *arguments)
    except SystemExit as error:
        code, err = int(error.code or 0), capsys.readouterr().err
    assert code == 2
    assert says in err
    assert not [each for each in account.changes() if each.startswith("Update")]
