"""What crosses the wire: bodies of requests, checked, and answers as JSON. Times in seconds, boxes in [0, 1]."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stvr.library import Hit
from stvr.structures import ClipSpec
from stvr.studio.catalogue import Catalogue, Entry
from stvr.studio.desks import Desk
from stvr.studio.searches import Search
from stvr.studio.shelf import TrackedExample, as_box
from stvr.studio.stills import Film

MOST_EXAMPLES = 16
MOST_PLACES = 64
FOLDERS = re.compile(r"(?<![\w.])/(?:[^/\s\'\"]+/)+")  # of an absolute path

Seconds = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
VideoId = Annotated[str, Field(max_length=64)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(Body):
    """Where a box is at a time."""

    seconds: Seconds
    box: tuple[Share, Share, Share, Share]


class Boxed(Body):
    """An example: a box in a video at a time; along a track where there is one."""

    video: VideoId
    at: Seconds
    box: tuple[Share, Share, Share, Share]
    track: Annotated[list[Place], Field(max_length=MOST_PLACES)] = Field(default_factory=list)

    @model_validator(mode="after")
    def has_area(self) -> Boxed:
        for left, top, right, bottom in (self.box, *(each.box for each in self.track)):
            if not (left < right and top < bottom):
                raise ValueError("a box must have an area: draw it larger")
        if any(one.seconds >= other.seconds for one, other in zip(self.track, self.track[1:], strict=False)):
            raise ValueError("the times of a track must rise")
        return self

    def example(self, catalogue: Catalogue) -> TrackedExample:
        """LookupError for a video that is not there."""
        track = tuple((each.seconds, as_box(each.box)) for each in self.track) or ((self.at, as_box(self.box)),)
        return TrackedExample(catalogue[self.video].video.path, self.at, track)


class Wanted(Body):
    """A search. refine: with the answers that were liked and disliked."""

    examples: Annotated[list[Boxed], Field(min_length=1, max_length=MOST_EXAMPLES)]
    refine: bool = False
    top: Annotated[int, Field(ge=1, le=200)] = 20


class Mark(Body):
    mark: Literal["up", "down", "none"]


class View(Body):
    """What the page shows just now."""

    video: VideoId = ""
    at: Seconds = 0.0
    examples: Annotated[list[Boxed], Field(max_length=MOST_EXAMPLES)] = Field(default_factory=list)


def listed(entry: Entry) -> dict[str, Any]:
    """A video in the list of the library."""
    video = entry.video
    return {"id": entry.id, "name": video.name, "seconds": video.seconds, "doubt": video.doubt,
            "uploaded": entry.uploaded}  # fmt: skip


def film_json(entry: Entry, film: Film, played: bool) -> dict[str, Any]:
    """A video that is opened. played: whether a browser may be able to show its file."""
    info = film.info
    return {**listed(entry), "width": info.width, "height": info.height, "first": film.first, "last": film.last,
            "rate": len(info.ticks) / float(info.duration), "codec": info.codec, "played": played,
            "doubt": info.doubt()}  # fmt: skip


def answer_json(number: int, answer: Hit, desk: Desk, catalogue: Catalogue, clip: ClipSpec) -> dict[str, Any]:
    """number: from 0. boxes: in the middle of each clip; between these they move on straight lines."""
    span = answer.tubelet.span
    offset, mark = answer.begin - clip.seconds_at(span.start), desk.mark_of(answer)
    return {
        "number": number, "video": catalogue.id_of(Path(answer.path)), "name": answer.video, "begin": answer.begin,
        "end": answer.end, "score": round(answer.score, 6), "false_alarm": answer.false_alarm,
        "mark": {None: "none", True: "up", False: "down"}[mark],
        "boxes": [{"seconds": offset + clip.middle_of(each), "box": [round(edge, 5) for edge in box]}
                  for each, box in zip(range(span.start, span.stop), answer.tubelet.boxes.tolist(), strict=True)],
    }  # fmt: skip


def search_json(desk: Desk, catalogue: Catalogue, clip: ClipSpec) -> dict[str, Any]:
    """How the search of a desk goes, and its answers."""
    search = desk.search or NO_SEARCH
    return {
        "state": search.state if desk.search else "none", "error": without_folders(search.error), "done": search.done,
        "total": search.total, "failed": {name: without_folders(why) for name, why in search.failed.items()},
        "answers": [answer_json(number, each, desk, catalogue, clip) for number, each in enumerate(desk.answers())],
    }  # fmt: skip


def without_folders(text: str) -> str:
    """One line in which files are called by their names alone: where they lie is nobody's business."""
    return " ".join(FOLDERS.sub("", text).split())


def one_line(errors: list[Mapping[str, Any]]) -> str:
    """The first thing that is wrong with a request, and where."""
    first = errors[0]
    where = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
    what = str(first.get("msg", "it does not fit")).removeprefix("Value error, ")
    return " ".join(f"{where + ': ' if where else ''}{what}.".split())[:300]


NO_SEARCH = Search()
