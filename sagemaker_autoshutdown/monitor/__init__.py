"""The loop that watches one host, with all that only the loop needs."""

from .loop import Monitor

__all__ = ["Monitor"]
