"""CreateApp, ListApps, DescribeApp, DeleteApp."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.localstudio import names
from tests.localstudio.errors import invalid
from tests.localstudio.state import SYSTEM, App, AppKey, Owner, Resource, space, user

from ._table import SAGEMAKER, Answer, Backend, Parameters, page_of_ordered
from .lifecycle import configs_of

#: Types with only one app per user or space, which Studio calls "default".
SINGLE = ("JupyterServer", "JupyterLab", "CodeEditor")
#: Types that can run here. The others have no Jupyter server.
SERVED = ("JupyterServer", "KernelGateway", "JupyterLab")


def owner_of(p: Parameters) -> Owner:
    """The owner: exactly one of a user profile and a space must be named."""
    given = [
        make(p[name])
        for name, make in (("UserProfileName", user), ("SpaceName", space))
        if name in p
    ]
    if len(given) != 1:
        raise invalid("Exactly one of UserProfileName and SpaceName must be given")
    return given[0]


def key_of(p: Parameters) -> AppKey:
    """The app in the request."""
    owner = owner_of(p)
    return AppKey(p["DomainId"], owner.kind, owner.name, p["AppType"], p["AppName"])


def parameters_of(key: AppKey) -> dict[str, Any]:
    """The parameters that name an app in API calls."""
    return {
        "DomainId": key.domain_id,
        key.owner.field: key.owner_name,
        "AppType": key.app_type,
        "AppName": key.name,
    }


def resource_of(key: AppKey, spec: Parameters) -> Resource:
    """The resources that the app runs on, with Studio's defaults."""
    server = key.app_type == "JupyterServer"
    instance_type = spec.get("InstanceType", SYSTEM if server else names.DEFAULT_INSTANCE_TYPE)
    if server != (instance_type == SYSTEM):
        raise invalid(f"InstanceType {instance_type} can't be used for AppType {key.app_type}")
    image_arn = spec.get("SageMakerImageArn")
    version_arn = spec.get("SageMakerImageVersionArn")
    if key.app_type == "KernelGateway" and image_arn is None:
        image_arn = names.DEFAULT_IMAGE.arn
    if image_arn is not None and version_arn is None:
        version_arn = names.find_image(image_arn).version_arn
    return Resource(instance_type, image_arn, version_arn)


@SAGEMAKER.operation("CreateApp")
async def create_app(backend: Backend, p: Parameters) -> Answer:
    key = key_of(p)
    if key.app_type not in SERVED:
        raise invalid(f"The local Studio runs {', '.join(SERVED)} apps, not {key.app_type}")
    if key.app_type in SINGLE and key.name != "default":
        raise invalid(f"AppName must be default for AppType {key.app_type}")
    if key.app_type == "JupyterLab" and key.owner.kind != "space":
        raise invalid("A JupyterLab app needs a SpaceName")
    spec = p.get("ResourceSpec", {})
    chosen, built_in = configs_of(backend.account, key, spec)
    resource = replace(
        resource_of(key, spec),
        lifecycle_config_arn=chosen,
        built_in_lifecycle_config_arn=built_in,
    )
    app = backend.account.create_app(key, resource, backend.now())
    backend.apps.start(app)
    return {"AppArn": key.arn}


@SAGEMAKER.operation("DeleteApp")
async def delete_app(backend: Backend, p: Parameters) -> None:
    backend.apps.stop(backend.account.delete_app(key_of(p), backend.now()))


@SAGEMAKER.operation("DescribeApp")
async def describe_app(backend: Backend, p: Parameters) -> Answer:
    now = backend.now()
    app = backend.account.app(key_of(p), now)
    checked = app.last_health_check(now, backend.account.timing)
    return {
        **_common(app),
        "AppArn": app.key.arn,
        "BuiltInLifecycleConfigArn": app.resource.built_in_lifecycle_config_arn,
        "FailureReason": app.failure_reason,
        "LastHealthCheckTimestamp": checked,
        "LastUserActivityTimestamp": checked,
    }


@SAGEMAKER.operation("ListApps")
async def list_apps(backend: Backend, p: Parameters) -> Answer:
    if "UserProfileNameEquals" in p and "SpaceNameEquals" in p:
        raise invalid("Give one of UserProfileNameEquals and SpaceNameEquals, not both")
    apps = backend.account.apps_in_order(backend.now())
    if any(name in p for name in _FILTERS):
        apps = [app for app in apps if _wanted(app, p)]
    found, token = page_of_ordered(apps, p, lambda app: app.position)
    return {"Apps": [_common(app) for app in found], "NextToken": token}


_FILTERS = ("DomainIdEquals", "UserProfileNameEquals", "SpaceNameEquals")


def _wanted(app: App, p: Parameters) -> bool:
    key = app.key
    if p.get("DomainIdEquals", key.domain_id) != key.domain_id:
        return False
    if "UserProfileNameEquals" in p and key.owner != user(p["UserProfileNameEquals"]):
        return False
    return not ("SpaceNameEquals" in p and key.owner != space(p["SpaceNameEquals"]))


def _common(app: App) -> dict[str, Any]:
    """The members that ListApps and DescribeApp share."""
    return {
        "DomainId": app.key.domain_id,
        app.key.owner.field: app.key.owner_name,
        "AppType": app.key.app_type,
        "AppName": app.key.name,
        "Status": app.status,
        "CreationTime": app.created_at,
        "ResourceSpec": {
            "InstanceType": app.resource.instance_type,
            "SageMakerImageArn": app.resource.image_arn,
            "SageMakerImageVersionArn": app.resource.image_version_arn,
            "LifecycleConfigArn": app.resource.lifecycle_config_arn,
        },
    }
