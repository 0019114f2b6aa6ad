"""Copies the domain's settings into a user profile's own when ours is attached. Pure.

A user profile's settings for a type of apps take precedence over the domain's (API reference,
UserSettings). The reference does not say whether the domain's still apply to members that the
profile leaves out. So the missing members are copied from the domain, and nothing that applied
before is hidden. Our script keeps a record of the copies, so that they can be found and removed.

Settings are those of one type of apps, in the form of the API (``JupyterLabAppSettings``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import attach
from .script import Kind

#: The record's name for the lifecycle configuration that ours replaces.
_PLACE = "LifecycleConfig"
_RECORD = re.compile(r"# Copied from the domain: (.+)")


@dataclass(frozen=True)
class CopiedSettings:
    """The members of a user profile's settings that are copied from the domain."""

    #: Member → a digest of its value, by which a later change shows.
    members: Mapping[str, str] = field(default_factory=dict)
    #: Whether the script that ours runs first is the domain's.
    place: bool = False

    def __bool__(self) -> bool:
        return bool(self.members) or self.place


def seeded(
    kind: Kind, own: Mapping[str, Any], inherited: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A user profile's settings with its missing members added, and the names of those members."""
    members: tuple[str, ...] = ()
    has = attach.without_nothing(own)
    if not has:
        members = tuple(inherited)
    if kind is Kind.CLASSIC:
        # Ours is written into these two.
        members = (*members, "DefaultResourceSpec", "LifecycleConfigArns")
    copied = {name: inherited.get(name) for name in members if name not in has}
    copied.pop("BuiltInLifecycleConfigArn", None)
    return {**own, **{k: v for k, v in copied.items() if v is not None}}, tuple(sorted(copied))


def record(
    kind: Kind, app: Mapping[str, Any], names: tuple[str, ...], *, place: bool
) -> CopiedSettings:
    """The record of the settings that ours is attached to."""
    return CopiedSettings({name: _digest(kind, app, name) for name in names}, place)


def unchanged(kind: Kind, app: Mapping[str, Any], copied: CopiedSettings) -> tuple[str, ...]:
    """The members that are unchanged since they were copied, except for ours."""
    return tuple(
        name for name, digest in copied.members.items() if _digest(kind, app, name) == digest
    )


def marked(script: str, copied: CopiedSettings) -> str:
    """The script with the record in it."""
    if not copied:
        return script
    words = [f"{name}={digest}" for name, digest in sorted(copied.members.items())]
    first, _, rest = script.partition("\n")
    words = [*([_PLACE] if copied.place else []), *words]
    return f"{first}\n# Copied from the domain: {' '.join(words)}\n{rest}"


def read(script: str) -> CopiedSettings:
    """The record that `marked` left."""
    for line in attach.head_of(script):
        found = _RECORD.fullmatch(line)
        if found is not None:
            words = found[1].split()
            members = (word.partition("=") for word in words if word != _PLACE)
            return CopiedSettings({name: digest for name, _, digest in members}, _PLACE in words)
    return CopiedSettings()


def _digest(kind: Kind, app: Mapping[str, Any], name: str) -> str:
    """A member without ours."""
    value = app.get(name)
    if kind is Kind.CLASSIC and isinstance(value, Mapping):
        value = {key: each for key, each in value.items() if key != "LifecycleConfigArn"}
    if kind is Kind.CLASSIC and name == "LifecycleConfigArns":
        value = [each for each in value or () if each != attach.NO_ARN and not attach.is_ours(each)]
    text = json.dumps(attach.without_nothing(value), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
