"""``lifecycle-config status``: who has it, who must restart."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown import __version__, aws
from sagemaker_autoshutdown.cli import lifecycle_status
from sagemaker_autoshutdown.fleet.model import ReportKey
from sagemaker_autoshutdown.lifecycle import start_logs, throttling
from tests.localstudio import AppKey, Fault, space, user
from tests.localstudio.state import Resource
from tests.prometheus import running_prometheus
from tests.reporters import Reporters, serving

from .conftest import Account

#: Possible answers of something between here and AWS.
PAGE = "<!DOCTYPE html>\n<html><body><h1>Bad gateway</h1></body></html>"


def rows(account: Account, *more: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The command's output, by owner and kind."""
    code, out, _ = account.run("status", "--json", *more)
    assert code == 0
    return {(row["owner"], row["kind"]): row for row in json.loads(out)}


def log(account: Account, stream: str, *lines: str) -> None:
    """A script's message at the start of an app, as Studio stores it."""
    logs = account.studio.client("logs")
    group = {"logGroupName": start_logs.GROUP}
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(**group)
    named = {**group, "logStreamName": f"{account.domain_id}/{stream}/LifecycleConfigOnStart"}
    logs.create_log_stream(**named)
    now = int(time.time() * 1000)
    events = [{"timestamp": now + n, "message": line} for n, line in enumerate(lines)]
    logs.put_log_events(**named, logEvents=events)


def start_app(account: Account, owner_kind: str, owner: str, app_type: str) -> None:
    """An app in service for the API, started with the attached script."""
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
    assert told["ada", "classic"]["started_with"] is None
    assert told["grace", "classic"]["status"] == ""

    start_app(account, "space", "shared", "JupyterLab")
    shared = rows(account)["shared", "space"]
    assert shared | {"config": "", "digest": ""} == {
        "owner_kind": "space",
        "owner": "shared",
        "kind": "space",
        "covered": True,
        "status": "InService",
        "started_with": __version__,
        "next_start": __version__,
        "config": "",
        "digest": "",
        "idle_timeout": 7200,
        "dry_run": False,
        "settings_source": "",
        "from": "space defaults",
        "native_idle_minutes": None,
        "log": None,
        "metrics_arrive": None,
        "advice": "",
        "error": "",
    }
    assert shared["config"].startswith("sagemaker-autoshutdown-")
    account.run("install", "--yes", "--package-version", "9.9.9")
    told = rows(account)
    assert (told["shared", "space"]["started_with"], told["shared", "space"]["next_start"]) == (
        __version__,
        "9.9.9",
    )
    assert told["shared", "space"]["advice"] == "must restart"

    account.run("uninstall", "--yes")
    assert rows(account)["shared", "space"]["advice"] == "uninstalled at the next start"
    _, out, _ = account.run("status")
    assert "0 of 4 will start with it" in out


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
    assert f"4 of 4 will start with it next time ({__version__}: 2, 9.9.9: 2)" in out
    assert "classic has different scripts: " in out


def test_a_domain_with_too_many_calls_for_aws_is_read_all_the_same(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(throttling, "sleep", waits.append)
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    account.run("install", "--yes")
    account.studio.fault(Fault("ListUserProfiles", code="ThrottlingException", times=2))
    code, out, err = account.run("status")
    assert code == 0
    assert "4 of 4 will start with it" in out
    assert waits == [2, 4]
    assert err == (
        "AWS limits the rate of calls: waiting 2 s.\nAWS limits the rate of calls: waiting 4 s.\n"
    )


def test_aws_that_refuses_for_minutes_is_not_waited_for_for_ever(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(throttling, "sleep", waits.append)
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    account.studio.fault(Fault("ListApps", code="ThrottlingException"))
    code, _, err = account.run("status")
    assert code == 1
    assert "limits the rate of calls: wait" in err
    assert 60 <= sum(waits) <= 180


# ---- what came of it, and what differs


def test_a_start_that_installed_nothing_is_not_taken_for_one_that_did(account: Account) -> None:
    """Without internet all starts would have failed, while the attached version looks well."""
    account.run("install", "--yes")
    for owner_kind, owner, app_type in (
        ("user-profile", "ada", "JupyterServer"),
        ("user-profile", "grace", "JupyterServer"),
        ("space", "team-a", "JupyterLab"),
        ("space", "shared", "JupyterLab"),
    ):
        start_app(account, owner_kind, owner, app_type)
    ours = "sagemaker-autoshutdown: "
    installed = f"{ours}installed {__version__}, limit 7200 s; the server was restarted with it"
    log(account, "ada/JupyterServer/default", "something else", installed)
    lost = "NOT INSTALLED: it could not be fetched. Studio starts without it."
    log(account, "grace/JupyterServer/default", installed, f"{ours}{lost}")
    already = f"{ours}{__version__} was installed already, nothing was changed"
    log(account, "team-a/JupyterLab/default", already, f"{ours}SWITCHED OFF by /home/x.json: ...")
    account.studio.studio.account.log_page = 2

    told = rows(account, "--logs")
    assert told["ada", "classic"]["log"]["outcome"] == "installed"
    assert told["ada", "classic"]["log"]["version"] == __version__
    assert told["grace", "classic"]["advice"] == lost
    assert told["team-a", "space"]["log"]["outcome"] == "switched off"
    assert told["shared", "space"]["log"] is None
    _, out, _ = account.run("status", "--logs", "--summary")
    assert (
        "1 installed, 1 not installed, 1 switched off, 1 without a log line of the script." in out
    )
    _, out, _ = account.run("status", "--summary")
    assert "not whether it worked: --logs" in out


def test_metrics_that_arrive_are_proof_and_such_that_do_not_stand_out(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.run("install", "--yes")
    for owner_kind, owner, app_type in (
        ("user-profile", "ada", "JupyterServer"),
        ("user-profile", "grace", "JupyterServer"),
        ("space", "team-a", "JupyterLab"),
    ):
        start_app(account, owner_kind, owner, app_type)
    reporters = Reporters()
    others = ReportKey("d-other", "user-profile", "grace", "classic")
    ada = ReportKey(account.domain_id, "user-profile", "ada", "classic")
    reporters.set(frozenset({ada, others}))
    config = tmp_path / "fleet.toml"
    with serving(reporters) as servers:
        scrapes = [{"job_name": "servers", "static_configs": [{"targets": [servers]}]}]
        with running_prometheus(tmp_path / "prometheus", scrapes) as prometheus:
            prometheus.wait("count(sagemaker_autoshutdown_last_check_timestamp_seconds) == 2")
            config.write_text(f'[prometheus]\nurl = "{prometheus.url}"\n')
            told = rows(account, "--reports", str(config))
            assert told["ada", "classic"]["metrics_arrive"] is True
            # They have just been started: no metrics yet is not news.
            assert told["grace", "classic"]["metrics_arrive"] is None
            assert told["grace", "classic"]["advice"] == ""
            later = datetime.now(timezone.utc) + timedelta(minutes=9)  # of ten
            monkeypatch.setattr(lifecycle_status, "utcnow", lambda: later)
            code, out, _ = account.run("status", "--reports", str(config))
            assert code == 0
            assert "Metrics arrive from 1 of the running ones, but not from 0." in out
            monkeypatch.setattr(lifecycle_status, "utcnow", lambda: later + timedelta(minutes=2))
            told = rows(account, "--reports", str(config))
            assert told["grace", "classic"]["advice"] == "no metrics arrive"
            assert told["team-a", "space"]["advice"] == "no metrics arrive"
    code, _, err = account.run("status", "--reports", str(config))
    assert (code, "could not be reached" in err) == (1, True)
    config.write_text("")
    code, _, err = account.run("status", "--reports", str(config))
    assert (code, "has no [prometheus]" in err) == (2, True)


def test_a_log_that_is_not_there_says_nothing(account: Account) -> None:
    account.run("install", "--yes")
    start_app(account, "user-profile", "ada", "JupyterServer")
    assert rows(account, "--logs")["ada", "classic"]["log"] is None


def test_a_canary_that_was_left_in_dry_run_stands_out(account: Account) -> None:
    account.run("install", "--yes", "--idle-timeout", "1h")
    account.run("install", "--yes", "--user-profile", "ada", "--set", "dry_run=true")
    told = rows(account)
    assert told["ada", "classic"]["advice"] == "dry run: shuts nothing down"
    assert (told["ada", "classic"]["from"], told["ada", "classic"]["idle_timeout"]) == (
        "user profile",
        7200,
    )
    assert (told["grace", "classic"]["from"], told["grace", "classic"]["idle_timeout"]) == (
        "domain",
        3600,
    )
    # The space of hers has it, too.
    assert {key[0] for key in rows(account, "--only", "dry-run")} == {"ada", "team-a"}
    _, out, _ = account.run("status", "--summary")
    assert "2 in dry run" in out


def test_what_no_script_is_for_is_counted_as_not_covered(account: Account) -> None:
    account.studio.create_owner(
        space("editor"),
        OwnershipSettings={"OwnerUserProfileName": "ada"},
        SpaceSharingSettings={"SharingType": "Private"},
        SpaceSettings={"AppType": "CodeEditor"},
    )
    start_app(account, "user-profile", "grace", "Canvas")
    account.run("install", "--yes")
    told = rows(account)
    assert told["editor", "CodeEditor"]["advice"] == "not covered"
    assert told["grace", "Canvas"]["status"] == "InService"
    assert {key[1] for key in rows(account, "--only", "not-covered")} == {"CodeEditor", "Canvas"}
    _, out, _ = account.run("status", "--summary")
    assert "4 of 4 will start with it" in out
    assert "Not covered: Canvas: 1, CodeEditor: 1." in out


def test_cron_learns_by_the_exit_code_that_there_is_something_to_do(account: Account) -> None:
    assert account.run("status", "--summary", "--exit-code")[0] == 3
    account.run("install", "--yes")
    assert account.run("status", "--summary", "--exit-code")[0] == 0
    start_app(account, "user-profile", "ada", "JupyterServer")
    account.run("install", "--yes", "--idle-timeout", "1h")
    assert set(rows(account, "--only", "outdated")) == {("ada", "classic")}
    assert account.run("status", "--summary", "--exit-code")[0] == 3


# ---- many of them


def test_a_large_domain_is_asked_once_for_what_the_lists_do_not_tell(account: Account) -> None:
    account.run("install", "--yes")
    for number in range(40):
        account.studio.create_owner(user(f"u-{number:03}"))
        account.studio.create_owner(
            space(f"s-{number:03}"),
            OwnershipSettings={"OwnerUserProfileName": f"u-{number:03}"},
            SpaceSharingSettings={"SharingType": "Private"},
            SpaceSettings={"AppType": "JupyterLab"},
        )
    for number in range(10):
        start_app(account, "space", f"s-{number:03}", "JupyterLab")
    before = len(account.studio.calls())
    assert len(rows(account)) == 42 + 42
    made = Counter(call.operation for call in account.studio.calls()[before:])
    assert made["DescribeUserProfile"] == 42
    assert made["DescribeApp"] == 10
    assert made["DescribeSpace"] == 0
    assert made["DescribeStudioLifecycleConfig"] == 2
    assert sum(made.values()) < 42 + 10 + 12


def test_an_app_started_long_after_the_last_change_is_not_asked_what_it_was_started_with(
    account: Account,
) -> None:
    """1,600 calls in a large domain, for facts that the lists already hold."""
    account.run("install", "--yes")
    start_app(account, "space", "team-a", "JupyterLab")
    start_app(account, "space", "shared", "JupyterLab")
    account.studio.date_settings_back(timedelta(hours=1))
    before = len(account.studio.calls("DescribeApp"))
    told = rows(account)
    assert len(account.studio.calls("DescribeApp")) == before
    for name in ("team-a", "shared"):
        assert (told[name, "space"]["started_with"], told[name, "space"]["advice"]) == (
            __version__,
            "",
        )


@pytest.mark.parametrize("changed", ["domain", "user profile"])
def test_an_app_started_before_a_change_of_any_of_its_settings_must_restart(
    account: Account, changed: str
) -> None:
    account.run("install", "--yes")
    start_app(account, "space", "team-a", "JupyterLab")
    account.studio.date_settings_back(timedelta(hours=1))
    of_whom = ("--user-profile", "ada") if changed == "user profile" else ()
    account.run("install", "--yes", "--idle-timeout", "1h", *of_whom)
    told = rows(account)["team-a", "space"]
    assert (told["advice"], told["from"]) == ("must restart", changed)


def test_an_app_that_is_gone_when_it_is_asked_does_not_have_to_restart(account: Account) -> None:
    start_app(account, "space", "team-a", "JupyterLab")
    account.run("install", "--yes")
    account.studio.fault(Fault("DescribeApp", code="ResourceNotFound"))
    told = rows(account)["team-a", "space"]
    assert (told["status"], told["advice"]) == ("", "")


def test_calls_that_wait_for_aws_at_the_same_time_say_so_once(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=60)
    monkeypatch.setattr(throttling, "sleep", lambda seconds: both.wait())
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    account.studio.fault(Fault("DescribeUserProfile", code="ThrottlingException", times=2))
    code, _, err = account.run("status")
    assert (code, err) == (0, "AWS limits the rate of calls: waiting 2 s.\n")


def test_what_is_deleted_meanwhile_ends_nothing(account: Account) -> None:
    account.run("install", "--yes")
    start_app(account, "space", "team-a", "JupyterLab")
    account.studio.fault(Fault("DescribeUserProfile", code="ResourceNotFound", times=1))
    account.studio.fault(Fault("DescribeApp", code="ResourceNotFound", times=1))
    told = rows(account)
    assert 3 <= len(told) <= 4
    assert ("shared", "space") in told


def test_one_that_can_not_be_read_spoils_no_other(account: Account) -> None:
    account.run("install", "--yes")
    account.studio.fault(Fault("DescribeUserProfile", status=500, body=PAGE))
    code, out, err = account.run("status")
    assert code == 1
    assert "Some rows could not be read" in err
    assert "could not be read: " in out
    assert "shared" in out
    assert "<h1>" not in out + err


def test_a_page_of_html_is_not_shown_raw(account: Account) -> None:
    account.studio.fault(Fault("ListApps", status=500, body=PAGE))
    code, out, err = account.run("status")
    assert code == 1
    assert "<" not in out + err
    assert "ListApps: 500: a page of HTML" in err
