"""Every localiser on the action world: propagations, sister systems, what is not trained, ideas; some seeds each.

    python benchmarks/bench_world_table.py FOLDER [--size tiny] [--rows warp_lstm,votes] [--seeds 3] [--device cuda]
        [--processes 12] [--out FILE.md]

The stages of `stvr demo` on two worlds of seed 0: the demo's, and one where actors also travel and are hidden, each
from not at all to a lot, where the propagations are compared over both. Each row trains with the small preset and the
same steps and batches on debiased pairs, and is asked for actions that no training video shows, under both protocols,
with the right query and with another's. The second world is harder to learn, and gets more steps. Every finished
training is kept in FOLDER, so that the same command goes on where it was stopped, and one with other options is
refused. Time a step is measured first, of each row alone. FILE.md gets the tables; FILE.json all figures,
FILE_speed.svg and FILE_occlusion.svg the curves.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from by_seed import How, check_kept, kept
from called import Parser, above_zero, device, some_of, told_in_one_line
from circumstances import circumstances
from many_trainings import Job, command, side_by_side, tell_left_out
from step_times import step_cost
from table_rows import BASELINE, PROPAGATIONS, ROWS, Row
from world_tables import page, plots

from stvr.backbones import load_backbone
from stvr.extract.flow import load_flow
from stvr.extract.job import extract
from stvr.files import write_json, write_text
from stvr.heads import HEADS, build_head
from stvr.heads.checkpoint import HEAD_FILE, save_head
from stvr.jobs.demo import SIZES as DEMO_SIZES
from stvr.jobs.demo import DemoSize
from stvr.jobs.evaluate import evaluate
from stvr.jobs.train import TrainOptions, train, train_options
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Span
from stvr.tasks.pairs.prepare import PairOptions
from stvr.tasks.pairs.prepare import prepare as prepare_pairs
from stvr.world.options import CELL
from stvr.world.synthetic import write_world

PROTOCOLS = ("debiased", "released")  # asked under; trained on the first
WORLDS = ("plain", "dials")
DIALS = {"occlusion": (0.0, 1.5), "seconds": (5, 7), "num_train_videos": 150, "num_test_videos": 40}
SPEED = 0.15  # of those who travel fastest: of the picture's side, from one clip to the next
LONGER = 3  # times the steps of the plain world
PAPER = DemoSize("small", {"image_size": 320, "num_train_videos": 150, "num_test_videos": 40}, image_size=320,
                 training={"steps": 1000, "batch_size": 8})  # fmt: skip
SIZES = {**DEMO_SIZES, "paper": PAPER}
SAME = {"steps", "batch_size", "optimizer", "lr", "weight_decay", "schedule", "warmup_steps"}


def main() -> None:
    chosen = arguments()
    jobs = jobs_of(chosen)
    with told_in_one_line():
        check_kept({run_of(*job[:4]): job[4] for job in jobs}
                   | {costs_of(chosen, name): how_timed(chosen) for name in trained_rows(chosen)})  # fmt: skip
        for world in chosen.worlds:
            make_world(chosen.folder / world, world, chosen)
    about = about_of(chosen)
    costs = {name: measured(name, chosen) for name in trained_rows(chosen)}
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {world: {} for world in chosen.worlds}
    told, done = time.monotonic(), 0
    for (_, world, name, *_), figures in side_by_side(figures_of, jobs, chosen.processes):
        found[world].setdefault(name, []).append(figures)
        done += 1
        if chosen.out and time.monotonic() > told + 5:
            write(chosen.out, about, costs, found, chosen.rows)
            told = time.monotonic()
    print(page(about, costs, found, chosen.rows))
    if chosen.out and done:
        write(chosen.out, about, costs, found, chosen.rows)
    tell_left_out(len(jobs), done)


def arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=some_of(ROWS), default=",".join(ROWS))
    parser.add_argument("--worlds", type=some_of(WORLDS), default=",".join(WORLDS))
    parser.add_argument("--seeds", type=above_zero, default=3)
    parser.add_argument("--size", default="tiny", choices=SIZES)
    parser.add_argument("--train-videos", type=above_zero, help="those of the size, if not given")
    parser.add_argument("--image-size", type=above_zero, help="that of the size, if not given")
    parser.add_argument("--steps", type=above_zero)
    parser.add_argument("--dial-steps", type=above_zero,
                        help=f"on the world with dials; {LONGER} times the others by default")
    parser.add_argument("--device", type=device, default="cpu")
    parser.add_argument("--ask-device", type=device,
                        help="where trained heads are asked; where they are trained, if not given")
    parser.add_argument("--pairs", type=above_zero,
                        help="that are asked, of each protocol; those of the size, if not given")
    parser.add_argument("--processes", type=above_zero, default=1)
    parser.add_argument("--commit", help="where git cannot tell")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def trained_rows(chosen: argparse.Namespace) -> list[str]:
    return [name for name in chosen.rows if ROWS[name].trained]


def jobs_of(chosen: argparse.Namespace) -> list[Job]:
    """What `figures_of` is called with, a seed at a time."""
    devices = chosen.device, chosen.ask_device or chosen.device
    return [(chosen.folder, world, name, seed, how_made(chosen, world, ROWS[name]), *devices)
            for seed in range(chosen.seeds) for world in chosen.worlds for name in chosen.rows
            if world == "plain" or name in PROPAGATIONS]  # fmt: skip


def how_made(chosen: argparse.Namespace, world: str, row: Row) -> How:
    """The options that a row's figures follow from; the steps of what is trained."""
    return {
        **how_timed(chosen), "train_videos": dials_of(world, chosen).get("num_train_videos"),
        **({"steps": steps_of(chosen)[world]} if row.trained else {}),
        "pairs": chosen.pairs or SIZES[chosen.size].max_pairs,
        "ask_device": kind_of(chosen.ask_device or chosen.device),
    }  # fmt: skip


def how_timed(chosen: argparse.Namespace) -> How:
    """The options that a row's costs follow from."""
    return {"size": chosen.size, "image_size": image_size_of(chosen), "device": kind_of(chosen.device)}


def kind_of(device: str) -> str:
    return device.split(":")[0]


def about_of(chosen: argparse.Namespace) -> dict[str, Any]:
    """What the page says of the figures; where git cannot tell the commit, what was given."""
    facts = circumstances(torch.device(chosen.device)) | ({"commit": chosen.commit} if chosen.commit else {})
    steps = " and ".join(str(steps_of(chosen)[world]) for world in chosen.worlds)
    return {**facts, "command": command("FOLDER"), "steps": steps}


def make_world(place: Path, name: str, chosen: argparse.Namespace) -> None:
    """Videos, features with optical flow, and pairs under each protocol."""
    plan, image_size = SIZES[chosen.size], image_size_of(chosen)
    place.mkdir(parents=True, exist_ok=True)
    write_world(place / "world", size=plan.world, seed=0, workers=chosen.processes, **dials_of(name, chosen))
    videos = sorted((place / "world" / "videos").glob("*.mp4"))
    backbone = load_backbone(weights="analytic", endpoint=plan.endpoint, device=chosen.device)
    extract(videos, place / "features.zarr", backbone, ClipSpec(image_size=image_size), workers=chosen.processes,
            flow=load_flow("ilk", image_size), flip=True)  # fmt: skip
    store = FeatureStore.open(place / "features.zarr")
    lengths, held_out = {video: store.num_clips(video) for video in store.videos()}, place / "world/held_out_names.txt"
    for protocol in PROTOCOLS:
        if not (path := pairs_of(place, protocol)).exists():
            prepare_pairs("table", [place / "world" / "tracks.csv"], path, held_out=str(held_out), video_clips=lengths,
                          options=PairOptions(protocol=protocol))  # fmt: skip


def dials_of(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Of a world, over the preset of its size."""
    plan, image_size = SIZES[chosen.size], image_size_of(chosen)
    dials = {**plan.dials, **({**DIALS, "speed": (0.0, SPEED * image_size / CELL)} if name == "dials" else {})}
    given = {"num_train_videos": chosen.train_videos, "image_size": image_size}
    return dials | {name: value for name, value in given.items() if value}


def image_size_of(chosen: argparse.Namespace) -> int:
    return int(chosen.image_size or SIZES[chosen.size].image_size)


def pairs_of(place: Path, protocol: str) -> Path:
    return place / f"pairs_{protocol}.json"


def steps_of(chosen: argparse.Namespace) -> dict[str, int]:
    """Of a training on each of WORLDS."""
    plain = options_of(ROWS[BASELINE], chosen.size, 0, chosen.steps).steps
    return {"plain": plain, "dials": chosen.dial_steps or LONGER * plain}


def options_of(row: Row, size: str, seed: int, steps: int | None) -> TrainOptions:
    """Every head trains as the matching head does; what else its own small preset says stays."""
    same = train_options("small").model_dump(include=SAME)
    flags = {**same, **SIZES[size].training, "flip": "off", **row.training, "seed": seed, "head": row.head,
             "save_every": 100}  # fmt: skip
    return train_options("small", flags={**flags, **({"steps": steps} if steps else {})})


def measured(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """In this process, before anything else runs; kept."""
    options, place = options_of(ROWS[name], chosen.size, 0, chosen.steps), chosen.folder / chosen.worlds[0]
    torch.set_num_threads(1)
    return kept(costs_of(chosen, name), how_timed(chosen),
                lambda: step_cost(place / "features.zarr", pairs_of(place, PROTOCOLS[0]), options, chosen.device))


def costs_of(chosen: argparse.Namespace, name: str) -> Path:
    return Path(chosen.folder / f"costs_{kind_of(chosen.device)}" / name.replace(" ", "_"))


def run_of(folder: Path, world: str, name: str, seed: int) -> Path:
    return folder / world / f"{name.replace(' ', '_')}_{seed}"


def figures_of(
    folder: Path, world: str, name: str, seed: int, how: How, device: str, ask_device: str
) -> dict[str, Any]:  # fmt: skip
    """Of one training; kept beside it."""
    run = run_of(folder, world, name, seed)
    return kept(run, how, lambda: trained_and_asked(folder / world, run, ROWS[name], seed, how, device, ask_device))


def trained_and_asked(
    place: Path, run: Path, row: Row, seed: int, how: How, device: str, ask_device: str
) -> dict[str, Any]:  # fmt: skip
    torch.set_num_threads(1)
    store, begun = place / "features.zarr", time.monotonic()
    if row.trained:
        options = options_of(row, how["size"], seed, how["steps"])
        train(store, pairs_of(place, PROTOCOLS[0]), run, options, resume=True, device=device)
    else:
        save_untrained(store, run, row)
    trained, asked = time.monotonic() - begun, {}
    for protocol in PROTOCOLS if place.name == "plain" else PROTOCOLS[:1]:
        scenes = place / "world" / "scenes.csv" if place.name == "dials" else None
        results = evaluate(run, store, pairs_of(place, protocol), seed=seed, limit=how["pairs"] * (2 if scenes else 1),
                           device=ask_device, audit=place.name == "plain" and seed == 0, dials=scenes)
        asked[protocol] = in_short(results)
    return {"seed": seed, "train_seconds": trained, "ask_seconds": time.monotonic() - begun - trained, **asked}


def in_short(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the tables show, of what `stvr eval` reports."""
    return {
        "frame_map": results["frame_map"]["mean"], "frame_map_50_95": results["frame_map"]["mean_50_95"],
        "shuffled": (results["shuffled_query"] or {}).get("mean"), "probes": results["audit"],
        "video_map": results["video_map"]["linkers"], "recall": results["proposal_recall"],
        "errors": results["errors"], "by_dial": results["by_dial"], "evaluated": results["evaluated"],
    }  # fmt: skip


def save_untrained(store_path: Path, run: Path, row: Row) -> None:
    store, entry = FeatureStore.open(store_path), HEADS[row.head["name"]]
    options = entry.fit(entry.options(**row.head), store.spec)
    store = store.only(entry.reads(options).chosen(store.spec))
    head = build_head(options, replace(store.spec))
    if head.wants_features():
        name = next(video for video in store.videos() if video.startswith("train"))
        head.calibrate(store.read_features(Span(name, 0, store.num_clips(name))))
    run.mkdir(parents=True, exist_ok=True)
    save_head(run / HEAD_FILE, head, options, store.spec, {"train": {}, "step": 0})


def write(
    out: Path, about: Mapping[str, str], costs: Mapping[str, Any],
    found: Mapping[str, Mapping[str, list[Mapping[str, Any]]]], rows: list[str],
) -> None:  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, page(about, costs, found, rows))
    write_json(out.with_suffix(".json"), json.loads(json.dumps({"about": about, "costs": costs, "found": found})))
    for name, text in plots(found).items():
        write_text(out.with_name(f"{out.stem}_{name}.svg"), text)


if __name__ == "__main__":
    main()
