"""stvr predict: what class a video is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import Device, Weights, done, exit_telling, usable, video_files
from stvr.video_names import names_of


def predict(
    videos: Annotated[list[Path], typer.Argument(help="Video files, folders of them.", show_default=False)],
    checkpoint: Annotated[
        str | None,
        typer.Option(help="A trained classifier, or a run's folder; without it, I3D's own classes.",
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
    out: Annotated[Path | None, typer.Option(help="The JSON file to write; else standard output.")] = None,
    device: Device = "cpu",
) -> None:
    """Which class each video is: the likeliest ones, averaged over the video or for each of its segments, as JSON."""
    from stvr.backbones.weights.named import DEFAULT
    from stvr.files import write_json
    from stvr.jobs.predict import ByHead, ByNetwork, Predictor
    from stvr.jobs.predict import predict as run_predict
    from stvr.progress import shown_steps

    files = names_of(video_files(videos))
    if checkpoint is not None and names is not None:
        raise ValueError(f"--names are those of --weights, but {checkpoint} has its own. Leave --names out.")
    predictor: Predictor = (
        ByNetwork(weights or DEFAULT, names, segments, usable(device)) if checkpoint is None
        else ByHead(checkpoint, weights, segments or 1, usable(device))
    )  # fmt: skip
    failed: dict[str, str] = {}
    with shown_steps("predicting") as show:
        results = run_predict(
            predictor, files, top=top, each_segment=each, report=lambda number, total: show(number, total, {}),
            on_failure=lambda name, error: failed.update({name: str(error)}),
        )  # fmt: skip
    if out is None:
        print(json.dumps(results, indent=1, ensure_ascii=False))
    else:
        write_json(out, results)
        done(out, f"{len(results['results'])} of {len(files)} videos")
    exit_telling(failed)
