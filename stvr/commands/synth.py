"""stvr synth: a world to try everything on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from stvr.commands import Seed, done

Number = TypeVar("Number", int, float)


def synth(
    out: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    size: Annotated[str, typer.Option(help="tiny for tests, small for two cores, full for a GPU.")] = "small",
    actors: Annotated[str | None, typer.Option(help="How many in a video: N, or FEWEST,MOST.")] = None,
    speed: Annotated[str | None, typer.Option(help="Cells that an actor moves in a clip: N or A,B.")] = None,
    occlusion: Annotated[str | None, typer.Option(help="Seconds a board hides each actor: N or A,B.")] = None,
    clutter: Annotated[str | None, typer.Option(help="Swinging things that are not actors: N or A,B.")] = None,
    seconds: Annotated[str | None, typer.Option(help="Length of a video, and so of references: N or A,B.")] = None,
    styles: Annotated[str | None, typer.Option(help="How actors are painted: plain,outlined,striped.")] = None,
    combined: Annotated[
        bool | None, typer.Option("--combined/--single", help="Two labels for an actor, a motion and a path; or one.")
    ] = None,
    exact_boxes: Annotated[
        bool | None, typer.Option("--exact-boxes/--outline-boxes", help="Boxes to the pixel, or of the outline.")
    ] = None,
    masks: Annotated[bool, typer.Option("--masks", help="Also write each actor's mask; boxes are exact then.")] = False,
    image_size: Annotated[int | None, typer.Option(help="Side of the square pictures, in pixels.")] = None,
    train_videos: Annotated[int | None, typer.Option(help="How many videos for training.")] = None,
    val_videos: Annotated[int | None, typer.Option(help="How many videos for validation.")] = None,
    test_videos: Annotated[int | None, typer.Option(help="How many videos for testing.")] = None,
    seed: Seed = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; every core if not given.")] = None,
) -> None:
    """Write the synthetic action world: mp4 files, AVA-format annotations, each video's dials, a contact sheet."""
    from stvr.world.synthetic import write_world

    options = write_world(
        out, size=size, seed=seed, workers=workers, masks=masks, combined=combined, exact_boxes=exact_boxes,
        image_size=image_size, num_train_videos=train_videos, num_val_videos=val_videos, num_test_videos=test_videos,
        styles=None if styles is None else tuple(styles.split(",")), actors=ends("actors", actors, int),
        speed=ends("speed", speed, float), occlusion=ends("occlusion", occlusion, float),
        clutter=ends("clutter", clutter, int), seconds=ends("seconds", seconds, int),
    )  # fmt: skip
    done(out, f"{len(options.names())} videos, their annotations, scenes.csv with their dials, contact.png to look at")


def ends(name: str, text: str | None, kind: Callable[[str], Number]) -> tuple[Number, Number] | None:
    """ "2,4" as (2, 4), "3" as (3, 3)."""
    if text is None:
        return None
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        number = "a whole number" if kind is int else "a number"
        raise ValueError(f"--{name} wants {number}, or the smallest and the largest as A,B; got {text!r}.")
    return numbers[0], numbers[-1]
