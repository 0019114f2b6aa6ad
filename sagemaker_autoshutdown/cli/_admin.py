"""Shared by the commands for admins, which call AWS with the admin's own credentials."""

from __future__ import annotations

import argparse
import sys

from ..aws import AwsError, ErrorKind, region_of_environment
from ..errors import Failed, Misused


class NotDone(Failed):
    """The command did nothing, or only a part. The message says what to do."""


def add_region(
    parser: argparse.ArgumentParser, dest: str = "region", meaning: str = "the AWS region"
) -> None:
    parser.add_argument(
        "--region",
        dest=dest,
        default=region_of_environment(),
        help=f"{meaning} (default: that of your environment or AWS configuration)",
    )


def say_aside(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def agreed() -> bool:
    """Asks whether to carry out the plan that was just shown. Raises ``Misused`` if there is no
    terminal to ask."""
    if not sys.stdin.isatty():
        raise Misused(
            "there is no terminal to ask for confirmation: give --yes to go ahead, or --dry-run to "
            "see the plan"
        )
    try:
        return input("Go ahead? [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


class Progress:
    """Shows progress in one line of a terminal, which is overwritten; elsewhere nothing."""

    WIDTH = 30

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._percent = -1

    def tell(self, done: int, of: int, what: str) -> None:
        """Shows how many are done."""
        percent = 100 * done // of
        if not self._shown or percent == self._percent:
            return
        self._percent = percent
        bar = "#" * (self.WIDTH * done // of)
        sys.stderr.write(f"\r[{bar:<{self.WIDTH}}] {done} of {of} {what}\x1b[K")
        if done == of:
            sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


#: Remedies for an admin, for errors that AWS only names.
_REMEDY = {
    ErrorKind.THROTTLED: "AWS limits the rate of calls. Wait a minute, then try again.",
    ErrorKind.NOT_FOUND: "Check --domain-id, --user-profile and the region (--region, or that of "
    "your AWS configuration): there is no such thing in this account and region.",
    ErrorKind.IN_USE: "Another change is in progress. Wait until it has finished.",
    ErrorKind.NO_CREDENTIALS: "AWS credentials are needed, as the AWS command line has them, and "
    "they must not have expired: `aws sts get-caller-identity` shows whose they are.",
    ErrorKind.TIMEOUT: "Check the network and the region (--region).",
    ErrorKind.UNREACHABLE: "Check the network and the region: give --region, or set it in your AWS "
    "configuration.",
}


def failed(error: Exception, whose: str = "admin") -> NotDone:
    """An error with its remedy; the policy of `whose` has the missing right."""
    if not isinstance(error, AwsError):
        return NotDone(str(error))
    remedy = _REMEDY.get(error.kind, "")
    if error.iam_action:
        remedy = (
            f"Your own credentials need {error.iam_action}; `lifecycle-config policy {whose}` "
            "prints all that is needed."
        )
    return NotDone(f"{error}\n{remedy}".rstrip())
