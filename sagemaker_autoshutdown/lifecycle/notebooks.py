"""The same for notebook instances, by name: they have lifecycle configurations of their own kind.

A notebook instance has one lifecycle configuration, and takes another only while it is stopped.
Where it has one, ours keeps what that does: its script for the creation as it is, and its script
for every start before ours.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..aws import Aws, AwsError, ErrorKind
from . import attach
from .plan import Lost, Plan, Refused, Step
from .script import Kind, config_name, encode

STOPPED = ("Stopped", "Failed")


@dataclass(frozen=True)
class Notebooks:
    """The notebook instances of an account in a region."""

    aws: Aws

    def describe(self, name: str) -> dict[str, Any]:
        """A notebook instance; `Refused` where there is none of that name."""
        try:
            return self.aws.call_blocking(
                "sagemaker", "DescribeNotebookInstance", {"NotebookInstanceName": name}
            )
        except AwsError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                raise Refused(
                    f"there is no notebook instance {name} in this account and region"
                ) from None
            raise

    def all(self) -> Iterator[dict[str, Any]]:
        """All of them, as the list has them."""
        return self.aws.pages_blocking(
            "sagemaker", "ListNotebookInstances", "NotebookInstances", {"MaxResults": 100}
        )

    def plan_install(self, name: str, script: str) -> Plan:
        """Create what is not there yet and attach it, where it is stopped."""
        described = self.describe(name)
        here = described.get("NotebookInstanceLifecycleConfigName")
        before = self._runs_before(here)
        hooks: dict[str, Any] = {}
        notes = []
        if before is not None:
            theirs = self._config(before)
            if theirs is None:
                raise Refused(
                    f"{name} has the lifecycle configuration {before}, which is not there"
                )
            if theirs.get("OnCreate"):
                hooks["OnCreate"] = theirs["OnCreate"]
            if theirs.get("OnStart"):
                script = attach.combined(script, before, _decoded(theirs["OnStart"]))
            notes.append(f"{before} goes on running, before ours")
        config = config_name(Kind.NOTEBOOK_INSTANCE, script)
        if here == config:
            return Plan()
        if described["NotebookInstanceStatus"] not in STOPPED:
            return Plan(notes=(_needs_a_stop(name, described, "install"),))
        hooks["OnStart"] = [{"Content": encode(script)}]
        steps = []
        if self._config(config) is None:
            steps.append(
                Step(
                    f"create the lifecycle configuration {config} for notebook instances",
                    "CreateNotebookInstanceLifecycleConfig",
                    {"NotebookInstanceLifecycleConfigName": config, **hooks},
                )
            )
        steps.append(_attach(name, config))
        if here is not None and attach.is_ours(here):
            steps.append(_delete(here))
        return Plan(tuple(steps), tuple(notes), (lambda: self._check(name, config),))

    def plan_uninstall(self, name: str) -> Plan:
        """Take ours off, and put back what was there."""
        described = self.describe(name)
        here = described.get("NotebookInstanceLifecycleConfigName")
        if here is None or not attach.is_ours(here):
            return Plan()
        if described["NotebookInstanceStatus"] not in STOPPED:
            return Plan(notes=(_needs_a_stop(name, described, "uninstall"),))
        before = self._runs_before(here)
        if before is not None and self._config(before) is None:
            before = None
        steps = (_attach(name, before), _delete(here))
        return Plan(steps, (), (lambda: self._check(name, before),))

    def _config(self, name: str) -> dict[str, Any] | None:
        try:
            return self.aws.call_blocking(
                "sagemaker",
                "DescribeNotebookInstanceLifecycleConfig",
                {"NotebookInstanceLifecycleConfigName": name},
            )
        except AwsError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise

    def _runs_before(self, here: str | None) -> str | None:
        if here is None or not attach.is_ours(here):
            return here
        config = self._config(here) or {}
        return attach.runs_first(_decoded(config.get("OnStart") or []))

    def _check(self, name: str, config: str | None) -> None:
        found = self.describe(name).get("NotebookInstanceLifecycleConfigName")
        if found != config:
            raise Lost(f"{name} was updated, but has the lifecycle configuration {found}")


def _decoded(hooks: list[dict[str, str]]) -> str:
    return "".join(base64.b64decode(hook["Content"]).decode(errors="replace") for hook in hooks)


def _needs_a_stop(name: str, described: dict[str, Any], command: str) -> str:
    return (
        f"{name} is {described['NotebookInstanceStatus']} and can be changed only while it is "
        f"stopped. Stop it, then {command} again: aws sagemaker stop-notebook-instance "
        f"--notebook-instance-name {name}"
    )


def _attach(name: str, config: str | None) -> Step:
    named: dict[str, Any] = {"NotebookInstanceName": name}
    if config is None:
        named["DisassociateLifecycleConfig"] = True
        return Step(f"take the lifecycle configuration off {name}", "UpdateNotebookInstance", named)
    named["LifecycleConfigName"] = config
    return Step(f"attach {config} to {name}", "UpdateNotebookInstance", named)


def _delete(config: str) -> Step:
    return Step(
        f"delete the lifecycle configuration {config}, where nothing uses it any more",
        "DeleteNotebookInstanceLifecycleConfig",
        {"NotebookInstanceLifecycleConfigName": config},
        {
            # A ValidationException, which has no kind of its own, says that it is in use.
            ErrorKind.OTHER: "it is in use by another notebook instance",
            ErrorKind.IN_USE: "it is in use by another notebook instance",
            ErrorKind.NOT_FOUND: "it is gone already",
        },
    )
