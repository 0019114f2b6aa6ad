"""All lines of the table. To add one, write it in a module that is imported here."""

from __future__ import annotations

from . import apps, kernels, people, programs, servers
from .table import SITUATIONS

__all__ = ["SITUATIONS", "apps", "kernels", "people", "programs", "servers"]
