"""stvr predict: what class a video is, or who is in it and what they do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stvr.commands import Device, Weights, done, exit_telling, usable, video_files
from stvr.video_names import names_of

if TYPE_CHECKING:
    from stvr.jobs.predict import Predictor
    from stvr.session import Session


def predict(
    videos: Annotated[list[Path], typer.Argument(help="Video files, folders of them.", show_default=False)],
    checkpoint: Annotated[
        str | None,
        typer.Option(help="A trained classifier or head step, or a run's folder; without it, I3D's own classes.",
                     show_default=False),
    ] = None,
    weights: Weights = None,
    names: Annotated[
        Path | None, typer.Option(help="The classes of --weights in their order, one a line; else Kinetics-400's.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    segments: Annotated[
        int | None, typer.Option(min=1, help="A classifier: cut a video into so many. Else: at most so many windows of "
                                             "2.56 s, spread over the video, not all of them.")
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="The classes of every segment, not of the whole video.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file to write; else standard output.")] = None,
    render: Annotated[
        Path | None, typer.Option(help="A folder for the videos with what was found drawn in.", show_default=False)
    ] = None,
    device: Device = "cpu",
) -> None:
    """Which class each video is, as JSON: the likeliest ones, averaged over the video or for each of its segments.

    By a head that finds people: everybody at every second and what each of them does, as AVA's CSV.
    """
    from stvr.backbones.weights.named import DEFAULT
    from stvr.files import check_folder
    from stvr.heads import PeopleOptions
    from stvr.jobs.predict import ByHead, ByNetwork
    from stvr.session import Session

    files = names_of(video_files(videos))
    if checkpoint is not None and names is not None:
        raise ValueError(f"--names are those of --weights, but {checkpoint} has its own. Leave --names out.")
    if out is not None:
        check_folder(out.parent)
    places = {} if render is None else rendered_at(files, render)
    predictor: Predictor
    if checkpoint is None:
        predictor = ByNetwork(weights or DEFAULT, names, segments, usable(device))
    else:
        session = Session.open(checkpoint, weights=weights, device=usable(device))
        if isinstance(session.loaded.options, PeopleOptions):
            if segments is not None or each:
                raise ValueError("--segments and --each are for classes of whole videos. Leave them out.")
            return people(session, files, places, out)
        predictor = ByHead(session, segments or 1)
    classes(predictor, files, places, out, top, each)


def classes(
    predictor: Predictor, files: Mapping[str, Path], places: Mapping[str, Path], out: Path | None, top: int, each: bool
) -> None:
    """The likeliest classes of every video."""
    from stvr.files import write_json
    from stvr.jobs.predict import predict as run_predict
    from stvr.progress import shown_steps

    failed: dict[str, str] = {}
    with shown_steps("predicting") as show:
        results = run_predict(
            predictor, files, top=top, each_segment=each, places=places,
            report=lambda number, total: show(number, total, {}),
            on_failure=lambda name, error: failed.update({name: str(error)}),
        )  # fmt: skip
    if out is None:
        print(json.dumps(results, indent=1, ensure_ascii=False))
    else:
        write_json(out, results)
        done(out, f"{len(results['results'])} of {len(files)} videos")
    exit_telling(failed)


def people(session: Session, files: Mapping[str, Path], places: Mapping[str, Path], out: Path | None) -> None:
    """Everybody in every video."""
    from stvr.files import write_text
    from stvr.jobs.predict_people import predict_people
    from stvr.progress import shown_steps

    failed: dict[str, str] = {}
    with shown_steps("predicting") as show:
        text = predict_people(
            session, files, places=places, report=lambda number, total: show(number, total, {}),
            on_failure=lambda name, error: failed.update({name: str(error)}),
        )  # fmt: skip
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        done(out, f"{text.count(chr(10))} rows of {len(files) - len(failed)} of {len(files)} videos")
    exit_telling(failed)


def rendered_at(files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Where each video is drawn. ValueError where that would be over a video that is read."""
    places = {name: folder / f"{name.replace('/', '_')}_predicted.mp4" for name in files}
    read = {path.resolve() for path in files.values()}
    if taken := [place for place in places.values() if place.resolve() in read]:
        raise ValueError(f"--render would write {taken[0]} over a video that is read. Choose another folder.")
    return places
