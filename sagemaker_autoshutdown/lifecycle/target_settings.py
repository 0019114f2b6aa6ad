"""Settings of a domain or user profile: reads them, waits for updates, compares them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..aws import Aws
from . import attach
from .plan import Lost, Refused
from .target import Target
from .throttling import until_settled

#: Statuses of a domain or user profile that pass.
UNDER_WAY = ("Pending", "Updating")
#: Statuses in which SageMaker accepts no change. After a failed update it accepts another one.
UNCHANGEABLE = ("Deleting", "Delete_Failed", "Failed")


@dataclass(frozen=True)
class SettingsReader:
    """Reads settings."""

    aws: Aws

    def describe(self, target: Target) -> tuple[dict[str, Any], list[str]]:
        """Its description, and the members that this botocore does not know."""
        return self.aws.call_seeing_all(
            "sagemaker", f"Describe{target.resource}", dict(target.parameters)
        )

    def guard(self, target: Target, before: Mapping[str, Any]) -> Callable[[], None]:
        def check_unchanged() -> None:
            found, _ = self.settled(target)
            if {group: found.get(group) for group in before} != before:
                raise Refused(
                    f"the settings of {target} have changed since the plan was made. This command "
                    "changed nothing. Run it again"
                )

        return check_unchanged

    def check(
        self,
        target: Target,
        before: Mapping[str, Any],
        changes: Mapping[str, Mapping[str, Any]],
        may_stay: Sequence[str],
    ) -> Callable[[], Iterator[str]]:
        expected = {
            group: {**(before.get(group) or {}), **changes.get(group, {})} for group in before
        }

        def compare() -> Iterator[str]:
            found, _ = self.settled(target)
            if found.get("Status") not in (None, "InService"):
                raise Lost(
                    f"{target} is {found['Status']}: "
                    f"{found.get('FailureReason', 'SageMaker gives no reason')}"
                )
            wrong = attach.differences(
                attach.without_nothing(expected),
                attach.without_nothing({group: found.get(group) or {} for group in before}),
            )
            stays = [path for path in wrong if path.startswith(tuple(may_stay))]
            if len(stays) < len(wrong):
                raise Lost(
                    f"{target} was updated, but reads back differently at "
                    f"{', '.join(path for path in wrong if path not in stays)}. "
                    f"Before: {json.dumps(before, default=str)}"
                )
            if stays:
                yield (
                    f"{target} still has settings that this command wrote, because an update can't "
                    f"remove them: {', '.join(stays)}"
                )

        return compare

    def settled(self, target: Target) -> tuple[dict[str, Any], list[str]]:
        """Its description once an update is over, and the members that this botocore does not
        know."""
        return until_settled(
            lambda: self.describe(target), lambda found: found[0].get("Status") in UNDER_WAY
        )
