"""Which host this is, which apps it has, and which app a kernel or terminal belongs to."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from sagemaker_autoshutdown.activity.process_table import machine_started_at
from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.hosts import adapter_for, detect
from sagemaker_autoshutdown.hosts.classic import ClassicAdapter
from sagemaker_autoshutdown.hosts.runs import Listed, RunTracker
from sagemaker_autoshutdown.model import AppStatus, Host, HostKind, OwnerKind

from ..worlds import START, app, at

IMAGE = "arn:aws:sagemaker:us-west-2:236514542706:image/datascience-1.0"
CLASSIC = Host(HostKind.CLASSIC, "us-west-2", "d-f0lwireyzpjp", "alice", app_name="default")


def detected(tmp_path: Path, metadata: dict[str, Any] | str, **environ: str) -> Host:
    file = tmp_path / "resource-metadata.json"
    file.write_text(metadata if isinstance(metadata, str) else json.dumps(metadata))
    return detect(str(file), environ)


class TestDetect:
    def test_a_jupyterserver_app_is_classic(self, tmp_path: Path) -> None:
        host = detected(
            tmp_path,
            {
                "AppType": "JupyterServer",
                "DomainId": "d-f0lwireyzpjp",
                "UserProfileName": "alice",
                "ResourceArn": "arn:aws:sagemaker:us-east-2:123456789012:app/d-f0lwireyzpjp/alice/"
                "JupyterServer/default",
                "ResourceName": "default",
            },
        )
        assert host == Host(
            HostKind.CLASSIC,
            "us-east-2",
            "d-f0lwireyzpjp",
            "alice",
            OwnerKind.USER_PROFILE,
            "default",
            "123456789012",
        )

    def test_a_shared_space_in_classic_owns_its_apps(self, tmp_path: Path) -> None:
        host = detected(
            tmp_path,
            {
                "AppType": "JupyterServer",
                "DomainId": "d-1",
                "SpaceName": "team-a",
                "ResourceName": "default",
            },
            AWS_REGION="eu-west-1",
        )
        assert (host.kind, host.owner, host.owner_kind, host.region) == (
            HostKind.CLASSIC,
            "team-a",
            OwnerKind.SPACE,
            "eu-west-1",
        )

    def test_a_jupyterlab_app_of_unified_studio_belongs_to_its_space(self, tmp_path: Path) -> None:
        host = detected(
            tmp_path,
            {
                "AppType": "JupyterLab",
                "DomainId": "d-f0lwireyzpjp",
                "SpaceName": "team-a",
                "UserProfileName": "alice",
                "ResourceArn": "arn:aws:sagemaker:us-west-2:123456789012:app/d-f0lwireyzpjp/"
                "team-a/JupyterLab/default",
                "ResourceName": "something-else",
            },
        )
        assert (host.kind, host.owner, host.app_name) == (HostKind.SPACE, "team-a", "default")

    def test_a_notebook_instance_is_told_by_its_arn(self, tmp_path: Path) -> None:
        host = detected(
            tmp_path,
            {
                "ResourceName": "mine",
                "ResourceArn": "arn:aws:sagemaker:us-west-2:123456789012:notebook-instance/mine",
            },
        )
        assert (host.kind, host.app_name) == (HostKind.NOTEBOOK_INSTANCE, "mine")

    @pytest.mark.parametrize(
        ("metadata", "said"),
        [
            ("", "can't be read"),
            ("{", "can't be read"),
            ("[]", "JSON object"),
            ("{}", "unknown"),
            ('{"AppType": "CodeEditor", "DomainId": "d-1"}', "CodeEditor"),
            ('{"AppType": "JupyterLab"}', "no domain"),
            ('{"AppType": 7, "ResourceArn": 9}', "unknown"),
        ],
    )
    def test_f8_what_is_not_ours_is_named_and_left_alone(
        self, tmp_path: Path, metadata: str, said: str
    ) -> None:
        host = detected(tmp_path, metadata)
        assert host.kind is HostKind.NONE
        assert said in host.message

    def test_off_sagemaker_there_is_nothing_to_do(self, tmp_path: Path) -> None:
        host = detect(str(tmp_path / "missing.json"), {})
        assert host.kind is HostKind.NONE
        assert "not on SageMaker" in host.message


class TestRuns:
    """The start of the present run."""

    def run(
        self, tracker: RunTracker, status: AppStatus | None, now: datetime, created: datetime
    ) -> datetime:
        return tracker.observe([Listed("app", status, created)], now)["app"].started_at

    def test_at_the_first_observation_creation_is_all_that_is_known(self) -> None:
        assert self.run(RunTracker(), AppStatus.IN_SERVICE, at(hours=5), START) == START

    def test_coming_into_service_is_seen(self) -> None:
        tracker = RunTracker()
        self.run(tracker, AppStatus.PENDING, at(minutes=1), START)
        assert self.run(tracker, AppStatus.IN_SERVICE, at(minutes=3), START) == at(minutes=3)
        assert self.run(tracker, AppStatus.IN_SERVICE, at(minutes=9), START) == at(minutes=3)

    def test_f27_a_restart_that_keeps_its_creation_time_is_a_new_run(self) -> None:
        tracker = RunTracker()
        self.run(tracker, AppStatus.IN_SERVICE, at(hours=1), START)
        self.run(tracker, AppStatus.DELETING, at(hours=2), START)
        tracker.observe([], at(hours=3))
        self.run(tracker, AppStatus.PENDING, at(hours=4), START)
        assert self.run(tracker, AppStatus.IN_SERVICE, at(hours=5), START) == at(hours=5)

    def test_a_run_that_replaced_another_between_two_observations_is_new(self) -> None:
        tracker = RunTracker()
        self.run(tracker, AppStatus.IN_SERVICE, at(hours=1), START)
        started = self.run(tracker, AppStatus.IN_SERVICE, at(hours=3), at(hours=2))
        assert started == at(hours=3)

    def test_a_status_that_is_not_known_begins_no_new_run(self) -> None:
        tracker = RunTracker()
        self.run(tracker, AppStatus.IN_SERVICE, at(hours=1), START)
        assert self.run(tracker, None, at(hours=2), START) == START
        assert self.run(tracker, AppStatus.IN_SERVICE, at(hours=3), START) == START

    def test_while_its_status_is_not_known_an_app_is_what_it_was(self) -> None:
        tracker = RunTracker()
        tracker.observe([Listed("app", AppStatus.IN_SERVICE, START)], at(hours=1))
        run = tracker.observe([Listed("app", None, START)], at(hours=2))["app"]
        assert (run.status, run.status_since) == (AppStatus.IN_SERVICE, at(hours=1))
        assert not run.is_known
        run = tracker.observe([Listed("app", AppStatus.IN_SERVICE, START)], at(hours=3))["app"]
        assert (run.status_since, run.is_known) == (at(hours=1), True)

    def test_no_run_is_older_than_the_machine_it_is_on(self) -> None:
        tracker = RunTracker(not_before=at(hours=4))
        assert self.run(tracker, AppStatus.IN_SERVICE, at(hours=5), START) == at(hours=4)


class TestClassicAttribution:
    """The app of a kernel or terminal of Studio Classic."""

    apps = (
        app("ds-t3", image_arn=IMAGE, instance_type="ml.t3.medium"),
        app("ds-g4", image_arn=IMAGE, instance_type="ml.g4dn.xlarge"),
        app(
            "torch-g4",
            image_arn=IMAGE.replace("datascience", "pytorch"),
            instance_type="ml.g4dn.xlarge",
        ),
    )
    adapter = ClassicAdapter(CLASSIC, Aws("us-west-2"))

    def kernel_apps(self, **model: Any) -> set[str]:
        return set(self.adapter.kernel_apps(model, self.apps))

    def test_its_model_names_the_app(self) -> None:
        assert self.kernel_apps(app_name="ds-g4", name="python3") == {"ds-g4"}

    def test_a_kernel_of_an_app_that_is_gone_holds_no_other(self) -> None:
        assert self.kernel_apps(app_name="gone") == set()

    def test_else_image_and_instance_type_tell(self) -> None:
        name = f"python3__SAGEMAKER_INTERNAL__{IMAGE}"
        assert self.kernel_apps(name=name, instance_type="ml.t3.medium") == {"ds-t3"}

    def test_a_kernelspec_with_a_version_is_of_the_same_image(self) -> None:
        name = f"python3__SAGEMAKER_INTERNAL__{IMAGE}/3"
        assert self.kernel_apps(name=name, instance_type="ml.g4dn.xlarge") == {"ds-g4"}

    def test_what_is_known_in_part_holds_all_that_it_could_be(self) -> None:
        assert self.kernel_apps(name=f"python3__SAGEMAKER_INTERNAL__{IMAGE}") == {"ds-t3", "ds-g4"}
        assert self.kernel_apps(name="x", instance_type="ml.g4dn.xlarge") == {"ds-g4", "torch-g4"}

    def test_what_is_not_known_at_all_holds_every_app(self) -> None:
        assert self.kernel_apps(name="python3") == {"ds-t3", "ds-g4", "torch-g4"}
        assert self.kernel_apps(name="x", instance_type="ml.p4d.24xlarge") == {
            "ds-t3",
            "ds-g4",
            "torch-g4",
        }

    def test_an_image_terminal_is_told_by_its_name(self) -> None:
        held = self.adapter.terminal_apps(f"{IMAGE}__1__ml.t3.medium", self.apps)
        assert held == {"ds-t3"}

    def test_a_system_terminal_is_on_the_free_server_and_holds_nothing(self) -> None:
        assert self.adapter.terminal_apps("1", self.apps) == frozenset()


class FakeAws(Aws):
    """Answers from a list, in order; an AWS of its own, without patching."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        super().__init__("us-west-2")
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        self.asked.append((operation, parameters))
        return self.answers.pop(0)


def listed(name: str, status: str = "InService", **more: Any) -> dict[str, Any]:
    return {
        "AppName": name,
        "AppType": "KernelGateway",
        "Status": status,
        "CreationTime": START,
        "ResourceSpec": {"InstanceType": "ml.t3.medium", "SageMakerImageArn": IMAGE},
        **more,
    }


@pytest.mark.parametrize("failed_first", [True, False])
@pytest.mark.parametrize("status", ["InService", "Pending", "Deleting"])
async def test_f20_a_failed_app_does_not_hide_its_successor_of_the_same_name(
    status: str, failed_first: bool
) -> None:
    failed = listed("a", "Failed", CreationTime=at(hours=1))
    items = [failed, listed("a", status)]
    aws = FakeAws({"Apps": items if failed_first else items[::-1]})
    (found,) = await ClassicAdapter(CLASSIC, aws).list_apps(at(hours=2))
    assert found.status is AppStatus(status)


@pytest.mark.parametrize("newer_first", [True, False])
async def test_of_two_failed_apps_of_one_name_the_newer_one_counts(newer_first: bool) -> None:
    items = [listed("a", "Failed", CreationTime=at(hours=hours)) for hours in (2, 1)]
    aws = FakeAws({"Apps": items if newer_first else items[::-1]})
    (found,) = await ClassicAdapter(CLASSIC, aws).list_apps(at(hours=3))
    assert found.run_started_at == at(hours=2)


async def test_only_kernelgateway_apps_that_are_not_gone_are_listed() -> None:
    aws = FakeAws(
        {"Apps": [listed("a"), listed("b", "Deleted")], "NextToken": "more"},
        {"Apps": [listed("default", AppType="JupyterServer"), listed("c", "Pending")]},
    )
    apps = await ClassicAdapter(CLASSIC, aws).list_apps(at(hours=1))
    assert [(app.name, app.status.value) for app in apps] == [("a", "InService"), ("c", "Pending")]
    assert aws.asked[0][1] == {
        "MaxResults": 100,
        "DomainIdEquals": "d-f0lwireyzpjp",
        "UserProfileNameEquals": "alice",
    }
    assert aws.asked[1][1]["NextToken"] == "more"


SPACE = Host(HostKind.SPACE, "us-west-2", "d-1", "team-a", OwnerKind.SPACE, "default")
NOTEBOOK_INSTANCE = Host(HostKind.NOTEBOOK_INSTANCE, "us-west-2", app_name="mine")


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        (CLASSIC, {"Apps": [listed("default", "Resting")]}),
        (SPACE, {"Status": "Resting", "CreationTime": START}),
        (NOTEBOOK_INSTANCE, {"NotebookInstanceStatus": "Resting", "LastModifiedTime": START}),
    ],
    ids=["classic", "space", "notebook instance"],
)
async def test_an_app_in_a_status_that_is_not_known_is_not_judged(
    host: Host, answer: dict[str, Any]
) -> None:
    (found,) = await adapter_for(host, FakeAws(answer)).list_apps(at(hours=1))
    assert found.unseen
    assert "Resting" in found.failure


def test_the_start_of_the_machine_is_known_without_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    first = psutil.Process(1).create_time()
    monkeypatch.setitem(sys.modules, "psutil", None)
    started_at = machine_started_at()
    assert started_at is not None
    assert started_at.timestamp() == pytest.approx(first, abs=2)


async def test_an_old_botocore_is_asked_once_per_run_for_the_instance_type() -> None:
    old = listed("a")
    del old["ResourceSpec"]
    aws = FakeAws(
        {"Apps": [old]},
        {"ResourceSpec": {"InstanceType": "ml.g5.xlarge", "SageMakerImageArn": IMAGE}},
        {"Apps": [old]},
    )
    adapter = ClassicAdapter(CLASSIC, aws)
    for passed in (1, 2):
        (found,) = await adapter.list_apps(at(hours=passed))
        assert found.instance_type == "ml.g5.xlarge"
    assert [operation for operation, _ in aws.asked] == ["ListApps", "DescribeApp", "ListApps"]


async def test_a_notebook_instance_is_one_app_that_is_stopped_not_deleted() -> None:
    host = Host(HostKind.NOTEBOOK_INSTANCE, "us-west-2", app_name="mine")
    aws = FakeAws(
        {
            "NotebookInstanceStatus": "InService",
            "InstanceType": "ml.t3.medium",
            "LastModifiedTime": START - timedelta(days=9),
        },
        {},
    )
    adapter = adapter_for(host, aws)
    (found,) = await adapter.list_apps(at(hours=1))
    assert (found.name, found.status, found.instance_type) == (
        "mine",
        AppStatus.IN_SERVICE,
        "ml.t3.medium",
    )
    await adapter.shut_down(found)
    assert aws.asked[-1] == ("StopNotebookInstance", {"NotebookInstanceName": "mine"})
