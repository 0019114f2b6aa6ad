"""Calls over real HTTP to the local Studio's API: errors are told apart, and no call waits for
ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sagemaker_autoshutdown import aws as aws_module
from sagemaker_autoshutdown.aws import SENT_ONCE, Aws, AwsError, ErrorKind
from sagemaker_autoshutdown.lifecycle.parallel import each
from tests.localstudio import AppKey, Fault, user
from tests.localstudio.testing import QUICK, BlockingStudio, enter_app, running_studio


@pytest.fixture(scope="module")
def shared_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingStudio]:
    timing = replace(QUICK, pending=0, deleting=0)
    with running_studio(tmp_path_factory.mktemp("studio"), timing=timing) as studio:
        studio.create_domain()
        studio.create_owner(user("ada"))
        yield studio


@pytest.fixture
def studio(
    shared_studio: BlockingStudio, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BlockingStudio]:
    """An API that this process's boto3 calls."""
    for name, value in shared_studio.aws_environment().items():
        monkeypatch.setenv(name, value)
    # botocore's own retries wait for seconds.
    monkeypatch.setattr(aws_module, "ATTEMPTS", 1)
    yield shared_studio
    shared_studio.faults_off()


@pytest.fixture
def aws(studio: BlockingStudio) -> Iterator[Aws]:
    made = Aws("us-east-2")
    yield made
    for client in made._clients.values():
        client.close()


@pytest.mark.parametrize("operation", sorted(SENT_ONCE))
async def test_a_shutdown_is_not_sent_again_by_botocore_itself(
    studio: BlockingStudio, aws: Aws, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_module, "ATTEMPTS", 3)
    studio.fault(Fault(operation, code="ThrottlingException"))
    parameters: dict[str, dict[str, Any]] = {
        "DeleteApp": studio.parameters(AppKey("d-0", "user-profile", "ada", "JupyterLab", "x")),
        "StopNotebookInstance": {"NotebookInstanceName": "x"},
    }
    error = await error_of(aws, operation, **parameters[operation])
    assert error.kind is ErrorKind.THROTTLED
    assert len(studio.calls(operation)) == 1


async def error_of(aws: Aws, operation: str = "ListApps", **parameters: Any) -> AwsError:
    with pytest.raises(AwsError) as raised:
        await aws.call("sagemaker", operation, **parameters)
    return raised.value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", ErrorKind.ACCESS_DENIED),
        ("ThrottlingException", ErrorKind.THROTTLED),
        ("ResourceNotFound", ErrorKind.NOT_FOUND),
        ("ResourceInUse", ErrorKind.IN_USE),
        ("ExpiredTokenException", ErrorKind.NO_CREDENTIALS),
        ("UnrecognizedClientException", ErrorKind.NO_CREDENTIALS),
        ("ValidationException", ErrorKind.OTHER),
        ("InternalFailure", ErrorKind.OTHER),
    ],
)
async def test_f3_errors_that_share_a_status_are_told_apart_by_their_code(
    studio: BlockingStudio, aws: Aws, code: str, kind: ErrorKind
) -> None:
    studio.fault(Fault("ListApps", code=code, message="no, because"))
    error = await error_of(aws)
    assert (error.kind, error.code, error.operation) == (kind, code, "sagemaker:ListApps")
    assert "no, because" in str(error)
    assert error.remedy


async def test_f25_a_missing_right_names_its_iam_action(studio: BlockingStudio, aws: Aws) -> None:
    studio.fault(Fault("ListApps", code="AccessDeniedException"))
    error = await error_of(aws)
    assert error.iam_action == "sagemaker:ListApps"
    assert "sagemaker:ListApps" in error.remedy
    studio.faults_off()
    studio.fault(Fault("ListApps", code="ThrottlingException"))
    assert (await error_of(aws)).iam_action is None


async def test_a_notebook_instance_that_is_not_there_is_not_found(aws: Aws) -> None:
    """SageMaker answers ValidationException there."""
    error = await error_of(aws, "DescribeNotebookInstance", NotebookInstanceName="none")
    assert error.kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize(
    "fault",
    [Fault(drop=True), Fault(status=503, body="<html>busy</html>"), Fault(body="not JSON")],
    ids=["dropped", "html", "no-json"],
)
async def test_an_answer_that_is_none_does_not_mean_that_there_are_no_apps(
    studio: BlockingStudio, aws: Aws, fault: Fault
) -> None:
    studio.fault(replace(fault, operation="ListApps"))
    with pytest.raises(AwsError) as raised:
        await aws.pages("sagemaker", "ListApps", "Apps")
    assert raised.value.kind in (ErrorKind.UNREACHABLE, ErrorKind.OTHER)


async def test_an_api_that_does_not_answer_is_a_time_out(
    studio: BlockingStudio, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_module, "READ_TIMEOUT", 0.2)
    studio.fault(Fault("ListApps", hang=True))
    error = await error_of(aws)
    assert error.kind is ErrorKind.TIMEOUT


async def test_a_call_is_bounded_whatever_botocore_waits_for(
    studio: BlockingStudio, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_module, "CALL_TIMEOUT", 0.2)
    studio.fault(Fault("ListApps", hang=True))
    error = await error_of(aws)
    assert (error.kind, error.code) == (ErrorKind.TIMEOUT, "Timeout")


async def test_an_endpoint_that_nobody_listens_at_is_unreachable(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "http://127.0.0.1:1")
    assert (await error_of(aws)).kind is ErrorKind.UNREACHABLE


async def test_missing_credentials_are_named(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = await error_of(aws)
    assert error.kind is ErrorKind.NO_CREDENTIALS
    assert "execution role" in error.remedy


async def test_a_missing_region_is_an_error_and_no_crash(
    studio: BlockingStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    error = await error_of(Aws(""))
    assert error.kind is ErrorKind.UNREACHABLE
    assert "region" in error.remedy


async def test_parameters_that_are_refused_before_they_are_sent_are_an_error(aws: Aws) -> None:
    assert (await error_of(aws, MaxResults=1000)).kind is ErrorKind.OTHER
    assert (await error_of(aws, "NoSuchThing")).kind is ErrorKind.OTHER


async def test_one_call_that_hangs_delays_no_other(studio: BlockingStudio, aws: Aws) -> None:
    app = enter_app(studio, "hanging")
    studio.fault(Fault("DescribeApp", app_name="hanging", hang=True))
    await aws.call("sagemaker", "ListApps")
    hanging = asyncio.ensure_future(aws.call("sagemaker", "DescribeApp", **studio.parameters(app)))
    started = time.monotonic()
    await asyncio.gather(*(aws.call("sagemaker", "ListApps") for _ in range(5)))
    assert not hanging.done()
    studio.faults_off()
    assert (await hanging)["AppName"] == "hanging"
    assert time.monotonic() - started < 60


async def test_f21_a_call_that_hangs_does_not_hold_up_the_event_loop(
    studio: BlockingStudio, aws: Aws
) -> None:
    studio.fault(Fault("ListApps", delay=0.3))
    call = asyncio.ensure_future(aws.call("sagemaker", "ListApps"))
    turns = 0
    while not call.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100


async def test_all_pages_are_read(studio: BlockingStudio, aws: Aws) -> None:
    names = {f"paged-{number}" for number in range(7)}
    for number, name in enumerate(sorted(names)):
        enter_app(studio, name, instance_type=f"ml.{'tmcrg'[number % 5]}5.large")
    found = await aws.pages("sagemaker", "ListApps", "Apps", MaxResults=2)
    assert names <= {app["AppName"] for app in found}


async def test_a_page_token_that_repeats_ends_the_listing_with_an_error(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter("abcabcabc")
    calls = 0

    def page(*_: object) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return {"Apps": [], "NextToken": next(tokens)}

    monkeypatch.setattr(aws, "call_blocking", page)
    with pytest.raises(AwsError, match="repeat"):
        await aws.pages("sagemaker", "ListApps", "Apps")
    assert calls == 4
    tokens = iter("abcabcabc")
    with pytest.raises(AwsError, match="repeat"):
        list(aws.pages_blocking("sagemaker", "ListApps", "Apps", {}))
    assert calls == 8


async def test_every_call_is_counted_with_its_outcome(studio: BlockingStudio) -> None:
    told: list[tuple[str, str]] = []
    aws = Aws("us-east-2", on_call=lambda operation, outcome: told.append((operation, outcome)))
    studio.fault(Fault("ListApps", times=1, code="ThrottlingException"))
    await error_of(aws)
    await aws.call("sagemaker", "ListApps")
    assert told == [("sagemaker:ListApps", "ThrottlingException"), ("sagemaker:ListApps", "ok")]
    aws._clients["sagemaker"].close()


def test_what_one_thread_is_not_told_is_not_said_to_another(studio: BlockingStudio) -> None:
    """Several threads read settings at once. They are written back only if everything is known."""
    for name in ("a", "b"):
        body = f'{{"AppName": "{name}", "Future{name}": 1}}'
        studio.fault(Fault("DescribeApp", app_name=name, body=body, delay=0.01))
    aws = Aws("us-east-2")

    def unknown(name: str) -> tuple[str, list[str]]:
        named = {"DomainId": "d-1", "UserProfileName": "ada", "AppType": "JupyterServer"}
        answer, unknown = aws.call_seeing_all(
            "sagemaker", "DescribeApp", {**named, "AppName": name}
        )
        return answer["AppName"], unknown

    names = ["a", "b"] * 20
    assert list(each(unknown, names)) == [(name, [f"Future{name}"]) for name in names]
    studio.faults_off()
