"""The scripts that SageMaker runs when an app starts, built from the parts in ``scripts``.

Pure, but for reading those parts. ``lifecycle-config/*.sh`` in the repository are the scripts for
the default settings; a test compares them.
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
from ..settings.admin import SageMakerAutoShutdown

#: The API's limit, in characters of base64 (CreateStudioLifecycleConfig).
MAX_CONTENT = 16_384
#: The start of the names of our lifecycle configurations, in every version.
NAME_PREFIX = "sagemaker-autoshutdown-"
#: The API's limit, in characters of a lifecycle configuration's name.
MAX_NAME = 63

#: The allowed values at the top of a script, the same for the command, CloudFormation and
#: Terraform, in a syntax that Python, Java and Go share. Within quotes, none of them means anything
#: to a shell.
VERSION = (
    r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*((a|b|rc)(0|[1-9][0-9]*))?(\.post(0|[1-9][0-9]*))?"
    r"(\.dev(0|[1-9][0-9]*))?(\+[a-z0-9]+(\.[a-z0-9]+)*)?"
)
WHEEL = r"(s3://[a-z0-9][a-z0-9.-]*/|https://|/)[a-zA-Z0-9._/:@%+=~,-]+\.(whl|tar\.gz)"
SHA256 = r"[0-9a-f]{64}"
INDEX_URL = r"https?://[a-zA-Z0-9._/:@%+=~,?&-]+"

#: The end is a digest of the content, or the template's revision (no digest begins with r).
_NAME = re.compile(
    NAME_PREFIX + r"(?P<version>[a-zA-Z0-9-]+?)-(?:classic|space|notebook-instance)-"
    r"(?:[0-9a-f]{8}|(?P<revision>r[a-zA-Z0-9]{1,8}))"
)

#: Only a script's settings are above this line.
END_OF_SETTINGS = "# ---- Nothing to edit below.\n"

#: All files in ``scripts``.
_PARTS = ("settings", "classic", "space", "notebook-instance", "studio", "common")
#: The Terraform module recognizes them in the same way, in a syntax without (?!...).
_COMMENT = re.compile(r" *# ([^s]|s[^h]|sh[^e])")


class InvalidScript(ValueError):
    """A setting or a script that would not work; says what is allowed."""


class Kind(str, Enum):
    """Where a script runs."""

    CLASSIC = "classic"
    SPACE = "space"
    NOTEBOOK_INSTANCE = "notebook-instance"

    @property
    def app_type(self) -> str:
        """SageMaker's name for the apps; empty for notebook instances."""
        return {"classic": "JupyterServer", "space": "JupyterLab"}.get(self.value, "")

    @property
    def described(self) -> str:
        """For people."""
        return {
            "classic": "Studio Classic (app type JupyterServer)",
            "space": "Studio's JupyterLab spaces (app type JupyterLab)",
            "notebook-instance": "notebook instances",
        }[self.value]


#: The kinds that exist in a domain.
STUDIO_KINDS = (Kind.CLASSIC, Kind.SPACE)


@dataclass(frozen=True)
class ScriptSettings:
    """The settings at the top of a script. Times are in seconds."""

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
        """Raises `InvalidScript` for settings that would fail only in the app, unnoticed."""
        if not re.fullmatch(VERSION, self.version):
            raise InvalidScript(
                f"a version looks like 1.2.3 or 1.2.3rc1, as in the package index; got "
                f"{self.version!r}"
            )
        if self.wheel and not re.fullmatch(WHEEL, self.wheel):
            raise InvalidScript(
                f"the wheel must be a .whl or .tar.gz (bundle) at s3://BUCKET/KEY, https://... or "
                f"an absolute path, in letters, digits and ._/:@%+=~,-; got {self.wheel!r}"
            )
        if self.sha256 and not re.fullmatch(SHA256, self.sha256):
            raise InvalidScript(f"a SHA-256 has 64 hexadecimal digits; got {self.sha256!r}")
        if self.index_url and not re.fullmatch(INDEX_URL, self.index_url):
            raise InvalidScript(
                f"the package index must be https://... or http://..., in letters, digits and "
                f"._/:@%+=~,?&-; got {self.index_url!r}"
            )
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
                raise InvalidScript(
                    f"{name} is not a setting; settings are {', '.join(sorted(traits))}"
                )
            try:
                SageMakerAutoShutdown(**{name: value})
            except (TraitError, TypeError, ValueError) as error:
                raise InvalidScript(str(error)) from None

    def assignments(self) -> dict[str, str]:
        """The variables at the top of a script, unquoted."""
        return {
            "VERSION": self.version,
            "WHEEL": self.wheel,
            "SHA256": self.sha256,
            "INDEX_URL": self.index_url,
            "IDLE_TIMEOUT": _number(self.idle_timeout),
            "WARNING_TIME": _number(self.warning_time),
            "KEEP_TERMINALS": json.dumps(self.keep_terminals),
            "MORE_SETTINGS": json.dumps(self.more, sort_keys=True, separators=(",", ":")),
        }


def render(kind: Kind, settings: ScriptSettings | None = None) -> str:
    """The script for a kind of host, with LF line ends in any checkout, and without its comments
    if they would make it too long for the API."""
    settings = settings or ScriptSettings()
    top = part("settings")
    for name, value in settings.assignments().items():
        line = f"{name}={shlex.quote(value)}"
        # A function, because a value may hold backslashes.
        top = re.sub(rf"^{name}=.*$", partial(_given, line), top, count=1, flags=re.MULTILINE)
    head = f"#!/bin/bash\n# sagemaker-autoshutdown {settings.version} for {kind.described}.\n#\n"
    parts = [kind.value, *(["studio"] if kind in STUDIO_KINDS else []), "common"]
    return fitted(normalized(head + "\n".join([top, *map(part, parts)])))


def normalized(script: str) -> str:
    """The script in the form for registering: LF line ends only, because ``/bin/bash\r`` is no
    shell."""
    return script.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")


def without_comments(script: str) -> str:
    """A script of ours without our comments, which are also in the repository."""
    ours = {line for name in _PARTS for line in part(name).splitlines() if _COMMENT.match(line)}
    return "\n".join(line for line in normalized(script).split("\n") if line not in ours)


def fitted(script: str) -> str:
    """The script as it is; if it is too long for the API, without our comments: first without
    those below its settings, then without all."""
    top, end, rest = script.partition(END_OF_SETTINGS)
    shorter = (script, top + end + without_comments(rest), without_comments(script))
    return next((each for each in shorter if len(_encoded(each)) <= MAX_CONTENT), shorter[-1])


def dense(script: str) -> str:
    """A script of ours without comments, blank lines and indentation, except for its Python
    code."""
    lines = []
    in_python = False
    for line in without_comments(script).split("\n"):
        if in_python or line.strip():
            lines.append(line if in_python else line.lstrip())
        in_python = line != "PY" if in_python else "<<'PY'" in line
    return "\n".join(lines) + "\n"


def encode(script: str) -> str:
    """The script in the API's form; `InvalidScript` if it is too long."""
    content = _encoded(script)
    if len(content) > MAX_CONTENT:
        raise InvalidScript(
            f"the script takes {len(content)} characters once it is encoded; SageMaker allows "
            f"{MAX_CONTENT}. Shorten its settings (a settings_source takes rules of any number), "
            "or, if another script is to run first, detach that one and let a shorter one fetch it"
        )
    return content


def config_name(kind: Kind, script: str, *more: str) -> str:
    """The lifecycle configuration's name: with the version, and different for each content.

    A script can't be changed once SageMaker has it, so the name must tell scripts apart; `more` is
    the rest of the configuration's content.
    """
    # The last one: a script that runs first may have a VERSION of its own.
    installs = re.findall(r"^VERSION=['\"]?([\w.+-]+)", script, re.MULTILINE)
    version = re.sub("[^a-zA-Z0-9]+", "-", installs[-1] if installs else __version__)
    content = "\0".join([normalized(script), *more])
    end = f"-{kind.value}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    return NAME_PREFIX + version[: MAX_NAME - len(NAME_PREFIX + end)].strip("-") + end


def version_of(name: str) -> str | None:
    """The version in a name, with its dots, whether `config_name` or the CloudFormation template
    made it; None for others' names.

    An ARN will do as well. Long versions may be cut off.
    """
    found = _NAME.fullmatch(name.rpartition("/")[2])
    return None if found is None else found["version"].replace("-", ".")


def made_by_command(name: str) -> bool:
    """Whether a name, or the name in an ARN, is one that `config_name` makes."""
    found = _NAME.fullmatch(name.rpartition("/")[2])
    return found is not None and found["revision"] is None


def _encoded(script: str) -> str:
    return base64.b64encode(normalized(script).encode()).decode()


def _number(seconds: float) -> str:
    """All its digits, without trailing zeros."""
    return str(int(seconds)) if seconds == int(seconds) else repr(float(seconds))


def _given(line: str, _: re.Match[str]) -> str:
    return line


def part(name: str) -> str:
    """A part of the scripts, as stored in ``scripts``."""
    return files(__package__).joinpath("scripts", f"{name}.sh").read_text(encoding="utf-8")
