"""Shared by the functions: their settings from the environment, and calls with a deadline."""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from ...aws import Aws, AwsError, ErrorKind, Role, content_at
from ...clock import utcnow
from ...lifecycle.throttling import Patient
from ..config import Config, read
from ..service import Fleet
from .holds import DynamoHolds, LogAudit
from .table import Table

log = logging.getLogger("sagemaker_autoshutdown.fleet")

#: Seconds of an invocation reserved for storing the sweep and answering.
RESERVE = 20.0
#: Seconds after which a configuration is read again, so that a change applies soon.
FRESH = 300.0
#: The only folder that a function may write to.
SCRATCH = Path("/tmp/sagemaker-autoshutdown")  # noqa: S108


class Context(Protocol):
    """The part of Lambda's context that is used."""

    invoked_function_arn: str
    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the function."""


@dataclass
class Deadline:
    """When the present invocation must be done."""

    left: Callable[[], float] = lambda: RESERVE * 2

    def begin(self, context: Context) -> None:
        """Begins a new invocation."""
        self.left = lambda: context.get_remaining_time_in_millis() / 1000 - RESERVE

    def check(self, seconds: float, operation: str) -> None:
        """Raises ``AwsError`` if fewer seconds are left."""
        if self.left() < seconds:
            raise AwsError(
                ErrorKind.TIMEOUT,
                operation,
                "OutOfTime",
                "the function's time is over: raise the stack's parameter Timeout",
            )


class _InTime(Aws):
    """Calls that do not begin once too little time is left."""

    _deadline: Deadline

    def call_blocking(
        self, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        """Like the next class's. Raises ``AwsError`` if the time is over."""
        self._deadline.check(0, f"{service}:{operation}")
        return super().call_blocking(service, operation, parameters)


class Bounded(_InTime, Patient):
    """Calls and waits that do not begin once too little time is left."""

    def __init__(
        self, region: str, say: Callable[[str], None], role: Role | None, deadline: Deadline
    ) -> None:
        super().__init__(region, say, role)
        self._deadline = deadline

    def pause(self, seconds: float, operation: str) -> None:
        """Waits, if there is time for it."""
        self._deadline.check(seconds, operation)
        super().pause(seconds, operation)


class Once(_InTime):
    """Calls that are made once, and do not begin once too little time is left: for shutting
    down."""

    def __init__(self, region: str, role: Role | None, deadline: Deadline) -> None:
        super().__init__(region, role=role)
        self._deadline = deadline


@dataclass(frozen=True)
class Settings:
    """The environment that the stack gives its functions. It holds no secret."""

    table: str
    bucket: str
    sweeps: str
    tasks: str
    audit: str
    config: str
    interval: timedelta
    actor_role: str

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises ``KeyError`` if a value is missing."""
        return cls(
            environment["FLEET_TABLE"],
            environment["FLEET_BUCKET"],
            environment["FLEET_SWEEP_QUEUE"],
            environment.get("FLEET_TASK_QUEUE", ""),
            environment["FLEET_AUDIT_GROUP"],
            environment.get("FLEET_CONFIG", ""),
            timedelta(minutes=int(environment["FLEET_INTERVAL_MINUTES"])),
            environment.get("FLEET_ACTOR_ROLE", ""),
        )


@dataclass
class Runtime:
    """The memory of one execution environment between invocations."""

    settings: Settings
    deadline: Deadline = field(default_factory=Deadline)
    monotonic: Callable[[], float] = time.monotonic
    _fleet: Fleet | None = None
    _text: str | None = None
    _read_at: float = 0.0

    def __post_init__(self) -> None:
        """The region is Lambda's own."""
        self.aws: Aws = Bounded(os.environ.get("AWS_REGION", ""), log.warning, None, self.deadline)
        self.table = Table(self.aws, self.settings.table, self.settings.bucket)
        self.holds = DynamoHolds(self.aws, self.settings.table)
        stream = f"{utcnow():%Y/%m/%d}/{uuid.uuid4().hex}"
        self.audit = LogAudit(self.aws, self.settings.audit, stream)

    def fleet(self) -> Fleet:
        """The fleet of the configuration. Raises ``InvalidConfig`` and ``AwsError``."""
        now = self.monotonic()
        if self._fleet is not None and now - self._read_at < FRESH:
            return self._fleet
        text = config_text(self.aws, self.settings.config)
        if self._fleet is None or text != self._text:
            config = read_config(self.aws, text) if text else Config()
            config = replace(config, interval=self.settings.interval, data_dir=SCRATCH)
            if not (self.settings.tasks or self.settings.actor_role):
                # Without the function that acts, every rule is in dry run.
                config = replace(config, rules=replace(config.rules, grades=frozenset()))
            self._fleet = self.fleet_of(config)
            self._text = text
        self._read_at = now
        return self._fleet

    def fleet_of(self, config: Config) -> Fleet:
        """A fleet whose calls have a deadline."""
        return Fleet(
            config,
            say=log.warning,
            log=log,
            make_aws=lambda region, say, role: Bounded(region, say, role, self.deadline),
        )


def config_text(aws: Aws, where: str) -> str:
    """The configuration: ``s3://BUCKET/KEY`` or ``ssm:/NAME``; empty for none."""
    return content_at(aws, where).decode() if where else ""


def read_config(aws: Aws, text: str) -> Config:
    """The configuration. In it, ``ssm:/NAME`` instead of a file means a parameter of SSM, which
    holds a secret. It is written to the function's own scratch folder, which no other function
    reads."""
    SCRATCH.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in sorted(set(re.findall(r"[\"'](ssm:/[\w./-]+)[\"']", text))):
        secret = content_at(aws, name)
        path = SCRATCH / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secret)
    path = SCRATCH / "fleet.toml"
    path.write_text(text, encoding="utf-8")
    return read(path)
