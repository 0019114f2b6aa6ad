"""``fleet``'s view of an account, through the SageMaker API, and its calls for it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.localstudio import Fault, names
from tests.localstudio.testing import BlockingStudio
from tests.paths import ROOT

from .conftest import Run, document, fill


def calls(studio: BlockingStudio) -> Counter[str]:
    return Counter(call.operation for call in studio.calls())


@pytest.mark.parametrize("apps", [1, 100, 101, 1234])
def test_a_sweep_makes_one_call_for_a_hundred_apps_and_describes_none(
    studio: BlockingStudio, run: Run, apps: int
) -> None:
    made = fill(studio, apps=apps)
    found = document(run("status", "--json"))
    assert len(found["apps"]) == apps
    assert calls(studio) == {
        "ListApps": -(-apps // 100),
        "ListSpaces": max(-(-len(made.spaces) // 100), 1),
        "ListNotebookInstances": max(-(-len(made.notebooks) // 100), 1),
        "ListDomains": 1,
        "DescribeDomain": len(made.domains),
    }


def test_every_app_of_every_type_is_listed_with_its_owner(studio: BlockingStudio, run: Run) -> None:
    made = fill(studio, apps=300)
    found = document(run("status", "--json"))
    listed = {
        (app["domain"], app["space"] or app["owner"], app["app_type"], app["app_name"])
        for app in found["apps"]
    }
    assert listed == {(key.domain_id, key.owner_name, key.app_type, key.name) for key in made.apps}
    assert {app["app_type"] for app in found["apps"]} == {
        "JupyterServer",
        "KernelGateway",
        "JupyterLab",
        "CodeEditor",
        "Canvas",
        "TensorBoard",
        "RStudioServerPro",
        "RSessionGateway",
        "DetailedProfiler",
    }
    lab = next(app for app in found["apps"] if app["app_type"] == "JupyterLab")
    assert lab["owner"] == lab["space"].rpartition("-")[0]
    assert lab["sharing"] == "Private"
    names = {each["notebook_instance_name"] for each in found["notebook_instances"]}
    assert names == set(made.notebooks)
    assert {each["status"] for each in found["notebook_instances"]} == {"InService", "Stopped"}
    assert len(found["volumes"]) == len(made.spaces)
    unused = [each for each in found["volumes"] if not each["in_use"]]
    assert {each["space"] for each in unused} == {
        name for _, name in made.spaces if name.startswith("unused")
    }


def test_an_hour_costs_what_its_instances_cost(studio: BlockingStudio, run: Run) -> None:
    fill(studio, apps=300)
    found = document(run("status", "--json"))
    expected, seen = Decimal(0), set()
    for app in found["apps"]:
        if app["app_type"] == "KernelGateway":
            instance = (app["domain"], app["owner"], app["instance_type"])
            if instance in seen:
                continue
            seen.add(instance)
        expected += Decimal(app["usd_per_hour"])
        if app["app_type"] == "JupyterServer" or app["instance_type"] == "system":
            assert Decimal(app["usd_per_hour"]) == 0
        if app["app_type"] == "Canvas":
            assert (app["usd_per_hour"], app["price_source"]) == ("1.9", "estimate")
    for each in found["notebook_instances"]:
        expected += Decimal(each["usd_per_hour"]) if each["status"] == "InService" else 0
    assert Decimal(found["totals"]["usd_per_hour"]) == expected
    coverage = found["totals"]["coverage"].values()
    assert sum(Decimal(each["usd_per_hour"]) for each in coverage) == expected
    assert sum(each["up"] for each in coverage) == found["totals"]["up"]


def test_deleted_and_failed_apps_are_not_up(studio: BlockingStudio, run: Run) -> None:
    made = fill(studio, apps=20)
    gone, failed, leaving = made.apps[:3]

    def change(status: str, which: int) -> None:
        account, now = studio.studio.account, studio.studio.now()
        studio.do(
            lambda s: account.enter(replace(account.app(made.apps[which], now), status=status))
        )

    change("Deleted", 0)
    change("Failed", 1)
    change("Deleting", 2)
    found = {
        (app["domain"], app["space"] or app["owner"], app["app_type"], app["app_name"]): app
        for app in document(run("status", "--json"))["apps"]
    }
    assert len(found) == 18
    for key in (gone, failed):
        assert (key.domain_id, key.owner_name, key.app_type, key.name) not in found
    name = (leaving.domain_id, leaving.owner_name, leaving.app_type, leaving.name)
    assert found[name]["status"] == "Deleting"


def test_an_account_without_anything_is_one_document_too(studio: BlockingStudio, run: Run) -> None:
    found = document(run("status", "--json"))
    assert (found["apps"], found["notebook_instances"], found["volumes"]) == ([], [], [])
    # Nothing there reveals which account it is.
    assert found["accounts"] == [{"account_id": names.ACCOUNT, "region": names.REGION}]
    assert found["totals"]["up"] == 0


def test_a_list_that_is_not_allowed_is_told_and_the_others_are_shown(
    studio: BlockingStudio, run: Run
) -> None:
    made = fill(studio, apps=20)
    for operation in ("ListNotebookInstances", "ListSpaces", "ListDomains"):
        studio.fault(Fault(operation, code="AccessDeniedException"))
    done = run("status", "--json")
    found = document(done)
    assert len(found["apps"]) == len(made.apps)
    assert len(found["problems"]) == 3
    assert "sagemaker:ListNotebookInstances is not allowed" in done.stderr


def test_without_the_right_to_list_apps_it_says_so_and_fails(
    studio: BlockingStudio, run: Run
) -> None:
    fill(studio, apps=5)
    studio.fault(Fault("ListApps", code="AccessDeniedException"))
    done = run("status")
    assert done.returncode == 1
    assert "sagemaker:ListApps" in done.stderr
    assert "Ask your administrator to allow" in done.stderr


def app_item(**changes: object) -> dict[str, object]:
    """An app in the form of ListApps."""
    return {
        "DomainId": "d-1",
        "UserProfileName": "ada",
        "AppType": "KernelGateway",
        "AppName": "one",
        "Status": "InService",
        "CreationTime": 1_700_000_000,
        "ResourceSpec": {"InstanceType": "ml.t3.medium"},
        **changes,
    }


def answer(studio: BlockingStudio, operation: str, **body: object) -> None:
    studio.fault(Fault(operation, body=json.dumps(body)))


def test_an_app_that_two_pages_show_is_counted_once(studio: BlockingStudio, run: Run) -> None:
    """Pages shift if something comes or goes during the listing."""
    twice = [app_item(AppType="Canvas", Status="Pending"), app_item(AppType="Canvas")]
    answer(studio, "ListApps", Apps=twice)
    found = document(run("status", "--json"))
    assert [(app["app_name"], app["status"]) for app in found["apps"]] == [("one", "InService")]
    assert found["totals"]["usd_per_hour"] == "1.9"


def test_types_and_statuses_that_nobody_knows_yet_are_shown_and_counted(
    studio: BlockingStudio, run: Run
) -> None:
    apps = [
        app_item(AppType="Zeppelin", Status="Hibernating"),
        app_item(AppName="bare", AppType="Zeppelin", ResourceSpec=None, CreationTime=None),
        app_item(AppName="free", AppType="Zeppelin", ResourceSpec={"InstanceType": "system"}),
        app_item(AppName="unpriced", ResourceSpec={"InstanceType": "ml.z9.mega"}),
    ]
    answer(studio, "ListApps", Apps=apps)
    done = run("status", "--json")
    found = {app["app_name"]: app for app in document(done)["apps"]}
    assert (found["one"]["app_type"], found["one"]["status"]) == ("Zeppelin", "Hibernating")
    assert found["one"]["usd_per_hour"] == "0.05"
    assert found["free"]["usd_per_hour"] == "0"
    assert found["bare"]["usd_per_hour"] is found["unpriced"]["usd_per_hour"] is None
    assert document(done)["totals"]["unpriced"] == 2
    assert "Zeppelin" in run("status").stdout


@pytest.mark.parametrize("operation", ["ListApps", "GetResources"])
def test_pages_that_repeat_end_with_an_error(
    studio: BlockingStudio, run: Run, tmp_path: Path, operation: str
) -> None:
    config = tmp_path / "fleet.toml"
    config.write_text('tags = ["team"]\n')
    if operation == "ListApps":
        answer(studio, operation, Apps=[app_item()], NextToken="again")
    else:
        answer(studio, operation, ResourceTagMappingList=[], PaginationToken="again")
    done = run("status", "--config", str(config))
    assert done.returncode == (operation == "ListApps")
    assert "its pages repeat" in done.stderr


def test_a_domain_that_is_deleted_during_the_sweep_leaves_the_others_as_they_are(
    studio: BlockingStudio, run: Run
) -> None:
    fill(studio, apps=60)
    studio.fault(Fault("DescribeDomain", code="ResourceNotFound", times=1))
    found = document(run("status", "--json"))
    assert not found["problems"]
    assert {app["domain_name"] for app in found["apps"]} == {"team-0", "team-1", "team-2"}


def test_settings_that_may_not_be_read_cost_one_call_and_leave_the_domains_names(
    studio: BlockingStudio, run: Run
) -> None:
    fill(studio, apps=60)
    studio.fault(Fault("DescribeDomain", code="AccessDeniedException"))
    found = document(run("status", "--json"))
    assert calls(studio)["DescribeDomain"] == 1
    (problem,) = found["problems"]
    assert "sagemaker:DescribeDomain is not allowed" in problem
    assert {app["domain_name"] for app in found["apps"]} == {"team-0", "team-1", "team-2"}
    # Whether Studio's own idle shutdown applies is unknown.
    assert all(
        app["coverage"] == "unknown" for app in found["apps"] if app["app_type"] == "CodeEditor"
    )


def test_throttling_is_waited_out_and_nothing_is_counted_twice(
    studio: BlockingStudio, run: Run
) -> None:
    fill(studio, apps=450)
    # Three attempts are botocore's own; the next one follows after a pause.
    studio.fault(Fault("ListApps", code="ThrottlingException", times=3))
    done = run("status", "--json")
    assert len(document(done)["apps"]) == 450
    assert "AWS limits the rate of calls" in done.stderr


def test_the_region_of_the_environment_is_the_one_that_aws_names(
    studio: BlockingStudio, run: Run, environment: Mapping[str, str]
) -> None:
    env = {key: value for key, value in environment.items() if key != "AWS_DEFAULT_REGION"}
    env["AWS_REGION"] = "eu-central-1"
    assert document(run("status", "--json", env=env))["accounts"][0]["region"] == "eu-central-1"
    found = document(run("status", "--json", "--region", "ap-south-1", "--region", "us-east-1"))
    assert {each["region"] for each in found["accounts"]} == {"ap-south-1", "us-east-1"}


def test_without_a_region_it_says_what_to_do(run: Run, environment: Mapping[str, str]) -> None:
    env = {key: value for key, value in environment.items() if not key.endswith("_REGION")}
    done = run("status", env=env)
    assert done.returncode == 1
    assert "region" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_spreadsheet_gets_a_line_for_each_app_and_notebook_instance(
    studio: BlockingStudio, run: Run
) -> None:
    made = fill(studio, apps=50)
    rows = list(csv.DictReader(io.StringIO(run("status", "--csv").stdout)))
    assert len(rows) == len(made.apps) + len(made.notebooks)
    assert {row["app_type"] for row in rows} >= {"NotebookInstance", "JupyterLab"}


def test_names_that_a_spreadsheet_or_a_terminal_would_obey_are_only_names(
    studio: BlockingStudio, run: Run
) -> None:
    names = ["=cmd|' /C calc'!A0", "+1", "@SUM(1)", "two\nlines", "\x1b[2J", "Zoë 東京", 'a","b']
    answer(studio, "ListApps", Apps=[app_item(UserProfileName=name) for name in names])
    rows = list(csv.DictReader(io.StringIO(run("status", "--csv").stdout)))
    owners = {row["owner"] for row in rows if row["app_type"] == "KernelGateway"}
    assert owners == {f"'{name}" if name[0] in "=+@" else name for name in names}
    found = document(run("status", "--json"))
    assert {each["owner"] for each in found["apps"]} == set(names)
    shown = run("status").stdout
    assert "\x1b" not in shown
    assert "two?lines" in shown
    assert "Zoë 東京" in shown


def test_an_app_that_changes_its_type_between_two_pages_is_two_runs_and_one_ends(
    studio: BlockingStudio, run: Run
) -> None:
    """A space that is switched from JupyterLab to Code Editor during the listing."""
    where = {"UserProfileName": None, "SpaceName": "s", "AppName": "default"}
    ended = app_item(**where, AppType="JupyterLab", Status="Deleting")
    began = app_item(**where, AppType="CodeEditor", Status="Pending")
    answer(studio, "ListApps", Apps=[ended, began])
    found = document(run("status", "--json"))
    assert {(each["app_type"], each["status"]) for each in found["apps"]} == {
        ("JupyterLab", "Deleting"),
        ("CodeEditor", "Pending"),
    }
    # A starting app is not billed yet.
    assert found["totals"]["usd_per_hour"] == "0.05"


def test_throttling_in_the_middle_of_a_listing_loses_and_doubles_nothing(
    studio: BlockingStudio, run: Run
) -> None:
    made = fill(studio, apps=450)
    studio.fault(Fault("ListSpaces", code="ThrottlingException", times=4))
    studio.fault(Fault("ListNotebookInstances", drop=True, times=2))
    found = document(run("status", "--json"))
    assert not found["problems"]
    assert len(found["apps"]) == len(made.apps)
    assert len(found["notebook_instances"]) == len(made.notebooks)
    assert len(found["volumes"]) == len(made.spaces)


def test_the_table_ends_with_what_an_hour_costs(studio: BlockingStudio, run: Run) -> None:
    fill(studio, apps=50)
    lines = run("status").stdout.splitlines()
    heads = ["DOMAIN", "OWNER", "SPACE", "TYPE", "APP", "INSTANCE", "USD/H", "COVERAGE", "UP"]
    assert lines[0].split() == heads
    assert "USD an hour" in lines[-1]


def test_coverage_names_what_costs_most_and_has_nobody(studio: BlockingStudio, run: Run) -> None:
    fill(studio, apps=200)
    found = document(run("coverage", "--json"))
    rates = [Decimal(each["usd_per_hour"]) for each in found["uncovered"]]
    assert rates == sorted(rates, reverse=True)
    assert {each["coverage"] for each in found["uncovered"]} == {"none", "unknown"}
    assert found["coverage"]["native"]["up"]
    shown = run("coverage").stdout
    assert "Studio's own idle shutdown is on" in shown


def test_a_wrong_configuration_is_named_with_its_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text('interval = "5m"\ninterwal = 3\n')
    done = run("status", "--config", str(path))
    assert done.returncode == 2
    assert f"{path}, line 2: interwal is not known here" in done.stderr


def test_status_works_on_the_five_dependencies_alone(
    studio: BlockingStudio, environment: Mapping[str, str]
) -> None:
    """Without extras, and without developers' packages."""
    fill(studio, apps=5)
    forbid = (
        "import sys\n"
        "for name in ('tomllib', 'tomli', 'yaml', 'snappy', 'cramjam', 'google', 'psutil',"
        " 'hypothesis', 'jupyterlab'):\n"
        "    sys.modules[name] = None\n"
        "from sagemaker_autoshutdown.cli import main\n"
        "sys.exit(main(['fleet', 'status', '--json']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", forbid],
        env=dict(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(document(done)["apps"]) == 5


def test_a_pipe_that_closes_early_is_no_error(
    studio: BlockingStudio, environment: Mapping[str, str]
) -> None:
    fill(studio, apps=2000)
    command = [sys.executable, "-m", "sagemaker_autoshutdown.cli", "fleet", "status", "--json"]
    with subprocess.Popen(
        command, env=dict(environment), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_tags_come_by_pages_and_an_app_has_those_of_its_domain_and_owner(
    studio: BlockingStudio, run: Run, tmp_path: Path
) -> None:
    made = fill(studio, apps=230)
    domain_id = made.domains[0]
    app = next(
        key for key in made.apps if key.app_type == "JupyterLab" and key.domain_id == domain_id
    )

    def tag() -> None:
        tags = studio.studio.account.tags
        for key in made.apps:
            tags[key.arn] = {"other": "not asked for"}
        tags[names.arn(f"domain/{domain_id}")] = {"team": "research", "stage": "lab"}
        tags[names.arn(f"space/{domain_id}/{app.owner_name}")] = {"team": "vision"}
        tags[app.arn] = {"stage": "production"}
        tags[names.arn("notebook-instance/notebook-0")] = {"team": "ops"}

    studio.do(lambda _: tag())
    config = tmp_path / "fleet.toml"
    config.write_text('tags = ["team", "stage"]\n')
    found = document(run("status", "--json", "--config", str(config)))
    assert calls(studio)["GetResources"] == 3
    assert not calls(studio).keys() & {"ListTags", "DescribeApp"}
    by_name = {
        (each["domain"], each["space"] or each["owner"], each["app_type"]): each["tags"]
        for each in found["apps"]
    }
    assert by_name[domain_id, app.owner_name, "JupyterLab"] == {
        "team": "vision",
        "stage": "production",
    }
    assert all(
        tags.get("team") == ("research" if key[0] == domain_id else None)
        for key, tags in by_name.items()
        if key[1] != app.owner_name
    )
    (notebook,) = (
        each
        for each in found["notebook_instances"]
        if each["notebook_instance_name"] == "notebook-0"
    )
    assert notebook["tags"] == {"team": "ops"}


def test_nobody_is_asked_for_tags_that_nobody_wants(studio: BlockingStudio, run: Run) -> None:
    fill(studio, apps=5)
    document(run("status", "--json"))
    assert "GetResources" not in calls(studio)
