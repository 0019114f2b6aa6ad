"""Writes the reference of the command line from its argument parsers.

It takes the place of the line ``<!-- command-line -->`` in a page.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from sphinx.application import Sphinx

from sagemaker_autoshutdown import cli

MARK = "<!-- command-line -->"
#: Help texts are wrapped at this width, whatever the terminal that builds the pages.
COLUMNS = "88"


def reference() -> str:
    """Markdown: one heading and one ``--help`` text for each command."""
    os.environ["COLUMNS"] = COLUMNS
    return "\n\n".join(_sections(cli.parser(), level=2))


def _sections(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    for command in commands(parser):
        name = command.prog.partition("jupyter sagemaker-autoshutdown ")[2]
        yield f"{'#' * level} {name}\n\n```text\n{command.format_help().strip()}\n```"
        yield from _sections(command, level=min(level + 1, 3))


def commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The subcommands of a parser, in the order of its help."""
    return [
        each
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for each in action.choices.values()
    ]


def _fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = source[0].replace(MARK, reference()) if MARK in source[0] else source[0]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _fill_in)
    return {"parallel_read_safe": True}
