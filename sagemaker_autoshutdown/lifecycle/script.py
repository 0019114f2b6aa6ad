"""The scripts that SageMaker runs when an app starts, put together from the parts in ``scripts``.

Pure, but for reading those parts. ``lifecycle-config/*.sh`` of the repository are what this gives
for the default settings; a test compares them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from importlib.resources import files
from typing import Any

from traitlets import TraitError

from .._version import __version__
from ..config import SageMakerAutoShutdown

#: What the API takes, in characters of base64 (CreateStudioLifecycleConfig).
MAX_CONTENT = 16_384
#: How the names of our lifecycle configurations begin, whatever their version.
NAME_PREFIX = "sagemaker-autoshutdown-"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_WHEEL = re.compile(r"(s3://[^/\s]+/|https://|/)\S+\.(whl|tar\.gz)")


class InvalidScript(ValueError):
    """A setting or a script that would not work; says what is allowed."""


class Kind(str, Enum):
    """Where a script runs."""

    CLASSIC = "classic"
    SPACE = "space"
    NOTEBOOK_INSTANCE = "notebook-instance"

    @property
    def app_type(self) -> str:
        """SageMaker's name for the apps; none for notebook instances."""
        return {"classic": "JupyterServer", "space": "JupyterLab"}.get(self.value, "")

    @property
    def described(self) -> str:
        """For people."""
        return {
            "classic": "Studio Classic (app type JupyterServer)",
            "space": "Studio's JupyterLab spaces (app type JupyterLab)",
            "notebook-instance": "notebook instances",
        }[self.value]


#: The kinds that a domain runs.
STUDIO_KINDS = (Kind.CLASSIC, Kind.SPACE)


@dataclass(frozen=True)
class ScriptSettings:
    """What stands at the top of a script. Times are in seconds."""

    version: str = __version__
    #: ``""`` for the package index, else an ``s3://`` or ``https://`` address or a path in the
    #: image, of a wheel or a bundle.
    wheel: str = ""
    sha256: str = ""
    index_url: str = ""
    idle_timeout: float = 7200
    warning_time: float = 600
    keep_terminals: bool = False
    #: Other settings of the extension, by the names of its traits.
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises `InvalidScript` for what would only fail in the app, when nobody looks."""
        if self.wheel and not _WHEEL.fullmatch(self.wheel):
            raise InvalidScript(
                f"where the wheel comes from is s3://BUCKET/KEY, https://... or an absolute path, "
                f"of a .whl or .tar.gz (bundle): {self.wheel!r}"
            )
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise InvalidScript(f"a SHA-256 is 64 hexadecimal digits: {self.sha256!r}")
        own = {"idle_timeout", "warning_time", "keep_terminals"} & set(self.more)
        if own:
            raise InvalidScript(f"{', '.join(sorted(own))} has an option of its own")
        values = {
            "idle_timeout": self.idle_timeout,
            "warning_time": self.warning_time,
            "keep_terminals": self.keep_terminals,
            **self.more,
        }
        for name, value in values.items():
            traits = SageMakerAutoShutdown.class_trait_names(config=True)
            if name not in traits:
                raise InvalidScript(f"{name} is no setting; there are {', '.join(sorted(traits))}")
            try:
                SageMakerAutoShutdown(**{name: value})
            except (TraitError, TypeError, ValueError) as error:
                raise InvalidScript(str(error)) from None

    def _assignments(self) -> dict[str, str]:
        return {
            "VERSION": self.version,
            "WHEEL": self.wheel,
            "SHA256": self.sha256,
            "INDEX_URL": self.index_url,
            "IDLE_TIMEOUT": f"{self.idle_timeout:g}",
            "WARNING_TIME": f"{self.warning_time:g}",
            "KEEP_TERMINALS": json.dumps(self.keep_terminals),
            "MORE_SETTINGS": json.dumps(self.more, sort_keys=True, separators=(",", ":")),
        }


def render(kind: Kind, settings: ScriptSettings | None = None) -> str:
    """The script for a kind of host, with LF line ends whatever the parts were checked out with."""
    settings = settings or ScriptSettings()
    top = _part("settings")
    for name, value in settings._assignments().items():
        line = f"{name}={shlex.quote(value)}"
        # A function, since a value may hold backslashes.
        top = re.sub(rf"^{name}=.*$", partial(_given, line), top, count=1, flags=re.MULTILINE)
    head = f"#!/bin/bash\n# sagemaker-autoshutdown {settings.version} for {kind.described}.\n#\n"
    return normalized(head + "\n".join([top, _part(kind.value), _part("common")]))


def normalized(script: str) -> str:
    """The script as it may be registered: LF line ends only, since ``/bin/bash\\r`` is no shell."""
    return script.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")


def encode(script: str) -> str:
    """The script as the API takes it; `InvalidScript` where it is too long."""
    content = base64.b64encode(normalized(script).encode()).decode()
    if len(content) > MAX_CONTENT:
        raise InvalidScript(
            f"the script takes {len(content)} characters once it is encoded; SageMaker allows "
            f"{MAX_CONTENT}. If another script is to run first, detach that one and let a "
            "shorter one fetch it"
        )
    return content


def config_name(kind: Kind, script: str) -> str:
    """The lifecycle configuration's name: with the version, and new for each other content.

    SageMaker's scripts can't be changed once they are created, so the name must tell them apart.
    """
    installs = re.search(r"^VERSION=['\"]?([\w.+-]+)", script, re.MULTILINE)
    version = installs[1] if installs else __version__
    digest = hashlib.sha256(normalized(script).encode()).hexdigest()[:8]
    return f"{NAME_PREFIX}{re.sub('[^a-zA-Z0-9]+', '-', version)}-{kind.value}-{digest}"


def version_of(name: str) -> str | None:
    """The version that a name made by `config_name` tells, dots restored; None for others' names.

    A name with an account and region before it (an ARN) will do.
    """
    found = re.search(rf"(?:^|/){NAME_PREFIX}(.+)-(?:classic|space|notebook-instance)-", name)
    return None if found is None else found[1].replace("-", ".")


def _given(line: str, _: re.Match[str]) -> str:
    return line


def _part(name: str) -> str:
    return files(__package__).joinpath("scripts", f"{name}.sh").read_text(encoding="utf-8")
