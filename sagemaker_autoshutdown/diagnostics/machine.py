"""What can be seen on this machine alone: host, configuration, disk, optional packages."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..activity.process_table import ProcFs, this_machine
from ..model import Host, HostKind
from .findings import Finding, Level


def host(host: Host, metadata_file: str) -> Iterator[Finding]:
    """Whether SageMaker says which app this is."""
    title = "host"
    if host.kind is HostKind.NONE:
        yield Finding(
            Level.PROBLEM,
            title,
            host.message,
            "Run this where the Jupyter server runs, on SageMaker. If it does, check "
            f"{metadata_file} (SageMaker makes it) or the setting resource_metadata_file.",
        )
        return
    owner = f"{host.owner_kind.value} {host.owner} in {host.domain_id}" if host.owner else ""
    yield Finding(
        Level.OK, title, f"{host.kind.value}, {owner or host.app_name}, in {host.region or '?'}"
    )
    if not host.region:
        yield Finding(
            Level.PROBLEM,
            "region",
            "it is not known in which region this is",
            "Set AWS_REGION for the Jupyter server.",
        )


def configuration(faults: list[str]) -> Iterator[Finding]:
    """Whether the admin's settings can be taken as they are written."""
    for fault in faults:
        yield Finding(
            Level.WARNING, "configuration", fault, "Correct it and restart the Jupyter server."
        )


def data_dir(data_dir: str) -> Iterator[Finding]:
    """Whether settings and records can be kept."""
    folder = Path(data_dir).expanduser()
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        # A file, not a look at permissions: a full or read-only disk shows only so.
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".doctor-") as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        yield Finding(
            Level.WARNING,
            "data_dir",
            f"settings and records can't be kept in {folder}: {error}",
            "Make room on the disk, or make the folder writable for the server's user. Until then, "
            "shutting down works, but what users set is lost at a restart, and no costs are "
            "recorded.",
        )
    else:
        yield Finding(Level.OK, "data_dir", f"{folder} is writable")


def psutil_there() -> Iterator[Finding]:
    """Whether background jobs can be seen."""
    if isinstance(this_machine(), ProcFs):
        yield Finding(Level.OK, "background jobs", "can be seen")
    elif importlib.util.find_spec("psutil") is None:
        yield Finding(
            Level.NOTE,
            "psutil",
            "it is not installed in this environment; without it, background jobs in terminals "
            "and under kernels can't be seen",
            "Install psutil into the Jupyter server's environment if such jobs shall count.",
        )
    else:
        yield Finding(Level.OK, "psutil", "installed")
