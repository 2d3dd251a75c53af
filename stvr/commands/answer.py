"""stvr eval and stvr locate: how good a head is, and what it answers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stvr.commands import (
    CheckpointFile,
    Device,
    FlowWeights,
    Pairs,
    Seed,
    Store,
    Weights,
    done,
    edges,
    exit_telling,
    seconds_pair,
    usable,
    video_files,
)


def evaluate(
    checkpoint: CheckpointFile,
    store: Store,
    pairs: Pairs,
    split: Annotated[str | None, typer.Option(help="train, val or test; test if there is one, else all pairs.")] = None,
    audit: Annotated[bool, typer.Option("--audit", help="Add rankings that never look at the query.")] = False,
    dials: Annotated[
        Path | None, typer.Option(help="scenes.csv of `stvr synth`: figures over speed, occlusion and length.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only so many pairs, drawn by the seed.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for eval.json and report.html.")] = None,
    videos: Annotated[
        Path | None, typer.Option(help="The folder of the video files: the report shows the pairs answered worst.")
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Metrics, per label, with the shuffled-query probe beside them."""
    from stvr.evaluate import evaluate, text_table
    from stvr.progress import shown_steps

    if videos is not None and out is None:
        raise ValueError("--videos puts pictures into the report. Say with --out where it goes.")
    files = None if videos is None else files_by_name(videos)
    with shown_steps("evaluating") as tell:
        results = evaluate(
            checkpoint, store, pairs, split=split, out=out, seed=seed, limit=limit, audit=audit, dials=dials,
            device=usable(device), report=lambda done, total: tell(done, total, {}),
        )  # fmt: skip
    print(text_table(results))
    if out:
        from stvr.render import evaluation_report, write_report

        done(out / "eval.json", results["evaluated"])
        worst = [] if files is None else shown_worst(results, files)
        done(write_report(out / "report.html", evaluation_report(results, worst)), "the same to look at")


def files_by_name(folder: Path) -> dict[str, Path]:
    """The video files of a folder and of the folders in it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"--videos wants a folder of video files, {folder} is none.")
    return {file.stem: file for file in video_files([folder, *sorted(folder.glob("*/"))])}


def shown_worst(results: Mapping[str, Any], files: Mapping[str, Path]) -> list[Any]:
    """Stills of the pairs answered worst; one line tells of those that cannot be drawn."""
    from stvr.render import worst_answers

    worst, reasons = worst_answers(results, files)
    if reasons:
        left = len(results["worst"]) - len(worst)
        print(f"stvr: {left} of the {len(results['worst'])} pairs answered worst are not shown: {' '.join(reasons)}",
              file=sys.stderr)  # fmt: skip
    return worst


def locate(
    references: Annotated[list[Path], typer.Argument(help="The videos to look in.", show_default=False)],
    checkpoint: CheckpointFile,
    query: Annotated[Path, typer.Option(help="The video that shows it.", show_default=False)],
    box: Annotated[str, typer.Option(help="X1,Y1,X2,Y2 around the actor, in pixels or in [0, 1].", show_default=False)],
    at: Annotated[float, typer.Option(help="When, in seconds.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder for tubelets.jsonl.", show_default=False)],
    span: Annotated[
        str | None, typer.Option(help="START,STOP of the query in seconds; a second around --at if not given.")
    ] = None,
    weights: Weights = None,
    flow_weights: FlowWeights = None,
    render: Annotated[bool, typer.Option("--render", help="Write an annotated mp4 of each reference.")] = False,
    device: Device = "cpu",
) -> None:
    """Where and when: JSON Lines of tubelets in seconds and pixels, best first; annotated video."""
    from stvr.locate import Answer, locate_files
    from stvr.progress import shown_steps

    files = video_files(references)
    places = render_places(files, query, out) if render else {}

    def write_video(answer: Answer) -> None:
        from stvr.render.video import render_tubelets

        if answer.path in places:
            render_tubelets(answer.path, answer.tubelets, places[answer.path], answer.clip)

    with shown_steps("locating") as tell:
        report = locate_files(
            checkpoint, query, edges(box, 4, "--box X1,Y1,X2,Y2"), at, files, out,
            span=seconds_pair(span), weights=weights, flow_weights=flow_weights, device=usable(device),
            on_answer=write_video, report=lambda path, done, total: tell(done, total, {}),
        )  # fmt: skip
    done(report.path, f"{report.num_tubelets} tubelets in {report.num_references} references")
    exit_telling(report.failed)


def render_places(references: list[Path], query: Path, out: Path) -> dict[Path, Path]:
    """Where the annotated video of each reference goes; never over another one, nor over a video that is read."""
    places: dict[Path, Path] = {}
    taken = {path.resolve() for path in (*references, query)}
    for reference in references:
        place = out / f"{reference.stem}_tubelets.mp4"
        if place.resolve() in taken:
            raise ValueError(f"--render would write {place} over another video. Choose another --out, or rename "
                             f"{reference}.")
        taken.add(place.resolve())
        places[reference] = place
    return places
