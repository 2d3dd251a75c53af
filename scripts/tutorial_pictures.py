"""Draws the pictures of the tutorial: a question asked of small drawn videos, by the commands that the tutorial names.

    python scripts/tutorial_pictures.py WORK docs

WORK gets the videos, their features and the answers; docs gets tutorial_sheet.webp and tutorial_answer.webp. It wants
I3D's trained weights (`stvr weights fetch i3d-kinetics-400`). In each video a thing swings, bounces or spins, and then
another does. The first video's swing asks. How many of the answers are right is printed: the pictures show what answers
look like, not how good they are on real video.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from stvr.render.exporters.records import Found, read_found
from stvr.video.encode import write_video
from stvr.video.pictures import frame_at

SIDE, RATE, SECONDS = 240, 24, 3  # pixels; frames a second; of each of the two deeds of a video
VIDEOS = ("swing bounce", "spin swing", "bounce spin", "swing spin", "bounce swing", "spin bounce", "swing bounce")
ASKED, BEST = "swing", 8
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Thing:
    """What does a deed from `start` seconds on: its middle and size in pixels, and its colour."""

    deed: str
    start: float
    middle: Point
    size: float
    colour: tuple[int, int, int]

    @property
    def box(self) -> list[float]:
        """Around all that it moves through, xyxy in [0, 1]."""
        (x, y), reach = self.middle, self.size
        wide = {"swing": 0.95, "bounce": 0.3, "spin": 0.75}[self.deed]
        sides = (x - wide * reach, y - 0.75 * reach, x + wide * reach, y + 0.75 * reach)
        return [max(0.0, edge) / SIDE for edge in sides]

    def draw(self, pen: ImageDraw.ImageDraw, seconds: float) -> None:
        DEEDS[self.deed](self, pen, 2 * np.pi * seconds)


def swing(thing: Thing, pen: ImageDraw.ImageDraw, phase: float) -> None:
    """A disc on a rod, there and back in 1.2 seconds."""
    (x, y), angle, length = thing.middle, 0.75 * np.sin(phase / 1.2), 1.2 * thing.size
    top, radius = y - 0.7 * thing.size, 0.22 * thing.size
    end = (x + length * np.sin(angle), top + length * np.cos(angle))
    pen.line([(x, top), end], thing.colour, max(3, round(thing.size / 10)))
    disc(pen, end, radius, thing.colour)


def bounce(thing: Thing, pen: ImageDraw.ImageDraw, phase: float) -> None:
    (x, y), radius = thing.middle, 0.28 * thing.size
    disc(pen, (x, y + 0.45 * thing.size - 0.95 * thing.size * abs(np.sin(phase / 1.4))), radius, thing.colour)


def spin(thing: Thing, pen: ImageDraw.ImageDraw, phase: float) -> None:
    """A cross, once around in 1.5 seconds."""
    x, y = thing.middle
    for turn in (0.0, np.pi / 2):
        dx, dy = 0.7 * thing.size * np.cos(phase / 1.5 + turn), 0.7 * thing.size * np.sin(phase / 1.5 + turn)
        pen.line([(x - dx, y - dy), (x + dx, y + dy)], thing.colour, max(4, round(thing.size / 4)))


def disc(pen: ImageDraw.ImageDraw, middle: Point, radius: float, colour: tuple[int, int, int]) -> None:
    x, y = middle
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], colour, (20, 20, 20))


DEEDS: dict[str, Callable[[Thing, ImageDraw.ImageDraw, float], None]] = {"swing": swing, "bounce": bounce, "spin": spin}


def things(number: int) -> list[Thing]:
    random = np.random.default_rng(number)
    found = []
    for place, deed in enumerate(VIDEOS[number].split()):
        size = random.uniform(50, 70)
        middle = tuple(random.uniform(1.0 * size, SIDE - 1.0 * size, 2).tolist())
        colour = tuple(random.integers(60, 256, 3).tolist())
        found.append(Thing(deed, place * SECONDS, middle, size, colour))
    return found


def pictures(number: int) -> Iterator[np.ndarray]:
    """Frames (1, SIDE, SIDE, 3): a soft pattern that drifts, and the thing of the moment."""
    noise = np.random.default_rng(100 + number).standard_normal((SIDE, SIDE, 3))
    ground = np.clip(110 + 500 * gaussian_filter(noise, (12, 12, 0), mode="wrap"), 0, 255).astype(np.uint8)
    for frame in range(2 * SECONDS * RATE):
        picture = Image.fromarray(np.roll(ground, frame // 3, 1))
        seconds = frame / RATE
        things(number)[int(seconds // SECONDS)].draw(ImageDraw.Draw(picture), seconds)
        yield np.asarray(picture)[None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("docs", type=Path)
    chosen = parser.parse_args()
    videos, answers = chosen.work / "videos", chosen.work / "answers"
    videos.mkdir(parents=True, exist_ok=True)
    files = [videos / f"video{number}.mp4" for number in range(len(VIDEOS))]
    for number, file in enumerate(files):
        if not file.exists():
            write_video(file, pictures(number), RATE, SIDE)
    box = ",".join(f"{edge:.4f}" for edge in things(0)[0].box)
    stvr("locate", "--query", files[0], "--box", box, "--at", 1.5, *files[1:], "--store", chosen.work / "features.zarr",
         "--out", answers, "--render")  # fmt: skip
    tubelets = answers / "tubelets.jsonl"
    stvr("export", tubelets, "--format", "contact-sheet", "--best", BEST, "--label", ASKED, "--out",
         answers / "sheet.png")  # fmt: skip
    found = sorted(read_found(tubelets), key=lambda each: -each.score)[:BEST]
    print("right, of the best:", [is_right(each) for each in found])
    save(Image.open(answers / "sheet.png"), chosen.docs / "tutorial_sheet.webp")
    save(answer_picture(found[0], answers), chosen.docs / "tutorial_answer.webp")


def stvr(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "stvr", *map(str, words)], check=True)


def is_right(found: Found) -> bool:
    """Whether most of it is the asked deed, with a mean IoU of at least a half with the box around it."""
    size = (found.width, found.height, found.width, found.height)
    asked = [thing for thing in things(int(Path(found.reference).stem[5:])) if thing.deed == ASKED]
    shares = [max((iou(box / size, thing.box) for thing in asked
                   if thing.start <= found.seconds_at(clip) < thing.start + SECONDS), default=0.0)
              for clip, box in enumerate(found.boxes, found.start)]  # fmt: skip
    return float(np.mean(shares)) >= 0.5


def iou(one: np.ndarray, other: list[float]) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.prod(np.maximum(high - low, 0))
    area = np.prod(one[2:] - one[:2]) + np.prod(np.subtract(other[2:], other[:2]))
    return float(shared / (area - shared))


def answer_picture(found: Found, answers: Path) -> Image.Image:
    """A moment of the annotated video, in the middle of the best answer."""
    middle = (found.seconds_at(found.start) + found.seconds_at(found.stop)) / 2
    picture = Image.fromarray(frame_at(answers / f"{Path(found.reference).stem}_tubelets.mp4", middle))
    return picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.LANCZOS)


def save(picture: Image.Image, path: Path) -> None:
    picture.convert("RGB").save(path, quality=75, method=6)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
