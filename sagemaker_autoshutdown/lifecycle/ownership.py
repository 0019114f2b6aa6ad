"""Lifecycle configurations that this command did not make: which it takes over or refuses."""

from __future__ import annotations

from .plan import Refused
from .script import made_by_command, version_of


def as_text(script: bytes, name: str) -> str:
    """Another's script; `Refused` if it can't be written into ours unchanged."""
    try:
        return script.decode()
    except UnicodeDecodeError as error:
        raise Refused(
            f"{name} has to run before our script, but is not valid UTF-8 (byte {error.start}). "
            "Copying it would change it. Register it in UTF-8, attach that, and "
            "run this command again"
        ) from None


def is_templates(arn: str | None) -> bool:
    """Whether a name, or the name in an ARN, is one that the CloudFormation template makes."""
    return arn is not None and version_of(arn) is not None and not made_by_command(arn)


def made_by_template(arn: str) -> str:
    """What to do about a configuration of the template."""
    return (
        f"{arn.rpartition('/')[2]} was made by the CloudFormation template: change it there, or "
        "detach it there first"
    )
