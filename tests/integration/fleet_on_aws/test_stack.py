"""The stack that users deploy, on ministack, from the schedule to the record."""

from __future__ import annotations

import pytest

from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.fleet.model import NOTEBOOK_INSTANCE, VOLUME, Scope
from sagemaker_autoshutdown.fleet.on_aws.table import Table
from tests.localstudio import fleet as fleets
from tests.localstudio.testing import BlockingStudio
from tests.ministack import ACCOUNT, REGION, wait_for

from .conftest import Fleet

SCOPE = Scope(ACCOUNT, REGION)


@pytest.mark.whole_stack
def test_a_schedule_fires_and_the_fleet_is_recorded(fleet: Fleet, studio: BlockingStudio) -> None:
    """Uses the template that users deploy, with checked rights."""
    made = studio.do(lambda s: fleets.fill(s.account, s.now(), apps=21, notebooks=0))
    fleet.deploy()
    outputs = fleet.deployment.outputs()
    table = Table(Aws(REGION), outputs["TableName"], outputs["BucketName"])
    wait_for(lambda: table.last_sweep(SCOPE), "a sweep is recorded")
    state = table.load(SCOPE)
    seen = [key for key in state.runs if key.app_type not in (VOLUME, NOTEBOOK_INSTANCE)]
    assert len(seen) == len(made.apps)
