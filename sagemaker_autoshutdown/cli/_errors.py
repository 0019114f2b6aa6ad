"""What ends a command early."""

from __future__ import annotations


class Failed(Exception):
    """The command can't go on; the message says why and what to do."""

    code = 1


class Misused(Failed):
    """The command line asks for something that makes no sense."""

    code = 2


class NoServer(Failed):
    """There is no server with the extension to talk to."""

    code = 3
