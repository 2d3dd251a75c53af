"""stvr search: ask a library of videos that was indexed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stvr.commands import Device, Weights, done, edges, exit_telling, usable
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

if TYPE_CHECKING:
    from stvr.library import Hit, Library

ALL = "all"


def search(
    index: Annotated[Path, typer.Argument(help="The folder of the index.", show_default=False)],
    query: QueryVideos,
    box: QueryBoxes,
    at: QueryTimes,
    span: QuerySpans = None,
    negative: NegativeVideos = None,
    negative_box: NegativeBoxes = None,
    negative_at: NegativeTimes = None,
    top: Annotated[int, typer.Option(min=1, help="How many tubelets are told, the best ones.")] = 20,
    windows: Annotated[
        str, typer.Option(help="How many windows of the library are looked at, those that the index finds most alike; "
                               "all for everything.")
    ] = "32",
    false_alarms: Annotated[
        float | None, typer.Option(help="Say nothing that would be found this often did the library not hold it, .05 "
                                        "say.", show_default=False)
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Search once more, with those of the best answers that find the query when "
                                           "they are asked back.")
    ] = False,
    folder: Annotated[str | None, typer.Option(help="Only videos that lie in it.")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="The name or path of a video that is not asked, such as the query's own; "
                                            "again for others.", show_default=False)
    ] = None,
    between: Annotated[str | None, typer.Option(help="T0,T1: only what shares these seconds of its video.")] = None,
    region: Annotated[
        str | None, typer.Option(help="X1,Y1,X2,Y2: only what has its middle there, in pixels or in [0, 1].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder for tubelets.jsonl; printed without.", show_default=False)
    ] = None,
    render: Annotated[bool, typer.Option("--render", help="Write an annotated mp4 of each video in --out.")] = False,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="A trained head that localises; without it the head that needs no training.",
                     show_default=False),
    ] = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Where in a library, and when: JSON Lines of tubelets in seconds and pixels, best first; annotated video."""
    from stvr.files import check_folder
    from stvr.jobs.locate import write_lines
    from stvr.library import Library
    from stvr.progress import shown_steps

    examples, others = examples_of(query, box, at, span), negatives_of(negative, negative_box, negative_at)
    seconds = None if between is None else edges(between, 2, "--between T0,T1")
    place = None if region is None else edges(region, 4, "--region X1,Y1,X2,Y2")
    count = None if windows == ALL else number_of(windows)
    if render and out is None:
        raise ValueError("--render writes videos. Name a folder with --out.")
    if out is not None:
        check_folder(out)
    library, failed = Library.open(index, head=checkpoint, weights=weights, device=usable(device)), dict[str, str]()
    with shown_steps("searching") as tell:
        hits = library.search(
            library.query_of(examples, others), top=top, windows=count, folder=folder,
            between=None if seconds is None else (seconds[0], seconds[1]),
            region=None if place is None else (place[0], place[1], place[2], place[3]),
            report=lambda done, total, found: tell(done, total, {"best": found[0].score} if found else {}),
            on_failure=lambda name, error: failed.__setitem__(name, str(error)), without=without or (),
            false_alarms=false_alarms, again=again,
        )  # fmt: skip
    lines, videos = library.lines(hits), len({hit.video for hit in hits})
    if out is None:
        sys.stdout.write("".join(json.dumps(line) + "\n" for line in lines))
    else:
        done(write_lines(out, lines), f"{len(hits)} tubelets in {videos} of {len(library)} videos")
        if render:
            render_hits(library, hits, [*query, *(negative or [])], out)
    exit_telling(failed)


def number_of(text: str) -> int:
    """The value of --windows."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"wanted --windows N or --windows {ALL}, got {text!r}. Give a number of at least 1, or {ALL}.")
    return int(text)


def render_hits(library: Library, hits: Sequence[Hit], asked: list[Path], out: Path) -> None:
    """An annotated video of each file with a hit; what has no file here is told of."""
    from stvr.commands.locate import render_places
    from stvr.render.video import render_tubelets

    paths = list(dict.fromkeys(Path(hit.path) for hit in hits))
    for path in (path for path in paths if not path.is_file()):
        print(f"stvr: {path} is no file here, so it is not drawn", file=sys.stderr)
    for path, place in render_places([path for path in paths if path.is_file()], asked, out).items():
        tubelets = [hit.tubelet for hit in hits if Path(hit.path) == path]
        render_tubelets(path, tubelets, place, library.index.spec.clip)
