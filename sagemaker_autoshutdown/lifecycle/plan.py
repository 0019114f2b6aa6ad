"""What a command is going to do, so that it can be shown, asked about, done and checked.

First all that attaches, then it is read back, and only then what nothing needs any more is deleted:
wherever it stops, every app starts with a script that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..aws import Aws, AwsError, ErrorKind
from .parallel import each

#: Told how many of how many things are done, and what they are.
Told = Callable[[int, int, str], None]


class Refused(Exception):
    """It can't be done as asked; nothing was changed. Says why and what to do."""


class Lost(Exception):
    """What was read back is not what was to be written; says where it differs."""


class NotDeleted(Exception):
    """All is attached as it was to be, but what nothing needs stays; says how to go on."""


#: Words of SageMaker where it has no code for it: of notebook instances it says all this with a
#: ValidationException, and of what is not there with "RecordNotFound" or "does not exist".
_GONE = ("recordnotfound", "does not exist", "not found")
_IN_USE = ("in use", "being used", "associated with", "attached to")
_THERE = ("already exist", "duplicate")


def gone(error: AwsError) -> bool:
    """Whether there is no such thing."""
    return error.kind is ErrorKind.NOT_FOUND or _says(error, _GONE)


def never(_: AwsError) -> str | None:
    """No error is tolerated."""
    return None


def if_there(error: AwsError) -> str | None:
    """To create what another run has just created: the name tells the content."""
    return "it already exists" if _is(error, ErrorKind.IN_USE, _THERE) else None


def if_gone_or_used(error: AwsError) -> str | None:
    """To delete what others may use, or have deleted."""
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
    #: What to say of an error after which all is well nevertheless; None for any other.
    tolerated: Callable[[AwsError], str | None] = never
    #: The same for AWS's own command line, for what another run of the command won't do.
    by_hand: str = ""


@dataclass(frozen=True)
class Plan:
    """What is to be done, and what should be known before it is agreed to."""

    #: What creates and attaches, in its order.
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    #: Look just before the first step whether all still is as it was planned for, since somebody
    #: was asked meanwhile; they raise `Refused`.
    guards: tuple[Callable[[], None], ...] = ()
    #: Read back and compare after the last step; they raise `Lost`, or give what is to be said.
    checks: tuple[Callable[[], Iterable[str]], ...] = ()
    #: What deletes, once all has been read back.
    deletes: tuple[Step, ...] = ()
    #: What was asked for and has to wait for somebody, and for what.
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
        """Do it, and `say` what was done, line by line; where it stops, what was not, too. `tell`
        is told how far what only reads has come.

        Raises `Refused` before anything is changed, `AwsError` where a call fails, `Lost`, and
        `NotDeleted` at the end. What was done until then stays done, and the same command can be
        given again.
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
        """One that fails keeps no other from being deleted."""
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
    """Several plans as one; a step that two of them need is done once."""

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
