"""The interface that every host implements."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from ..model import App, Host


class HostAdapter(Protocol):
    """Lists the apps of this server's user and shuts them down."""

    host: Host

    async def list_apps(self, now: datetime) -> tuple[App, ...]:
        """Asks SageMaker for the apps that are there. ``now`` is the time for events that have
        none of their own.

        Raises :class:`~sagemaker_autoshutdown.aws.AwsError`.
        """
        ...

    def kernel_apps(self, model: dict[str, Any], apps: tuple[App, ...]) -> frozenset[str]:
        """The names of the apps that a kernel (given as Jupyter's model) could belong to."""
        ...

    def terminal_apps(self, name: str, apps: tuple[App, ...]) -> frozenset[str]:
        """The names of the apps that a terminal could belong to; none if it holds no app."""
        ...

    async def shut_down(self, app: App) -> None:
        """Asks SageMaker to shut the app down; returns when SageMaker accepts.

        Raises :class:`~sagemaker_autoshutdown.aws.AwsError`.
        """
        ...
