"""The SageMaker API as boto3 sees it over HTTP, on an account with no processes."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.localstudio import space, user
from tests.localstudio.operations import SERVICES
from tests.localstudio.protocol import format_answer, service_model
from tests.localstudio.testing import BlockingStudio, enter_app

from .conftest import http_request

#: The operations that the local Studio must serve.
OPERATIONS = {
    "CreateApp",
    "ListApps",
    "DescribeApp",
    "DeleteApp",
    "ListDomains",
    "DescribeDomain",
    "ListUserProfiles",
    "ListSpaces",
    "DescribeSpace",
    "DescribeNotebookInstance",
    "StopNotebookInstance",
    "ListNotebookInstances",
}


def refused(call: Any, **parameters: Any) -> dict[str, Any]:
    """Code, message and HTTP status of a call's error."""
    with pytest.raises(ClientError) as error:
        call(**parameters)
    answer: Any = error.value.response
    return {**answer["Error"], "status": answer["ResponseMetadata"]["HTTPStatusCode"]}


def post(studio: BlockingStudio, target: str, body: bytes, **headers: str) -> tuple[int, Any]:
    """A request that boto3 would not send."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target, **headers}
    return http_request(studio.endpoint_url, "POST", headers, body)


def test_every_operation_that_the_product_needs_is_served() -> None:
    served = {name for table in SERVICES for name in table.functions}
    assert served >= OPERATIONS


def test_boto3_finds_the_studio_by_its_environment_variables_alone(
    studio: BlockingStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in studio.aws_environment().items():
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client("sagemaker")
    assert [domain["Status"] for domain in client.list_domains()["Domains"]] == ["InService"]


def test_list_apps_gives_each_app_once_over_pages_even_when_apps_go_between(
    studio: BlockingStudio,
) -> None:
    keys = [enter_app(studio, f"app{n}", instance_type=f"ml.m5.{n}xlarge") for n in (2, 4, 8, 12)]
    client = studio.client()
    first = client.list_apps(MaxResults=2)
    client.delete_app(**studio.parameters(keys[0]))
    second = client.list_apps(MaxResults=2, NextToken=first["NextToken"])
    names = [app["AppName"] for page in (first, second) for app in page["Apps"]]
    assert names == ["app2", "app4", "app8", "app12"]
    assert "NextToken" not in second
    pages = client.get_paginator("list_apps").paginate(SortOrder="Descending")
    assert [app["AppName"] for page in pages for app in page["Apps"]] == names[::-1]


def test_list_apps_gives_ten_where_no_maximum_is_asked_for(studio: BlockingStudio) -> None:
    for n in range(11):
        enter_app(studio, f"app{n}", instance_type=f"ml.m{n}.xlarge")
    answer = studio.client().list_apps()
    assert len(answer["Apps"]) == 10
    assert answer["NextToken"]


def test_list_apps_shows_only_the_owner_that_was_asked_for(studio: BlockingStudio) -> None:
    studio.create_owner(user("grace"))
    studio.create_owner(space("team"))
    enter_app(studio, "hers")
    enter_app(studio, "other", user("grace"))
    enter_app(studio, "shared", space("team"))
    client = studio.client()

    def names(**filters: str) -> list[str]:
        return [app["AppName"] for app in client.list_apps(**filters)["Apps"]]

    assert names(UserProfileNameEquals="ada") == ["hers"]
    assert names(SpaceNameEquals="team") == ["shared"]
    assert names(DomainIdEquals="d-000000000000") == []
    both = refused(client.list_apps, UserProfileNameEquals="ada", SpaceNameEquals="team")
    assert both["Code"] == "ValidationException"


def test_an_app_is_told_with_its_instance_type_and_times_that_boto3_can_read(
    studio: BlockingStudio,
) -> None:
    key = enter_app(studio, "app")
    app = studio.client().describe_app(**studio.parameters(key))
    assert app["Status"] == "InService"
    assert app["ResourceSpec"]["InstanceType"] == "ml.t3.medium"
    assert app["UserProfileName"] == "ada"
    assert "SpaceName" not in app
    assert app["CreationTime"].tzinfo is not None
    assert app["LastUserActivityTimestamp"] >= app["CreationTime"]


def test_delete_app_answers_an_empty_200(studio: BlockingStudio) -> None:
    key = enter_app(studio, "app")
    answer = studio.client().delete_app(**studio.parameters(key))
    assert list(answer) == ["ResponseMetadata"]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["content-length"] == "0"
    studio.wait_for(key, "Deleted")
    assert [app["Status"] for app in studio.client().list_apps()["Apps"]] == ["Deleted"]


def test_all_errors_of_the_caller_are_http_400_and_differ_by_code_only(
    studio: BlockingStudio,
) -> None:
    client = studio.client()
    key = enter_app(studio, "app")
    gone = {**studio.parameters(key), "AppName": "never-was"}
    found = [
        refused(client.delete_app, **gone),
        refused(client.describe_app, **gone),
        refused(client.describe_domain, DomainId="d-000000000000"),
        refused(client.describe_notebook_instance, NotebookInstanceName="none"),
        refused(client.create_app, **studio.parameters(key)),
    ]
    assert [each["Code"] for each in found] == [
        "ResourceNotFound",
        "ResourceNotFound",
        "ResourceNotFound",
        "ValidationException",
        "ResourceInUse",
    ]
    assert {each["status"] for each in found} == {400}


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"MaxResults": 101}, "less than or equal to 100"),
        ({"DomainIdEquals": "not-a-domain"}, "regular expression"),
        ({"UserProfileNameEquals": "a" * 64}, "length less than or equal to 63"),
        ({"SortOrder": "Sideways"}, "enum value set: [Ascending, Descending]"),
        ({"NextToken": "nonsense"}, "Invalid NextToken"),
        ({"NextToken": "Wzdd"}, "Invalid NextToken"),
    ],
)
def test_what_the_service_model_forbids_is_refused_and_named(
    studio: BlockingStudio, parameters: dict[str, Any], told: str
) -> None:
    enter_app(studio, "app")
    error = refused(studio.client(parameter_validation=False).list_apps, **parameters)
    assert (error["Code"], error["status"]) == ("ValidationException", 400)
    assert told in error["Message"]


def test_a_tag_that_aws_does_not_take_is_refused(studio: BlockingStudio) -> None:
    [domain] = studio.client().list_domains()["Domains"]
    named = {"DomainId": domain["DomainId"], "UserProfileName": "grace"}
    create = studio.client(parameter_validation=False).create_user_profile
    error = refused(create, **named, Tags=[{"Key": "team", "Value": "$(id)"}])
    assert "regular expression" in error["Message"]
    create(**named, Tags=[{"Key": "Kostenstelle für KI", "Value": "7 +-=._:/@"}])


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        ("SageMaker.DescribeApp", b"{}", "ValidationException"),
        ("SageMaker.ListApps", b'{"MaxResults": "ten"}', "ValidationException"),
        ("SageMaker.ListApps", b'{"Unheard": 1}', "ValidationException"),
        ("SageMaker.ListApps", b"[]", "SerializationException"),
        ("SageMaker.ListApps", b"{", "SerializationException"),
        ("SageMaker.CreateModel", b"{}", "UnknownOperationException"),
        ("Elsewhere.ListApps", b"{}", "UnknownOperationException"),
        ("", b"{}", "UnknownOperationException"),
    ],
)
def test_requests_that_boto3_would_not_send_are_refused_with_a_code(
    studio: BlockingStudio, target: str, body: bytes, code: str
) -> None:
    status, answer = post(studio, target, body)
    assert (status, answer["__type"]) == (400, code)


def test_a_web_page_can_not_reach_the_api_by_another_name_of_this_machine(
    studio: BlockingStudio,
) -> None:
    status, _ = post(studio, "SageMaker.ListApps", b"{}", Host="attacker.example")
    assert status == 403
    assert studio.calls() == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"SpaceName": "team"}, "Exactly one of"),
        ({"AppType": "CodeEditor", "AppName": "default"}, "not CodeEditor"),
        ({"AppType": "JupyterServer", "AppName": "other"}, "must be default"),
        ({"ResourceSpec": {"InstanceType": "system"}}, "can't be used"),
        ({"AppType": "JupyterLab", "AppName": "default"}, "needs a SpaceName"),
    ],
)
def test_an_app_that_studio_would_not_run_is_refused(
    studio: BlockingStudio, changes: dict[str, Any], told: str
) -> None:
    key = enter_app(studio, "app")
    parameters = {**studio.parameters(key), "AppName": "new", **changes}
    error = refused(studio.client().create_app, **parameters)
    assert error["Code"] == "ValidationException"
    assert told in error["Message"]


def test_domains_users_and_spaces_are_told_as_they_were_made(studio: BlockingStudio) -> None:
    studio.create_owner(
        space("team"),
        OwnershipSettings={"OwnerUserProfileName": "ada"},
        SpaceSharingSettings={"SharingType": "Private"},
        SpaceSettings={"SpaceStorageSettings": {"EbsStorageSettings": {"EbsVolumeSizeInGb": 5}}},
    )
    client = studio.client()
    [domain] = client.list_domains()["Domains"]
    told = client.describe_domain(DomainId=domain["DomainId"])
    assert told["DefaultUserSettings"]["ExecutionRole"].startswith("arn:aws:iam::123456789012:")
    [profile] = client.list_user_profiles(DomainIdEquals=domain["DomainId"])["UserProfiles"]
    assert profile["UserProfileName"] == "ada"
    [listed] = client.list_spaces(SpaceNameContains="EA")["Spaces"]
    assert listed["OwnershipSettingsSummary"] == {"OwnerUserProfileName": "ada"}
    described = client.describe_space(DomainId=domain["DomainId"], SpaceName="team")
    storage = described["SpaceSettings"]["SpaceStorageSettings"]["EbsStorageSettings"]
    assert storage == {"EbsVolumeSizeInGb": 5}
    assert client.list_spaces(SpaceNameContains="other")["Spaces"] == []


def test_an_instance_type_that_is_newer_than_the_model_is_told_all_the_same(
    studio: BlockingStudio,
) -> None:
    enter_app(studio, "app", instance_type="ml.z9.huge")
    [app] = studio.client().list_apps()["Apps"]
    assert app["ResourceSpec"]["InstanceType"] == "ml.z9.huge"


def test_an_answer_that_the_model_does_not_know_is_an_error_of_ours_not_sent() -> None:
    operation = service_model("sagemaker").operation_model("DescribeApp")
    with pytest.raises(ValueError, match="against its model"):
        format_answer(operation, {"Status": "Resting"})
    with pytest.raises(ValueError, match="against its model"):
        format_answer(operation, {"Mood": "fine"})


def test_the_journal_tells_what_was_asked_when_and_how_it_ended(studio: BlockingStudio) -> None:
    key = enter_app(studio, "app")
    client = studio.client()
    client.delete_app(**studio.parameters(key))
    refused(client.delete_app, **{**studio.parameters(key), "AppName": "none"})
    first, second = studio.calls("DeleteApp")
    assert (first.outcome, second.outcome) == ("ok", "ResourceNotFound")
    assert (first.app_name, second.app_name) == ("app", "none")
    assert first.answered is not None
    assert first.monotonic <= first.answered <= second.monotonic
    assert studio.calls("DeleteApp", "none") == [second]
