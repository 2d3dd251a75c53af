"""One-shot figures that `stvr eval` has measured: frame-mAP at IoU 0.5 in percent, mean and deviation over the seeds.

    python scripts/one_shot_table.py BOXES SPLIT=FOLDER SPLIT=FOLDER ... BOXES SPLIT=FOLDER ...

FOLDER holds an eval.json; those of one SPLIT differ by the seed that drew the examples. A word without = names where
the boxes of the folders after it come from.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

AT = "0.5"


def over_seeds(values: Sequence[float]) -> str:
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def percents(every: Iterable[Mapping[str, Any] | None]) -> list[float]:
    """Where a figure is not defined it counts as 0."""
    return [100 * ((figures or {}).get("mean", {}).get(AT) or 0.0) for figures in every]


def row(boxes: str, split: str, every: Sequence[Mapping[str, Any]]) -> str:
    cells = [over_seeds(percents(figures[name] for figures in every)) for name in ("frame_map", "shuffled_query")]
    pairs = every[0]["evaluated"].removesuffix(" pairs")
    return f"| {boxes} | {split} | {' | '.join(cells)} | {len(every)} | {pairs} |"


def table(words: Sequence[str]) -> str:
    boxes, found = "", dict[tuple[str, str], list[Any]]()
    for word in words:
        split, is_folder, folder = word.partition("=")
        boxes = boxes if is_folder else word
        if is_folder:
            figures = json.loads((Path(folder) / "eval.json").read_text(encoding="utf-8"))
            found.setdefault((boxes, split), []).append(figures)
    rows = [row(boxes, split, every) for (boxes, split), every in found.items()]
    for boxes in dict.fromkeys(boxes for boxes, _ in found):
        own = [every for (name, _), every in found.items() if name == boxes]
        if len(own) > 1:  # the mean over the splits, of each seed
            means = [mean(percents(figures["frame_map"] for figures in seed)) for seed in zip(*own, strict=True)]
            rows.append(f"| {boxes} | mean | {over_seeds(means)} | | {len(means)} | |")
    return "\n".join(["| boxes | label split | frame-mAP | shuffled query | seeds | pairs |",
                      "|---|---|---:|---:|---:|---:|", *rows])  # fmt: skip


if __name__ == "__main__":
    print(table(sys.argv[1:]))
