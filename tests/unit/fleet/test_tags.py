"""The tags of an app as SageMaker is asked for them just before a shutdown."""

from __future__ import annotations

from typing import Any

import pytest

from sagemaker_autoshutdown.aws import Aws, AwsError, ErrorKind
from sagemaker_autoshutdown.fleet.acting.model import EXCEPTION_TAG, RunId
from sagemaker_autoshutdown.fleet.acting.sagemaker import SageMaker
from sagemaker_autoshutdown.fleet.model import Key
from sagemaker_autoshutdown.hosts.marks import MARK_TAG

from .scenes import NOON, SCOPE

RUN = RunId(SCOPE, Key("d-1", "space", "lab", "CodeEditor", "default"), NOON)
START = "arn:aws:sagemaker:us-east-2:123456789012:"
APP = "app/d-1/lab/codeeditor/default"
#: From the weakest to the strongest.
PLACES = ["domain/d-1", "user-profile/d-1/ada", "space/d-1/lab", APP]


class Account(Aws):
    """An account with these tags. Resources that it does not name can't be read."""

    def __init__(self, tags: dict[str, dict[str, str]]) -> None:
        super().__init__("us-east-2")
        self.tags = tags

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        if operation == "ListTags":
            tags = self.tags.get(parameters["ResourceArn"][len(START) :])
            if tags is None:
                raise AwsError(ErrorKind.ACCESS_DENIED, operation, "AccessDeniedException", "no")
            return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        assert operation == "DescribeApp"
        return {"Status": "InService", "CreationTime": NOON, "AppArn": START + APP}


@pytest.mark.parametrize("arn", ["", START + APP])
@pytest.mark.parametrize("place", range(4))
def test_an_exception_is_found_wherever_it_is_and_the_nearest_counts(place: int, arn: str) -> None:
    tags = {
        name: {EXCEPTION_TAG: name, MARK_TAG: name} if number <= place else {}
        for number, name in enumerate(PLACES)
    }
    present = SageMaker(Account(tags), lambda: NOON).describe(RUN, arn, "ada")
    assert present is not None
    assert present.tags is not None
    assert present.tags[EXCEPTION_TAG] == PLACES[place]
    assert present.mark == (APP if place == 3 else ""), "a mark is the app's own"


@pytest.mark.parametrize("place", PLACES)
def test_an_exception_that_may_be_where_nobody_may_look_is_not_taken_for_none(place: str) -> None:
    tags: dict[str, dict[str, str]] = {name: {} for name in PLACES if name != place}
    present = SageMaker(Account(tags), lambda: NOON).describe(RUN, START + APP, "ada")
    assert present is not None
    assert present.tags is None
