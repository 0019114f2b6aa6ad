"""Cloud Custodian, which is independent of this product, sees the same fleet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import custodian
from tests.localstudio.testing import BlockingStudio
from tests.programs import installed

from .conftest import Run, document, fill

pytestmark = pytest.mark.timeout(400)


def test_an_independent_client_lists_the_same_apps(
    studio: BlockingStudio, run: Run, environment: Mapping[str, str], tmp_path: Path
) -> None:
    fill(studio, apps=230)
    installed("custodian")  # its installation asks the local Studio nothing
    theirs = custodian.resources("aws.sagemaker-app", tmp_path / "custodian", environment)
    described = len(studio.calls("DescribeApp"))
    ours = document(run("status", "--json"))["apps"]
    fields = ("DomainId", "AppType", "AppName", "Status")

    def instance(spec: Mapping[str, str] | None) -> str:
        return (spec or {}).get("InstanceType", "")

    assert sorted(
        (
            *(app[name] for name in fields),
            app.get("SpaceName") or app.get("UserProfileName"),
            instance(app.get("ResourceSpec")),
        )
        for app in theirs
    ) == sorted(
        (
            app["domain"],
            app["app_type"],
            app["app_name"],
            app["status"],
            app["space"] or app["owner"],
            app["instance_type"],
        )
        for app in ours
    )
    # The cost of seeing it: a call for each app there, and none for ours.
    assert described == len(theirs)
    assert len(studio.calls("DescribeApp")) == described


def test_an_independent_client_lists_the_same_notebook_instances(
    studio: BlockingStudio, run: Run, environment: Mapping[str, str], tmp_path: Path
) -> None:
    fill(studio, apps=20, notebooks=25)
    theirs = custodian.resources("aws.sagemaker-notebook", tmp_path / "custodian", environment)
    ours = document(run("status", "--json"))["notebook_instances"]
    assert {(each["NotebookInstanceName"], each["NotebookInstanceStatus"]) for each in theirs} == {
        (each["notebook_instance_name"], each["status"]) for each in ours
    }
    assert len(theirs) == 25
