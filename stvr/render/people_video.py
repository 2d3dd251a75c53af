"""Videos with people drawn in, each with what it does; videos with their class written over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from stvr.render.draw import colour_of, draw_box, draw_words, text_scale
from stvr.structures import ClipSpec, Detections
from stvr.video.decode import probe
from stvr.video.encode import like
from stvr.video.pictures import Picture, frames, upright

SHOWN_FROM, SAME_PERSON = 0.4, 0.8  # STEP's demo: the least score, and the IoU from which two boxes show one person
LINE = 13  # pixels of the small font


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One person in one clip: box (4,) xyxy in [0, 1], what it shows with scores, best first, and its best label."""

    box: Tensor
    shows: Sequence[tuple[str, float]]
    label: int


def people_in(clip: Detections, names: Sequence[str], least: float = SHOWN_FROM) -> list[Seen]:
    """Boxes of all classes joined where they show one person, the mean of them drawn; names: of the classes."""
    kept = clip.scores >= least
    boxes, scores, labels = clip.boxes[kept], clip.scores[kept].tolist(), clip.labels[kept].tolist()
    free, found = torch.ones(len(boxes), dtype=torch.bool), []
    for row in range(len(boxes)):  # best first
        if not free[row]:
            continue
        own = free & (box_iou(boxes[row : row + 1], boxes)[0] >= SAME_PERSON)
        own[row] = True
        free &= ~own
        rows = own.nonzero()[:, 0].tolist()
        found.append(Seen(boxes[own].mean(0), [(names[labels[each]], scores[each]) for each in rows], labels[row]))
    return found


def render_people(video: Path, clips: Sequence[Sequence[Seen]], out: Path, spec: ClipSpec) -> Path:
    """Writes `out` (mp4, H.264): every frame at its own time and size, with the people of its clip and what they show.

    ValueError when `video` cannot be read.
    """
    def draw(picture: Picture, seconds: float) -> None:
        clip = spec.index_at(seconds)
        for person in clips[clip] if clip < len(clips) else ():
            draw_person(picture, person)

    return redrawn(video, out, draw)


def render_classes(video: Path, segments: Sequence[tuple[float, float, str]], out: Path) -> Path:
    """The same with a line of words in the upper left corner. segments: start and stop on the video's clock, words."""
    offset = float(probe(video).offset)

    def draw(picture: Picture, seconds: float) -> None:
        for number, (start, stop, words) in enumerate(segments):
            if start <= offset + seconds < stop:
                draw_words(picture, words, 0, 0, colour_of(number))
                break

    return redrawn(video, out, draw)


def redrawn(video: Path, out: Path, draw: Callable[[Picture, float], None]) -> Path:
    """draw(picture, seconds after the first one) draws on every frame."""
    info = probe(video)
    out.parent.mkdir(parents=True, exist_ok=True)
    with like(info, out) as writer:
        for tick, frame in frames(info):
            picture = upright(frame, info)
            draw(picture, float(tick * info.time_base))
            writer.add(picture, tick)
    return out


def draw_person(picture: Picture, person: Seen) -> None:
    """A box with a line for each class above it, or from the upper edge down where there is no room."""
    colour, line = colour_of(person.label), LINE * text_scale(picture)
    draw_box(picture, person.box.numpy(), colour)
    left, top = np.clip(person.box[:2].numpy(), 0, 1) * [picture.shape[1], picture.shape[0]]
    bottom = max(round(top), min(line * len(person.shows), picture.shape[0]))
    for number, (name, score) in enumerate(person.shows):
        draw_words(picture, f"{name}: {score:.2f}", round(left), bottom - line * number, colour)
