"""``fleet deploy`` and ``fleet uninstall`` as an admin runs them: a plan, a question, what is there
then, and nothing that is left."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sagemaker_autoshutdown import cli
from sagemaker_autoshutdown.fleet.on_aws import bundle
from tests.ministack import REGION, Ministack

CONFIG = """
[prices]
price_list_api = false
[act]
enabled = ["seen"]
[[rules]]
name = "editors"
which = { app_type = "CodeEditor" }
when = { up_for = "12h" }
"""

#: Runs a command; its exit code, what it printed, and what it said aside.
Command = Callable[..., tuple[int, str, str]]


def listing(engines: Ministack) -> set[str]:
    """All that there is in the account, of every kind that the stack or its bucket have."""

    def of(service: str, operation: str, key: str, name: str = "", **wanted: Any) -> Iterator[str]:
        client = engines.client(service)
        pages: Any = [getattr(client, operation)(**wanted)]
        if client.can_paginate(operation):
            pages = client.get_paginator(operation).paginate(**wanted)
        for page in pages:
            for each in page.get(key) or ():
                yield f"{service} {each[name] if name else each}"

    return {
        *of("cloudformation", "describe_stacks", "Stacks", "StackName"),
        *of("s3", "list_buckets", "Buckets", "Name"),
        *of("dynamodb", "list_tables", "TableNames"),
        *of("sqs", "list_queues", "QueueUrls"),
        *of("lambda", "list_functions", "Functions", "FunctionName"),
        *of("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
        *of("logs", "describe_log_groups", "logGroups", "logGroupName"),
        *of("logs", "describe_metric_filters", "metricFilters", "filterName"),
        *of("iam", "list_roles", "Roles", "RoleName"),
        *of("scheduler", "list_schedules", "Schedules", "Name"),
        *of("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    }


class Terminal(io.StringIO):
    """Somebody who types an answer."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.fixture
def stack() -> str:
    """The name of a stack of a test's own."""
    return f"Fleet-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def command(
    stack: str,
    engines: Ministack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    def run(*arguments: str, answer: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO() if answer is None else Terminal(answer))
        code = cli.main(["fleet", *arguments, "--region", REGION, "--stack", stack])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.mark.whole_stack
def test_a_stack_is_planned_asked_about_made_changed_and_gone_without_a_trace(
    stack: str, command: Command, engines: Ministack, code: bundle.Bundle, tmp_path: Path
) -> None:
    config, zipped = tmp_path / "fleet.toml", tmp_path / "fleet.zip"
    config.write_text(CONFIG)
    zipped.write_bytes(code.content)
    of_code = ("--code", str(zipped), "--architecture", code.architecture)
    deploy = ("deploy", "--config", str(config), *of_code)
    before = listing(engines)

    planned = command(*deploy, "--act", "--dry-run")
    assert planned[0] == 0
    assert f"create the stack {stack} with " in planned[1]
    assert "  create AWS::Lambda::Function Actor" in planned[1]
    assert listing(engines) == before, "a dry run makes nothing"
    nobody = command(*deploy, "--act")
    assert nobody[0] == 2
    assert "give --yes to go ahead" in nobody[2]
    declined = command(*deploy, "--act", answer="n\n")
    assert declined[0] == 1
    assert "Nothing was changed." in declined[2]
    assert listing(engines) == before

    made = command(*deploy, "--act", answer="y\n")
    assert made[0] == 0, made
    assert "Done and verified." in made[1]
    there = listing(engines) - before
    kinds = {each.partition(" ")[0] for each in there}
    assert kinds == {
        *("cloudformation", "s3", "dynamodb", "sqs", "lambda", "logs", "iam"),
        *("scheduler", "cloudwatch"),
    }
    again = command(*deploy, "--act", "--yes")
    assert (again[0], "nothing to do" in again[1]) == (0, True), again
    assert listing(engines) - before == there

    less = command(*deploy, "--no-act", "--dry-run")
    assert less[0] == 0
    # The stand-in lists what is changed; AWS lists what is deleted too.
    assert f"update the stack {stack}:" in less[1]
    sets = engines.client("cloudformation").list_change_sets(StackName=stack)["Summaries"]
    left = [each for each in sets if each["ExecutionStatus"] == "AVAILABLE"]
    assert not left, "the plan of a dry run is taken back"
    assert command("history")[1].startswith("Nothing was marked or shut down")

    shown = command("uninstall", "--dry-run")
    assert "delete AWS::DynamoDB::Table" in shown[1]
    kept = command("uninstall", answer="n\n")
    assert kept[0] == 1
    assert "Nothing was deleted." in kept[2]
    assert listing(engines) - before == there
    gone = command("uninstall", "--yes")
    assert (gone[0], "Done; nothing is left." in gone[1]) == (0, True), gone
    assert listing(engines) == before
    assert "There is nothing to delete." in command("uninstall", "--yes")[1]
