"""Draws the README's moving picture from the folder of a finished `stvr demo`: one query, found in two other videos.

The label is the one that the head finds best, and the query the best answered among its first ones: the picture shows
what an answer looks like, `stvr eval` says how good the answers are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import stvr
from stvr.jobs.demo import Places
from stvr.labels import label_name
from stvr.render.draw import DARK, TRUTH, Picture, colour_of, draw_box, letters, with_time_bar
from stvr.render.video import box_at
from stvr.structures import ClipSpec, Pair, Tubelet
from stvr.tasks.pairs.file import read_pairs
from stvr.tubelets import tube_iou
from stvr.video.pictures import frame_at

SIDE, GAP = 240, 8  # pixels: of a panel, between panels
RATE, SECONDS = 12, 4.0  # pictures a second, length of the film
NUM_QUERIES, NUM_REFERENCES, NUM_SHOWN = 4, 6, 2
QUERY_SECONDS = 1.0  # what `locate` takes as the query around the given moment


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a video, a box (4,) in [0, 1] and its moment in seconds."""

    path: Path
    box: Sequence[float]
    at: float


@dataclass(frozen=True, slots=True)
class Found:
    """The best tubelet of one reference, and its overlap with the truth."""

    path: Path
    clip: ClipSpec
    duration: float
    tubelet: Tubelet
    overlap: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path)
    parser.add_argument("webp", type=Path)
    arguments = parser.parse_args()
    places = Places(arguments.demo)
    pairs, header = read_pairs(places.pairs)
    label = best_label(places)
    same = [pair for pair in pairs if pair.split == "test" and pair.label == label and pair.targets]
    question, found = best_answer(places, same)
    first, *others = film(question, found, label_name(label, header["labels"]))
    first.save(arguments.webp, save_all=True, append_images=others, duration=round(1000 / RATE), loop=0, quality=60,
               method=6)  # fmt: skip
    overlaps = ", ".join(f"{each.overlap:.2f}" for each in found)
    print(f"{arguments.webp}: {arguments.webp.stat().st_size} bytes; overlap of its answers with the truth: {overlaps}")


def best_label(places: Places) -> str:
    """Of the labels in `stvr eval`'s result, the one with the highest AP at IoU 0.5."""
    table = json.loads((places.evaluation / "eval.json").read_text())["frame_map"]["per_label"]
    return max(table, key=lambda label: table[label]["0.5"] or 0.0)


def best_answer(places: Places, same: Sequence[Pair]) -> tuple[Question, list[Found]]:
    """Asks the first queries of a label, and keeps the one whose answers overlap the truth most."""
    questions = {pair.query.span.video: question_of(places, pair.query) for pair in same}
    answers = [(question, ask(places, question, same)) for question in list(questions.values())[:NUM_QUERIES]]
    enough = [each for each in answers if len(each[1]) == NUM_SHOWN]
    return max(enough, key=lambda each: min(found.overlap for found in each[1]))


def question_of(places: Places, query: Tubelet) -> Question:
    middle, spec = len(query.span) // 2, ClipSpec()
    at = spec.seconds_at(query.span.start + middle) + 0.1
    return Question(places.videos / f"{query.span.video}.mp4", query.boxes[middle].tolist(), at)


def ask(places: Places, question: Question, same: Sequence[Pair]) -> list[Found]:
    """What was found in other videos that show the label, the best overlap first."""
    true = {places.videos / f"{pair.reference.video}.mp4": pair.targets for pair in same}
    references = [path for path in true if path != question.path][:NUM_REFERENCES]
    found = []
    for answer in stvr.locate(places.run, question.path, question.box, question.at, references):
        if answer.tubelets:
            best = answer.tubelets[0]
            overlap = max(tube_iou(best, target) for target in true[answer.path])
            found.append(Found(answer.path, answer.clip, answer.duration_seconds, best, overlap))
    return sorted(found, key=lambda each: -each.overlap)[:NUM_SHOWN]


def film(question: Question, found: Sequence[Found], name: str) -> Iterator[Image.Image]:
    for number in range(round(RATE * SECONDS)):
        seconds = number / RATE
        panels = [query_panel(question, seconds, name), *(answer_panel(each, seconds) for each in found)]
        height = max(panel.shape[0] for panel in panels)
        yield Image.fromarray(np.concatenate([padded(panel, height) for panel in panels], 1)[:, :-GAP])


def query_panel(question: Question, seconds: float, name: str) -> Picture:
    """The second of the query, repeated, with its box."""
    picture = enlarged(frame_at(question.path, max(0.0, question.at - QUERY_SECONDS / 2) + seconds % QUERY_SECONDS))
    draw_box(picture, question.box, TRUTH, title="like this")
    return np.concatenate([line(f"the query: {name}"), picture])


def answer_panel(found: Found, seconds: float) -> Picture:
    """The part of the reference around the tubelet, with a time bar."""
    start, stop = (found.clip.seconds_at(clip) for clip in (found.tubelet.span.start, found.tubelet.span.stop))
    from_seconds = min(max((start + stop - SECONDS) / 2, 0.0), max(found.duration - SECONDS, 0.0))
    picture = enlarged(frame_at(found.path, from_seconds + seconds))
    box = box_at(found.tubelet, from_seconds + seconds, found.clip)
    if box is not None:
        draw_box(picture, box, colour_of(0), title=f"{found.tubelet.score:.2f}")
    barred = with_time_bar(picture, [(start, stop)], from_seconds + seconds, found.duration)
    return np.concatenate([line(f"found in {found.path.name}"), barred])


def enlarged(picture: Picture) -> Picture:
    return np.array(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def line(text: str) -> Picture:
    """(height, SIDE, 3): light text on a dark background."""
    mask = np.pad(letters(text, 1)[:, : SIDE - 6], ((4, 5), (4, 0)))
    strip = np.zeros((len(mask), SIDE))
    strip[:, : mask.shape[1]] = mask
    return (strip[..., None] * np.array(TRUTH) + (1 - strip[..., None]) * np.array(DARK)).round().astype(np.uint8)


def padded(panel: Picture, height: int) -> Picture:
    """The panel with a dark border below, and the gap on its right."""
    whole = np.full((height, SIDE + GAP, 3), DARK, np.uint8)
    whole[: panel.shape[0], :SIDE] = panel
    return whole


if __name__ == "__main__":
    main()
