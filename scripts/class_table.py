"""A table of classifiers that `stvr eval` has measured: parameters, top-1 and top-5 accuracy, in Markdown.

    python scripts/class_table.py NAME RUN [NAME RUN ...]

RUN is the folder of a run, with the figures of `stvr eval --out RUN/figures` in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from stvr.heads.checkpoint import load_head


def row(name: str, run: Path) -> str:
    figures = json.loads((run / "figures" / "eval.json").read_text(encoding="utf-8"))
    weights = sum(each.numel() for each in load_head(run).head.parameters())
    top = [f"{100 * figures['top_k'][k]:.1f}" for k in ("1", "5")]
    return f"| {name} | {weights:,} | {' | '.join(top)} | {figures['evaluated'].removesuffix(' labelled stretches')} |"


def table(arguments: Sequence[str]) -> str:
    rows = [row(name, Path(run)) for name, run in zip(arguments[::2], arguments[1::2], strict=True)]
    head = ["| head | parameters | top-1, percent | top-5, percent | videos |", "|---|---:|---:|---:|---:|"]
    return "\n".join([*head, *rows])


if __name__ == "__main__":
    print(table(sys.argv[1:]))
