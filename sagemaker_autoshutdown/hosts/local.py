"""What a JupyterLab space and a notebook instance share: one app, and this server runs in it."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

from ..model import App

log = logging.getLogger(__name__)


class LocalAdapter:
    """Everything that runs here belongs to the one app that there is."""

    def kernel_apps(self, model: dict[str, Any], apps: tuple[App, ...]) -> frozenset[str]:
        """The one app."""
        return frozenset(app.name for app in apps)

    def terminal_apps(self, name: str, apps: tuple[App, ...]) -> frozenset[str]:
        """The one app."""
        return frozenset(app.name for app in apps)


def machine_started_at() -> datetime | None:
    """When this container or machine came up: its first process's start; None if not known.

    No run of an app that this server is in can be older.
    """
    try:
        import psutil

        return datetime.fromtimestamp(psutil.Process(1).create_time(), timezone.utc)
    except Exception as error:  # psutil missing, or /proc hidden
        log.debug("the machine's start is not known: %s", error)
        return None
