"""Checks of this machine alone: host, configuration, disk, optional packages."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..activity.process_table import ProcFs, this_machine
from ..model import Host, HostKind
from .findings import Finding, Level


def host(host: Host, metadata_file: str) -> Iterator[Finding]:
    """Checks whether SageMaker says which app this is."""
    title = "host"
    if host.kind is HostKind.NONE:
        yield Finding(
            Level.PROBLEM,
            title,
            host.message,
            "Run this on SageMaker, where the Jupyter server runs. If you did, check "
            f"{metadata_file} (SageMaker writes it) or the setting resource_metadata_file.",
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
            "the region of this app is unknown",
            "Set AWS_REGION for the Jupyter server.",
        )


def configuration(faults: list[str]) -> Iterator[Finding]:
    """Checks whether the admin's settings are valid."""
    for fault in faults:
        yield Finding(
            Level.WARNING, "configuration", fault, "Correct it and restart the Jupyter server."
        )


def data_dir(data_dir: str) -> Iterator[Finding]:
    """Checks whether settings and records can be saved."""
    folder = Path(data_dir).expanduser()
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        # Writes a file, because permissions do not reveal a full or read-only disk.
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".doctor-") as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        yield Finding(
            Level.WARNING,
            "data_dir",
            f"settings and records can't be saved in {folder}: {error}",
            "Make room on the disk, or make the folder writable for the server's user. Until then, "
            "shutdowns work, but users' settings are lost at a restart and costs are not "
            "recorded.",
        )
    else:
        yield Finding(Level.OK, "data_dir", f"{folder} is writable")


def psutil_there() -> Iterator[Finding]:
    """Checks whether background jobs can be seen."""
    if isinstance(this_machine(), ProcFs):
        yield Finding(Level.OK, "background jobs", "can be seen")
    elif importlib.util.find_spec("psutil") is None:
        yield Finding(
            Level.NOTE,
            "psutil",
            "not installed in this environment; without it, background jobs in terminals and under "
            "kernels can't be seen",
            "To count such jobs, install psutil into the Jupyter server's environment.",
        )
    else:
        yield Finding(Level.OK, "psutil", "installed")
