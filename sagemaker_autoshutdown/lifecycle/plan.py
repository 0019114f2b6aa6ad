"""What a command is going to do, so that it can be shown, asked about, done and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..aws import Aws, AwsError, ErrorKind


class Refused(Exception):
    """It can't be done as asked; nothing was changed. Says why and what to do."""


class Lost(Exception):
    """What was read back is not what was to be written; says where it differs."""


@dataclass(frozen=True)
class Step:
    """One call that changes something."""

    text: str
    operation: str
    parameters: dict[str, Any]
    #: Error kinds after which the plan goes on, with what to say then.
    tolerated: dict[ErrorKind, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Steps in their order, and what should be known before they are agreed to."""

    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    #: Read back and compare; raises `Lost`.
    checks: tuple[Callable[[], None], ...] = ()

    def described(self) -> str:
        """The plan for people."""
        lines = [f"  {number}. {step.text}" for number, step in enumerate(self.steps, 1)]
        lines = ["This will be done:", *lines] if lines else ["Nothing needs to be changed."]
        return "\n".join([*lines, *(f"  Note: {note}" for note in self.notes)])

    def carry_out(self, aws: Aws, say: Callable[[str], None]) -> None:
        """Do it, step by step, and read back what was written.

        Raises `AwsError` where a call fails, and `Lost`; what was done until then stays done, and
        the same command can be given again.
        """
        for step in self.steps:
            try:
                aws.call_blocking("sagemaker", step.operation, step.parameters)
            except AwsError as error:
                # SageMaker says so of what is attached or runs with ResourceInUse, and for
                # notebook instances with a ValidationException.
                if error.kind not in step.tolerated:
                    raise
                say(f"  left: {step.text}: {step.tolerated[error.kind]}")
            else:
                say(f"  done: {step.text}")
        for check in self.checks:
            check()


def together(*plans: Plan) -> Plan:
    """Several plans as one; a step that two of them need is done once."""
    steps: list[Step] = []
    for plan in plans:
        steps += [step for step in plan.steps if step not in steps]
    notes = dict.fromkeys(note for plan in plans for note in plan.notes)
    return Plan(tuple(steps), tuple(notes), tuple(c for plan in plans for c in plan.checks))
