"""How good is a head on examples that it was not trained on: the figures of its task, kept with what made it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stvr.files import whole
from stvr.heads import HEADS
from stvr.session import Session
from stvr.store import FeatureStore
from stvr.tasks import TASKS
from stvr.world.dials import UNITS

WIDTH = 32  # of the column of labels, in characters


def evaluate(
    checkpoint_path: Path | str,
    store_path: Path,
    examples_path: Path,
    *,
    out: Path | None = None,
    device: str = "cpu",
    **options: Any,
) -> dict[str, Any]:
    """Asks a head every example of a file and scores the answers; writes OUT/eval.json.

    options: those of the head's task, for pairs split, seed, limit, audit, dials and report of
    `stvr.tasks.pairs.judge.evaluate`. Every figure is in [0, 1]; NaN is null.
    """
    store = FeatureStore.open(store_path)
    session = Session.open(checkpoint_path, store=store, device=device)
    loaded = session.loaded
    task = TASKS[HEADS[loaded.options.name].task]
    results = {
        **task.evaluate(session, store, examples_path, **options),
        "checkpoint": dict(loaded.provenance),
        "store_spec": store.spec.to_json(),
    }
    if out is not None:
        write_results(out, results)
    return results


def text_table(results: Mapping[str, Any]) -> str:
    """For a terminal: a row a label, the mean, the probe beside it; frame-mAP in percent."""
    table, probe, names = results["frame_map"], results["shuffled_query"], results["labels"]
    thresholds = list(table["mean"])
    head = f"{'label':<{WIDTH}}" + "".join(f"{'IoU ' + t:>9}" for t in thresholds) + f"{'pairs':>7}{'boxes':>8}"
    rows = [
        f"{text_row(named_label(label, names), values, thresholds)}{table['pairs'][label]:>7}{table['boxes'][label]:>8}"
        for label, values in table["per_label"].items()
    ]
    rows.append(text_row("frame-mAP", table["mean"], thresholds))
    if probe:
        rows.append(text_row("  with a shuffled query", probe["mean"], thresholds))
        gains = {t: subtract(table["mean"][t], probe["mean"][t]) for t in thresholds}
        rows.append(text_row("  owed to the query", gains, thresholds))
    else:
        rows.append("(no shuffled-query probe: all pairs have one label)")
    rows += [text_row(f"  {name}"[:WIDTH], values, thresholds) for name, values in results["audit"].items()]
    recall = ", ".join(f"{k}: " + " / ".join(show(v) for v in row.values())
                       for k, row in results["proposal_recall"].items())
    rows += [f"proposal recall at IoU .5 / .7, of the first {recall}", *more_rows(results), results["evaluated"]]
    return "\n".join([head, *rows])


def more_rows(results: Mapping[str, Any]) -> list[str]:
    """A line each: how sure the mean is, tubelets by linker, errors, graded labels."""
    sure, videos, errors, graded = (results[name] for name in ("intervals", "video_map", "errors", "ndcg"))
    rows = [f"95 % interval of {sure['of']}: {spread(sure['model'])}; owed to the query: "
            f"{spread(sure['owed to the query'])}"]
    if videos:
        linkers = "; ".join(f"{name} " + " / ".join(map(show, row.values())) for name, row in videos["linkers"].items())
        rows.append(f"video-mAP at tube IoU .2 / .5 / .5:.95, by linker: {linkers}")
    if errors:
        kinds = {**errors["detections"], **{k: n for k, n in errors["true_boxes"].items() if k != "found"}}
        rows.append("errors: " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))
    for name, some in (results.get("by_dial") or {}).items():
        told = ", ".join(f"{show(row['mAP'])} at {row['mean']:.2g} ({row['pairs']})" for row in some)
        rows.append(f"frame-mAP at IoU .5 over {name} in {UNITS[name]} (pairs): {told}")
    if graded:
        rows.append(f"nDCG with graded labels: {show(graded['mean'])}")
    return rows


def spread(bounds: Sequence[float | None] | None) -> str:
    return "-" if bounds is None else " to ".join(map(show, bounds))


def named_label(label: str, names: Mapping[str, str]) -> str:
    """ "1,3" as "nod + wave", cut to the width of its column."""
    name = " + ".join(names.get(part, part) for part in label.split(","))
    return name if len(name) < WIDTH else f"{name[: WIDTH - 4]}..."


def text_row(name: str, values: Mapping[str, float | None], thresholds: Sequence[str]) -> str:
    return f"{name:<{WIDTH}}" + "".join(f"{show(values[t]):>9}" for t in thresholds)


def show(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def subtract(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def write_results(out: Path, results: Mapping[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with whole(out / "eval.json") as partial:
        partial.write_text(json.dumps(results, indent=1) + "\n")
