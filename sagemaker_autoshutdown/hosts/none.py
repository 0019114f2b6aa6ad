"""The host outside SageMaker: no apps, so nothing to shut down."""

from __future__ import annotations

from datetime import datetime

from ..aws import Aws
from ..model import App, Host
from .single_app import SingleAppAdapter


class NoneAdapter(SingleAppAdapter):
    """No apps."""

    def __init__(self, host: Host, aws: Aws, not_before: datetime | None = None) -> None:
        self.host = host

    async def list_apps(self, now: datetime) -> tuple[App, ...]:
        """None."""
        return ()

    async def shut_down(self, app: App) -> None:
        """There is nothing to shut down."""
