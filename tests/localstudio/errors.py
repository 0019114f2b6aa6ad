"""The errors that the local API answers with, by AWS's own codes."""

from __future__ import annotations

#: Codes of faults of the service; everything else is the caller's fault (HTTP 400).
SERVICE_FAULTS = {"InternalFailure": 500, "ServiceUnavailable": 503}


class ApiError(Exception):
    """An error as AWS answers it.

    AWS JSON 1.1 sends every client error with HTTP 400, so that only ``code`` tells a missing
    app from a forbidden call; ``status`` can be set for the rare exceptions.
    """

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = SERVICE_FAULTS.get(code, 400) if status is None else status


class LocalStudioError(Exception):
    """The local Studio itself failed (a process that did not start, for example)."""


def not_found(what: str) -> ApiError:
    """The requested thing does not exist."""
    return ApiError("ResourceNotFound", f"{what} does not exist")


def invalid(message: str) -> ApiError:
    """The request contradicts itself or the present state."""
    return ApiError("ValidationException", message)
