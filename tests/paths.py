"""Where things are in this repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sagemaker_autoshutdown"
LIFECYCLE_CONFIG = ROOT / "lifecycle-config"
DOCS = ROOT / "docs"
