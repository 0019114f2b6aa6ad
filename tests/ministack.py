"""ministack: AWS's services (Scheduler, SQS, Lambda, DynamoDB, CloudFormation ...) on this machine.

It has an environment of its own, because it pins another botocore than the development tools. It
listens on 127.0.0.1 only, with TLS, which the policies of queues and buckets demand. ``AUTH`` makes
it check each call against the policies of the caller's role, so that a missing right shows. It has
no SageMaker: the local Studio takes that part, by ``AWS_ENDPOINT_URL_SAGEMAKER``.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.localstudio import names
from tests.localstudio.processes import free_port
from tests.programs import installed

#: Seconds for it to start, and for anything to happen in it.
LIMIT = 150.0
REGION = "us-east-1"
#: Also the local Studio's: on AWS both are one account.
ACCOUNT = names.ACCOUNT


@dataclass
class Ministack:
    """A ministack that runs. ``url`` is the endpoint of every service that it has."""

    url: str
    ca: Path
    log: Path
    pid: int
    account: str = ACCOUNT
    _clients: dict[str, Any] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """Environment variables by which any process's boto3 talks to it, as an account's root."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "SAGEMAKER_"))
        }
        return {**kept, **environment(self.url, self.ca), **more}

    def client(self, service: str) -> Any:
        """A boto3 client."""
        if service not in self._clients:
            import boto3
            from botocore.config import Config

            self._clients[service] = boto3.session.Session().client(
                service,
                region_name=REGION,
                endpoint_url=self.url,
                verify=str(self.ca),
                aws_access_key_id=self.account,
                aws_secret_access_key="test",  # noqa: S106
                config=Config(retries={"mode": "standard", "total_max_attempts": 2}),
            )
        return self._clients[service]

    def logs(self, group: str) -> list[str]:
        """The messages of a log group."""
        client = self.client("logs")
        try:
            streams = client.describe_log_streams(logGroupName=group)["logStreams"]
        except client.exceptions.ResourceNotFoundException:
            return []
        return [
            event["message"]
            for stream in streams
            for event in client.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]


def environment(url: str, ca: Path, account: str = ACCOUNT) -> dict[str, str]:
    """The settings that point boto3 to it."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_CA_BUNDLE": str(ca),
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def wait_for(condition: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
    """Waits until the condition returns something."""
    end = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {limit} s: {what}"
        time.sleep(0.3)
    return found


@contextmanager
def running_ministack(
    folder: Path, functions: Mapping[str, str] | None = None
) -> Iterator[Ministack]:
    """A ministack until the block ends; ``functions`` are variables that its Lambda functions get
    beside their own."""
    folder.mkdir(parents=True)
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    ca = folder / "ca.pem"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env = {
        **kept,
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "AUTH": "true",
        "USE_SSL": "1",
        "IOT_MTLS_ENABLED": "0",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        **(functions or {}),
    }
    log = folder / "ministack.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [installed("ministack")],
            env=env,
            stdout=out,
            stderr=out,
            cwd=folder,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + LIMIT
        while not _is_ready(port, ca):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield Ministack(url, ca, log, process.pid)
    finally:
        # Its functions are its own processes: its whole session ends with it.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _is_ready(port: int, ca: Path) -> bool:
    """Whether it answers; saves its certificate then."""
    try:
        ca.write_text(ssl.get_server_certificate(("127.0.0.1", port)))
        health = f"https://127.0.0.1:{port}/_ministack/health"
        context = ssl.create_default_context(cafile=str(ca))
        with urllib.request.urlopen(health, timeout=5, context=context) as reply:
            return bool(json.load(reply))
    except OSError:
        return False
