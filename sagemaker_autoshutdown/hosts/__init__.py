"""Where this server runs, which apps are its user's, and how they are shut down."""

from __future__ import annotations

from ..aws import Aws
from ..model import Host, HostKind
from .base import AdapterFactory, HostAdapter
from .classic import ClassicAdapter
from .detect import detect
from .notebook_instance import NotebookInstanceAdapter
from .nowhere import NowhereAdapter
from .space import SpaceAdapter

__all__ = ["HostAdapter", "adapter_for", "detect"]

_ADAPTERS: dict[HostKind, AdapterFactory] = {
    HostKind.CLASSIC: ClassicAdapter,
    HostKind.SPACE: SpaceAdapter,
    HostKind.NOTEBOOK_INSTANCE: NotebookInstanceAdapter,
    HostKind.NONE: NowhereAdapter,
}


def adapter_for(host: Host, aws: Aws) -> HostAdapter:
    """The adapter of a host."""
    return _ADAPTERS[host.kind](host, aws)
