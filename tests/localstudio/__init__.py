"""A Studio on this machine: the SageMaker API over HTTP, and apps that are real processes.

For tests, demonstrations and development; it is not part of the product. `LocalStudio` is the
whole; `testing` drives it from blocking code; ``python -m tests.localstudio`` runs a scene in a
terminal.
"""

from __future__ import annotations

from .errors import ApiError, LocalStudioError
from .faults import Fault, KernelOverride
from .journal import Call
from .kernels import JupyterClient, Result
from .servers import ServerOptions
from .state import AppKey, Owner, Timing, space, user
from .studio import LocalStudio, make_client

__all__ = [
    "ApiError",
    "AppKey",
    "Call",
    "Fault",
    "JupyterClient",
    "KernelOverride",
    "LocalStudio",
    "LocalStudioError",
    "Owner",
    "Result",
    "ServerOptions",
    "Timing",
    "make_client",
    "space",
    "user",
]
