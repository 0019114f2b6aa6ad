"""Attaches to a domain or user profile, and detaches. Only reads; a `Plan` makes the changes."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..aws import Aws, AwsError
from . import attach, inherited_settings, native_idle, script_summary
from .botocore_gaps import refuse_native, refuse_unknown, refuse_unseen
from .native_idle import NativeApp
from .ownership import as_text, is_templates, made_by_template
from .plan import Plan, Refused, Step, gone, if_gone_or_used, if_there
from .script import STUDIO_KINDS, Kind, config_name, encode, fitted
from .target import Target
from .target_settings import UNCHANGEABLE, SettingsReader


@dataclass
class Studio:
    """The domains of an account in a region."""

    aws: Aws
    _contents: dict[str, bytes | None] = field(default_factory=dict)
    #: The domains, as they were when they were first read.
    _domains: dict[str, tuple[dict[str, Any], list[str]]] = field(default_factory=dict)

    @property
    def _read(self) -> SettingsReader:
        return SettingsReader(self.aws)

    # -- reading

    def only_domain(self) -> str:
        """The account's domain if there is only one; else raises `Refused`."""
        domains = list(self.aws.pages_blocking("sagemaker", "ListDomains", "Domains", {}))
        if len(domains) == 1:
            return str(domains[0]["DomainId"])
        listed = ", ".join(f"{each['DomainId']} ({each['DomainName']})" for each in domains)
        raise Refused(
            f"--domain-id is needed. The domains in this account and region: {listed or 'none'}"
        )

    def content(self, arn: str) -> bytes | None:
        """The script of a lifecycle configuration; None if there is no such configuration."""
        name = arn.rpartition("/")[2]
        if name not in self._contents:
            try:
                answer = self.aws.call_blocking(
                    "sagemaker",
                    "DescribeStudioLifecycleConfig",
                    {"StudioLifecycleConfigName": name},
                )
            except AwsError as error:
                if not gone(error):
                    raise
                self._contents[name] = None
            else:
                self._contents[name] = base64.b64decode(answer["StudioLifecycleConfigContent"])
        return self._contents[name]

    # -- planning

    def plan_install(
        self,
        target: Target,
        scripts: Mapping[Kind, str],
        native_minutes: Mapping[NativeApp, int] | None = None,
    ) -> Plan:
        """Creates the missing scripts and attaches them; everything else stays. For a domain,
        `native_minutes` switches on Studio's own idle shutdown of some of its apps."""
        description, unknown = self._read.settled(target)
        if description.get("Status") in UNCHANGEABLE:
            return Plan(waits=(_unchangeable(target, description),))
        domain = self._domain_above(target)
        creates: dict[str, Step] = {}
        changes: dict[str, dict[str, Any]] = {}
        replaced: list[str] = []
        notes: list[str] = []
        may_stay: list[str] = []
        for group in target.groups:
            settings = description.get(group)
            if settings is None and group == "DefaultSpaceSettings":
                notes.append(
                    f"{target} has no DefaultSpaceSettings, so no shared spaces to install in"
                )
                continue
            settings = settings or {}
            native: dict[NativeApp, native_idle.Change] = {}
            if Kind.SPACE in scripts:
                native = self._native(target, group, settings, native_minutes or {}, unknown)
                notes += _native_changes(native, group, changes, settings)
                may_stay += [path for change in native.values() for path in change.may_stay]
            lab = native.get(native_idle.JUPYTERLAB)
            if lab is None or lab.record is None:
                inherited = domain.settings if domain else None
                notes += _native_notes(f"{group} of {target}", settings, inherited)
            else:
                notes.append(native_idle.NET)
            for kind, script in scripts.items():
                refuse_unseen(self.aws, target, group, kind, unknown)
                place = self._place(target, kind, settings, domain)
                if place.first is not None:
                    script = self._with_first(script, place.first, place.copied)
                    notes.append(f"{place.first.rpartition('/')[2]} still runs, before our script")
                else:
                    script = inherited_settings.marked(script, place.copied)
                if kind is Kind.SPACE:
                    for app, change in native.items():
                        script = app.marked(script, change.record)
                script = fitted(script)
                name = config_name(kind, script)
                arn = self._arn_prefix(target) + name
                value = attach.attached(kind, place.app, arn)
                if kind is Kind.SPACE and lab is not None:
                    value = lab.made_in(value)
                if attach.without_nothing(value) == attach.without_nothing(
                    attach.of_apps(kind, settings)
                ):
                    continue
                refuse_unknown(self.aws, target, group, kind, unknown)
                if domain is not None and place.copied.members:
                    above = Target(target.domain_id)
                    refuse_unknown(self.aws, above, "DefaultUserSettings", kind, domain.unknown)
                notes += _copy_notes(target, kind, place)
                if self.content(arn) is None:
                    creates[name] = _create(kind, name, script)
                before = None
                if place.here is not None and attach.is_ours(place.here):
                    before = self._text(place.here)
                    replaced.append(place.here)
                notes += script_summary.notes(script, before)
                changes.setdefault(group, {})[attach.member(kind)] = value
        return self._plan(
            target, description, list(creates.values()), changes, replaced, notes, may_stay
        )

    def plan_uninstall(self, target: Target) -> Plan:
        """Detaches ours from the target, and changes nothing else."""
        description, unknown = self._read.settled(target)
        if description.get("Status") in UNCHANGEABLE:
            return Plan(waits=(_unchangeable(target, description),))
        changes: dict[str, dict[str, Any]] = {}
        removed: list[str] = []
        notes: list[str] = []
        may_stay: list[str] = []
        for group in target.groups:
            settings = description.get(group) or {}
            native = self._native(target, group, settings, {}, unknown)
            notes += _native_changes(native, group, changes, settings)
            may_stay += [path for change in native.values() for path in change.may_stay]
            lab = native.get(native_idle.JUPYTERLAB)
            for kind in STUDIO_KINDS:
                refuse_unseen(self.aws, target, group, kind, unknown)
                here = attach.current(kind, settings)
                if here is None or not attach.is_ours(here):
                    if here is not None and is_templates(here):
                        notes.append(made_by_template(here))
                    continue
                refuse_unknown(self.aws, target, group, kind, unknown)
                before, record = self._record(here)
                if before is not None and self.content(before) is None:
                    notes.append(f"{before} was there before, but no longer exists")
                    before = None
                path = f"{group}.{attach.member(kind)}"
                changed = {*record.members} - {
                    *inherited_settings.unchanged(kind, attach.of_apps(kind, settings), record)
                }
                if changed:
                    notes.append(
                        f"{', '.join(sorted(changed))} in {path} of {target} was copied from the "
                        "domain and has been changed since: it stays"
                    )
                may_stay += [f"{path}.{name}" for name in record.members]
                removed.append(here)
                value = _taken_back(kind, settings, before, record)
                if kind is Kind.SPACE and lab is not None:
                    value = lab.made_in(value)
                changes.setdefault(group, {})[attach.member(kind)] = value
        return self._plan(target, description, [], changes, removed, notes, may_stay)

    # -- the parts

    def _native(
        self,
        target: Target,
        group: str,
        settings: Mapping[str, Any],
        minutes: Mapping[NativeApp, int],
        unknown: list[str],
    ) -> dict[NativeApp, native_idle.Change]:
        """The changes to Studio's own idle shutdown for each type of apps in a group."""
        found = {}
        for app in native_idle.APPS:
            if group in app.groups:
                old = app.record_of(settings, self._text)
                found[app] = app.changed(group, settings, old, minutes.get(app))
                if found[app].idle is not None:
                    refuse_native(self.aws, target, f"{group}.{app.member}", unknown)
        return found

    def _plan(
        self,
        target: Target,
        description: Mapping[str, Any],
        creates: list[Step],
        changes: Mapping[str, Mapping[str, Any]],
        old: list[str],
        notes: list[str],
        may_stay: Sequence[str] = (),
    ) -> Plan:
        if not changes:
            return Plan(notes=tuple(dict.fromkeys(notes)))
        before = {group: description.get(group) for group in target.groups}
        return Plan(
            (*creates, *self._update(target, changes)),
            tuple(dict.fromkeys(notes)),
            (self._read.guard(target, before),),
            (self._read.check(target, before, changes, may_stay),),
            tuple(_delete(arn) for arn in dict.fromkeys(old)),
        )

    def _domain_above(self, target: Target) -> _Inherited | None:
        """A user profile's copies from the domain; None for the domain itself."""
        if target.user_profile is None:
            return None
        description, unknown = self._domain(target)
        return _Inherited(description.get("DefaultUserSettings") or {}, unknown)

    def _domain(self, target: Target) -> tuple[dict[str, Any], list[str]]:
        if target.domain_id not in self._domains:
            self._domains[target.domain_id] = self._read.describe(Target(target.domain_id))
        return self._domains[target.domain_id]

    def _record(self, arn: str) -> tuple[str | None, inherited_settings.CopiedSettings]:
        """The script that returns to the place of ours, and the copies from the domain."""
        script = self._text(arn)
        record = inherited_settings.read(script)
        return None if record.place else attach.runs_first(script), record

    def _text(self, arn: str) -> str:
        """One of ours, to be checked."""
        return (self.content(arn) or b"").decode(errors="replace")

    def _place(
        self,
        target: Target,
        kind: Kind,
        settings: Mapping[str, Any],
        domain: _Inherited | None,
    ) -> _Place:
        """The settings that ours is attached to, as if ours had never been there."""
        here = attach.current(kind, settings)
        own, first = attach.of_apps(kind, settings), here
        if here is not None and is_templates(here):
            raise Refused(f"{target}: {made_by_template(here)}")
        if here is not None and attach.is_ours(here):
            first, record = self._record(here)
            own = attach.without_nothing(_taken_back(kind, settings, first, record))
        if domain is None:
            return _Place(here, first, own, inherited_settings.CopiedSettings())
        seeded, names = inherited_settings.seeded(kind, own, attach.of_apps(kind, domain.settings))
        above = attach.current(kind, domain.settings)
        if first is None and above is not None and attach.is_ours(above):
            above = attach.runs_first(self._text(above))
        elif is_templates(above):
            above = None  # the template's, which ours replaces
        app = attach.attached(kind, seeded, attach.NO_ARN)
        record = inherited_settings.record(
            kind, app, names, place=first is None and above is not None
        )
        return _Place(here, first or above, seeded, record)

    def _arn_prefix(self, target: Target) -> str:
        description, _ = self._domain(target)
        partition, service, region, account = str(description["DomainArn"]).split(":")[1:5]
        return f"arn:{partition}:{service}:{region}:{account}:studio-lifecycle-config/"

    def _with_first(self, script: str, arn: str, record: inherited_settings.CopiedSettings) -> str:
        other, name = self.content(arn), arn.rpartition("/")[2]
        if other is None:
            raise Refused(
                f"{arn} was the default there, but no longer exists. Detach it first (or "
                "give `uninstall`, if it runs within ours)"
            )
        return inherited_settings.marked(attach.combined(script, arn, as_text(other, name)), record)

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


@dataclass(frozen=True)
class _Inherited:
    """The domain's settings, which apply to a user profile without its own."""

    settings: Mapping[str, Any]
    unknown: list[str]


@dataclass(frozen=True)
class _Place:
    """A place for one of ours."""

    #: The ARN that is there now.
    here: str | None
    #: The script that must run before ours.
    first: str | None
    #: The settings of the kind's apps without ours, with the copies from the domain.
    app: Mapping[str, Any]
    copied: inherited_settings.CopiedSettings


def _taken_back(
    kind: Kind,
    settings: Mapping[str, Any],
    before: str | None,
    record: inherited_settings.CopiedSettings,
) -> dict[str, Any]:
    app = attach.of_apps(kind, settings)
    return attach.without(
        attach.detached(kind, app, before), inherited_settings.unchanged(kind, app, record)
    )


def _copy_notes(target: Target, kind: Kind, place: _Place) -> list[str]:
    names = sorted(attach.without_nothing({n: place.app.get(n) for n in place.copied.members}))
    if not names:
        return []
    return [
        f"{target} has no {', '.join(names)} of its own in its {attach.member(kind)}, so the "
        "domain's are copied there. Another install renews the copy, uninstall removes it"
    ]


def _unchangeable(target: Target, description: Mapping[str, Any]) -> str:
    why = description.get("FailureReason")
    return f"{target} is {description['Status']}" + (f" ({why})" if why else "")


def _create(kind: Kind, name: str, script: str) -> Step:
    return Step(
        f"create the lifecycle configuration {name} for {kind.described}",
        "CreateStudioLifecycleConfig",
        {
            "StudioLifecycleConfigName": name,
            "StudioLifecycleConfigContent": encode(script),
            "StudioLifecycleConfigAppType": kind.app_type,
        },
        if_there,
    )


def _delete(arn: str) -> Step:
    name = arn.rpartition("/")[2]
    return Step(
        f"delete the lifecycle configuration {name}, if nothing uses it any more",
        "DeleteStudioLifecycleConfig",
        {"StudioLifecycleConfigName": name},
        if_gone_or_used,
        "aws sagemaker delete-studio-lifecycle-config --studio-lifecycle-config-name " + name,
    )


def _native_changes(
    native: Mapping[NativeApp, native_idle.Change],
    group: str,
    changes: dict[str, dict[str, Any]],
    settings: Mapping[str, Any],
) -> Iterator[str]:
    """Adds the changes for apps that no script of ours covers; returns notes on all of them.
    JupyterLab's settings change together with its script."""
    for app, change in native.items():
        if change.idle is None:
            continue
        yield change.note
        if app is native_idle.CODE_EDITOR:
            changes.setdefault(group, {})[app.member] = change.made_in(
                settings.get(app.member) or {}
            )


def _native_notes(
    where: str, settings: Mapping[str, Any], inherited: Mapping[str, Any] | None
) -> list[str]:
    """The domain's value applies to a user profile without its own."""
    idle = _idle_settings(settings)
    if not idle.get("LifecycleManagement") and inherited is not None:
        idle, where = _idle_settings(inherited), "domain's DefaultUserSettings"
    if idle.get("LifecycleManagement") != "ENABLED":
        return []
    return [
        f"Studio's own idle shutdown is on in the {where} "
        f"(after {idle.get('IdleTimeoutInMinutes', 60)} minutes): the limit that is reached first "
        "shuts the app down. Switch one of the two off"
    ]


def _idle_settings(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    app = attach.of_apps(Kind.SPACE, settings)
    return (app.get("AppLifecycleManagement") or {}).get("IdleSettings") or {}
