"""The script reports other shutdowns of the app, and checks that it may not make."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sagemaker_autoshutdown.lifecycle import on_start, policy
from tests.localstudio import Fault, names

from .conftest import Account

Tell = Callable[[], str]


@pytest.fixture
def tell(
    account: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Tell:
    """Runs it in ada's private space; returns its output."""
    arn = names.arn(f"app/{account.domain_id}/team-a/JupyterLab/default")
    metadata = tmp_path / "resource-metadata.json"
    metadata.write_text(
        json.dumps(
            {
                "AppType": "JupyterLab",
                "DomainId": account.domain_id,
                "SpaceName": "team-a",
                "ResourceArn": arn,
                "ResourceName": "default",
            }
        )
    )
    monkeypatch.setenv("RESOURCE_METADATA_FILE", str(metadata))

    def run() -> str:
        capsys.readouterr()
        on_start.main()
        return capsys.readouterr().out

    return run


def test_an_idle_shutdown_of_studios_own_is_named(tell: Tell) -> None:
    [line] = tell().splitlines()
    assert line.startswith("sagemaker-autoshutdown: Studio's own idle shutdown: on in the")
    assert "after 120 minutes" in line
    assert "Switch one of the two off" in line


def test_what_the_role_may_not_see_is_said_and_not_taken_for_off(
    account: Account, tell: Tell
) -> None:
    account.studio.fault(Fault("Describe*", code="AccessDeniedException"))
    [line] = tell().splitlines()
    assert "could not be checked" in line
    assert "sagemaker:DescribeDomain, sagemaker:DescribeSpace" in line
    assert "switch one" not in line


def test_the_printed_role_policy_allows_to_look(account: Account, tell: Tell) -> None:
    begin = len(account.studio.calls())
    tell()
    called = {f"sagemaker:{call.operation}" for call in account.studio.calls()[begin:]}
    allowed = {action for each in policy.role_policy()["Statement"] for action in each["Action"]}
    assert called == {
        "sagemaker:DescribeDomain",
        "sagemaker:DescribeSpace",
        "sagemaker:DescribeUserProfile",
    }
    assert called <= allowed
    [look] = [each for each in policy.role_policy()["Statement"] if called & {*each["Action"]}]
    assert "*" not in look["Resource"]
