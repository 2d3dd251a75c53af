"""Every localiser on one action world: propagations, sister systems and what is not trained, some seeds each.

Run: python benchmarks/bench_world_table.py FOLDER [--rows warp_lstm,progressive] [--seeds 3] [--out FILE.md]
The stages of `stvr demo` on one world of seed 0; each row trains with its head's small preset and is asked for actions
that no training video shows, with the right query and with another's. Every finished training is kept in FOLDER, so
that the same command goes on where it was stopped. Seconds are of the processor, of one training step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from bench_match_world import Apart
from by_seed import Figures, kept, shown, step_seconds, train_all
from torch.utils.flop_counter import FlopCounterMode

from stvr.backbones import load_backbone
from stvr.extract.flow import load_flow
from stvr.extract.job import extract
from stvr.heads import HEADS, Localizer, build_head
from stvr.heads.checkpoint import HEAD_FILE, load_head, save_head
from stvr.jobs.demo import SIZES, DemoSize, Places, evaluated, prepare
from stvr.jobs.train import train, train_options
from stvr.machine import processor
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Span
from stvr.world.synthetic import write_world

IOUS = ("0.3", "0.5", "0.7")
LINKER = "online"  # of `stvr locate`, for the video-mAP


@dataclass(frozen=True, slots=True)
class Row:
    """head: options of the head. training: over those of the demo's size, which are the matching head's."""

    head: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    trained: bool = True


ROWS = {
    **{name: Row({"propagation": {"name": name}}) for name in ("none", "conv_lstm", "flow", "traj_lstm", "warp_lstm")},
    "region_graph": Row({"name": "region_graph"}),
    "progressive": Row({"name": "progressive"}),
    "nearest": Row({"name": "nearest"}, trained=False),
}


def run_row(row: Row, places: Apart, plan: DemoSize, seed: int) -> dict[str, Any]:
    begun, steps = time.process_time(), 0
    if row.trained:
        options = train_options("small", flags={**plan.training, **row.training, "seed": seed, "head": row.head})
        steps = train(places.store, places.pairs, places.run, options, resume=True).steps_now
    else:
        places.trained.mkdir(parents=True, exist_ok=True)
        save_untrained(places, row)
    spent = time.process_time() - begun
    begun = time.process_time()
    results = evaluated(places, seed, plan.max_pairs, "cpu")
    return {
        "frame_map": {iou: 100 * results["frame_map"]["mean"][iou] for iou in IOUS},
        "shuffled": {iou: 100 * results["shuffled_query"]["mean"][iou] for iou in IOUS},
        "step_seconds": spent / steps if steps else None, "eval_seconds": time.process_time() - begun,
        "video_map": results.get("video_map"), **size_of(places),
    }  # fmt: skip


def save_untrained(places: Apart, row: Row) -> None:
    store, entry = FeatureStore.open(places.store), HEADS[row.head["name"]]
    spec = store.spec
    options = entry.fit(entry.options(**row.head), spec)
    head = build_head(options, spec)
    if head.wants_features():
        names = [video for video in store.videos() if video.startswith("train")]
        head.calibrate(store.read_features(Span(names[0], 0, store.num_clips(names[0]))))
    save_head(places.run / HEAD_FILE, head, options, spec, {"train": {}, "step": 0})


def size_of(places: Apart) -> dict[str, float]:
    """Parameters, and billions of operations a clip of the part that does not depend on the query."""
    loaded, store = load_head(places.run / HEAD_FILE), FeatureStore.open(places.store)
    head = loaded.head.eval()
    assert isinstance(head, Localizer)
    video = store.videos()[0]
    reads = HEADS[loaded.options.name].reads(loaded.options)
    span = Span(video, 0, store.num_clips(video))
    features = store.only(reads.chosen(store.spec)).read_features(span)
    if reads.flow:
        features = replace(features, flow=store.read_flow(span).float())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        head.look(features)
    parameters = sum(each.numel() for each in head.parameters())
    return {"parameters": parameters, "gflop_a_clip": counter.get_total_flops() / len(span) / 1e9}


def table(found: Mapping[str, Sequence[Figures]]) -> list[str]:
    lines = ["| | " + " | ".join(f"IoU {iou}" for iou in IOUS) + " | shuffled, 0.5 | owed to the query | "
             "video-mAP 0.2 | video-mAP 0.5 | parameters | GFLOP a clip | core s a step | runs |",
             "|---|" + "---|" * (len(IOUS) + 8)]  # fmt: skip
    for name, runs in found.items():
        cells = [shown([run["frame_map"][iou] for run in runs]) for iou in IOUS]
        tubes = [run["video_map"]["linkers"][LINKER] for run in runs]
        cells += [shown([run["shuffled"]["0.5"] for run in runs]),
                  shown([run["frame_map"]["0.5"] - run["shuffled"]["0.5"] for run in runs]),
                  *(shown([100 * tube[iou] for tube in tubes]) for iou in ("0.2", "0.5")),
                  f"{runs[0]['parameters']:,}", f"{runs[0]['gflop_a_clip']:.2f}",
                  step_seconds(runs, 2), str(len(runs))]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", default="tiny", choices=SIZES)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    plan, world = SIZES[chosen.size], Places(chosen.folder)
    world.out.mkdir(parents=True, exist_ok=True)
    write_world(world.world, size=plan.world, seed=0, **plan.dials)
    videos = sorted(world.videos.glob("*.mp4"))
    backbone = load_backbone(weights="analytic", endpoint=plan.endpoint)
    extract(videos, world.store, backbone, ClipSpec(image_size=plan.image_size), flow=load_flow("ilk", plan.image_size))
    prepare(world, 0)

    def run(name: str, seed: int) -> Figures:
        places = Apart(world.out, world.store, world.out / f"{name}_{seed}")
        return kept(places.trained, lambda: run_row(ROWS[name], places, plan, seed))

    def text(found: Mapping[str, Sequence[Figures]]) -> str:
        return "\n".join([
            "# Every localiser on the action world", "",
            f"`python benchmarks/bench_world_table.py FOLDER --size {chosen.size} --seeds {chosen.seeds}`: "
            f"{processor()}, torch {torch.__version__}, one thread. frame-mAP in percent on unseen actions, mean "
            "and standard deviation over the seeds of training and of the pairs that are asked.", "", *table(found),
        ])  # fmt: skip

    train_all(chosen.rows.split(","), chosen.seeds, run, text, chosen.out)



if __name__ == "__main__":
    main()
