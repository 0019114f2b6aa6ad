"""``jupyter sagemaker-autoshutdown``: one module for each subcommand.

A subcommand's module has ``add_parser(subparsers)``, which makes its parser and sets ``run`` to the
function that takes the parsed arguments and returns the exit code. The commands share the modules
that start with an underscore. Nothing is computed here: the output comes from the REST API of the
running server. Exceptions are ``doctor``, which also makes checks of its own, ``what-if``, which
replays the ledger, and the commands for admins, which call AWS.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from .._version import __version__
from ..errors import Failed

#: Modules of this package, in the order of the help.
COMMANDS = (
    "status",
    "settings",
    "keep_alive",
    "shut_down",
    "history",
    "costs",
    "what_if",
    "doctor",
    "lifecycle_config",
    "fleet",
)

EXIT_CODES = """\
exit codes:
  0  done
  1  refused, failed, or doctor found a problem
  2  the command line is wrong
  3  no Jupyter server with this extension answers; lifecycle-config status: something to do
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="jupyter sagemaker-autoshutdown",
        description="Shows and controls the shutdown of idle SageMaker Studio apps.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f".{name}", __name__).add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    arguments = parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except Failed as failure:
        print(failure, file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (``| head``) has gone. Python would complain once more when it exits.
        sys.stdout = None
        return 141
    return code
