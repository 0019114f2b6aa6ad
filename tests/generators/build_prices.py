"""Makes the bundled price table ``prices.csv`` from the sourced and the estimated prices.

Run as ``python -m tests.generators.build_prices [SOURCE_FOLDER]``. It decides which source is
trusted; it is not part of a server.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from sagemaker_autoshutdown.prices.table import BUNDLED_TABLE, COLUMNS

SOURCES = Path(__file__).with_name("price_sources")

Row = Mapping[str, str]

#: Prices of these components equal those of Studio's apps within half a percent. HyperPod clusters
#: and storage are different.
_STANDS_FOR_STUDIO = frozenset(
    {"notebook", "hosting", "training", "processing", "batchtransform", "asyncinf", "unspecified"}
)
#: Words that show that a source was read from the Price List API or its offer files.
_READ_OFF_THE_LIST = ("price list api", "bulk offer csv", "offer file", "get-products", "sku ")
_READ_OFF_THE_LIST_LIVE = ("measured live",)
#: AWS cut the prices of these families in 2025: older prices are wrong today.
_CUT_IN_2025 = ("ml.p4d.", "ml.p5.")
_BEFORE_THE_CUT = ("2023", "2024", "2025-01")
#: Estimates that no sourced price supports.
_UNSUPPORTED = ("ml.g6e.xlarge", "ml.p4de.", "ml.p6", "ml.trn1", "ml.g7.")


def is_usable(row: Row) -> bool:
    """Whether a sourced price is the present price of an app on this type."""
    component = row["component"].lower()
    if not (component.startswith("studio-") or component in _STANDS_FOR_STUDIO):
        return False
    outdated = row["as_of"].startswith(_BEFORE_THE_CUT)
    return not (outdated and row["instance_type"].startswith(_CUT_IN_2025))


def _rank(row: Row) -> tuple[bool, bool, str]:
    """A Studio component first, then prices from the Price List, then the newest."""
    source = row["source"].lower()
    return (
        row["component"].lower().startswith("studio-"),
        any(word in source for word in _READ_OFF_THE_LIST + _READ_OFF_THE_LIST_LIVE),
        row["as_of"],
    )


def choose(rows: Iterable[Row]) -> Row:
    """The row to trust among those of one type and region.

    Some tables round to cents. If another row has the same price more exactly, that row is used.
    """
    best, *others = sorted(rows, key=_rank, reverse=True)
    if "rounded" in best["source"]:
        rounded = Decimal(best["usd_per_hour"])
        for row in others:
            exact = Decimal(row["usd_per_hour"])
            if "rounded" not in row["source"] and round(exact, 2) == rounded:
                return row
    return best


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def build(folder: Path) -> list[tuple[str, str, str, str, str]]:
    """The bundled table's rows, sorted, from the two tables in ``folder``."""
    sourced: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in filter(is_usable, _read(folder / "prices.csv")):
        sourced[row["region"], row["instance_type"]].append(row)
    table = {}
    for row in _read(folder / "prices_estimated.csv"):
        if not row["instance_type"].startswith(_UNSUPPORTED):
            key = (row["region"], row["instance_type"])
            table[key] = (row["est_usd_per_hour"], "estimate", row["ec2_as_of"])
    for key, rows in sourced.items():
        best = choose(rows)
        table[key] = (best["usd_per_hour"], "list", best["as_of"])
    return [(*key, *table[key]) for key in sorted(table)]


def write(rows: Iterable[tuple[str, ...]], path: Path) -> None:
    """Writes the table, one price a line, so that a diff shows which changed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def main() -> None:
    """Writes the bundled table in place."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCES
    rows = build(folder)
    write(rows, BUNDLED_TABLE)
    sys.stderr.write(f"{BUNDLED_TABLE.name}: {len(rows)} prices\n")


if __name__ == "__main__":
    main()
