"""Faults that tests switch on."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.localstudio import Fault, KernelOverride
from tests.localstudio.testing import BlockingStudio, enter_app

from .conftest import http_request
from .test_api import refused


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AccessDeniedException", 400),
        ("ThrottlingException", 400),
        ("ResourceInUse", 400),
        ("ResourceNotFound", 400),
        ("InternalFailure", 500),
    ],
)
def test_an_error_code_is_answered_as_often_as_asked_and_for_that_app_only(
    studio: BlockingStudio, code: str, status: int
) -> None:
    one, other = enter_app(studio, "one"), enter_app(studio, "other")
    studio.fault(Fault("DeleteApp", app_name="one", code=code, times=2))
    client = studio.client()
    client.delete_app(**studio.parameters(other))
    for _ in range(2):
        error = refused(client.delete_app, **studio.parameters(one))
        assert (error["Code"], error["status"]) == (code, status)
    client.delete_app(**studio.parameters(one))
    studio.wait_for(one, "Deleted")


def test_a_refused_call_changes_nothing_and_a_lost_answer_does(studio: BlockingStudio) -> None:
    key = enter_app(studio, "app")
    studio.fault(Fault("DeleteApp", code="InternalFailure", times=1))
    refused(studio.client().delete_app, **studio.parameters(key))
    assert studio.status(key) == "InService"
    studio.fault(Fault("DeleteApp", code="InternalFailure", times=1, after=True))
    refused(studio.client().delete_app, **studio.parameters(key))
    studio.wait_for(key, "Deleted")


def test_an_api_that_is_down_is_down_for_all_operations_until_switched_on(
    studio: BlockingStudio,
) -> None:
    number = studio.fault(Fault("*", drop=True))
    client = studio.client()
    with pytest.raises(ConnectionClosedError):
        client.list_apps()
    with pytest.raises(ConnectionClosedError):
        client.list_domains()
    studio.faults_off(number)
    assert client.list_apps()["Apps"] == []
    assert [call.outcome for call in studio.calls("ListApps")] == ["dropped", "ok"]


def test_a_call_that_hangs_is_answered_once_the_fault_is_off(studio: BlockingStudio) -> None:
    studio.fault(Fault("ListApps", hang=True))
    with pytest.raises(ReadTimeoutError):
        studio.client(read_timeout=0.3).list_apps()
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(studio.client().list_apps()))
    caller.start()
    studio.wait_for_call("ListApps", count=2)
    assert answers == []
    studio.faults_off()
    caller.join(60)
    assert answers[0]["Apps"] == []


def test_a_delay_delays_one_operation_and_not_the_others(studio: BlockingStudio) -> None:
    studio.fault(Fault("ListApps", delay=1))
    delayed = threading.Thread(target=lambda: studio.client().list_apps())
    begin = time.monotonic()
    delayed.start()
    studio.wait_for_call("ListApps")
    studio.client().list_domains()
    assert [call.outcome for call in studio.calls("ListDomains")] == ["ok"]
    delayed.join(60)
    assert time.monotonic() - begin >= 1


def test_an_answer_can_be_garbage(studio: BlockingStudio) -> None:
    studio.fault(Fault("ListApps", body="<html>bad gateway</html>", status=502, times=1))
    with pytest.raises(ClientError) as error:
        studio.client().list_apps()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 502


def test_an_override_changes_the_kernels_it_names_and_no_others() -> None:
    model = {"id": "k1", "app_name": "a", "execution_state": "idle", "last_activity": "x"}
    hers = KernelOverride(app_name="a", changes={"execution_state": "dead"}, without=("id",))
    assert hers.apply(dict(model)) == {
        "app_name": "a",
        "execution_state": "dead",
        "last_activity": "x",
    }
    assert KernelOverride(app_name="b", changes={"execution_state": "dead"}).apply(model) == model
    assert KernelOverride(kernel_id="k2", without=("id",)).apply(model) == model


def control(
    studio: BlockingStudio, method: str, path: str, document: Any = None, token: str | None = None
) -> tuple[int, Any]:
    """A request to the control API."""
    token = studio.studio.control_token if token is None else token
    return http_request(
        f"{studio.endpoint_url}/_localstudio/{path}",
        method,
        {"Authorization": f"Bearer {token}"},
        None if document is None else json.dumps(document).encode(),
    )


def test_another_process_switches_faults_and_reads_the_journal_over_http(
    studio: BlockingStudio,
) -> None:
    fault = {"operation": "ListApps", "code": "ThrottlingException", "times": 1}
    status, answer = control(studio, "POST", "faults", fault)
    assert status == 200
    assert control(studio, "GET", "faults")[1][str(answer["number"])]["times"] == 1
    assert refused(studio.client().list_apps)["Code"] == "ThrottlingException"
    assert control(studio, "GET", "faults")[1] == {}
    _, calls = control(studio, "GET", "journal?operation=ListApps")
    assert [call["outcome"] for call in calls] == ["ThrottlingException"]
    control(studio, "POST", "faults", {"operation": "ListApps", "drop": True})
    assert control(studio, "DELETE", "faults")[0] == 204
    assert studio.client().list_apps()["Apps"] == []


def test_the_control_api_names_what_it_does_not_know(studio: BlockingStudio) -> None:
    status, answer = control(studio, "POST", "faults", {"operation": "ListApps", "cod": "X"})
    assert status == 400
    assert "cod" in answer["message"]
    assert "known are" in answer["message"]
    assert control(studio, "POST", "fail", {"app_name": "none"})[0] == 400


def test_the_control_api_is_closed_without_its_token(studio: BlockingStudio) -> None:
    for path in ("state", "journal", "faults"):
        assert control(studio, "GET", path, token="wrong")[0] == 401  # noqa: S106
