"""Settings that a server reads from AWS: the calls themselves, and a server that follows them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sagemaker_autoshutdown.aws import Aws, AwsError, ErrorKind
from sagemaker_autoshutdown.settings import source
from sagemaker_autoshutdown.settings.admin import SageMakerAutoShutdown
from sagemaker_autoshutdown.settings.source import InvalidSettings, SettingsSource, fetch
from sagemaker_autoshutdown.settings.user import Settings
from tests.localstudio import names
from tests.localstudio.testing import QUICK, BlockingStudio, running_studio

WHERE = "s3://bucket/a/limits.json"


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockingStudio]:
    """A local Studio that this process's boto3 talks to."""
    with running_studio(tmp_path, timing=replace(QUICK, pending=0, deleting=0)) as found:
        for name, value in found.aws_environment().items():
            monkeypatch.setenv(name, value)
        yield found


def test_a_parameter_of_ssm_is_read(studio: BlockingStudio) -> None:
    aws = Aws(names.REGION)
    with pytest.raises(AwsError) as refused:
        fetch(aws, "ssm:/studio/limits")
    assert refused.value.code == "ParameterNotFound"
    studio.client("ssm").put_parameter(
        Name="/studio/limits", Value='{"idle_timeout": 600}', Type="String"
    )
    assert source.parse(fetch(aws, "ssm:/studio/limits")) == {"idle_timeout": 600}


@dataclass
class Bucket:
    """An S3 of one object: its present answer."""

    content: bytes = b""
    status: int = 200
    #: Bytes that it announces but does not send.
    lacking: int = 0


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """This process's S3."""
    answer = Bucket()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.content) + answer.lacking))
            self.end_headers()
            # The rest of an object that is too long is not awaited.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "LOCALSTUDIO")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    yield answer
    server.shutdown()
    server.server_close()


def test_an_object_of_s3_is_read(bucket: Bucket) -> None:
    aws = Aws(names.REGION)
    bucket.content = json.dumps({"dry_run": True}).encode()
    assert source.parse(fetch(aws, WHERE)) == {"dry_run": True}
    bucket.content = b"x" * (source.MAX_BYTES + 1)
    with pytest.raises(InvalidSettings, match="longer than"):
        fetch(aws, WHERE)
    bucket.content = b"\xff\xfe"
    with pytest.raises(InvalidSettings, match="not UTF-8"):
        fetch(aws, WHERE)
    bucket.status = 403
    with pytest.raises(AwsError) as refused:
        fetch(aws, WHERE)
    assert refused.value.kind in (ErrorKind.ACCESS_DENIED, ErrorKind.OTHER)


PAGE = b"<!DOCTYPE html><html><body><h1>Sign in</h1></body></html>"
GOOD = b'{"idle_timeout": 1234}'


@pytest.mark.parametrize(
    ("spoiled", "says"),
    [
        (Bucket(PAGE), "JSON"),
        (Bucket(PAGE, 403), ""),
        (Bucket(PAGE, 503), ""),
        (Bucket(b'{"idle_timeout": "' + b"9" * 2_000_000 + b'"}'), "longer than 1000000 bytes"),
        (Bucket(b'{"idle_timeout": 60'), "JSON"),
        (Bucket(GOOD, lacking=10), ""),
        (Bucket(b""), "JSON"),
        (Bucket(b"\x1f\x8b\x08\x00gzipped"), "not UTF-8"),
        (Bucket(GOOD[:-1] + b', "idle_timeout": 1}'), "given twice"),
    ],
    ids=["html", "denied", "down", "2 MB", "cut", "broken off", "empty", "gzip", "twice"],
)
def test_an_object_that_turns_into_something_else_leaves_the_last_good_one_in_force(
    bucket: Bucket, tmp_path: Path, spoiled: Bucket, says: str
) -> None:
    async def server() -> tuple[float, str]:
        config = SageMakerAutoShutdown(settings_source=WHERE, data_dir=str(tmp_path))
        settings = Settings.of(config)
        aws = Aws(names.REGION)
        settings.follow(SettingsSource(config, lambda: fetch(aws, WHERE)))
        await settings.read()
        problems = " ".join(problem.message for problem in settings.problems)
        return settings.policy.idle_timeout.total_seconds(), problems

    bucket.content = GOOD
    assert asyncio.run(server()) == (1234, "")
    bucket.content, bucket.status, bucket.lacking = spoiled.content, spoiled.status, spoiled.lacking
    in_force, problem = asyncio.run(server())
    assert in_force == 1234
    assert "can't be used" in problem
    assert says in problem
    assert "<" not in problem
    assert len(problem) < 1500
    bucket.content, bucket.status, bucket.lacking = b'{"idle_timeout": 60}', 200, 0
    assert asyncio.run(server()) == (60, "")
