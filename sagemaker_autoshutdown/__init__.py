"""Shuts down idle Amazon SageMaker Studio apps and tracks what they cost."""

from ._version import __version__

__all__ = ["__version__"]
