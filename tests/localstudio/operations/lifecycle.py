"""Lifecycle configurations, and the updates that attach them.

An update keeps members that its request leaves out. AWS does not say to which depth: here a member
of the settings (``JupyterLabAppSettings``) is replaced as a whole, unless `Account.deep_updates` is
set, which keeps omitted members at every depth. Lists are always replaced as a whole. The text
``None`` in place of an ARN, which the API's patterns allow, removes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.localstudio import names
from tests.localstudio.errors import ApiError, invalid, not_found
from tests.localstudio.state import Account, AppKey, LifecycleConfig, space, user

from ._table import SAGEMAKER, Answer, Backend, Parameters, page
from .domains import domain_arn, profile_arn

#: Members of UpdateDomain's request → their names in DescribeDomain.
DOMAIN_MEMBERS = {"DomainSettingsForUpdate": "DomainSettings"}


# ---- Studio lifecycle configurations


@SAGEMAKER.operation("CreateStudioLifecycleConfig")
async def create_studio_lifecycle_config(backend: Backend, p: Parameters) -> Answer:
    configs, name = backend.account.lifecycle_configs, p["StudioLifecycleConfigName"]
    if name in configs:
        raise ApiError("ResourceInUse", f"Studio Lifecycle Config [{name}] already exists")
    content = {member: p[f"StudioLifecycleConfig{member}"] for member in ("Content", "AppType")}
    configs[name] = LifecycleConfig(name, backend.now(), backend.now(), content)
    return {"StudioLifecycleConfigArn": config_arn(name)}


@SAGEMAKER.operation("DescribeStudioLifecycleConfig")
async def describe_studio_lifecycle_config(backend: Backend, p: Parameters) -> Answer:
    config = _config(backend.account, p)
    return {**_summary(config), "StudioLifecycleConfigContent": config.content["Content"]}


@SAGEMAKER.operation("ListStudioLifecycleConfigs")
async def list_studio_lifecycle_configs(backend: Backend, p: Parameters) -> Answer:
    found, token = page(
        (
            config
            for config in backend.account.lifecycle_configs.values()
            if p.get("NameContains", "") in config.name
            and p.get("AppTypeEquals", config.content["AppType"]) == config.content["AppType"]
        ),
        p,
        lambda config: (config.created_at.timestamp(), config.name),
    )
    return {"StudioLifecycleConfigs": [_summary(config) for config in found], "NextToken": token}


@SAGEMAKER.operation("DeleteStudioLifecycleConfig")
async def delete_studio_lifecycle_config(backend: Backend, p: Parameters) -> None:
    config = _config(backend.account, p)
    account, arn = backend.account, config_arn(config.name)
    settings = [domain.settings for domain in account.domains.values()]
    settings += [profile.settings for profile in account.profiles.values()]
    running = [app for app in account.apps(backend.now()) if app.status in ("Pending", "InService")]
    if _mentions(settings, arn) or any(
        arn in (app.resource.lifecycle_config_arn, app.resource.built_in_lifecycle_config_arn)
        for app in running
    ):
        raise ApiError("ResourceInUse", f"Studio Lifecycle Config [{arn}] is in use")
    del account.lifecycle_configs[config.name]


def config_arn(name: str) -> str:
    """The ARN of a Studio lifecycle configuration."""
    return names.arn(f"studio-lifecycle-config/{name}")


def _config(account: Account, p: Parameters) -> LifecycleConfig:
    name = p["StudioLifecycleConfigName"]
    try:
        return account.lifecycle_configs[name]
    except KeyError:
        raise not_found(f"Studio Lifecycle Config [{name}]") from None


def _summary(config: LifecycleConfig) -> dict[str, Any]:
    return {
        "StudioLifecycleConfigArn": config_arn(config.name),
        "StudioLifecycleConfigName": config.name,
        "CreationTime": config.created_at,
        "LastModifiedTime": config.modified_at,
        "StudioLifecycleConfigAppType": config.content["AppType"],
    }


def _mentions(value: Any, text: str) -> bool:
    if isinstance(value, Mapping):
        return any(_mentions(member, text) for member in value.values())
    if isinstance(value, (list, tuple)):
        return any(_mentions(member, text) for member in value)
    return bool(value == text)


# ---- which of them an app runs


def configs_of(account: Account, key: AppKey, spec: Parameters) -> tuple[str | None, str | None]:
    """The ARNs of the lifecycle configurations that an app starts with: chosen, and built-in.

    The request's choice applies, else the first default: of the space, the user profile, the
    domain. An ARN that does not exist keeps the app from starting.
    """
    member = f"{key.app_type}AppSettings"
    levels = [level.get(member) or {} for level in _levels(account, key)]
    chosen = spec.get("LifecycleConfigArn") or next(
        (
            arn
            for level in levels
            if (arn := (level.get("DefaultResourceSpec") or {}).get("LifecycleConfigArn"))
        ),
        None,
    )
    built_in = next(
        (arn for level in levels if (arn := level.get("BuiltInLifecycleConfigArn"))), None
    )
    for arn in (chosen, built_in):
        if arn is not None and arn.rpartition("/")[2] not in account.lifecycle_configs:
            raise invalid(f"Studio Lifecycle Config [{arn}] does not exist")
    return chosen, built_in


def _levels(account: Account, key: AppKey) -> list[Mapping[str, Any]]:
    """The settings that apply to an owner's apps, the most specific first."""
    domain, own = account.domain(key.domain_id), account.profile(key.domain_id, key.owner).settings
    if key.owner.kind != "space":
        return [own.get("UserSettings") or {}, domain.settings.get("DefaultUserSettings") or {}]
    settings = own.get("SpaceSettings") or {}
    if (own.get("SpaceSharingSettings") or {}).get("SharingType") != "Private":
        return [settings, domain.settings.get("DefaultSpaceSettings") or {}]
    member = user(own["OwnershipSettings"]["OwnerUserProfileName"])
    profile = account.profile(key.domain_id, member).settings
    return [
        settings,
        profile.get("UserSettings") or {},
        domain.settings.get("DefaultUserSettings") or {},
    ]


# ---- updates


@SAGEMAKER.operation("UpdateDomain")
async def update_domain(backend: Backend, p: Parameters) -> Answer:
    account = backend.account
    domain = account.domain(p["DomainId"])
    _check_configs(account, p)
    given = {DOMAIN_MEMBERS.get(name, name): value for name, value in p.items()}
    del given["DomainId"]
    account.domains[domain.id] = replace(
        domain,
        settings=_updated(account, domain.settings, given),
        modified_at=backend.now(),
    )
    return {"DomainArn": domain_arn(domain.id)}


@SAGEMAKER.operation("UpdateUserProfile")
async def update_user_profile(backend: Backend, p: Parameters) -> Answer:
    return {"UserProfileArn": _update_profile(backend, p, "UserProfileName")}


@SAGEMAKER.operation("UpdateSpace")
async def update_space(backend: Backend, p: Parameters) -> Answer:
    return {"SpaceArn": _update_profile(backend, p, "SpaceName")}


def _update_profile(backend: Backend, p: Parameters, name: str) -> str:
    account = backend.account
    owner = (space if name == "SpaceName" else user)(p[name])
    profile = account.profile(p["DomainId"], owner)
    _check_configs(account, p)
    given = {member: value for member, value in p.items() if member not in ("DomainId", name)}
    account.change_profile(
        replace(
            profile,
            settings=_updated(account, profile.settings, given),
            modified_at=backend.now(),
        )
    )
    return profile_arn(profile.domain_id, owner)


def _updated(
    account: Account, settings: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings with a request's members: two levels deep, or at every depth."""
    return _merged(settings, given, 99 if account.deep_updates else 2)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any], depth: int) -> dict[str, Any]:
    merged = dict(old)
    for name, value in new.items():
        if isinstance(value, Mapping):
            under = old.get(name) if depth > 1 else None
            merged[name] = _merged(under or {}, value, depth - 1)
        elif value == "None":
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def _check_configs(account: Account, p: Parameters) -> None:
    """Only an existing one for that type of app can be attached."""
    for group in ("DefaultUserSettings", "DefaultSpaceSettings", "UserSettings", "SpaceSettings"):
        for member, settings in (p.get(group) or {}).items():
            if not isinstance(settings, Mapping) or not member.endswith("AppSettings"):
                continue
            spec = settings.get("DefaultResourceSpec") or {}
            listed = settings.get("LifecycleConfigArns") or []
            chosen = spec.get("LifecycleConfigArn", "None")
            for arn in (*listed, chosen, settings.get("BuiltInLifecycleConfigArn", "None")):
                if arn != "None":
                    _check_config(account, arn, member)
            if chosen not in ("None", *listed) and not account.deep_updates:
                raise invalid(f"{group}.{member}: {chosen} must be in LifecycleConfigArns")


def _check_config(account: Account, arn: str, member: str) -> None:
    config = account.lifecycle_configs.get(arn.rpartition("/")[2])
    if config is None:
        raise not_found(f"Studio Lifecycle Config [{arn}]")
    if f"{config.content['AppType']}AppSettings" != member:
        raise invalid(f"[{arn}] is for {config.content['AppType']} apps, not for {member}")


# ---- notebook instances


@SAGEMAKER.operation("CreateNotebookInstanceLifecycleConfig")
async def create_notebook_config(backend: Backend, p: Parameters) -> Answer:
    configs, name = backend.account.notebook_configs, p["NotebookInstanceLifecycleConfigName"]
    if name in configs:
        raise invalid(f"Lifecycle configuration {name} already exists")
    configs[name] = LifecycleConfig(name, backend.now(), backend.now(), _hooks(p))
    return {"NotebookInstanceLifecycleConfigArn": notebook_config_arn(name)}


@SAGEMAKER.operation("UpdateNotebookInstanceLifecycleConfig")
async def update_notebook_config(backend: Backend, p: Parameters) -> None:
    config = _notebook_config(backend.account, p["NotebookInstanceLifecycleConfigName"])
    backend.account.notebook_configs[config.name] = replace(
        config, content={**config.content, **_hooks(p)}, modified_at=backend.now()
    )


@SAGEMAKER.operation("DescribeNotebookInstanceLifecycleConfig")
async def describe_notebook_config(backend: Backend, p: Parameters) -> Answer:
    config = _notebook_config(backend.account, p["NotebookInstanceLifecycleConfigName"])
    return {**_notebook_summary(config), **config.content}


@SAGEMAKER.operation("ListNotebookInstanceLifecycleConfigs")
async def list_notebook_configs(backend: Backend, p: Parameters) -> Answer:
    found, token = page(
        (
            config
            for config in backend.account.notebook_configs.values()
            if p.get("NameContains", "") in config.name
        ),
        p,
        lambda config: (config.name,),
    )
    return {
        "NotebookInstanceLifecycleConfigs": [_notebook_summary(config) for config in found],
        "NextToken": token,
    }


@SAGEMAKER.operation("DeleteNotebookInstanceLifecycleConfig")
async def delete_notebook_config(backend: Backend, p: Parameters) -> None:
    account = backend.account
    config = _notebook_config(account, p["NotebookInstanceLifecycleConfigName"])
    for notebook in account.notebooks(backend.now()):
        if notebook.settings.get("NotebookInstanceLifecycleConfigName") == config.name:
            raise invalid(f"Lifecycle configuration {config.name} is in use by {notebook.name}")
    del account.notebook_configs[config.name]


@SAGEMAKER.operation("UpdateNotebookInstance")
async def update_notebook_instance(backend: Backend, p: Parameters) -> None:
    account, now, member = backend.account, backend.now(), "NotebookInstanceLifecycleConfigName"
    notebook = account.stopped_notebook(p["NotebookInstanceName"], now)
    settings = dict(notebook.settings)
    if p.get("DisassociateLifecycleConfig"):
        settings.pop(member, None)
    if "LifecycleConfigName" in p:
        settings[member] = _notebook_config(account, p["LifecycleConfigName"]).name
    for name in ("RoleArn", "VolumeSizeInGB", "RootAccess", "PlatformIdentifier"):
        if name in p:
            settings[name] = p[name]
    instance_type = p.get("InstanceType", notebook.instance_type)
    account.change_notebook(replace(notebook, settings=settings, instance_type=instance_type))


def notebook_config_arn(name: str) -> str:
    """The ARN of a notebook instance's lifecycle configuration."""
    return names.arn(f"notebook-instance-lifecycle-config/{name}")


def _hooks(p: Parameters) -> dict[str, Any]:
    return {hook: p[hook] for hook in ("OnCreate", "OnStart") if hook in p}


def _notebook_config(account: Account, name: str) -> LifecycleConfig:
    try:
        return account.notebook_configs[name]
    except KeyError:
        raise invalid("RecordNotFound") from None


def _notebook_summary(config: LifecycleConfig) -> dict[str, Any]:
    return {
        "NotebookInstanceLifecycleConfigName": config.name,
        "NotebookInstanceLifecycleConfigArn": notebook_config_arn(config.name),
        "CreationTime": config.created_at,
        "LastModifiedTime": config.modified_at,
    }
