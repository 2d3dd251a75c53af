"""The paper's Table 1 beside what `stvr eval` has measured: frame-mAP at IoU 0.5, in percent, in Markdown.

    python scripts/paper_table.py AVA|UCF101-24 WORK PROTOCOL ... -- ROW ...

WORK/PROTOCOL/ROW.eval holds the figures of `stvr eval --audit`. Beside each stand the same with another's query, and in
the last rows what rankings of the true boxes score that never look at the query.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TABLE_1 = {  # Feng et al. 2019, frame-mAP at IoU 0.5
    "AVA": {"none": 18.8, "conv_lstm": 20.8, "flow": 20.2, "traj_lstm": 21.0, "warp_lstm": 21.8},
    "UCF101-24": {"none": 52.9, "conv_lstm": 53.5, "flow": 52.0, "traj_lstm": 54.8, "warp_lstm": 59.4},
}
PROBES = ("random score", "middle third / number of boxes")
AT = "0.5"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def row(name: str, published: float | None, every: Sequence[Mapping[str, Any]]) -> str:
    cells = ["-" if published is None else f"{published:.1f}"]
    for figures in every:
        shuffled = figures["shuffled_query"]
        cells += [percent(figures["frame_map"]["mean"][AT]), percent(shuffled["mean"][AT] if shuffled else None),
                  figures["evaluated"].removesuffix(" pairs")]  # fmt: skip
    return f"| {name} | {' | '.join(cells)} |"


def probe_row(name: str, every: Sequence[Mapping[str, Any]]) -> str:
    cells = [cell for figures in every for cell in (percent(figures["audit"][name][AT]), "-", "-")]
    return f"| true boxes, {name} | - | {' | '.join(cells)} |"


def table(dataset: str, work: Path, protocols: Sequence[str], rows: Sequence[str]) -> str:
    figures = {name: [json.loads((work / protocol / f"{name}.eval/eval.json").read_text(encoding="utf-8"))
                      for protocol in protocols] for name in rows}  # fmt: skip
    heads = [head for protocol in protocols for head in (protocol, "shuffled query", "pairs")]
    lines = [f"| {dataset}, propagation | the paper | {' | '.join(heads)} |", "|---|" + "---:|" * (1 + len(heads))]
    lines += [row(name, TABLE_1[dataset].get(name), every) for name, every in figures.items()]
    return "\n".join([*lines, *(probe_row(name, figures[rows[0]]) for name in PROBES)])


if __name__ == "__main__":
    dataset, work, *words = sys.argv[1:]
    between = words.index("--")
    print(table(dataset, Path(work), words[:between], words[between + 1 :]))
