"""How Sphinx builds these pages: ``make docs``. Nothing is fetched while it builds."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

from sagemaker_autoshutdown._version import __version__  # noqa: E402

project = "sagemaker_autoshutdown"
author = "The sagemaker_autoshutdown contributors"
copyright = author  # noqa: A001
release = version = __version__

extensions = ["myst_parser", "sphinx_copybutton", "command_line", "rest_api"]
exclude_patterns = ["_ext"]
html_theme = "furo"
html_title = "SageMaker AutoShutdown"
html_show_sphinx = False
html_theme_options = {
    "source_repository": "https://github.com/sagemaker-autoshutdown/sagemaker-autoshutdown/",
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_enable_extensions = ["colon_fence", "deflist"]
# Links to a heading of a page, such as costs.md#volumes, are checked.
myst_heading_anchors = 4
copybutton_prompt_text = "$ "

# A link that leads nowhere is an error.
nitpicky = True
suppress_warnings: list[str] = []
