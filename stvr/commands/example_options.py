"""The options of a query: a video, a box and a time for each example, and for each of what is not meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stvr.commands import edges, seconds_pair

if TYPE_CHECKING:
    from stvr.session import Example
    from stvr.session.examples import Box, Track

QueryVideos = Annotated[
    list[Path],
    typer.Option(help="The video that shows it; again, with a --box and an --at each, for further examples.",
                 show_default=False),
]  # fmt: skip
BOX = "X1,Y1,X2,Y2"
BOX_HELP = f"{BOX} around the actor, in pixels or in [0, 1]; of one that moves {BOX}@SECONDS/{BOX}@SECONDS/..."
QueryBoxes = Annotated[list[str], typer.Option(help=BOX_HELP, show_default=False)]
QueryTimes = Annotated[list[float], typer.Option(help="When, in seconds.", show_default=False)]
QuerySpans = Annotated[
    list[str] | None,
    typer.Option(help="START,STOP of the query in seconds; a second around --at if not given.", show_default=False),
]
NegativeVideos = Annotated[
    list[Path] | None, typer.Option("--negative", help="A video that shows what is not meant.", show_default=False)
]
NegativeBoxes = Annotated[
    list[str] | None, typer.Option("--negative-box", help="The box of a --negative.", show_default=False)
]
NegativeTimes = Annotated[
    list[float] | None, typer.Option("--negative-at", help="When, in seconds, of a --negative.", show_default=False)
]


def examples_of(
    videos: Sequence[Path], boxes: Sequence[str], times: Sequence[float], spans: Sequence[str] | None = None
) -> list[Example]:
    """What is meant. ValueError where an example lacks its box or its time."""
    every = list(spans) if spans else [None] * len(videos)
    read = [box_or_track(box, "--box") for box in boxes]
    if not len(videos) == len(boxes) == len(times) == len(every):
        raise ValueError("wanted a --box and an --at for each --query, and a --span for each or for none, got "
                         f"{len(videos)} --query, {len(boxes)} --box, {len(times)} --at and {len(spans or [])} --span.")
    return _examples(videos, read, times, every)


def negatives_of(
    videos: Sequence[Path] | None, boxes: Sequence[str] | None, times: Sequence[float] | None
) -> list[Example]:
    """What is not meant. ValueError as for `examples_of`."""
    videos, boxes, times = videos or [], boxes or [], times or []
    read = [box_or_track(box, "--negative-box") for box in boxes]
    if not len(videos) == len(boxes) == len(times):
        raise ValueError(f"wanted a --negative-box and a --negative-at for each --negative, got {len(videos)} "
                         f"--negative, {len(boxes)} --negative-box, {len(times)} --negative-at.")
    return _examples(videos, read, times, [None] * len(videos))


def box_or_track(text: str, option: str) -> Box | Track:
    """A box that stands still, or one that moves: its places joined by a slash, each with its second after an @."""
    if "@" not in text and "/" not in text:
        return edges(text, 4, f"{option} {BOX}")
    try:
        places = [place.partition("@") for place in text.split("/")]
        return [(edges(at, 1, "")[0], edges(box, 4, "")) for box, _, at in places]
    except ValueError:
        raise ValueError(f"wanted {option} {BOX}@SECONDS/{BOX}@SECONDS/... of a box that moves, got {text!r}. Give "
                         "each place four numbers, an @ and its second.") from None


def _examples(
    videos: Sequence[Path], boxes: Sequence[Box | Track], times: Sequence[float], spans: Sequence[str | None]
) -> list[Example]:
    from stvr.session import Example

    return [Example(video, box, at, seconds_pair(span))
            for video, box, at, span in zip(videos, boxes, times, spans, strict=True)]
