"""The one wheel's panel works in the JupyterLab that each image has, in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT

from .images import Environment

UI_TESTS = ROOT / "labextension" / "ui-tests"


def test_the_panel_opens_warns_and_keeps_an_app_running(image: Environment, tmp_path: Path) -> None:
    playwright = UI_TESTS / "node_modules" / ".bin" / "playwright"
    assert playwright.exists(), "install the browser tests: cd labextension/ui-tests && jlpm"
    env = {
        **os.environ,
        "STUDIO_PYTHON": sys.executable,
        "SERVER_PYTHON": image.python,
        "SERVER_HOST": "classic" if image.image.is_classic else "space",
    }
    done = subprocess.run(
        # Each run empties its folder of results first: another may be writing into the default one.
        [str(playwright), "test", "smoke", f"--output={tmp_path}"],
        cwd=UI_TESTS,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
