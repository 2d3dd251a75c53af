"""Draws the README's picture of the two stages from the folder of a finished `stvr demo`: DEMO -> SVG."""

from __future__ import annotations

import argparse
import base64
import json
from html import escape
from pathlib import Path

import numpy as np
import torch

from stvr.jobs.demo import Places, choose_questions
from stvr.labels import label_name
from stvr.render import still
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Pair, Span, Tubelet
from stvr.tasks.pairs.build import read_pairs
from stvr.tubelets import tube_iou
from stvr.tubelets.by_clip import boxes_by_clip
from stvr.video.encode import jpeg

SIDE, GAP, LEFT, WIDTH = 112, 10, 20, 900
NUM_CLIPS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("svg", type=Path)
    arguments = parser.parse_args()
    places = Places(arguments.demo)
    pairs, header = read_pairs(places.pairs)
    results = json.loads((places.evaluation / "eval.json").read_text())
    questions = choose_questions(pairs, results)
    pair = max(questions, key=lambda pair: overlap(read_answer(places, pair, ClipSpec()), pair))
    arguments.svg.parent.mkdir(parents=True, exist_ok=True)
    arguments.svg.write_text(draw(places, pair, label_name(pair.label, header["labels"])))


def draw(places: Places, pair: Pair, name: str) -> str:
    spec, span = ClipSpec(), pair.reference
    clips = [span.start + (2 * n + 1) * len(span) // (2 * NUM_CLIPS) for n in range(NUM_CLIPS)]
    video = places.videos / f"{span.video}.mp4"
    times = [spec.middle_of(clip) for clip in clips]
    best, store, parts = read_answer(places, pair, spec), FeatureStore.open(places.store), []
    parts.append(words(LEFT, 24, "Stage one: videos -> I3D -> feature store (once)", "head"))
    for column, (clip, seconds) in enumerate(zip(clips, times, strict=True)):
        x = LEFT + column * (SIDE + GAP)
        parts.append(image(x, 40, still(video, seconds)))
        parts.append(image(x, 40 + SIDE + 26, energy(store, Span(span.video, clip, clip + 1))))
        parts.append(words(x, 40 + SIDE + 16, f"{seconds:.1f} s", "note"))
    note = LEFT + NUM_CLIPS * (SIDE + GAP) + 10
    parts.append(words(note, 100, "clips of 8 frames, 24 a second", "note"))
    parts.append(words(note, 240, f"{store.spec.endpoint} feature maps in Zarr", "note"))
    parts.append(words(note, 256, "(mean over channels shown)", "note"))
    top = 2 * SIDE + 110
    parts.append(words(LEFT, top, f"Stage two: an example of “{name}”, and where and when it happens", "head"))
    middle = len(pair.query.span) // 2
    at = spec.seconds_at(pair.query.span.start + middle) + 0.1
    query = still(places.videos / f"{pair.query.span.video}.mp4", at, [pair.query.boxes[middle].tolist()])
    parts.append(image(LEFT, top + 16, query))
    parts.append(words(LEFT, top + SIDE + 32, "the query, boxed", "note"))
    for column, (clip, seconds) in enumerate(zip(clips, times, strict=True)):
        x = LEFT + 40 + (column + 1) * (SIDE + GAP)
        parts.append(image(x, top + 16, answered(video, seconds, Span(span.video, clip, clip + 1), best, pair)))
        parts.append(words(x, top + SIDE + 32, f"{seconds:.1f} s", "note"))
    height = top + SIDE + 64
    legend = "solid: the first answer, with its score; dashed: the truth"
    parts.append(words(LEFT + 40 + SIDE + GAP, height - 12, legend, "note"))
    style = ".head{font:600 17px sans-serif;fill:#246}.note{font:12px sans-serif;fill:#667}"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}">'
            f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n')


def read_answer(places: Places, pair: Pair, spec: ClipSpec) -> Tubelet | None:
    """The best tubelet of the demo's answer to the pair."""
    for path in sorted(places.answers.glob(f"*{pair.query.span.video}_in_{pair.reference.video}/tubelets.jsonl")):
        for line in path.read_text().splitlines():
            found = json.loads(line)
            start = spec.index_at(found["start_seconds"])
            boxes = torch.tensor([each["box"] for each in found["boxes"]])
            boxes = boxes / torch.tensor([found["width"], found["height"]]).repeat(2)
            return Tubelet(Span(pair.reference.video, start, start + len(boxes)), boxes, found["score"])
    return None


def overlap(best: Tubelet | None, pair: Pair) -> float:
    """How well the answer fits: the picture shows the best of the demo's answers, its report shows all of them."""
    return max((tube_iou(best, target) for target in pair.targets), default=0.0) if best else 0.0


def answered(video: Path, seconds: float, moment: Span, best: Tubelet | None, pair: Pair) -> np.ndarray:
    answer = best.within(moment) if best else None
    truth = boxes_by_clip(pair.targets, moment.start, 1)[0].boxes
    boxes, titles = (answer.boxes, [f"{answer.score:.2f}"]) if answer else ((), ())
    return still(video, seconds, boxes, truth=truth, titles=titles)


def energy(store: FeatureStore, span: Span) -> np.ndarray:
    """The mean over time and channels of one clip's maps as a picture (S, S, 3) uint8."""
    mean = np.log1p(store.read(span)[0].float().mean((-2, -1)).numpy())
    grey = (255 * (mean - mean.min()) / max(np.ptp(mean), 1e-6)).astype(np.uint8)
    grey = grey.repeat(16, 0).repeat(16, 1)
    return np.ascontiguousarray(np.stack([grey // 3, grey, 255 - (255 - grey) // 2], -1))


def image(x: int, y: int, picture: np.ndarray) -> str:
    data = base64.b64encode(jpeg(picture, 160)).decode()
    return f'<image x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" href="data:image/jpeg;base64,{data}"/>'


def words(x: int, y: int, text: str, kind: str) -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'


if __name__ == "__main__":
    main()
