"""Finds out which host this is, from the metadata file that SageMaker puts into every app."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..model import Host, HostKind, OwnerKind


def detect(metadata_file: str, environ: Mapping[str, str] = os.environ) -> Host:
    """The host that ``metadata_file`` describes; never raises.

    If there is no such file, or it says nothing usable, the host is ``NONE`` and its message says
    why.
    """
    path = Path(metadata_file)
    try:
        metadata = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return _none(f"not on SageMaker: there is no {path}")
    except (OSError, ValueError) as error:
        return _none(f"{path} can't be read, so it is not known which app this is: {error}")
    if not isinstance(metadata, dict):
        return _none(f"{path} does not hold a JSON object, so it is not known which app this is")
    return from_metadata(metadata, environ)


def from_metadata(metadata: Mapping[str, Any], environ: Mapping[str, str]) -> Host:
    """The host that SageMaker's metadata describe.

    The ARN is the most reliable: ``ResourceName`` is not always the app's name. Its resource part
    is ``app/DOMAIN/OWNER/TYPE/NAME`` or ``notebook-instance/NAME``.
    """

    def text(key: str) -> str:
        value = metadata.get(key)
        return value if isinstance(value, str) else ""

    arn = text("ResourceArn").split(":", 5)
    region, account, resource = (arn[3], arn[4], arn[5]) if len(arn) == 6 else ("", "", "")
    region = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    parts = resource.split("/")
    if parts[0] == "notebook-instance" and len(parts) == 2:
        return Host(
            HostKind.NOTEBOOK_INSTANCE, region=region, app_name=parts[1], account_id=account
        )
    if parts[0] != "app" or len(parts) != 5:
        parts = ["app", text("DomainId"), "", text("AppType"), text("ResourceName")]
    _, domain, arn_owner, arn_type, app_name = parts
    app_type = text("AppType") or arn_type
    # Unified Studio's metadata of a space name the user profile too.
    space = text("SpaceName")
    owner = space or text("UserProfileName") or arn_owner
    kind = {"JupyterServer": HostKind.CLASSIC, "JupyterLab": HostKind.SPACE}.get(app_type)
    if kind is None:
        return _none(
            f"this is a SageMaker app of type {app_type or 'unknown'}; apps of type JupyterServer "
            "and JupyterLab, and notebook instances, are supported"
        )
    if not (domain and owner and app_name and region):
        return _none(
            "SageMaker's metadata names no domain, owner, app or region, so it is not known which "
            "app this is"
        )
    return Host(
        kind,
        region=region,
        domain_id=domain,
        owner=owner,
        owner_kind=OwnerKind.SPACE if space or kind is HostKind.SPACE else OwnerKind.USER_PROFILE,
        app_name=app_name,
        account_id=account,
    )


def _none(message: str) -> Host:
    return Host(HostKind.NONE, message=message)
