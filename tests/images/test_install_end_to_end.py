"""From ``lifecycle-config install`` to an idle app that is shut down."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagemaker_autoshutdown import __version__, cli
from sagemaker_autoshutdown.lifecycle.script import Kind
from tests.localstudio import AppKey, LocalStudioError, ServerOptions, space, user
from tests.localstudio.testing import BlockingStudio, running_studio

from .conftest import environment_named
from .images import Environment
from .standin import StandIn
from .test_images import wait_until

IMAGES = {
    Kind.SPACE: "sagemaker-distribution-4.4.1",
    Kind.CLASSIC: "studio-classic-jupyterlab3",
}
QUICK = [
    *("--idle-timeout", "10s", "--warning-time", "1s"),
    *("--set", "poll_interval=1", "--set", "active_time=1"),
]


@pytest.fixture(params=IMAGES, ids=lambda kind: kind.value)
def stand_in(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StandIn]:
    """A host without the product, with an image that it may have."""
    for environment in environment_named(IMAGES[request.param]):
        yield StandIn(request.param, environment, tmp_path / "root")


def test_from_one_command_to_an_idle_app_that_is_shut_down(
    stand_in: StandIn,
    wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = stand_in.root / "wheels" / wheel.name
    place.parent.mkdir()
    place.write_bytes(wheel.read_bytes())
    options = ServerOptions(
        python=stand_in.environment.python,
        frontend="lab",
    )
    with running_studio(tmp_path / "studio", server=options) as studio:
        for name, value in studio.aws_environment().items():
            monkeypatch.setenv(name, value)
        domain_id = studio.create_domain()
        ada = studio.create_owner(user("ada"))
        lab = studio.create_owner(
            space("lab"),
            OwnershipSettings={"OwnerUserProfileName": "ada"},
            SpaceSharingSettings={"SharingType": "Private"},
            SpaceSettings={"AppType": "JupyterLab"},
        )
        sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
        source = ("--wheel", f"/wheels/{wheel.name}", "--sha256", sha256)
        assert cli.main(["lifecycle-config", "install", "--yes", *source, *QUICK]) == 0

        # As Studio does when it starts an app: it runs the scripts that the domain's settings name.
        outcome = stand_in.run(attached_script(studio, domain_id, stand_in.kind))
        assert f"installed {__version__}, limit 10 s" in outcome.log[0]
        if stand_in.kind is Kind.SPACE:
            server = idle = studio.create_app(lab, "JupyterLab")
        else:
            server = studio.create_app(ada, "JupyterServer")
            idle = studio.create_kernel_app(ada)
        # Not before its status has been read, however long that takes.
        hold = f"sagemaker-autoshutdown/api/apps/{idle.name}/keep-alive"
        wait_until(lambda: is_held(studio, server, hold), "the server to know the app")
        assert started_with(server, capsys) == __version__
        studio.request(server, "DELETE", hold)
        studio.wait_for(idle, "Deleted")
        [deleted] = studio.calls("DeleteApp")
        assert deleted.parameters == studio.parameters(idle)


def test_an_image_with_an_old_botocore_refuses_to_write_what_it_does_not_know(
    wheel: Path, tmp_path: Path
) -> None:
    install = ("install", "--yes")
    for environment in environment_named("sagemaker-distribution-1.0.0"):
        environment.install(wheel)
        with running_studio(tmp_path) as studio:
            studio.create_domain(
                DefaultUserSettings={
                    "JupyterLabAppSettings": {
                        "AppLifecycleManagement": {"IdleSettings": {"IdleTimeoutInMinutes": 120}}
                    }
                }
            )
            refused = lifecycle_config(environment, studio, *install, "--kind", "space")
            assert refused.returncode == 1
            assert "DefaultUserSettings.JupyterLabAppSettings" in refused.stderr
            assert "pip install --upgrade 'botocore>=1.35.32'" in refused.stderr
            assert studio.calls("UpdateDomain") == []
            # Nor does it claim that nobody has a thing that it can't see.
            for blind in (["status"], ["uninstall", "--dry-run"]):
                refused = lifecycle_config(environment, studio, *blind)
                assert refused.returncode == 1, refused.stdout
                assert "pip install --upgrade 'botocore>=1.35.32'" in refused.stderr
            # It may write the members that it knows, and leaves the rest.
            done = lifecycle_config(environment, studio, *install, "--kind", "classic")
            assert done.returncode == 0, done.stderr
            [domain] = studio.do(lambda s: list(s.account.domains.values()))
            idle = domain.settings["DefaultUserSettings"]["JupyterLabAppSettings"]
            assert idle["AppLifecycleManagement"]["IdleSettings"] == {"IdleTimeoutInMinutes": 120}


def lifecycle_config(
    environment: Environment, studio: BlockingStudio, *more: str
) -> subprocess.CompletedProcess[str]:
    """The command, run by another environment than this one."""
    command = [environment.python, "-m", "sagemaker_autoshutdown.cli", "lifecycle-config"]
    return subprocess.run(
        [*command, *more],
        env={**os.environ, **studio.aws_environment()},
        cwd=studio.studio.work_dir,
        capture_output=True,
        text=True,
        check=False,
    )


def is_held(studio: BlockingStudio, server: AppKey, hold: str) -> bool:
    """Whether the app could be kept alive: its server must have seen it in service."""
    try:
        studio.request(server, "PUT", hold, {"seconds": 3600})
    except LocalStudioError:
        return False
    return True


def attached_script(studio: BlockingStudio, domain_id: str, kind: Kind) -> str:
    """The script that an app of that kind starts with."""
    client = studio.client()
    settings = client.describe_domain(DomainId=domain_id)["DefaultUserSettings"]
    if kind is Kind.SPACE:
        arn = settings["JupyterLabAppSettings"]["BuiltInLifecycleConfigArn"]
    else:
        spec = settings["JupyterServerAppSettings"]["DefaultResourceSpec"]
        arn = spec["LifecycleConfigArn"]
    described = client.describe_studio_lifecycle_config(
        StudioLifecycleConfigName=arn.rpartition("/")[2]
    )
    return base64.b64decode(described["StudioLifecycleConfigContent"]).decode()


def started_with(app: AppKey, capsys: pytest.CaptureFixture[str]) -> str | None:
    """The version that an app was started with, by ``lifecycle-config status``."""
    capsys.readouterr()
    assert cli.main(["lifecycle-config", "status", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    [version] = [
        row["started_with"]
        for row in rows
        if (row["owner"], bool(row["status"])) == (app.owner_name, True)
    ]
    return None if version is None else str(version)
