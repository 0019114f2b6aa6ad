"""The REST API under fire: schemathesis makes requests from ``openapi.yaml``, good ones and bad.

Every answer must be documented, in its documented form. Invalid requests must be refused, valid
ones accepted, and no answer may be a fault of the server.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sagemaker_autoshutdown.clock import to_iso, utcnow
from sagemaker_autoshutdown.monitor import Monitor
from tests import spec

from .conftest import CPU_APP, GPU_APP

#: Requests to each operation in the last phase. The project's figure is from 20,000 in all.
MAX_EXAMPLES = int(os.environ.get("SAGEMAKER_AUTOSHUTDOWN_FUZZ", "25"))
#: On a busy machine.
SECONDS = 400 + 4 * MAX_EXAMPLES


def document_of_today(path: Path) -> Path:
    """The document, with facts that a schema can't express: which apps exist, which times lie in
    the future, and which must come first. So every request that it then calls valid must be
    accepted."""
    document = spec.load()
    components, paths = document["components"], document["paths"]
    name = components["parameters"]["AppName"]
    name["schema"] = {"anyOf": [{"enum": [CPU_APP, GPU_APP]}, name["schema"]]}
    by_seconds, by_time = components["schemas"]["KeepAlive"]["oneOf"]
    by_seconds["properties"]["seconds"]["maximum"] = 86400
    by_time["properties"]["until"]["enum"] = [to_iso(utcnow() + timedelta(hours=1))]
    keep_alive = paths[f"{spec.PREFIX}apps/{{app_name}}/keep-alive"]["put"]
    del keep_alive["requestBody"]["content"]["application/json"]["examples"]["until"]
    parameters = {part["name"]: part for part in paths[f"{spec.PREFIX}costs"]["get"]["parameters"]}
    parameters["from"]["schema"]["enum"] = ["2026-01-01T00:00:00Z", "2020-02-29T23:59:59.5Z"]
    parameters["to"]["schema"]["enum"] = ["2026-09-01T00:00:00Z", "2026-09-01T02:00:00+02:00"]
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def jp_base_url() -> str:
    """Without a percent sign: if a name holds one, requests (which schemathesis sends with)
    escapes the base URL's again, and calls another address."""
    return "/base/"


@pytest.mark.timeout(SECONDS + 60)
async def test_no_request_gets_an_answer_that_the_document_does_not_know(
    monitor: Monitor,
    http_server: object,
    jp_base_url: str,
    jp_http_port: int,
    jp_auth_header: dict[str, str],
    jp_serverapp: Any,
    tmp_path: Path,
) -> None:
    await monitor.check()
    answered: Counter[int] = Counter()
    jp_serverapp.web_app.settings["log_function"] = lambda handler: answered.update(
        [handler.get_status()]
    )
    arguments: list[Any] = [
        "run",
        document_of_today(tmp_path / "openapi.yaml"),
        f"--url=http://127.0.0.1:{jp_http_port}{jp_base_url}",
        f"--header=Authorization: {jp_auth_header['Authorization']}",
        "--phases=examples,coverage,fuzzing",
        f"--max-examples={MAX_EXAMPLES}",
        "--seed=20260901",
        "--continue-on-failure",
        "--no-shrink",
    ]
    command = [str(Path(sys.executable).with_name("schemathesis")), *map(str, arguments)]
    output = tmp_path / "output"
    with output.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=stream, stderr=stream
        )
    try:
        await asyncio.wait_for(process.wait(), SECONDS)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
    by_status = ", ".join(f"{count} of {status}" for status, count in sorted(answered.items()))
    print(f"{output.read_text()}\n{answered.total()} requests, answered: {by_status}")
    assert not [status for status in answered if status >= 500]
    assert process.returncode == 0, output.read_text()
    assert monitor.status().problems == ()
