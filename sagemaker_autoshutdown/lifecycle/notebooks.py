"""The same for notebook instances, by name: they have lifecycle configurations of their own kind.

A notebook instance has one lifecycle configuration, and takes another only while it is stopped. If
it has one, ours keeps its effect: its script for the creation unchanged, and its script for every
start before ours.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..aws import Aws, AwsError
from . import attach, script_summary
from .ownership import as_text, is_templates, made_by_template
from .plan import Lost, Plan, Refused, Step, gone, if_gone_or_used, if_there
from .script import Kind, config_name, encode, fitted
from .throttling import until_settled

STOPPED = ("Stopped", "Failed")


@dataclass(frozen=True)
class Notebooks:
    """The notebook instances of an account in a region."""

    aws: Aws

    def describe(self, name: str) -> dict[str, Any]:
        """A notebook instance, once no update is under way; `Refused` if there is none of that
        name."""
        named = {"NotebookInstanceName": name}
        try:
            return until_settled(
                lambda: self.aws.call_blocking("sagemaker", "DescribeNotebookInstance", named),
                lambda found: found["NotebookInstanceStatus"] == "Updating",
            )
        except AwsError as error:
            if gone(error):
                raise Refused(
                    f"there is no notebook instance {name} in this account and region"
                ) from None
            raise

    def all(self) -> Iterator[dict[str, Any]]:
        """All of them, in the list's form."""
        return self.aws.pages_blocking(
            "sagemaker", "ListNotebookInstances", "NotebookInstances", {"MaxResults": 100}
        )

    def on_start(self, config: str) -> bytes | None:
        """The script of a lifecycle configuration for each start; None if there is no such
        configuration."""
        found = self._config(config)
        return None if found is None else _decoded(found.get("OnStart") or [])

    def plan_install(self, name: str, script: str) -> Plan:
        """Creates the missing configuration and attaches it, if the notebook instance is
        stopped."""
        described = self.describe(name)
        here = described.get("NotebookInstanceLifecycleConfigName")
        if here is not None and is_templates(here):
            raise Refused(f"{name}: {made_by_template(here)}")
        before = self._runs_before(here)
        hooks: dict[str, Any] = {}
        notes = []
        if before is not None:
            theirs = self._config(before)
            if theirs is None:
                raise Refused(
                    f"{before} was attached to {name}, but no longer exists. Detach it first "
                    "(or run `uninstall`, if it is part of our script)"
                )
            if theirs.get("OnCreate"):
                hooks["OnCreate"] = theirs["OnCreate"]
            if theirs.get("OnStart"):
                other = as_text(_decoded(theirs["OnStart"]), before)
                script = attach.combined(script, before, other)
            else:
                script = fitted(attach.marked(script, before))
            notes.append(f"{before} still runs, before our script")
        on_create = [hook["Content"] for hook in hooks.get("OnCreate", ())]
        config = config_name(Kind.NOTEBOOK_INSTANCE, script, *on_create)
        if here == config:
            return Plan()
        if described["NotebookInstanceStatus"] not in STOPPED:
            return Plan(waits=(_needs_a_stop(name, described, "install"),))
        hooks["OnStart"] = [{"Content": encode(script)}]
        steps = []
        if self._config(config) is None:
            steps.append(
                Step(
                    f"create the lifecycle configuration {config} for notebook instances",
                    "CreateNotebookInstanceLifecycleConfig",
                    {"NotebookInstanceLifecycleConfigName": config, **hooks},
                    if_there,
                )
            )
        steps.append(_attach(name, config))
        ours = here if attach.is_ours(here) else None
        notes += script_summary.notes(script, self._script(ours) if ours else None)
        old = (_delete(ours),) if ours else ()
        return self._plan(name, here, config, tuple(steps), tuple(notes), old)

    def plan_uninstall(self, name: str) -> Plan:
        """Detaches ours, and restores the earlier one."""
        described = self.describe(name)
        here = described.get("NotebookInstanceLifecycleConfigName")
        if here is None or not attach.is_ours(here):
            return Plan(notes=(made_by_template(here),) if here and is_templates(here) else ())
        if described["NotebookInstanceStatus"] not in STOPPED:
            return Plan(waits=(_needs_a_stop(name, described, "uninstall"),))
        before, notes = self._runs_before(here), []
        if before is not None and self._config(before) is None:
            notes.append(f"{before} was there before, but no longer exists")
            before = None
        steps = (_attach(name, before),)
        return self._plan(name, here, before, steps, tuple(notes), (_delete(here),))

    def _plan(
        self,
        name: str,
        here: str | None,
        config: str | None,
        steps: tuple[Step, ...],
        notes: tuple[str, ...],
        deletes: tuple[Step, ...],
    ) -> Plan:
        def guard() -> None:
            if self._attached(name) != here:
                raise Refused(
                    f"the lifecycle configuration of {name} has changed since the plan was "
                    "made. This command changed nothing. Run it again"
                )

        def check() -> Iterator[str]:
            found = self._attached(name)
            if found != config:
                raise Lost(f"{name} was updated, but has the lifecycle configuration {found}")
            return iter(())

        return Plan(steps, notes, (guard,), (check,), deletes)

    def _attached(self, name: str) -> str | None:
        found: str | None = self.describe(name).get("NotebookInstanceLifecycleConfigName")
        return found

    def _config(self, name: str) -> dict[str, Any] | None:
        try:
            return self.aws.call_blocking(
                "sagemaker",
                "DescribeNotebookInstanceLifecycleConfig",
                {"NotebookInstanceLifecycleConfigName": name},
            )
        except AwsError as error:
            if gone(error):
                return None
            raise

    def _runs_before(self, here: str | None) -> str | None:
        if here is None or not attach.is_ours(here):
            return here
        return attach.runs_first(self._script(here))

    def _script(self, config: str) -> str:
        """One of ours, to be checked."""
        found = self._config(config) or {}
        return _decoded(found.get("OnStart") or []).decode(errors="replace")


def _decoded(hooks: list[dict[str, str]]) -> bytes:
    return b"".join(base64.b64decode(hook["Content"]) for hook in hooks)


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
        return Step(
            f"detach the lifecycle configuration from {name}", "UpdateNotebookInstance", named
        )
    named["LifecycleConfigName"] = config
    return Step(f"attach {config} to {name}", "UpdateNotebookInstance", named)


def _delete(config: str) -> Step:
    return Step(
        f"delete the lifecycle configuration {config}, if nothing uses it any more",
        "DeleteNotebookInstanceLifecycleConfig",
        {"NotebookInstanceLifecycleConfigName": config},
        if_gone_or_used,
        "aws sagemaker delete-notebook-instance-lifecycle-config "
        f"--notebook-instance-lifecycle-config-name {config}",
    )
