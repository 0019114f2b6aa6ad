"""Fleets without processes: thousands of apps of every type, entered directly into the account.

The content follows from the numbers alone, so two fleets of one size are equal. The apps can be
listed, described and deleted through the API like any others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from . import names
from .state import (
    SYSTEM,
    Account,
    App,
    AppKey,
    Domain,
    NotebookInstance,
    Owner,
    Profile,
    Resource,
    space,
    user,
)

#: The apps of each of twenty users: app types with the instance types of their apps.
_USERS: tuple[tuple[tuple[str, str], ...], ...] = (
    *([(("JupyterLab", "ml.t3.medium"),)] * 5),
    *([(("JupyterLab", "ml.m5.xlarge"),)] * 2),
    (("JupyterLab", "ml.g5.xlarge"), ("TensorBoard", "ml.m5.large")),
    (("JupyterLab", "ml.g4dn.xlarge"),),
    *([(("CodeEditor", "ml.t3.large"),)] * 2),
    (("CodeEditor", "ml.g5.2xlarge"), ("Canvas", "")),
    *([(("JupyterServer", SYSTEM), *([("KernelGateway", "ml.t3.medium")] * 2))] * 3),
    (("JupyterServer", SYSTEM), ("KernelGateway", "ml.g4dn.xlarge")),
    # Orphans: their JupyterServer is gone.
    (("KernelGateway", "ml.g4dn.xlarge"),),
    (("Canvas", ""),),
    (("RStudioServerPro", SYSTEM), ("RSessionGateway", "ml.m5.large")),
    (("RSessionGateway", "ml.t3.medium"), ("DetailedProfiler", "ml.m5.4xlarge")),
)
#: Apps that belong to a space.
IN_SPACES = ("JupyterLab", "CodeEditor")
#: One in this many spaces has no app, and its volume still costs money.
_EMPTY = 10
_OURS = "sagemaker-autoshutdown-0-1-0-space-00000000"


@dataclass
class Fleet:
    """The entered resources."""

    domains: list[str] = field(default_factory=list)
    apps: list[AppKey] = field(default_factory=list)
    notebooks: list[str] = field(default_factory=list)
    spaces: list[tuple[str, str]] = field(default_factory=list)


def fill(
    account: Account, now: datetime, *, apps: int, domains: int = 3, notebooks: int | None = None
) -> Fleet:
    """This many apps over some domains, a twentieth as many notebook instances, and spaces.

    The first domain has Studio's own idle shutdown, the second our lifecycle configuration, the
    third neither; then again from the first.
    """
    fleet = Fleet()
    for number in range(domains):
        domain_id = f"d-fleet{number:07}"
        settings = {"AuthMode": "IAM", "DefaultUserSettings": _settings(number % 3)}
        account.create_domain(Domain(domain_id, f"team-{number}", now, now, settings))
        fleet.domains.append(domain_id)
    for number, (owner, app_type, instance_type, name) in enumerate(_apps(apps, domains)):
        domain_id, profile = owner
        enter(
            account, fleet, domain_id, profile, app_type, name, instance_type, _before(now, number)
        )
    for number in range(len(fleet.spaces) // _EMPTY):
        domain_id = fleet.domains[number % domains]
        _enter_space(account, fleet, domain_id, f"unused-{number}", f"user-{number}", now)
    for number in range(apps // 20 if notebooks is None else notebooks):
        enter_notebook(account, fleet, f"notebook-{number}", _before(now, number), number)
    return fleet


def enter(
    account: Account,
    fleet: Fleet,
    domain_id: str,
    profile: str,
    app_type: str,
    name: str,
    instance_type: str,
    created_at: datetime,
) -> AppKey:
    """One app of a user, in service, in a space of its own if its type needs one."""
    owner = user(profile)
    if (domain_id, owner) not in account.profiles:
        account.create_profile(Profile(domain_id, owner, created_at, created_at))
    if app_type in IN_SPACES:
        owner = _enter_space(
            account, fleet, domain_id, f"{profile}-{app_type.lower()}", profile, created_at
        )
    key = AppKey(domain_id, owner.kind, owner.name, app_type, name)
    app = App(
        key,
        Resource(instance_type),
        "InService",
        created_at,
        created_at,
        up_at=created_at,
        in_service_at=created_at,
    )
    account.enter(app)
    fleet.apps.append(key)
    return key


def enter_notebook(
    account: Account, fleet: Fleet, name: str, created_at: datetime, number: int = 0
) -> None:
    """One notebook instance; every third is stopped."""
    status = "Stopped" if number % 3 == 2 else "InService"
    notebook = NotebookInstance(name, "ml.t3.medium", status, created_at, created_at)
    account.create_notebook(notebook, created_at)
    fleet.notebooks.append(name)


def _enter_space(
    account: Account, fleet: Fleet, domain_id: str, name: str, profile: str, at: datetime
) -> Owner:
    owner = space(name)
    settings = {
        "OwnershipSettings": {"OwnerUserProfileName": profile},
        "SpaceSharingSettings": {"SharingType": "Private"},
        "SpaceSettings": {
            "AppType": "JupyterLab",
            "SpaceStorageSettings": {"EbsStorageSettings": {"EbsVolumeSizeInGb": 50}},
        },
    }
    account.create_profile(Profile(domain_id, owner, at, at, settings))
    fleet.spaces.append((domain_id, name))
    return owner


def _apps(count: int, domains: int) -> Iterator[tuple[tuple[str, str], str, str, str]]:
    """This many apps: (domain, user), app type, instance type and name."""
    number = person = 0
    while True:
        owner = (f"d-fleet{person % domains:07}", f"user-{person}")
        # In steps of seven, so that even a small fleet has apps of all types.
        runs = _USERS[person // domains * 7 % len(_USERS)]
        for index, (app_type, instance_type) in enumerate(runs):
            if number == count:
                return
            name = f"app-{index}" if app_type == "KernelGateway" else "default"
            yield owner, app_type, instance_type, name
            number += 1
        person += 1


def _before(now: datetime, number: int) -> datetime:
    """Apps started over the last week."""
    return now - timedelta(seconds=number * 7919 % (7 * 86400) + 600)


def _settings(kind: int) -> dict[str, Any]:
    base: dict[str, Any] = {"ExecutionRole": names.ROLE_ARN}
    if kind == 0:
        idle = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 120}
        managed = {"AppLifecycleManagement": {"IdleSettings": idle}}
        return {**base, "JupyterLabAppSettings": managed, "CodeEditorAppSettings": managed}
    if kind == 1:
        arn = names.arn(f"studio-lifecycle-config/{_OURS}")
        return {**base, "JupyterLabAppSettings": {"BuiltInLifecycleConfigArn": arn}}
    return base
