"""A local Studio with settings that must survive, and the command run against it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown import cli
from tests.localstudio import names, space, user
from tests.localstudio.testing import QUICK, BlockingStudio, running_studio

IMAGE = f"arn:aws:sagemaker:{names.REGION}:{names.ACCOUNT}:image/own"
#: Settings that an admin made long ago and does not want to lose.
USER_SETTINGS: dict[str, Any] = {
    "ExecutionRole": names.ROLE_ARN,
    "SecurityGroups": ["sg-1"],
    "SharingSettings": {"NotebookOutputOption": "Allowed", "S3OutputPath": "s3://bucket/shared"},
    "JupyterServerAppSettings": {
        "DefaultResourceSpec": {"InstanceType": "system"},
        "CodeRepositories": [{"RepositoryUrl": "https://example.com/repo.git"}],
    },
    "KernelGatewayAppSettings": {"DefaultResourceSpec": {"InstanceType": "ml.t3.large"}},
    "JupyterLabAppSettings": {
        "DefaultResourceSpec": {"InstanceType": "ml.m5.large", "SageMakerImageArn": IMAGE},
        "CustomImages": [{"ImageName": "own", "AppImageConfigName": "own-config"}],
        "AppLifecycleManagement": {
            "IdleSettings": {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 120}
        },
    },
    "StudioWebPortal": "ENABLED",
    "CustomPosixUserConfig": {"Uid": 10001, "Gid": 1001},
}
SPACE_SETTINGS: dict[str, Any] = {
    "ExecutionRole": names.ROLE_ARN,
    "JupyterLabAppSettings": {"DefaultResourceSpec": {"InstanceType": "ml.t3.medium"}},
    "SpaceStorageSettings": {
        "DefaultEbsStorageSettings": {
            "DefaultEbsVolumeSizeInGb": 10,
            "MaximumEbsVolumeSizeInGb": 100,
        }
    },
}


@dataclass
class Account:
    """The local Studio as an admin sees it."""

    studio: BlockingStudio
    domain_id: str
    run: Callable[..., tuple[int, str, str]]

    @cached_property
    def client(self) -> Any:
        """boto3, as the admin's own scripts would use it."""
        return self.studio.client()

    @property
    def domain(self) -> dict[str, Any]:
        """The domain's settings."""
        described: dict[str, Any] = self.client.describe_domain(DomainId=self.domain_id)
        groups = ("DefaultUserSettings", "DefaultSpaceSettings", "DomainSettings")
        return {group: described[group] for group in groups if group in described}

    def profile(self, name: str) -> dict[str, Any]:
        """A user profile's settings."""
        described: dict[str, Any] = self.client.describe_user_profile(
            DomainId=self.domain_id, UserProfileName=name
        )
        return dict(described.get("UserSettings", {}))

    def create_config(self, name: str, app_type: str, script: str = "#!/bin/bash\nexit 0\n") -> str:
        """Somebody else's lifecycle configuration; returns its ARN."""
        answer = self.client.create_studio_lifecycle_config(
            StudioLifecycleConfigName=name,
            StudioLifecycleConfigContent=base64.b64encode(script.encode()).decode(),
            StudioLifecycleConfigAppType=app_type,
        )
        return str(answer["StudioLifecycleConfigArn"])

    @property
    def configs(self) -> list[str]:
        """The names of all lifecycle configurations."""
        listed = self.client.list_studio_lifecycle_configs(MaxResults=100)
        return [each["StudioLifecycleConfigName"] for each in listed["StudioLifecycleConfigs"]]

    def script(self, arn: str) -> str:
        """The script behind an ARN."""
        described = self.client.describe_studio_lifecycle_config(
            StudioLifecycleConfigName=arn.rpartition("/")[2]
        )
        return base64.b64decode(described["StudioLifecycleConfigContent"]).decode()

    def changes(self) -> list[str]:
        """The operations that changed something, in order."""
        made = ("Create", "Update", "Delete")
        return [call.operation for call in self.studio.calls() if call.operation.startswith(made)]


@pytest.fixture(params=["replaced", "deep"])
def account(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Account]:
    """An account with one domain, for both ways in which AWS may handle an update."""
    with running_studio(tmp_path, timing=replace(QUICK, pending=0, deleting=0)) as studio:
        for name, value in studio.aws_environment().items():
            monkeypatch.setenv(name, value)
        studio.studio.account.deep_updates = request.param == "deep"
        domain_id = studio.create_domain(
            DefaultUserSettings=USER_SETTINGS, DefaultSpaceSettings=SPACE_SETTINGS
        )
        for name in ("ada", "grace"):
            studio.create_owner(user(name))
        studio.create_owner(
            space("team-a"),
            OwnershipSettings={"OwnerUserProfileName": "ada"},
            SpaceSharingSettings={"SharingType": "Private"},
            SpaceSettings={"AppType": "JupyterLab"},
        )
        studio.create_owner(
            space("shared"),
            OwnershipSettings={"OwnerUserProfileName": "ada"},
            SpaceSharingSettings={"SharingType": "Shared"},
            SpaceSettings={"AppType": "JupyterLab"},
        )

        def run(*arguments: str) -> tuple[int, str, str]:
            capsys.readouterr()
            code = cli.main(["lifecycle-config", *arguments])
            told = capsys.readouterr()
            return code, told.out, told.err

        yield Account(studio, domain_id, run)
