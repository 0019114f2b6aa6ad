"""Where this server runs, which apps are its user's, and how they are shut down."""

from __future__ import annotations

from datetime import datetime

from ..aws import Aws
from ..model import Host, HostKind
from .base import HostAdapter
from .classic import ClassicAdapter
from .detect import detect
from .none import NoneAdapter
from .notebook_instance import NotebookInstanceAdapter
from .space import SpaceAdapter

__all__ = ["HostAdapter", "adapter_for", "detect"]

_SINGLE_APP: dict[HostKind, type[SpaceAdapter | NotebookInstanceAdapter | NoneAdapter]] = {
    HostKind.SPACE: SpaceAdapter,
    HostKind.NOTEBOOK_INSTANCE: NotebookInstanceAdapter,
    HostKind.NONE: NoneAdapter,
}


def adapter_for(host: Host, aws: Aws, machine_started_at: datetime | None = None) -> HostAdapter:
    """The adapter of a host. ``machine_started_at`` is when this machine came up, if known: no run
    of the app on it can be older."""
    if host.kind is HostKind.CLASSIC:
        return ClassicAdapter(host, aws)
    return _SINGLE_APP[host.kind](host, aws, machine_started_at)
