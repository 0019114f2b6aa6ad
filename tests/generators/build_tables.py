"""Writes the tables of settings and metrics into ``docs/``; run it as a module.

``python -m tests.generators.build_tables``

Each table is between two markers: ``<!-- NAME: begin ... -->`` and ``<!-- NAME: end -->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from sagemaker_autoshutdown.fleet import metrics as fleet_metrics
from sagemaker_autoshutdown.metrics import collector
from sagemaker_autoshutdown.settings.admin import SageMakerAutoShutdown
from tests.paths import DOCS


def settings_table() -> str:
    """The admin's settings, in the order of ``admin.py``, which begins with the most important."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    traits = SageMakerAutoShutdown.class_traits(config=True)
    for name in (name for name in vars(SageMakerAutoShutdown) if name in traits):
        trait = traits[name]
        default = trait.default()
        if name in ("data_dir", "resource_metadata_file"):
            shown = "see right"
        else:
            shown = f"`{default:g}`" if isinstance(default, float) else f"`{default!r}`"
        rows.append(f"| `{name}` | {shown} | {trait.help} |")
    return "\n".join(rows)


def metrics_table() -> str:
    """The metrics of a server."""
    return _metrics(
        (each.full_name, each.kind, each.labels, each.help) for each in collector.DEFINITIONS
    )


def fleet_metrics_table() -> str:
    """The metrics of ``fleet run``."""
    return _metrics(
        (each.full_name, each.kind, each.labels, each.help) for each in fleet_metrics.DEFINITIONS
    )


def _metrics(definitions: Iterable[tuple[str, str, tuple[str, ...], str]]) -> str:
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for name, kind, labels, meaning in definitions:
        shown = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {kind} | {shown} | {meaning} |")
    return "\n".join(rows)


#: Page and name of the section → its content.
TABLES: Mapping[tuple[str, str], Callable[[], str]] = {
    ("settings.md", "settings"): settings_table,
    ("metrics.md", "metrics"): metrics_table,
    ("fleet.md", "fleet-metrics"): fleet_metrics_table,
}


def section(text: str, name: str) -> str:
    """The content between two markers."""
    found = _between(name).search(text)
    if found is None:
        raise ValueError(f"there is no section {name}")
    return found[1].strip()


def _between(name: str) -> re.Pattern[str]:
    return re.compile(rf"<!-- {name}: begin[^>]*-->\n(.*?)\n<!-- {name}: end -->", re.DOTALL)


def main() -> None:
    """Writes all of them."""
    for (page, name), table in TABLES.items():
        file = DOCS / page
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(section(text, name), table()), encoding="utf-8")


if __name__ == "__main__":
    main()
