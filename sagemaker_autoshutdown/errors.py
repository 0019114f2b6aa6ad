"""The errors of a request or a command.

The handlers answer a request with the first family; the second ends a command::

    AutoShutdownError
    ├── InvalidRequest   400: the request is invalid; says what is allowed
    ├── UnknownApp       404: no such app here
    ├── Conflict         409: not possible in the present state
    └── Unavailable      503: it can't be read at present

    Failed               exit code 1: the command can't go on
    ├── Misused          exit code 2: the arguments make no sense
    └── NoServer         exit code 3: no server to call
"""

from __future__ import annotations

from collections.abc import Mapping


class AutoShutdownError(Exception):
    """A request that was refused. The message says what to do."""

    status = 500


class InvalidRequest(AutoShutdownError):
    """Something in the request is not allowed. ``errors`` says what is allowed, by field."""

    status = 400

    def __init__(self, message: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.errors = dict(errors or {})


class UnknownApp(AutoShutdownError):
    """This user has no app of this name."""

    status = 404


class Conflict(AutoShutdownError):
    """The request makes sense, but not now."""

    status = 409


class Unavailable(AutoShutdownError):
    """The requested data can't be read at present; it may be later."""

    status = 503


class Failed(Exception):
    """The command can't go on; the message says why and what to do."""

    code = 1


class Misused(Failed):
    """The command line makes no sense."""

    code = 2


class NoServer(Failed):
    """There is no server with the extension to call."""

    code = 3
