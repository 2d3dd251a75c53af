"""Localisers trained on some actions of real clips and asked for others, beside those that are never trained.

    python benchmarks/bench_real_table.py MANIFEST --work FOLDER [--weights FILE] [--rows warp_lstm,votes] [--seeds 3]
        [--device cuda] [--processes 12] [--out FILE.md]

MANIFEST is a CSV with file, set, class, group, boxes (see real_clips.py). The actions are dealt into three folds, those
that share a group (an actor, a scene) into the same one; each row trains on two and is asked for the third: pairs of
the debiased protocol for frame-mAP and video-mAP, and a second of every clip asked of all videos of other groups for
the first answer. What is not an action trains as somebody who does something else. Every finished training is kept in
FOLDER; other options want another. Intervals are the middle 95 % of draws of the pairs, or of the queries.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from by_seed import How, check_kept, kept
from called import Parser, above_zero, device, some_of, told_in_one_line
from circumstances import circumstances
from many_trainings import Job, command, side_by_side, tell_left_out
from real_clips import RealClip, manifest_rows, read_clips, tell_failed
from real_folds import NUM_FOLDS, folds_of, is_action, write_pairs_of
from real_questions import localisation
from real_table_page import page
from table_rows import AS_THE_PAPER, BASELINE, ROWS, Row

from stvr.backbones import load_backbone
from stvr.extract.flow import load_flow
from stvr.extract.job import extract
from stvr.files import write_json, write_text
from stvr.jobs.train import TrainOptions, train, train_options
from stvr.metrics.bootstrap import bootstrap
from stvr.session import Session
from stvr.store import FeatureStore
from stvr.structures import ClipSpec
from stvr.tasks.pairs.build import read_pairs
from stvr.tasks.pairs.figures import score
from stvr.tasks.pairs.judge import answer_pairs

PAPER, DEPTHS = ("Mixed_4c",), ("Mixed_4c", "Mixed_4f", "Mixed_5c")
DEEP = {"localise_on": "Mixed_4c", "match_on": "Mixed_5c"}
REAL_ROWS: dict[str, Row] = {
    **ROWS,
    "nearest": Row({"name": "nearest"}, trained=False, deep=True, video=True),
    "nearest on the paper's features": Row({"name": "nearest"}, trained=False),
    "warp_lstm on whole videos": Row({**AS_THE_PAPER, "propagation": BASELINE}, video=True),
    "warp_lstm on whole videos matched on 5c": Row({**AS_THE_PAPER, "propagation": BASELINE, **DEEP}, deep=True,
                                                 video=True),
    "best with map+rpn on whole videos matched on 5c": Row(
        {**ROWS["best"].head, **DEEP, "proposals": "map+rpn"}, ROWS["best"].training, deep=True, video=True),
    "best on whole videos matched on 5c": Row({**ROWS["best"].head, **DEEP}, ROWS["best"].training, deep=True,
                                            video=True),
}  # fmt: skip
TRAINING = {"flip": "on", "steps": 150, "batch_size": 8, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01,
            "schedule": "cosine", "warmup_steps": 15, "save_every": 50}  # fmt: skip
CONTEXTS = ("clip", "video")
KEPT_BYTES = 4 << 30


def main() -> None:
    chosen = arguments()
    with told_in_one_line():
        jobs = jobs_of(chosen)
        check_kept({run_of(work, name, fold, seed): how for work, _, name, fold, seed, how, _ in jobs})
        videos = [chosen.manifest.parent / row["file"] for row in manifest_rows(chosen.manifest)]
        for context in CONTEXTS:
            extract_all(videos, chosen, context)
        clips = clips_of(chosen.manifest, chosen.work)
        folds = folds_of(clips)
        for fold, labels in enumerate(folds):
            print(f"fold {fold}: {', '.join(labels)}", file=sys.stderr)
            write_pairs_of(chosen.work / f"pairs_{fold}.json", clips, labels)
    about = about_of(chosen, len(clips), folds)
    found: dict[str, list[Mapping[str, Any]]] = {}
    told, done = time.monotonic(), 0
    for (_, _, name, *_), figures in side_by_side(figures_of, jobs, chosen.processes):
        found.setdefault(name, []).append(figures)
        done += 1
        if chosen.out and time.monotonic() > told + 5:
            write(chosen.out, about, found, chosen.rows)
            told = time.monotonic()
    print(page(about, found, chosen.rows))
    if chosen.out and done:
        write(chosen.out, about, found, chosen.rows)
    tell_left_out(len(jobs), done)


def arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", default="i3d-kinetics-400")
    parser.add_argument("--rows", type=some_of(REAL_ROWS), default=",".join(REAL_ROWS))
    parser.add_argument("--seeds", type=above_zero, default=3)
    parser.add_argument("--steps", type=above_zero, default=TRAINING["steps"])
    parser.add_argument("--image-size", type=above_zero, default=224)
    parser.add_argument("--device", type=device, default="cpu")
    parser.add_argument("--processes", type=above_zero, default=1)
    parser.add_argument("--commit", help="where git cannot tell")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def jobs_of(chosen: argparse.Namespace) -> list[Job]:
    """What `figures_of` is called with, a seed at a time; what is not trained has one seed."""
    how = {"image_size": chosen.image_size, "weights": Path(chosen.weights).name,
           "device": chosen.device.split(":")[0],
           "manifest": sha256(chosen.manifest.read_bytes()).hexdigest()[:12]}  # fmt: skip
    return [(chosen.work, chosen.manifest, name, fold, seed,
             how | ({"steps": chosen.steps} if REAL_ROWS[name].trained else {}), chosen.device)
            for seed in range(chosen.seeds) for name in chosen.rows for fold in range(NUM_FOLDS)
            if seed == 0 or REAL_ROWS[name].trained]  # fmt: skip


def about_of(chosen: argparse.Namespace, num_clips: int, folds: Sequence[Sequence[str]]) -> dict[str, Any]:
    """What the page says of the figures; where git cannot tell the commit, what was given."""
    facts = circumstances(torch.device(chosen.device)) | ({"commit": chosen.commit} if chosen.commit else {})
    return {**facts, "command": command("MANIFEST"), "clips": str(num_clips),
            "folds": "; ".join(", ".join(each) for each in folds), "steps": str(chosen.steps),
            "pixels": str(chosen.image_size)}  # fmt: skip


def store_at(work: Path, context: str) -> Path:
    return work / f"{context}.zarr"


def extract_all(videos: Sequence[Path], chosen: argparse.Namespace, context: str) -> None:
    """Isolated clips at the paper's endpoint, with flow; whole videos as context at three. Both views of each."""
    backbone = load_backbone("i3d", chosen.weights, ",".join(DEPTHS), device=chosen.device)
    clip = ClipSpec(image_size=chosen.image_size, context=context, cuts="keep" if context == "video" else "ignore")
    flow = load_flow("ilk", chosen.image_size) if context == "clip" else None
    tell_failed(extract(videos, store_at(chosen.work, context), backbone, clip, flow=flow, flip=True,
                        workers=chosen.processes))  # fmt: skip


def clips_of(manifest: Path, work: Path) -> list[RealClip]:
    """Those that can be asked in every context."""
    return read_clips(manifest, *(FeatureStore.open(store_at(work, context)) for context in CONTEXTS))


def run_of(work: Path, name: str, fold: int, seed: int) -> Path:
    return work / f"{name.replace(' ', '_')}_{fold}_{seed}"


def options_of(row: Row, seed: int, steps: int) -> TrainOptions:
    flags = {**TRAINING, **row.training, "seed": seed, "head": row.head, "steps": steps}
    return train_options("small", flags=flags)


def figures_of(
    work: Path, manifest: Path, name: str, fold: int, seed: int, how: How, device: str
) -> dict[str, Any]:  # fmt: skip
    """Of one training, or of what needs none; kept beside it."""
    run = run_of(work, name, fold, seed)
    return kept(run, how, lambda: trained_and_asked(work, run, manifest, REAL_ROWS[name], fold, seed, how, device))


def trained_and_asked(
    work: Path, run: Path, manifest: Path, row: Row, fold: int, seed: int, how: How, device: str
) -> dict[str, Any]:  # fmt: skip
    torch.set_num_threads(1)
    whole = FeatureStore.open(store_at(work, "video" if row.video else "clip"))
    store = whole.only(DEPTHS if row.deep else PAPER)
    pairs_path, begun = work / f"pairs_{fold}.json", time.monotonic()
    if row.trained:
        options = options_of(row, seed, how["steps"])
        if not row.deep and options.head.name in ("matching", "progressive"):
            head = options.head.model_copy(update={"localise_on": PAPER[0]})
            options = options.model_copy(update={"head": head})
        elif options.head.name == "region_graph":
            options = options.model_copy(update={"head": options.head.model_copy(update={"endpoint": PAPER[0]})})
        train(whole.path, pairs_path, run, options, resume=True, device=device)
        session = Session.open(run, store=whole, device=device, kept_bytes=KEPT_BYTES)
    else:
        session = Session.open("nearest", store=store, proposals="map", device=device, kept_bytes=KEPT_BYTES)
    trained = time.monotonic() - begun
    pairs = [pair for pair in read_pairs(pairs_path)[0] if pair.split == "test"]
    answers = list(answer_pairs(session, store, pairs, seed))
    scored = score(answers, store.spec.clip, seed)
    own, other = [each.own for each in answers], [each.shuffled for each in answers if each.shuffled is not None]
    both = {"model": own, **({"shuffled": other} if len(other) == len(own) else {})}
    drawn = {name: {label: [round(float(value), 5) for value in values] for label, values in by_label.items()}
             for name, by_label in bootstrap(both, 0.5, seed=fold).items()}  # fmt: skip
    clips = clips_of(manifest, work)
    asked, seconds = first_answers(session, clips, fold)
    return {
        "fold": fold, "seed": seed, "train_seconds": trained, "question_seconds": seconds, "pairs": len(pairs),
        "per_label": scored["frame_map"]["per_label"], "shuffled": (scored["shuffled_query"] or {}).get("per_label"),
        "video_map": scored["video_map"]["per_label"], "recall": scored["proposal_recall"],
        "errors": scored["errors"], "drawn": drawn, "asked": asked,
        "parameters": sum(each.numel() for each in session.head.parameters()),
    }  # fmt: skip


@torch.inference_mode()
def first_answers(session: Session, clips: Sequence[RealClip], fold: int) -> tuple[dict[str, dict[str, float]], float]:
    """By query, what `judged` says of it; and the seconds that a question of one kept reference takes."""
    wanted = set(folds_of(clips)[fold])
    asking = [one for one in clips if one.label in wanted and is_action(one)]
    outcomes, seconds = localisation(session, clips, asking=asking)
    return {each.clip.name: each.figures for each in outcomes}, seconds


def write(
    out: Path, about: Mapping[str, str], found: Mapping[str, Sequence[Mapping[str, Any]]], rows: Sequence[str]
) -> None:  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, page(about, found, rows))
    short = {name: [{key: value for key, value in run.items() if key != "drawn"} for run in runs]
             for name, runs in found.items()}  # fmt: skip
    write_json(out.with_suffix(".json"), json.loads(json.dumps({"about": about, "found": short})))


if __name__ == "__main__":
    main()
