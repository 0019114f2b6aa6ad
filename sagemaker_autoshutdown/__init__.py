"""Shuts down idle Amazon SageMaker Studio apps and tracks what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__all__ = ["__version__"]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where ``jupyter-builder develop`` finds the panel; users get it with the wheel."""
    return [{"src": "labextension", "dest": "sagemaker-autoshutdown"}]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Where Jupyter finds the extension."""
    return [{"module": "sagemaker_autoshutdown"}]


def _load_jupyter_server_extension(serverapp: ServerApp) -> None:
    """Called by the server when it starts."""
    # Not at import: the command line and the local Studio need no server.
    from .app import load

    load(serverapp)


#: The name that jupyter_server 1 calls.
load_jupyter_server_extension = _load_jupyter_server_extension
