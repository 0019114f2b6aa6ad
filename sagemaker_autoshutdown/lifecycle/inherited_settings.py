"""What a user profile's own settings take over from the domain's when ours is attached. Pure.

A user profile's settings of a type of apps take precedence over the domain's (API reference,
UserSettings); whether those that the profile leaves out are still the domain's is not said. So what
the profile had none of is copied from the domain, and nothing that applied before is hidden. Our
script keeps a record of that, by which the copies are known again and taken back.

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

#: The record's name for the lifecycle configuration that ours stands in place of.
_PLACE = "LifecycleConfig"
_RECORD = re.compile(r"# Copied from the domain: (.+)")


@dataclass(frozen=True)
class CopiedSettings:
    """What is the domain's in a user profile's settings."""

    #: Member → a digest of its value, by which a later change of it is noticed.
    members: Mapping[str, str] = field(default_factory=dict)
    #: Whether what ours runs first is the domain's.
    place: bool = False

    def __bool__(self) -> bool:
        return bool(self.members) or self.place


def seeded(
    kind: Kind, own: Mapping[str, Any], inherited: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A user profile's settings with what it has none of, and the names of those members."""
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
    """What is remembered of settings that ours is attached to."""
    return CopiedSettings({name: _digest(kind, app, name) for name in names}, place)


def unchanged(kind: Kind, app: Mapping[str, Any], copied: CopiedSettings) -> tuple[str, ...]:
    """The members that still are as they were copied, but for ours."""
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
    """Of a member, whatever of ours stands in it."""
    value = app.get(name)
    if kind is Kind.CLASSIC and isinstance(value, Mapping):
        value = {key: each for key, each in value.items() if key != "LifecycleConfigArn"}
    if kind is Kind.CLASSIC and name == "LifecycleConfigArns":
        value = [each for each in value or () if each != attach.NO_ARN and not attach.is_ours(each)]
    text = json.dumps(attach.without_nothing(value), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
