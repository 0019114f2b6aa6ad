"""``python -m tests.images NAME -- COMMAND ...``: runs a command with an image's stand-in.

The product is in the environment while the command runs, whose ``SERVER_PYTHON`` names its
interpreter. For tests that are not pytest's: the panel's, in the browser.
"""

from __future__ import annotations

import os
import subprocess
import sys

from .images import IMAGES, build_wheel, environment, find_python


def main(arguments: list[str]) -> int:
    """Returns the command's own exit code, or 0, with a message, if the image's Python is
    missing."""
    name, separator, command = arguments[0], arguments[1], arguments[2:]
    if separator != "--" or not command:
        print(__doc__, file=sys.stderr)
        return 2
    [image] = [image for image in IMAGES if image.name == name]
    python = find_python(image.python)
    if python is None:
        print(f"skipped: Python {image.python}, which {name} runs on, is not on this machine")
        return 0
    with environment(image, python) as found:
        found.install(build_wheel())
        environ = {**os.environ, "SERVER_PYTHON": found.python}
        return subprocess.run(command, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
