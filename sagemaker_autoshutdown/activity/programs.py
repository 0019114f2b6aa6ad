"""The names by which people know a process, and whether an admin's list names it.

Linux cuts a process's name at 15 characters, and for an interpreter it says only ``node`` or
``python``. So the command line is read: the program, and the script or module that an interpreter
runs. No other argument is ever shown: arguments may hold secrets.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

#: The words after a program among which a pattern's is sought: ``aws s3``.
_MAX_WORDS = 500
#: Looks like a script, and not like a password.
_SCRIPT_SUFFIXES = frozenset(
    {
        ".py",
        ".pyw",
        ".ipynb",
        ".sh",
        ".bash",
        ".R",
        ".r",
        ".jl",
        ".pl",
        ".rb",
        ".js",
        ".mjs",
        ".cjs",
    }
)
_NAME = re.compile(r"[\w.+@:-]{1,64}")


@dataclass(frozen=True)
class _Interpreter:
    """How to read an interpreter's command line: letters and words of options that take a value
    in the next word, that hold the program itself, and that name a module."""

    values: frozenset[str] = frozenset()
    inline: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()


_PYTHON = _Interpreter(frozenset("WX"), frozenset("c"), frozenset("m"))
#: Runs what an IDE runs or debugs, out of a folder of the IDE's own.
_DEBUGPY = _Interpreter(
    frozenset(
        {
            *("--adapter-access-token", "--configure-qt", "--connect", "--listen", "--log-to"),
            *("--configure-subProcess", "--parent-session-pid", "--pid"),
        }
    ),
    frozenset("c"),
    frozenset("m"),
)
_SHELL = _Interpreter(frozenset({"o", "O", "--rcfile", "--init-file"}), frozenset("c"))
_NODE = _Interpreter(
    frozenset({"r", "--require", "--import", "--loader", "C"}),
    frozenset({"e", "p", "--eval", "--print"}),
)
#: Shells, by the names of their programs.
SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "fish")
_INTERPRETERS: tuple[tuple[str, _Interpreter], ...] = (
    ("python*", _PYTHON),
    ("pypy*", _PYTHON),
    ("node", _NODE),
    ("nodejs", _NODE),
    *((shell, _SHELL) for shell in SHELLS),
    ("Rscript", _Interpreter(frozenset(), frozenset("e"))),
    ("julia*", _Interpreter(frozenset("LJHptC"), frozenset("eE"))),
    ("perl*", _Interpreter(frozenset("I"), frozenset("eE"))),
    ("ruby*", _Interpreter(frozenset("Ir"), frozenset("e"))),
)


@dataclass(frozen=True)
class Program:
    """The program of a process. ``paths`` are the paths of the program and its script as called,
    ``names`` the names that a list may use, ``words`` the following words (to compare, never to
    show), and ``label`` the name for people."""

    label: str
    names: frozenset[str]
    paths: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def program(name: str, arguments: Sequence[str]) -> Program:
    """The program, by a process's name and command line (empty if that may not be read)."""
    name_shown = name if _NAME.fullmatch(name) else re.sub(r"[^\w.+@:-]+", "_", name)
    if not arguments or not arguments[0]:
        return Program(name_shown, frozenset({name}))
    called = _called(arguments[0])
    names = {name, called, arguments[0]}
    paths = [arguments[0]]
    label = called if _NAME.fullmatch(called) else name_shown
    rest = list(arguments[1:])
    interpreter = _interpreter(called) or _interpreter(name)
    if interpreter is not None:
        module, script, rest = _script(interpreter, rest)
        if (module.partition(".")[0] or PurePosixPath(script).name) == "debugpy":
            module, script, rest = _script(_DEBUGPY, rest)
        if module:
            parts = module.split(".")
            names.update(".".join(parts[: end + 1]) for end in range(len(parts)))
            if _NAME.fullmatch(module):
                label = module
        elif script:
            path = PurePosixPath(script)
            names.add(path.name)
            paths.append(script)
            is_script = path.suffix in _SCRIPT_SUFFIXES or script.startswith("/")
            if is_script and _NAME.fullmatch(path.name):
                label = path.name
    return Program(label, frozenset(names), tuple(paths), tuple(rest[:_MAX_WORDS]))


def is_named(program: Program, patterns: Collection[str]) -> bool:
    """Whether one of the patterns (shell-style, case-sensitive) names it. A pattern with a slash
    is a path; one with a blank is a program and a word after it, such as ``aws s3``. None does if
    one that begins with ``!`` fits as well."""
    excepted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return any(_matches(program, pattern) for pattern in patterns) and not any(
        _matches(program, pattern) for pattern in excepted
    )


def _matches(program: Program, pattern: str) -> bool:
    if "/" in pattern:
        return any(fnmatchcase(path, pattern) for path in program.paths)
    if any(fnmatchcase(name, pattern) for name in program.names):
        return True
    first, _, word = pattern.partition(" ")
    return bool(word) and (
        any(fnmatchcase(name, first) for name in program.names)
        and any(fnmatchcase(each, word) for each in program.words)
    )


def _called(first: str) -> str:
    """``python`` out of ``/opt/conda/bin/python``, ``bash`` out of ``-bash``, ``gunicorn`` out of
    ``gunicorn: worker [app]``."""
    return PurePosixPath(first.split(maxsplit=1)[0] if first.split() else first).name.strip("-:")


def _interpreter(called: str) -> _Interpreter | None:
    return next(
        (how for pattern, how in _INTERPRETERS if fnmatchcase(called, pattern)),
        None,
    )


def _script(how: _Interpreter, words: list[str]) -> tuple[str, str, list[str]]:
    """The module, or the script, and the words after it."""
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            return "", words[at] if at < len(words) else "", words[at + 1 :]
        if word == "-" or not word:
            break
        if not word.startswith("-"):
            return "", word, words[at:]
        if word.startswith("--"):
            option, is_joined, _ = word.partition("=")
            if option in how.inline:
                break
            at += option in how.values and not is_joined
            continue
        for place, letter in enumerate(word[1:], start=2):
            if letter in how.inline:
                return "", "", []
            if letter in how.modules:
                module = word[place:] or (words[at] if at < len(words) else "")
                return module, "", words[at + (not word[place:]) :]
            if letter in how.values:
                at += not word[place:]
                break
    return "", "", []
