"""The one wheel's panel works in the JupyterLab that each image has, in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.paths import ROOT

from .images import Environment

UI_TESTS = ROOT / "labextension" / "ui-tests"


def test_the_panel_opens_warns_and_keeps_an_app_running(image: Environment) -> None:
    playwright = UI_TESTS / "node_modules" / ".bin" / "playwright"
    assert playwright.exists(), "install the browser tests: cd labextension/ui-tests && jlpm"
    env = {
        **os.environ,
        "STUDIO_PYTHON": sys.executable,
        "SERVER_PYTHON": image.python,
        "SERVER_HOST": "classic" if image.image.is_classic else "space",
    }
    done = subprocess.run(
        [str(playwright), "test", "smoke"],
        cwd=UI_TESTS,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
