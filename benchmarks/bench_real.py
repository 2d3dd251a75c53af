"""What one example finds in real clips with nothing trained: which video, where in it, and what a question costs.

    python benchmarks/bench_real.py MANIFEST --work FOLDER [--weights i3d-kinetics-400] [--out FILE.md]

MANIFEST is a CSV with file, set, class, group, boxes (see real_clips.py). Each class that another group shows too asks,
with a true second of one video; queries and answers are never of one group. Statistics are those that ship, measured on
other videos. Intervals are the middle 95 % of 2,000 draws of the queries. Extracts into FOLDER first; started again, it
goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from real_clips import RealClip, manifest_rows, read_clips
from torch import Tensor
from torch.nn import functional as F

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.heads.nearest import NearestHead
from stvr.machine import processor
from stvr.metrics.tube_overlap import Flat, overlaps, temporal_x_spatial
from stvr.render.bars import Bar, BarChart, bar_chart
from stvr.session import Session
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Features, Query, Span, Tubelet

ENDPOINTS = ("Mixed_4c", "Mixed_4f", "Mixed_5c")
CLIPS = {"clip": ClipSpec(), "video": ClipSpec(context="video", cuts="keep")}
PAPER = ("clip", ("Mixed_4c",))
LOCALISED = (("video", ENDPOINTS), ("video", ("Mixed_4c", "Mixed_5c")), PAPER)
DRAWS, RIGHT = 2000, 0.5
SETS: dict[str, Callable[[RealClip], bool]] = {
    "outside Weizmann": lambda clip: clip.kind != "Weizmann", "Weizmann": lambda clip: clip.kind == "Weizmann",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one query: the place in SETS' terms of who asked, and figures in [0, 1] by name, each for this query."""

    clip: RealClip
    figures: dict[str, float]


def askers(clips: Sequence[RealClip]) -> list[RealClip]:
    """Those whose class another group shows too."""
    return [one for one in clips if any(other.label == one.label and other.group != one.group for other in clips)]


def average_precision(right: Sequence[bool], total: int) -> float:
    """Of a ranking, best first, in which `total` right ones could stand."""
    found = np.cumsum(right)
    return float((found / np.arange(1, len(right) + 1) * np.asarray(right)).sum() / max(total, 1))


def retrieval(session: Session, clips: Sequence[RealClip]) -> list[Outcome]:
    """Every clip is one vector: its longest tubelet's regions on the map that is matched on, their mean."""
    head = session.head
    assert isinstance(head, NearestHead)
    vectors = {clip.name: F.normalize(described(session, clip).mean(0), dim=0) for clip in clips}
    outcomes = []
    for one in askers(clips):
        others = [clip for clip in clips if clip.group != one.group]
        order = np.argsort([-float(vectors[one.name] @ vectors[clip.name]) for clip in others], kind="stable")
        right = [others[place].label == one.label for place in order]
        figures = {"rank-1": float(right[0]), "mAP": average_precision(right, sum(right))}
        outcomes.append(Outcome(one, figures))
    return outcomes


@torch.inference_mode()
def described(session: Session, clip: RealClip) -> Tensor:
    longest = max(clip.tubelets, key=lambda each: len(each.span))
    return query_of(session, longest).regions["what"]


def query_of(session: Session, tubelet: Tubelet) -> Query:
    assert session.store is not None
    maps = session.store.read_features(tubelet.span, session.spec.endpoints)
    return session.pooled(tubelet, Features(maps.maps))


def localisation(session: Session, clips: Sequence[RealClip]) -> tuple[list[Outcome], float]:
    """Each query asked of every video of another group; and the seconds that a question of one kept reference takes."""
    outcomes, seconds, asked = [], 0.0, 0
    asking = askers(clips)
    for number, one in enumerate(asking):
        print(f"{number}/{len(asking)} {one.name}", file=sys.stderr, flush=True)
        query, answers = query_of(session, one.example), []
        for other in clips:
            if other.group == one.group:
                continue
            begun = time.perf_counter()
            found = session.tubelets(query, session.video(other.name).clips(Span(other.name, 0, other.num_clips)))
            seconds, asked = seconds + time.perf_counter() - begun, asked + 1
            answers += [(each, other, best_iou(each, other)) for each in found]
        outcomes.append(Outcome(one, judged(one, clips, answers)))
    return outcomes, seconds / asked


def judged(
    one: RealClip, clips: Sequence[RealClip], answers: list[tuple[Tubelet, RealClip, tuple[float, int]]]
) -> dict[str, float]:
    """Figures of the answers of one query over all references, distractors among them."""
    answers = sorted(answers, key=lambda each: -each[0].score)
    partners = [clip for clip in clips if clip.label == one.label and clip.group != one.group]
    first = {clip.name: next((iou for _, other, (iou, _) in answers if other is clip), 0.0) for clip in partners}
    taken, right = set[tuple[str, int]](), []
    for _, other, (iou, place) in answers:
        is_right = other.label == one.label and iou >= RIGHT and (other.name, place) not in taken
        taken |= {(other.name, place)} if is_right else set()
        right.append(is_right)
    best, top_iou = (answers[0][1], answers[0][2][0]) if answers else (None, 0.0)
    return {
        "right video given: first box right": float(np.mean([iou >= RIGHT for iou in first.values()])),
        "right video given: tube IoU": float(np.mean(list(first.values()))),
        "all videos: action right": float(best is not None and best.label == one.label),
        "all videos: action and tube right": float(best is not None and best.label == one.label and top_iou >= RIGHT),
        "all videos: mAP": average_precision(right, sum(len(clip.tubelets) for clip in partners)),
    }


def best_iou(found: Tubelet, clip: RealClip) -> tuple[float, int]:
    """The tube IoU with the best of the true tubelets, and which that is."""
    truth = Flat.of(clip.tubelets)
    zeros, every = np.zeros(len(clip.tubelets), np.int64), np.arange(len(clip.tubelets))
    ious = temporal_x_spatial(overlaps(Flat.of([found]), truth, zeros, every))
    return float(ious.max()), int(ious.argmax())


def mean_and_interval(values: Sequence[float]) -> str:
    """"0.72 (0.61 to 0.83)"."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (DRAWS, len(values))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{np.mean(values):.2f} ({low:.2f} to {high:.2f})"


def table_lines(outcomes: Sequence[tuple[str, Sequence[Outcome]]]) -> list[str]:
    names = list(outcomes[0][1][0].figures)
    lines = [f"| features | queries | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for title, rows in outcomes:
        for which, belongs in SETS.items():
            chosen = [each.figures for each in rows if belongs(each.clip)]
            cells = [mean_and_interval([each[name] for each in chosen]) for name in names]
            lines.append(f"| {title} | {which}, {len(chosen)} | {' | '.join(cells)} |")
    return lines


def chart_of(title: str, name: str, outcomes: Sequence[tuple[str, Sequence[Outcome]]]) -> str:
    bars = [Bar(f"{row}: {which}", 100 * float(np.mean([each.figures[name] for each in rows if belongs(each.clip)])))
            for row, rows in outcomes for which, belongs in SETS.items()]
    return bar_chart(BarChart(title, bars, top=100.0))


def title_of(context: str, endpoints: Sequence[str]) -> str:
    paper = " (the paper's)" if (context, tuple(endpoints)) == PAPER else ""
    return f"{'a clip by itself' if context == 'clip' else 'whole video'}, {'+'.join(endpoints)}{paper}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", default="i3d-kinetics-400")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    videos = [chosen.manifest.parent / row["file"] for row in manifest_rows(chosen.manifest)]
    stores = {}
    for context, clip in CLIPS.items():
        place = chosen.work / context
        extract(videos, place, load_backbone("i3d", chosen.weights, ",".join(ENDPOINTS)), clip)
        stores[context] = FeatureStore.open(place)
    clips = read_clips(chosen.manifest, stores["video"])
    lines = [f"`python benchmarks/bench_real.py`, {len(clips)} clips, weights {chosen.weights}; {processor()}.", "",
             "## Which: true boxes given", ""]  # fmt: skip
    sought = [(title_of(context, [endpoint]), retrieval(opened(store, [endpoint]), clips))
              for context, store in stores.items() for endpoint in ENDPOINTS]  # fmt: skip
    lines += [*table_lines(sought), "", "## Which and where: nothing given but the example", ""]
    found = []
    for context, endpoints in LOCALISED:
        outcomes, seconds = localisation(opened(stores[context], endpoints), clips)
        found.append((title_of(context, endpoints), outcomes))
        print(f"{found[-1][0]}: {seconds:.3f} s a question of a reference", flush=True)
        print("\n".join(table_lines(found)), flush=True)
        lines.append(f"{found[-1][0]}: {1000 * seconds:.0f} ms a question of one reference, its first look included.\n")
    lines += table_lines(found)
    print("\n".join(lines))
    if chosen.out:
        chosen.out.write_text("# Real clips, one example, nothing trained\n\n" + "\n".join(lines) + "\n")
        chart = chart_of("First answer over all videos right", "all videos: action and tube right", found)
        chosen.out.with_suffix(".html").write_text(chart)


def opened(store: FeatureStore, endpoints: Sequence[str]) -> Session:
    return Session.open("nearest", store=store.only(endpoints), device="cpu", kept_bytes=6 << 30)


if __name__ == "__main__":
    main()
