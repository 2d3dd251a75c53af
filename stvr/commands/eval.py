"""stvr eval: how good a head is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stvr.commands import Device, Examples, Seed, Store, done, usable, video_files
from stvr.video_names import names_of


def evaluate(
    checkpoint: Annotated[
        Path, typer.Option(help="A head.safetensors, a run's folder, or nearest, which needs no training.",
                           show_default=False)
    ],
    store: Store,
    pairs: Examples,
    split: Annotated[
        str | None, typer.Option(help="train, val or test. Default: test if the pairs have it, else all.")
    ] = None,
    audit: Annotated[bool, typer.Option("--audit", help="Also score rankings that never look at the query.")] = False,
    dials: Annotated[
        Path | None, typer.Option(help="scenes.csv of `stvr synth`: adds figures over speed, occlusion and length.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only this many pairs, drawn by the seed.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for eval.json and report.html.")] = None,
    videos: Annotated[
        Path | None, typer.Option(help="The folder of the video files; a report on pairs shows those answered worst.")
    ] = None,
    statistics: Annotated[
        str | None, typer.Option(help="For nearest: the store that says what is usual; else what ships.")
    ] = None,
    proposals: Annotated[
        str | None, typer.Option(help="For nearest: where boxes come from, map, grid or boxes of a detector; else map.")
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Measure a head: figures for every label, beside the same with a shuffled query, or of the most frequent class."""
    from stvr.jobs.evaluate import evaluate
    from stvr.progress import shown_steps
    from stvr.render import text_table

    if videos is not None and out is None:
        raise ValueError("--videos puts pictures into the report. Give --out for the folder of the report.")
    files = None if videos is None else files_by_name(videos)
    with shown_steps("evaluating") as show:
        results = evaluate(
            checkpoint, store, pairs, split=split, out=out, seed=seed, limit=limit, audit=audit, dials=dials,
            statistics=statistics, proposals=proposals, device=usable(device),
            report=lambda done, total: show(done, total, {}),
        )  # fmt: skip
    print(text_table(results))
    if out:
        from stvr.render import evaluation_report, write_report

        done(out / "eval.json", results["evaluated"])
        worst = [] if files is None or "worst" not in results else shown_worst(results, files)
        done(write_report(out / "report.html", evaluation_report(results, worst)), "the same as a page")


def files_by_name(folder: Path) -> dict[str, Path]:
    """The video files of a folder and of the folders in it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"--videos wants a folder of video files, and {folder} is not a folder.")
    return names_of(video_files([folder]))


def shown_worst(results: Mapping[str, Any], files: Mapping[str, Path]) -> list[Any]:
    """Stills of the pairs answered worst; one line on standard error says which cannot be drawn."""
    from stvr.render import worst_answers

    worst, reasons = worst_answers(results, files)
    if reasons:
        missing = len(results["worst"]) - len(worst)
        print(f"stvr: {missing} of the {len(results['worst'])} pairs answered worst are not shown: {' '.join(reasons)}",
              file=sys.stderr)  # fmt: skip
    return worst
