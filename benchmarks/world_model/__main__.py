"""The command; it writes docs/world-model.md and what stands beside it."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from benchmarks.world_model import plot, tables
from benchmarks.world_model.collect import collected, shipped

DOCS = Path(__file__).parents[2] / "docs"
PAGE, FOLDER = DOCS / "world-model.md", DOCS / "world-model"
_BLOCK = re.compile(r"(<!-- (\w+): (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Exit code 2 when a folder holds no figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.world_model")
    parser.add_argument("folders", nargs="*", type=Path, metavar="TRAINING FOLDER")
    parser.add_argument("--adapter", nargs=2, type=Path, metavar=("RECIPE", "FIGURES"))
    FOLDER.mkdir(exist_ok=True)
    asked = parser.parse_args()
    for folder in asked.folders:
        if not (folder / "figures").is_dir():
            sys.stderr.write(f"{folder}: no figures; the recipe has to say `evaluate`\n")
            return 2
    taken = [collected(folder) for folder in asked.folders]
    if asked.adapter:
        taken = [shipped(*asked.adapter, *taken[:1])]
    for found in taken:
        (FOLDER / f"{found['name']}.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    known = {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}
    for name, found in known.items():
        plot.save(found, FOLDER / f"{name}.png")
    page = PAGE.read_text("utf-8")
    PAGE.write_text(_BLOCK.sub(lambda block: _filled(block, known), page), "utf-8")
    return 0


def _filled(block: re.Match[str], known: dict[str, object]) -> str:
    """A block `<!-- table: name -->` with that table of the training run `name`."""
    head, table, name, end = block.groups()
    return f"{head}{tables.TABLES[table](known[name])}\n{end}" if name in known else block[0]


if __name__ == "__main__":
    sys.exit(main())
