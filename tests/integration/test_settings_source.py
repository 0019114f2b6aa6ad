"""Settings that a server reads from AWS: the calls themselves, and a server that follows them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sagemaker_autoshutdown.aws import Aws, AwsError, ErrorKind
from sagemaker_autoshutdown.settings import source
from sagemaker_autoshutdown.settings.source import InvalidSettings, fetch
from tests.localstudio import names
from tests.localstudio.testing import QUICK, BlockingStudio, running_studio


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


def test_an_object_of_s3_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {
        "/bucket/a/limits.json": json.dumps({"dry_run": True}).encode(),
        "/bucket/long": b"x" * (source.MAX_BYTES + 1),
        "/bucket/binary": b"\xff\xfe",
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = objects.get(self.path)
            self.send_response(200 if content is not None else 403)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "LOCALSTUDIO")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    try:
        aws = Aws(names.REGION)
        assert source.parse(fetch(aws, "s3://bucket/a/limits.json")) == {"dry_run": True}
        with pytest.raises(InvalidSettings, match="longer than"):
            fetch(aws, "s3://bucket/long")
        with pytest.raises(InvalidSettings, match="not UTF-8"):
            fetch(aws, "s3://bucket/binary")
        with pytest.raises(AwsError) as refused:
            fetch(aws, "s3://bucket/none")
        assert refused.value.kind in (ErrorKind.ACCESS_DENIED, ErrorKind.OTHER)
    finally:
        server.shutdown()
        server.server_close()
