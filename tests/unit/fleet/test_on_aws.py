"""The fleet on AWS, as far as values go: templates, messages, packed records."""

from __future__ import annotations

import io
import json
import re
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

from sagemaker_autoshutdown.aws import Aws, AwsError, ErrorKind
from sagemaker_autoshutdown.fleet.acting.model import ENDED, Hold, Kind, Phase, RunId, Task
from sagemaker_autoshutdown.fleet.advance import Charge
from sagemaker_autoshutdown.fleet.config import Config
from sagemaker_autoshutdown.fleet.on_aws import bundle, files, messages, template
from sagemaker_autoshutdown.fleet.on_aws.deploy import DEFAULT_NAME, MOST_TEMPLATE, Deployment
from sagemaker_autoshutdown.fleet.on_aws.holds import DynamoHolds
from sagemaker_autoshutdown.fleet.on_aws.pack import Book, Payer, pack_book, unpack_book
from sagemaker_autoshutdown.fleet.on_aws.table import MOST_DAYS, _spread
from sagemaker_autoshutdown.fleet.policy import act_policy

from .scenes import NOON, SCOPE, app, stepped, sweep, volume

MINUTE = timedelta(minutes=1)
_QUEUE = ("Queue", "DeadLetters")
#: One of each partition of AWS. All 46 regions take the linter fifteen times as long.
REGIONS = ["us-east-1", "us-gov-west-1", "cn-north-1"]


@pytest.mark.parametrize("name", ["fleet.yaml", "fleet-member.yaml"])
def test_the_templates_are_what_cloudformation_takes(name: str) -> None:
    # Its import takes seconds, which each process that collects the tests would spend.
    from cfnlint.api import lint
    from cfnlint.config import ManualArgs

    text = files.cloudformation_files()[name]
    arguments = ManualArgs(regions=REGIONS, include_experimental=True)
    assert not [str(found) for found in lint(text, config=arguments)]
    assert len(text.encode()) < MOST_TEMPLATE
    made = template.stack() if name == "fleet.yaml" else template.member()
    assert yaml.safe_load(text) == json.loads(json.dumps(made))


def test_the_terraform_module_names_parameters_that_the_template_has() -> None:
    found = files.terraform_files()
    assert found["fleet.yaml"] == files.cloudformation_files()["fleet.yaml"]
    for name, text in found.items():
        if name.endswith(".tf"):
            hcl2.loads(text)
    given = found["main.tf"].partition("merge(var.parameters, {")[2].partition("})")[0]
    names = {line.split("=")[0].strip() for line in given.splitlines() if " = " in line}
    assert names == {"Bucket", "CodeKey", "Configuration", "Act", "Architecture"}
    assert names <= set(template.PARAMETERS)


def _allowed(role: str) -> set[str]:
    found: set[str] = set()
    [policy] = template.stack()["Resources"][role]["Properties"]["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        actual: Any = statement.get("Fn::If", [None, statement])[1]
        found |= set(actual["Action"])
    return found


def test_who_sweeps_can_shut_nothing_down() -> None:
    """Two functions, two roles."""
    acting = {"sagemaker:DeleteApp", "sagemaker:StopNotebookInstance", "sagemaker:AddTags"}
    assert not _allowed("SweeperRole") & acting
    assert acting <= _allowed("ActorRole")
    assert not _allowed("ActorRole") & {"sqs:SendMessage", "s3:PutObject", "s3:DeleteObject"}
    needed = {each for one in act_policy(Config())["Statement"] for each in one["Action"]}
    assert needed <= _allowed("ActorRole")
    for role in ("SweeperRole", "ActorRole", "ScheduleRole"):
        assert not [each for each in _allowed(role) if "*" in each]


def test_the_schedule_may_send_to_its_queue_and_to_where_it_puts_what_it_could_not() -> None:
    """The stand-in of AWS sends without asking whether it may."""
    resources = template.stack()["Resources"]
    target = resources["Schedule"]["Properties"]["Target"]
    assert target["RoleArn"] == {"Fn::GetAtt": ["ScheduleRole", "Arn"]}
    [policy] = resources["ScheduleRole"]["Properties"]["Policies"]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", ["sqs:SendMessage"])
    assert statement["Resource"] == [target["Arn"], target["DeadLetterConfig"]["Arn"]]


def test_a_dry_run_has_no_function_that_acts() -> None:
    for name, resource in template.stack()["Resources"].items():
        if name.startswith(("Actor", "Task")):
            assert resource["Condition"] == "Act", name


def test_a_queue_hides_a_message_for_six_times_the_functions_time() -> None:
    for seconds, found in template.stack()["Mappings"]["Visibility"].items():
        assert found["Seconds"] == 6 * int(seconds)


def _of(kind: str) -> dict[str, dict[str, Any]]:
    """The stack's resources of a type."""
    found = template.stack()["Resources"]
    return {name: each for name, each in found.items() if each["Type"] == kind}


def test_every_queue_is_encrypted_and_loses_no_message() -> None:
    queues = {name: each["Properties"] for name, each in _of("AWS::SQS::Queue").items()}
    assert set(queues) == {f"{each}{end}" for each in ("Sweep", "Task") for end in _QUEUE}
    for name, queue in queues.items():
        assert queue["SqsManagedSseEnabled"] is True
        if name.endswith("Queue"):
            assert queue["VisibilityTimeout"]["Fn::FindInMap"][0] == "Visibility"
            redrive, dead = queue["RedrivePolicy"], name.replace("Queue", "DeadLetters")
            assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": [dead, "Arn"]}
            assert redrive["maxReceiveCount"] == 3
    for source in _of("AWS::Lambda::EventSourceMapping").values():
        assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_logs_end_with_the_stack_or_their_days_and_the_audit_is_kept_the_longest() -> None:
    groups = _of("AWS::Logs::LogGroup")
    days = {name: each["Properties"]["RetentionInDays"]["Ref"] for name, each in groups.items()}
    assert days == {"SweeperLog": "LogDays", "ActorLog": "LogDays", "AuditLog": "AuditDays"}
    assert template.PARAMETERS["AuditDays"]["Default"] >= 400
    for each in (*groups.values(), *_of("AWS::DynamoDB::Table").values()):
        assert each["DeletionPolicy"] == "Delete", "uninstalling leaves nothing"
    for function in _of("AWS::Lambda::Function").values():
        assert function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] in groups
        assert function["Properties"]["ReservedConcurrentExecutions"]["Fn::If"][0] == "Reserve"


def test_whatever_goes_wrong_on_aws_raises_an_alarm() -> None:
    alarms = [each["Properties"] for each in _of("AWS::CloudWatch::Alarm").values()]
    watched = {json.dumps([each["Namespace"], each["MetricName"]]) for each in alarms}
    for found in _of("AWS::Logs::MetricFilter").values():
        [metric] = found["Properties"]["MetricTransformations"]
        assert json.dumps([metric["MetricNamespace"], metric["MetricName"]]) in watched
    dead = [
        each["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
        for each in alarms
        if each["Namespace"] == "AWS/SQS"
    ]
    assert sorted(dead) == ["SweepDeadLetters", "TaskDeadLetters"]
    [silent] = [each for each in alarms if each["ComparisonOperator"].startswith("Less")]
    assert silent["TreatMissingData"] == "breaching"


def test_a_member_account_demands_the_external_id() -> None:
    for role in template.member()["Resources"].values():
        [trust] = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        demanded = {"StringEquals": {"sts:ExternalId": {"Ref": "ExternalId"}}}
        assert trust["Condition"]["Fn::If"][:2] == ["HasExternalId", demanded]


class _Account(Aws):
    """An account without stacks."""

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        if operation == "GetCallerIdentity":
            return {"Account": "123456789012"}
        raise AwsError(ErrorKind.OTHER, operation, "ValidationError", "it does not exist")


def test_two_stacks_share_no_bucket_which_uninstalling_one_would_delete() -> None:
    names = [DEFAULT_NAME, "team-a", "Team-A", "x" * 128, "x" * 127]
    found = [Deployment(_Account("us-east-1"), name).bucket for name in names]
    assert found[:2] == [
        f"{DEFAULT_NAME}-123456789012-us-east-1",
        "team-a-123456789012-us-east-1",
    ]
    assert len(set(found)) == len(names)
    for bucket in found:
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket), bucket


def _record(body: Any, sent: datetime = NOON) -> dict[str, Any]:
    stamp = str(int(sent.timestamp() * 1000))
    return {"body": json.dumps(body), "attributes": {"SentTimestamp": stamp}}


def test_a_round_is_named_by_the_time_for_which_it_was_planned() -> None:
    """Not by any machine's clock: a duplicate or late one makes the same sweep."""
    planned = _record({"round": "2026-09-01T12:03:20Z"}, NOON + timedelta(hours=2))
    assert messages.read(planned, 4 * MINUTE) == messages.Round("2026-09-01T12:00:00Z")
    literal = _record({"round": "<aws.scheduler.scheduled-time>"}, NOON + 5 * MINUTE)
    assert messages.read(literal, 4 * MINUTE) == messages.Round("2026-09-01T12:04:00Z")


@pytest.mark.parametrize("body", ["no JSON", [], {}, {"sweep": "x"}, {"round": 3, "attributes": 1}])
def test_a_message_of_somebody_else_is_told_from_ours(body: Any) -> None:
    record = {"body": body if isinstance(body, str) else json.dumps(body)}
    with pytest.raises(messages.NoMessage):
        messages.read(record, MINUTE)
    with pytest.raises(messages.NoMessage):
        messages.read_tasks(record)


def test_tasks_survive_the_queue_in_their_order() -> None:
    tasks = [
        Task(Kind.FINISH, RunId(SCOPE, app(name=f"app-{number}").key, NOON), why="é" * 40)
        for number in range(50)
    ]
    bodies = list(messages.task_bodies(tasks))
    assert [len(json.loads(body)["tasks"]) for body in bodies] == [20, 20, 10]
    read = [task for body in bodies for task in messages.read_tasks({"body": body})]
    assert read == tasks


class _Written(Aws):
    """DynamoDB, which accepts everything."""

    def __init__(self) -> None:
        super().__init__("us-east-1")
        self.items: list[dict[str, Any]] = []

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        self.items.append(parameters["Item"])
        return {}


@pytest.mark.parametrize("phase", list(Phase))
def test_only_holds_that_have_ended_expire(phase: Phase) -> None:
    """An exception is bounded by the time since it first held a run, which its hold knows."""
    run = RunId(SCOPE, app("CodeEditor").key, NOON)
    aws = _Written()
    assert DynamoHolds(aws, "table").replace(Hold(run, phase, 2, NOON, NOON))
    [item] = aws.items
    expires = item.get("expires", {}).get("N")
    week_later = str(int((NOON + timedelta(days=7)).timestamp()))
    assert expires == (week_later if phase in ENDED else None)


def test_batches_are_no_more_than_sqs_takes() -> None:
    batches = list(messages.in_tens("x" * 70_000 for _ in range(25)))
    assert max(len(batch) for batch in batches) <= 10
    assert max(sum(len(each["MessageBody"]) for each in batch) for batch in batches) < 256 * 1024
    assert sum(map(len, batches)) == 25
    for batch in batches:
        assert len({each["Id"] for each in batch}) == len(batch)


def test_a_book_survives_packing() -> None:
    first = stepped(Book(state=_empty()).state, sweep(0, app(), volume("s")))
    book, _ = Book(_empty()).turn(first)
    second = stepped(book.state, sweep(60, app(), volume("s")))
    book, over = book.turn(second)
    assert not over
    assert unpack_book(SCOPE, pack_book(book)) == book
    assert sum(book.totals.values()) == 2 * 10**9


def _empty() -> Any:
    from sagemaker_autoshutdown.fleet.model import State

    return State(SCOPE)


def test_days_that_no_transaction_takes_are_booked_on_the_first_that_it_does() -> None:
    payer = Payer("d", "o", "JupyterLab", "ml.t3.medium")
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    days = [f"{start + timedelta(days=number):%Y-%m-%d}" for number in range(150)]
    over = {day: {payer: Charge(1)} for day in days}
    kept = _spread(over, days[0])
    assert len(kept) == MOST_DAYS + 1
    assert kept[days[0]] == {payer: Charge(1)}
    assert sum(charge.nano for found in kept.values() for charge in found.values()) == 150


def test_the_same_files_give_the_same_zip(tmp_path: Path) -> None:
    members = {"b.py": b"2", "a/c.so": b"1"}
    one = bundle.zipped(members)
    assert one == bundle.zipped(dict(reversed(members.items())))
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        assert archive.namelist() == ["a/c.so", "b.py"]
        assert archive.getinfo("a/c.so").external_attr >> 16 == 0o755
