"""Studio Classic: KernelGateway apps beside a free JupyterServer.

An instance there carries up to four apps, and an app any number of kernels and terminals. Studio
writes a kernel's app into the kernel's model; otherwise the app follows from the image and the
instance type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from ..aws import Aws, AwsError, ErrorKind
from ..model import App, AppStatus, AppType, Host, OwnerKind
from .runs import Listed, RunTracker, not_known, status_of

#: Separates a Studio kernelspec's own name from the image's ARN, and maybe ``/VERSION``.
_IMAGE_MARK = "__SAGEMAKER_INTERNAL__"
#: ``arn:...:image/datascience-1.0__1__ml.t3.medium``: an image terminal's name.
_IMAGE_TERMINAL = re.compile(r"^(?P<image>arn:.+?)__\d+__(?P<instance_type>ml\.[\w.-]+)$")


class ClassicAdapter:
    """The KernelGateway apps of one user profile, or of one shared space."""

    def __init__(self, host: Host, aws: Aws) -> None:
        self.host = host
        self._aws = aws
        self._runs = RunTracker()
        # Instance type and image by run, for a botocore whose ListApps lacks them.
        self._resources: dict[tuple[str, datetime], tuple[str, str]] = {}

    @property
    def _owner(self) -> dict[str, str]:
        key = "SpaceName" if self.host.owner_kind is OwnerKind.SPACE else "UserProfileName"
        return {"DomainId": self.host.domain_id, key: self.host.owner}

    async def list_apps(self, now: datetime) -> tuple[App, ...]:
        """The KernelGateway apps that are not gone."""
        items = await self._aws.pages(
            "sagemaker",
            "ListApps",
            "Apps",
            MaxResults=100,
            **{f"{key}Equals": value for key, value in self._owner.items()},
        )
        listed = _present(items)
        runs = self._runs.observe(
            (
                Listed(name, status_of(item["Status"]), item.get("CreationTime"))
                for name, item in listed.items()
            ),
            now,
        )
        apps = []
        resources = {}
        for name, item in listed.items():
            run = runs[name]
            key = (name, run.started_at)
            found = _resource(item.get("ResourceSpec")) or self._resources.get(key)
            failure = "" if run.is_known else not_known(item["Status"])
            if found is None:
                try:
                    found = await self._describe(name)
                except AwsError as error:
                    if error.kind is ErrorKind.NOT_FOUND:
                        continue  # deleted since it was listed
                    # Without its instance type its limit is unknown. The others' limits are known.
                    failure = f"{error}. {error.remedy}"
            if found is not None:
                resources[key] = found
            instance_type, image = found or ("", "")
            apps.append(
                App(
                    name=name,
                    app_type=AppType.KERNEL_GATEWAY,
                    status=run.status,
                    instance_type=instance_type,
                    run_started_at=run.started_at,
                    status_since=run.status_since,
                    image_arn=image,
                    failure=failure,
                    unseen=bool(failure),
                )
            )
        self._resources = resources
        return tuple(apps)

    async def _describe(self, name: str) -> tuple[str, str]:
        """Instance type and image of an app; botocore 1.31 drops them from ListApps."""
        answer = await self._aws.call(
            "sagemaker",
            "DescribeApp",
            AppType=AppType.KERNEL_GATEWAY.value,
            AppName=name,
            **self._owner,
        )
        return _resource(answer.get("ResourceSpec")) or ("", "")

    def kernel_apps(self, model: dict[str, Any], apps: tuple[App, ...]) -> frozenset[str]:
        """By ``app_name``, else by image and instance type, else every app."""
        names = frozenset(app.name for app in apps)
        app_name = model.get("app_name")
        if isinstance(app_name, str) and app_name:
            # An app that is not there (any more) holds nothing.
            return names & {app_name}
        spec_name = model.get("name") or ""
        _, mark, image = str(spec_name).partition(_IMAGE_MARK)
        instance_type = str(model.get("instance_type") or "")
        return _could_be(apps, image if mark else "", instance_type)

    def terminal_apps(self, name: str, apps: tuple[App, ...]) -> frozenset[str]:
        """By the image and instance type in its name; a system terminal is on the free server."""
        match = _IMAGE_TERMINAL.match(name)
        if match is None:
            # An image terminal that fits no known app holds every app.
            return frozenset(app.name for app in apps) if name.startswith("arn:") else frozenset()
        return _could_be(apps, match["image"], match["instance_type"])

    async def shut_down(self, app: App) -> None:
        """DeleteApp: the instance stops when its last app is gone."""
        await self._aws.call(
            "sagemaker",
            "DeleteApp",
            AppType=app.app_type.value,
            AppName=app.name,
            **self._owner,
        )


def _present(items: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The KernelGateway apps that are not gone, by name.

    A deleted app stays in the list for a day, beside its successor of the same name, and so does a
    failed one. Their order is not documented.
    """
    present: dict[str, dict[str, Any]] = {}
    for item in items:
        if item.get("AppType") != AppType.KERNEL_GATEWAY.value:
            continue
        name, status = item["AppName"], item.get("Status")
        if status == AppStatus.DELETED.value:
            continue
        other = present.get(name)
        if other is None or _precedence(item) > _precedence(other):
            present[name] = item
    return present


def _precedence(item: dict[str, Any]) -> tuple[bool, datetime]:
    """Of two apps with one name, the one that did not fail counts, or else the newer one."""
    created_at = item.get("CreationTime") or datetime.min.replace(tzinfo=timezone.utc)
    return item.get("Status") != AppStatus.FAILED.value, created_at


def _resource(spec: dict[str, str] | None) -> tuple[str, str] | None:
    if not spec or not spec.get("InstanceType"):
        return None
    return spec["InstanceType"], spec.get("SageMakerImageArn", "")


def _could_be(apps: tuple[App, ...], image: str, instance_type: str) -> frozenset[str]:
    """The apps that fit the known facts; all of them if none fits."""
    fits = frozenset(
        app.name
        for app in apps
        if (not image or not app.image_arn or _same_image(image, app.image_arn))
        and (not instance_type or not app.instance_type or instance_type == app.instance_type)
    )
    return fits or frozenset(app.name for app in apps)


def _same_image(one: str, other: str) -> bool:
    """Whether two ARNs name one image, whatever its version.

    A kernelspec may carry ``.../image/NAME/VERSION``, an app ``.../image/NAME`` or
    ``.../image-version/NAME/VERSION``.
    """
    return _image_key(one) == _image_key(other)


def _image_key(arn: str) -> tuple[str, str]:
    prefix, _, resource = arn.rpartition(":")
    parts = resource.split("/")
    return prefix, parts[1] if len(parts) > 1 else resource
