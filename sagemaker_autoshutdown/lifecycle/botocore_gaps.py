"""Refuses an older botocore for settings that it can't see or write, and names the version to
upgrade to.

botocore drops members of an answer that its model of the API lacks. Writing settings back without
them would lose them.
"""

from __future__ import annotations

from ..aws import Aws
from . import attach
from .plan import Refused
from .script import Kind
from .target import Target

#: The first botocore that knows a member of the settings (from its releases).
KNOWN_SINCE = {
    "SageMakerImageVersionAlias": "1.33.3",
    "JupyterLabAppSettings": "1.33.5",
    "EmrSettings": "1.34.152",
    "AppLifecycleManagement": "1.35.13",
    "IdleSettings": "1.35.13",
    "BuiltInLifecycleConfigArn": "1.35.32",
    "TrainingPlanArn": "1.43.7",
}


def refuse_unknown(aws: Aws, target: Target, group: str, kind: Kind, unknown: list[str]) -> None:
    """Settings that are written back must be known completely, or the unknown part would be
    lost."""
    path = f"{group}.{attach.member(kind)}"
    lacking = [each for each in unknown if each == path or each.startswith(f"{path}.")]
    place = "BuiltInLifecycleConfigArn" if kind is Kind.SPACE else "DefaultResourceSpec"
    if not aws.knows("sagemaker", f"Update{target.resource}", f"{path}.{place}"):
        lacking.append(f"{path}.{place}")
    _refuse(aws, lacking)


def _refuse(aws: Aws, lacking: list[str]) -> None:
    if lacking:
        versions = [KNOWN_SINCE.get(each.rpartition(".")[2], "") for each in lacking]
        newest = max(versions, key=lambda version: [int(n) for n in version.split(".") if n])
        upgrade = f"botocore>={newest}" if all(versions) else "botocore (to its newest version)"
        raise Refused(
            f"this botocore ({aws.botocore_version}) does not know {', '.join(lacking)}, "
            f"and would lose it. Nothing was changed. First: pip install --upgrade '{upgrade}'"
        )


def refuse_native(aws: Aws, target: Target, path: str, unknown: list[str]) -> None:
    """The settings of Studio's own idle shutdown are written back, too."""
    lacking = [each for each in unknown if each == path or each.startswith(f"{path}.")]
    if not aws.knows("sagemaker", f"Update{target.resource}", f"{path}.AppLifecycleManagement"):
        lacking.append(f"{path}.AppLifecycleManagement")
    _refuse(aws, lacking)


def refuse_unseen(aws: Aws, target: Target, group: str, kind: Kind, unknown: list[str]) -> None:
    """If this botocore does not return the place of our script, nothing can be said about it."""
    if kind is Kind.SPACE:
        path = f"{group}.{attach.member(kind)}"
        if {path, f"{path}.BuiltInLifecycleConfigArn"} & {*unknown}:
            refuse_unknown(aws, target, group, kind, unknown)


def refuse_blind(aws: Aws) -> None:
    """A botocore that drops the built-in lifecycle configuration can't tell who has ours: it
    would seem installed nowhere."""
    place = "BuiltInLifecycleConfigArn"
    path = f"DefaultUserSettings.{attach.member(Kind.SPACE)}.{place}"
    if not aws.knows("sagemaker", "UpdateDomain", path):
        raise Refused(
            f"this botocore ({aws.botocore_version}) can't see what JupyterLab apps start with. "
            f"First: pip install --upgrade 'botocore>={KNOWN_SINCE[place]}'"
        )
