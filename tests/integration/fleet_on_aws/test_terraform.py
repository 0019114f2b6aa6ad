"""The Terraform module, applied to ministack: the same stack, from the schedule to the record and
the audit of a dry run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagemaker_autoshutdown.aws import Aws
from sagemaker_autoshutdown.fleet.model import Scope
from sagemaker_autoshutdown.fleet.on_aws import bundle, files
from sagemaker_autoshutdown.fleet.on_aws.table import Table
from tests.localstudio.state import AppKey
from tests.localstudio.testing import BlockingStudio
from tests.ministack import ACCOUNT, REGION, Ministack, environment, wait_for
from tests.terraform import Terraform, initialized

from .engine_room import EDITORS_RULE, empty, enter_editors

SCOPE = Scope(ACCOUNT, REGION)
SERVICES = ("cloudformation", "iam", "s3", "sts")
PROVIDER = """
provider "aws" {{
  region                      = "{region}"
  s3_use_path_style           = true
  skip_metadata_api_check     = true
  max_retries                 = 2
  endpoints {{
{endpoints}
  }}
}}
"""


@pytest.fixture
def terraform(engines: Ministack, code: bundle.Bundle, tmp_path: Path) -> Iterator[Terraform]:
    """The module as the wheel ships it, with a configuration; all that it made is gone after it."""
    folder = tmp_path / "module"
    folder.mkdir()
    for name, text in files.terraform_files().items():
        (folder / name).write_text(text)
    (tmp_path / "fleet.zip").write_bytes(code.content)
    endpoints = "\n".join(f'    {name} = "{engines.url}"' for name in SERVICES)
    provider = PROVIDER.format(region=REGION, endpoints=endpoints)
    # HTTP/1.1, as boto3 speaks it: over HTTP/2 a destroy hung once.
    settings = {**environment(engines.url, engines.ca), "GODEBUG": "http2client=0"}
    found = initialized(folder, provider, **settings)
    found.set(
        name=f"fleet-{uuid.uuid4().hex[:8]}",
        code=str(tmp_path / "fleet.zip"),
        config_file=str(tmp_path / "fleet.toml"),
        architecture=code.architecture,
        parameters={"IntervalMinutes": "1"},
    )
    yield found
    if found.run("state", "list").stdout.strip():
        found.run("destroy", "-auto-approve", "-input=false", "-no-color")


@pytest.mark.whole_stack
def test_the_module_makes_a_stack_whose_schedule_fires_and_leaves_nothing(
    terraform: Terraform, engines: Ministack, studio: BlockingStudio, tmp_path: Path
) -> None:
    domain, keys = enter_editors(studio)
    rule = EDITORS_RULE.format(domain=domain, warning="0s")
    (tmp_path / "fleet.toml").write_text(rule)
    terraform.done("apply", "-auto-approve", "-input=false", "-no-color")
    outputs = json.loads(terraform.done("output", "-json"))
    stack = outputs["outputs"]["value"]
    table = Table(Aws(REGION), stack["TableName"], stack["BucketName"])
    wait_for(lambda: table.last_sweep(SCOPE), "a sweep is recorded")
    assert set(keys) <= {AppKey(*key) for key in table.load(SCOPE).runs}
    owners = {key.owner_name for key in keys}

    def noted() -> set[str]:
        lines = map(json.loads, engines.logs(stack["AuditLogGroup"]))
        return {event["owner_name"] for event in lines if event["event"] == "noted"}

    wait_for(lambda: noted() == owners, "the audit of what is due, by the configuration's rule")
    touched = {call.parameters.get("SpaceName") for call in studio.calls("DeleteApp")}
    assert not touched & owners
    empty(studio, domain, keys)
    again = terraform.run("plan", "-detailed-exitcode", "-input=false", "-no-color")
    assert again.returncode == 0, f"nothing is to be changed: {again.stdout}"
    s3 = engines.client("s3")
    # As a large fleet does, whose record does not fit into the table.
    s3.put_object(Bucket=outputs["bucket"]["value"], Key="record/long", Body=b"record")
    terraform.done("destroy", "-auto-approve", "-input=false", "-no-color")
    assert outputs["bucket"]["value"] not in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    tables = engines.client("dynamodb").list_tables()["TableNames"]
    assert stack["TableName"] not in tables
