"""The steps of a command, to be shown, agreed to, carried out and verified.

First everything is attached, then it is read back, and only then unused resources are deleted:
wherever it stops, every app starts with a script that exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..aws import Aws, AwsError, ErrorKind
from .parallel import each

#: Called with the number of finished things, their total, and their kind.
Told = Callable[[int, int, str], None]


class Refused(Exception):
    """Not possible as asked; nothing was changed. Says why and what to do."""


class Lost(Exception):
    """The result that was read back is not the one that was written; says where it differs."""


class NotDeleted(Exception):
    """Everything is attached, but some unused resources stay; says how to go on."""


#: SageMaker's words when it has no error code: for notebook instances it answers all this with a
#: ValidationException, and for a missing resource with "RecordNotFound" or "does not exist".
_GONE = ("recordnotfound", "does not exist", "not found")
_IN_USE = ("in use", "being used", "associated with", "attached to")
_THERE = ("already exist", "duplicate")


def gone(error: AwsError) -> bool:
    """Whether there is no such resource."""
    return error.kind is ErrorKind.NOT_FOUND or _says(error, _GONE)


def never(_: AwsError) -> str | None:
    """Tolerates no error."""
    return None


def if_there(error: AwsError) -> str | None:
    """Tolerates that another run has just created it: its name follows from its content."""
    return "it already exists" if _is(error, ErrorKind.IN_USE, _THERE) else None


def if_gone_or_used(error: AwsError) -> str | None:
    """Tolerates that others use it, or have deleted it."""
    if gone(error):
        return "it is already gone"
    return "it is still in use" if _is(error, ErrorKind.IN_USE, _IN_USE) else None


def _is(error: AwsError, kind: ErrorKind, words: tuple[str, ...]) -> bool:
    return error.kind is kind or _says(error, words)


def _says(error: AwsError, words: tuple[str, ...]) -> bool:
    message = error.message.lower()
    return error.code == "ValidationException" and any(each in message for each in words)


@dataclass(frozen=True)
class Step:
    """One call that changes something."""

    text: str
    operation: str
    parameters: dict[str, Any]
    #: A text about an error that does no harm; None for any other.
    tolerated: Callable[[AwsError], str | None] = never
    #: The same for AWS's own command line, if another run of the command won't do it.
    by_hand: str = ""


@dataclass(frozen=True)
class Plan:
    """The steps, and the notes to read before agreeing."""

    #: Creates and attaches, in this order.
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    #: Just before the first step, check that nothing has changed since the plan was made, because
    #: somebody was asked meanwhile; they raise `Refused`.
    guards: tuple[Callable[[], None], ...] = ()
    #: Read back and compare after the last step; they raise `Lost`, or return a note.
    checks: tuple[Callable[[], Iterable[str]], ...] = ()
    #: Deletes, once everything has been read back.
    deletes: tuple[Step, ...] = ()
    #: Requests that have to wait for somebody, and for what.
    waits: tuple[str, ...] = ()

    def described(self) -> str:
        """The plan for people."""
        steps = [*self.steps, *self.deletes]
        head = "Plan:"
        if not steps:
            head = "Nothing can be done yet." if self.waits else "Nothing needs to be changed."
        lines = [f"  {number}. {step.text}" for number, step in enumerate(steps, 1)]
        lines += [f"  Not yet: {wait}" for wait in self.waits]
        return "\n".join([head, *lines, *(f"  Note: {note}" for note in self.notes)])

    def carry_out(self, aws: Aws, say: Callable[[str], None], tell: Told = lambda *_: None) -> None:
        """Carries it out, and `say`s each finished step; if it stops, also the unfinished ones.
        `tell` reports the progress of steps that only read.

        Raises `Refused` before anything is changed, `AwsError` if a call fails, `Lost`, and
        `NotDeleted` at the end. Finished steps stay, and the same command can be given again.
        """
        for number, _ in enumerate(each(_call, self.guards), 1):
            tell(number, len(self.guards), "read again")
        left = [*self.steps, *self.deletes]
        try:
            for step in self.steps:
                self._do(step, aws, say)
                left.remove(step)
            for number, remarks in enumerate(each(_list, self.checks), 1):
                tell(number, len(self.checks), "read back")
                for remark in remarks:
                    say(f"  note: {remark}")
        except BaseException:
            for step in left:
                later = f"; later by hand: {step.by_hand}" if step.by_hand else ""
                say(f"  not done: {step.text}{later}")
            raise
        self._delete(aws, say)

    def _delete(self, aws: Aws, say: Callable[[str], None]) -> None:
        """A failed deletion does not prevent the others."""
        failed = []
        for step in self.deletes:
            try:
                self._do(step, aws, say)
            except AwsError as error:
                say(f"  not done: {step.text}: {error}")
                failed.append((step, error))
        if failed:
            errors = "\n".join(dict.fromkeys(str(error) for _, error in failed))
            commands = "\n".join(f"  {step.by_hand}" for step, _ in failed)
            raise NotDeleted(
                "All changes are made and verified. Some resources that are no longer used could "
                f"not be deleted:\n{errors}\nThey do no harm. To delete them by hand:\n{commands}"
            )

    def _do(self, step: Step, aws: Aws, say: Callable[[str], None]) -> None:
        try:
            aws.call_blocking("sagemaker", step.operation, step.parameters)
        except AwsError as error:
            reason = step.tolerated(error)
            if reason is None:
                raise
            later = (
                f"; once it is no longer used: {step.by_hand}"
                if step.by_hand and not gone(error)
                else ""
            )
            say(f"  left: {step.text}: {reason}{later}")
        else:
            say(f"  done: {step.text}")


def _call(guard: Callable[[], None]) -> None:
    guard()


def _list(check: Callable[[], Iterable[str]]) -> list[str]:
    return list(check())


def together(*plans: Plan) -> Plan:
    """Several plans as one; a step that two of them need is carried out once."""

    def each_once(steps: Iterable[Step]) -> tuple[Step, ...]:
        found: list[Step] = []
        for step in steps:
            if step not in found:
                found.append(step)
        return tuple(found)

    return Plan(
        each_once(step for plan in plans for step in plan.steps),
        tuple(dict.fromkeys(note for plan in plans for note in plan.notes)),
        tuple(guard for plan in plans for guard in plan.guards),
        tuple(check for plan in plans for check in plan.checks),
        each_once(step for plan in plans for step in plan.deletes),
        tuple(dict.fromkeys(wait for plan in plans for wait in plan.waits)),
    )
