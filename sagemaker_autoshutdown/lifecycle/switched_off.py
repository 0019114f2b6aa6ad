"""Whether a user's own Jupyter configuration switches the extension off, which takes no sudo.

Homes outlive apps, so such a setting applies at every start. This module only reads: users' files
are theirs.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path

from jupyter_core.paths import jupyter_config_path

from ..diagnostics.server import EXTENSION, decided_by


def find() -> Iterator[str]:
    """Where it is switched off, or may be, in words."""
    folders = _config_folders()
    decided = decided_by(folders)
    if decided is not None and not decided[1]:
        yield (
            f"SWITCHED OFF by {decided[0]}: nothing is shut down until {EXTENSION} is taken out of "
            "its jpserver_extensions"
        )
        return
    for file in (each for folder in folders for each in sorted(Path(folder).glob("jupyter*.py"))):
        try:
            mentioned = EXTENSION in file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if mentioned:
            yield f"perhaps switched off: {file} has something to say about {EXTENSION}"


def _config_folders() -> list[str]:
    """The files that the server reads, the most important first. On notebook instances the
    script runs as root, and the server as the environment's owner."""
    folders = list(jupyter_config_path())
    owner = Path(sys.prefix).stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        folders.insert(0, str(Path(pwd.getpwuid(owner).pw_dir, ".jupyter")))
    return folders
