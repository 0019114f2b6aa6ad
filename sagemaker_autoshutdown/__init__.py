"""Shuts down idle Amazon SageMaker Studio apps and tracks what they cost."""

from __future__ import annotations

from typing import Any

from ._version import __version__

__all__ = ["__version__"]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where ``jupyter-builder develop`` finds the panel; users get it with the wheel."""
    return [{"src": "labextension", "dest": "sagemaker-autoshutdown"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where Jupyter finds the extension."""
    # Not at import: the command line and the local Studio need no server.
    from .app import AutoShutdownExtension

    return [{"module": "sagemaker_autoshutdown", "app": AutoShutdownExtension}]
