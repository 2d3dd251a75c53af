"""The pairs that were answered worst as stills: the query, the largest mistake, where the action truly is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from stvr.labels import label_name
from stvr.render.draw import TRUTH, Colour, Picture, colour_of, draw_box
from stvr.render.report import Answer
from stvr.render.result_tables import Results
from stvr.render.tables import percent
from stvr.video.decode import VideoError
from stvr.video.pictures import frame_at

QUERY, WRONG = colour_of(0), colour_of(1)
LEGEND: Mapping[str, Colour] = {
    "the actor of the query": QUERY,
    "the best-scored detection that hits no target": WRONG,
    "where the action truly is": TRUTH,
}

def worst_answers(results: Results, videos: Mapping[str, Path]) -> tuple[list[Answer], list[str]]:
    """The pairs of `results["worst"]` in their order, and the reasons why others are missing, a sentence each.

    videos: name -> file. A pair is left out when one of its two videos has no file or cannot be decoded.
    """
    answers: list[Answer] = []
    reasons: dict[str, None] = {}  # in order, each reason once
    for each in results["worst"]:
        try:
            answers.append(answer(each, results["labels"], videos))
        except (VideoError, OSError) as error:
            reasons[str(error)] = None
    return answers, list(reasons)


def answer(each: Results, names: Mapping[str, str], videos: Mapping[str, Path]) -> Answer:
    query, reference, mistake, target = (each[name] for name in ("query", "reference", "mistake", "target"))
    query_file, reference_file = (file_of(place["video"], videos) for place in (query, reference))
    stills = []
    if mistake:
        caption = f"{mistake['seconds']:.1f} s: {description(mistake)}"
        stills.append((caption, drawn(reference_file, mistake, mistake["truth"])))
    if not mistake or not mistake["truth"]:
        moment = {"seconds": target["seconds"]}
        stills.append((f"{target['seconds']:.1f} s: here it is", drawn(reference_file, moment, [target["box"]])))
    return Answer(
        title=f"{label_name(each['label'], names)}: asked with {query['video']}, searched in {reference['video']}, "
              f"AP {percent(each['average_precision'])} %",
        query=drawn(query_file, query, colour=QUERY),
        stills=stills,
    )  # fmt: skip


def description(mistake: Results) -> str:
    """What went wrong in the clip."""
    if mistake["box"] is None:
        return "not found"
    return f"scored {mistake['score']:.2f}, {'beside it' if mistake['truth'] else 'nobody does it here'}"


def drawn(video: Path, moment: Results, truth: Sequence[ArrayLike] = (), colour: Colour = WRONG) -> Picture:
    """The frame at the moment's "seconds": true boxes dashed, the moment's own "box" solid."""
    picture = frame_at(video, moment["seconds"])
    for box in truth:
        draw_box(picture, box, TRUTH, dashed=True)
    if moment.get("box") is not None:
        draw_box(picture, moment["box"], colour)
    return picture


def file_of(video: str, videos: Mapping[str, Path]) -> Path:
    if video not in videos:
        raise FileNotFoundError(f"{video!r} has no video file.")
    return videos[video]
