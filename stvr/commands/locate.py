"""stvr locate: where and when, in other videos, what a query shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import (
    Device,
    FlowWeights,
    Weights,
    done,
    exit_telling,
    tell_doubts,
    usable,
    video_files,
)
from stvr.commands.example_options import (
    NegativeBoxes,
    NegativeTimes,
    NegativeVideos,
    QueryBoxes,
    QuerySpans,
    QueryTimes,
    QueryVideos,
    examples_of,
    negatives_of,
)
from stvr.video_names import names_of

ReadStore = Annotated[
    str | None, typer.Option(help="Read features from this store; references it lacks are extracted into it.")
]


def locate(
    references: Annotated[list[Path], typer.Argument(help="The videos to look in.", show_default=False)],
    query: QueryVideos,
    box: QueryBoxes,
    at: QueryTimes,
    out: Annotated[Path, typer.Option(help="The folder for tubelets.jsonl.", show_default=False)],
    checkpoint: Annotated[
        str | None,
        typer.Option(help="A trained head, or a run's folder; without it the head that needs no training.",
                     show_default=False),
    ] = None,
    span: QuerySpans = None,
    negative: NegativeVideos = None,
    negative_box: NegativeBoxes = None,
    negative_at: NegativeTimes = None,
    store: ReadStore = None,
    statistics: Annotated[
        str | None, typer.Option(help="Without --checkpoint: the store that says what is usual; else what ships.")
    ] = None,
    proposals: Annotated[
        str | None, typer.Option(help="Without --checkpoint: where boxes come from, map, grid, boxes (a detector's, of "
                                      "the store), rpn (those of --proposer), or several joined by +; else map.")
    ] = None,
    proposer: Annotated[
        str | None, typer.Option(help="For --proposals rpn: a trained head whose proposals are taken.")
    ] = None,
    weights: Weights = None,
    flow_weights: FlowWeights = None,
    render: Annotated[bool, typer.Option("--render", help="Write an annotated mp4 of each reference.")] = False,
    device: Device = "cpu",
) -> None:
    """Where and when: JSON Lines of tubelets in seconds and pixels, best first; annotated video."""
    from stvr.jobs.locate import locate_files
    from stvr.progress import shown_steps
    from stvr.session import Answer

    files = video_files(references) if store is None else files_or_names(references)
    (first, *more), others = examples_of(query, box, at, span), negatives_of(negative, negative_box, negative_at)
    places = render_places(files, [*query, *(negative or [])], out) if render else {}

    def write_video(answer: Answer) -> None:
        from stvr.render.video import render_tubelets

        if answer.path in places:
            render_tubelets(answer.path, answer.tubelets, places[answer.path], answer.clip)

    with shown_steps("locating") as tell:
        report = locate_files(
            checkpoint, query[0], first.box, first.at, files, out, span=first.span, examples=more, negatives=others,
            weights=weights, flow_weights=flow_weights, store=store, statistics=statistics, proposals=proposals,
            proposer=proposer, device=usable(device),
            on_answer=write_video, report=lambda path, done, total: tell(done, total, {}),
        )  # fmt: skip
    done(report.path, f"{report.num_tubelets} tubelets in {report.num_references} references")
    tell_doubts(report.doubtful)
    exit_telling(report.failed)


def files_or_names(references: list[Path]) -> list[Path]:
    """Video files, those of folders, and names of videos in the store, which need no file."""
    return [each for path in references for each in (video_files([path]) if path.exists() else [path])]


def render_places(references: list[Path], asked: list[Path], out: Path) -> dict[Path, Path]:
    """Where the annotated video of each reference goes; never over another one, nor over a video that is read."""
    places: dict[Path, Path] = {}
    taken = {path.resolve() for path in (*references, *asked)}
    for name, reference in names_of(list(dict.fromkeys(references))).items():
        if not reference.is_file():
            raise ValueError(f"--render draws on a video file, but {reference} is a name in the store. "
                             "Give the file, or leave out --render.")
        place = out / f"{name.replace('/', '_')}_tubelets.mp4"
        if place.resolve() in taken:
            raise ValueError(f"--render would write {place} over another video. Choose another --out, or rename "
                             f"{reference}.")
        taken.add(place.resolve())
        places[reference] = place
    return places
