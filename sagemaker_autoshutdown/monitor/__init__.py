"""The loop that watches one host, and the parts that only the loop needs."""

from .loop import Monitor

__all__ = ["Monitor"]
