"""Attaching to a domain or user profile, and taking that back. Only reads; a `Plan` changes."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..aws import Aws, AwsError, ErrorKind
from . import attach
from .plan import Lost, Plan, Refused, Step
from .script import Kind, config_name, encode

#: Seconds that an update of a domain may take until it can be read back.
UPDATE_TIME = 120.0

#: The first botocore that knows a member of the settings (found by looking at its releases).
KNOWN_SINCE = {
    "SageMakerImageVersionAlias": "1.33.3",
    "JupyterLabAppSettings": "1.33.5",
    "EmrSettings": "1.34.152",
    "AppLifecycleManagement": "1.35.13",
    "IdleSettings": "1.35.13",
    "BuiltInLifecycleConfigArn": "1.35.32",
    "TrainingPlanArn": "1.43.7",
}


@dataclass(frozen=True)
class Target:
    """A domain, or one user profile of it."""

    domain_id: str
    user_profile: str | None = None

    def __str__(self) -> str:
        if self.user_profile is None:
            return f"domain {self.domain_id}"
        return f"user profile {self.user_profile} of {self.domain_id}"

    @property
    def groups(self) -> tuple[str, ...]:
        """The members of its description that hold settings of apps."""
        if self.user_profile is None:
            return ("DefaultUserSettings", "DefaultSpaceSettings")
        return ("UserSettings",)

    @property
    def resource(self) -> str:
        """What the API's operations call it."""
        return "Domain" if self.user_profile is None else "UserProfile"

    @property
    def parameters(self) -> dict[str, str]:
        """What names it in a call."""
        named = {"DomainId": self.domain_id}
        if self.user_profile is not None:
            named["UserProfileName"] = self.user_profile
        return named


@dataclass
class Studio:
    """The domains of an account in a region."""

    aws: Aws
    sleep: Callable[[float], None] = time.sleep
    _contents: dict[str, str | None] = field(default_factory=dict)

    # -- reading

    def only_domain(self) -> str:
        """The account's domain where there is one only; `Refused` otherwise."""
        domains = list(self.aws.pages_blocking("sagemaker", "ListDomains", "Domains", {}))
        if len(domains) == 1:
            return str(domains[0]["DomainId"])
        known = ", ".join(f"{each['DomainId']} ({each['DomainName']})" for each in domains)
        raise Refused(
            f"--domain-id is needed; in this account and region there are: {known or 'none'}"
        )

    def describe(self, target: Target) -> tuple[dict[str, Any], list[str]]:
        """Its description, and what of it this botocore does not know."""
        return self.aws.call_seeing_all(
            "sagemaker", f"Describe{target.resource}", dict(target.parameters)
        )

    def content(self, arn: str) -> str | None:
        """The script of a lifecycle configuration; None where there is no such."""
        name = arn.rpartition("/")[2]
        if name not in self._contents:
            try:
                answer = self.aws.call_blocking(
                    "sagemaker",
                    "DescribeStudioLifecycleConfig",
                    {"StudioLifecycleConfigName": name},
                )
            except AwsError as error:
                if error.kind is not ErrorKind.NOT_FOUND:
                    raise
                self._contents[name] = None
            else:
                content = base64.b64decode(answer["StudioLifecycleConfigContent"])
                self._contents[name] = content.decode(errors="replace")
        return self._contents[name]

    # -- planning

    def plan_install(self, target: Target, scripts: Mapping[Kind, str]) -> Plan:
        """Create what is not there yet, attach it, and leave all else as it is."""
        description, unknown = self.describe(target)
        inherited = self._inherited(target)
        arn_prefix = self._arn_prefix(target)
        creates: dict[str, Step] = {}
        changes: dict[str, dict[str, Any]] = {}
        replaced: list[str] = []
        notes: list[str] = []
        for group in target.groups:
            settings = description.get(group)
            if settings is None and group == "DefaultSpaceSettings":
                notes.append(
                    f"{target} has no DefaultSpaceSettings, so no shared spaces to install in"
                )
                continue
            settings = settings or {}
            notes += _native_notes(f"{group} of {target}", settings)
            for kind, script in scripts.items():
                here = attach.current(kind, settings)
                before = self._runs_before(here or attach.current(kind, inherited))
                if before is not None:
                    script = self._with_first(script, before)
                    notes.append(f"{before.rpartition('/')[2]} goes on running, before ours")
                name = config_name(kind, script)
                arn = arn_prefix + name
                value = attach.attached(kind, settings, arn)
                if attach.without_nothing(value) == attach.without_nothing(
                    settings.get(attach.member(kind)) or {}
                ):
                    continue
                self._refuse_unknown(target, group, kind, unknown)
                if self.content(arn) is None:
                    creates[name] = _create(kind, name, script)
                if here is not None and attach.is_ours(here):
                    replaced.append(here)
                changes.setdefault(group, {})[attach.member(kind)] = value
        steps = [*creates.values(), *self._update(target, changes)]
        steps += [_delete(arn) for arn in dict.fromkeys(replaced)]
        checks = (self._check(target, description, changes),) if changes else ()
        return Plan(tuple(steps), tuple(dict.fromkeys(notes)), checks)

    def plan_uninstall(self, target: Target) -> Plan:
        """Take back what was attached there, and only that."""
        description, unknown = self.describe(target)
        changes: dict[str, dict[str, Any]] = {}
        removed: list[str] = []
        notes: list[str] = []
        for group in target.groups:
            settings = description.get(group) or {}
            for kind in (Kind.CLASSIC, Kind.SPACE):
                here = attach.current(kind, settings)
                if here is None or not attach.is_ours(here):
                    continue
                self._refuse_unknown(target, group, kind, unknown)
                before = self._runs_before(here)
                if before is not None and self.content(before) is None:
                    notes.append(f"{before} was there before, but does not exist any more")
                    before = None
                if before is not None and before == self._inherited_arn(target, kind):
                    before = None  # it was the domain's, which applies again
                removed.append(here)
                changes.setdefault(group, {})[attach.member(kind)] = attach.detached(
                    kind, settings, before
                )
        steps = [*self._update(target, changes), *map(_delete, dict.fromkeys(removed))]
        checks = (self._check(target, description, changes),) if changes else ()
        return Plan(tuple(steps), tuple(notes), checks)

    # -- the parts

    def _inherited(self, target: Target) -> Mapping[str, Any]:
        """The domain's settings that a user profile without its own has."""
        if target.user_profile is None:
            return {}
        description, _ = self.describe(Target(target.domain_id))
        return description.get("DefaultUserSettings") or {}

    def _inherited_arn(self, target: Target, kind: Kind) -> str | None:
        return attach.current(kind, self._inherited(target))

    def _arn_prefix(self, target: Target) -> str:
        description, _ = self.describe(Target(target.domain_id))
        partition, service, region, account = str(description["DomainArn"]).split(":")[1:5]
        return f"arn:{partition}:{service}:{region}:{account}:studio-lifecycle-config/"

    def _runs_before(self, arn: str | None) -> str | None:
        """What must go on running where `arn` stands: itself if it is another's, else what ours
        runs first."""
        if arn is None or not attach.is_ours(arn):
            return arn
        script = self.content(arn)
        return None if script is None else attach.runs_first(script)

    def _with_first(self, script: str, arn: str) -> str:
        other = self.content(arn)
        if other is None:
            raise Refused(
                f"{arn} is the default there, but does not exist: no app can start. Detach it first"
            )
        return attach.combined(script, arn, other)

    def _refuse_unknown(self, target: Target, group: str, kind: Kind, unknown: list[str]) -> None:
        """What would be written back must be known whole, or it would be lost."""
        path = f"{group}.{attach.member(kind)}"
        lacking = [each for each in unknown if each == path or each.startswith(f"{path}.")]
        place = "BuiltInLifecycleConfigArn" if kind is Kind.SPACE else "DefaultResourceSpec"
        if not self.aws.knows("sagemaker", f"Update{target.resource}", f"{path}.{place}"):
            lacking.append(f"{path}.{place}")
        if lacking:
            versions = [KNOWN_SINCE.get(each.rpartition(".")[2], "") for each in lacking]
            newest = max(versions, key=lambda version: [int(n) for n in version.split(".") if n])
            upgrade = f"botocore>={newest}" if all(versions) else "botocore (to its newest version)"
            raise Refused(
                f"this botocore ({self.aws.botocore_version}) does not know {', '.join(lacking)}, "
                f"and would lose it. Nothing was changed. First: pip install --upgrade '{upgrade}'"
            )

    def _update(self, target: Target, changes: Mapping[str, Any]) -> Iterator[Step]:
        if changes:
            what = "; ".join(
                f"{group}: {', '.join(sorted(members))}" for group, members in changes.items()
            )
            yield Step(
                f"update {target} ({what})",
                f"Update{target.resource}",
                {**target.parameters, **changes},
            )

    def _check(
        self, target: Target, before: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]
    ) -> Callable[[], None]:
        expected = {
            group: {**(before.get(group) or {}), **changes.get(group, {})}
            for group in target.groups
        }

        def check() -> None:
            found = self._settled(target)
            wrong = attach.differences(
                attach.without_nothing(expected),
                attach.without_nothing({group: found.get(group) or {} for group in target.groups}),
            )
            if wrong:
                raise Lost(
                    f"{target} was updated, but reads back differently at {', '.join(wrong)}. "
                    f"Before: { {group: before.get(group) for group in target.groups} }"
                )

        return check

    def _settled(self, target: Target) -> dict[str, Any]:
        """Its description once an update is over."""
        left = UPDATE_TIME
        while True:
            description, _ = self.describe(target)
            if description.get("Status") not in ("Updating", "Pending") or left <= 0:
                break
            self.sleep(2)
            left -= 2
        if description.get("Status") not in (None, "InService"):
            raise Lost(
                f"{target} is {description['Status']}: "
                f"{description.get('FailureReason', 'no reason is given')}"
            )
        return description


def _create(kind: Kind, name: str, script: str) -> Step:
    return Step(
        f"create the lifecycle configuration {name} for {kind.described}",
        "CreateStudioLifecycleConfig",
        {
            "StudioLifecycleConfigName": name,
            "StudioLifecycleConfigContent": encode(script),
            "StudioLifecycleConfigAppType": kind.app_type,
        },
    )


def _delete(arn: str) -> Step:
    name = arn.rpartition("/")[2]
    return Step(
        f"delete the lifecycle configuration {name}, where nothing uses it any more",
        "DeleteStudioLifecycleConfig",
        {"StudioLifecycleConfigName": name},
        {
            ErrorKind.IN_USE: "it is still in use; delete it by hand once it is not",
            ErrorKind.NOT_FOUND: "it is gone already",
        },
    )


def _native_notes(where: str, settings: Mapping[str, Any]) -> list[str]:
    app = settings.get(attach.member(Kind.SPACE)) or {}
    idle = (app.get("AppLifecycleManagement") or {}).get("IdleSettings") or {}
    if idle.get("LifecycleManagement") != "ENABLED":
        return []
    return [
        f"Studio's own idle shutdown is on in the {where} "
        f"(after {idle.get('IdleTimeoutInMinutes', 60)} minutes): whichever limit is reached first "
        "shuts down. Better switch one of the two off"
    ]
