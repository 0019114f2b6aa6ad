"""Anywhere but on SageMaker: no apps, so nothing to shut down."""

from __future__ import annotations

from datetime import datetime

from ..aws import Aws
from ..model import App, Host
from .local import LocalAdapter


class NowhereAdapter(LocalAdapter):
    """No apps."""

    def __init__(self, host: Host, aws: Aws) -> None:
        self.host = host

    async def list_apps(self, now: datetime) -> tuple[App, ...]:
        """None."""
        return ()

    async def shut_down(self, app: App) -> None:
        """There is nothing to shut down."""
