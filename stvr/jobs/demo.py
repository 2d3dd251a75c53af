"""The whole job on a world that it makes itself: synth, extract, prepare, train, eval, locate, one report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.files import write_json
from stvr.jobs.evaluate import evaluate
from stvr.jobs.locate import write_lines
from stvr.jobs.train import train, train_options
from stvr.labels import label_name
from stvr.progress import shown_steps
from stvr.render import Answer, demo_report, render_tubelets, still, text_table, write_report
from stvr.session import Session
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Pair, Span, Tubelet
from stvr.tasks.pairs.build import read_pairs
from stvr.tasks.pairs.prepare import PairOptions
from stvr.tasks.pairs.prepare import prepare as prepare_pairs
from stvr.training.runs import LOG_FILE
from stvr.tubelets.by_clip import boxes_by_clip
from stvr.version import __version__
from stvr.world.synthetic import write_world

NUM_ANSWERS = 4
NUM_STILLS = 5


@dataclass(frozen=True, slots=True)
class DemoSize:
    """How much of everything.

    world: a preset of the world, and dials that override it. endpoint: of I3D. training: options over those of the
    head's small preset. max_pairs: test pairs that are asked, drawn by the seed.
    """

    world: str
    dials: Mapping[str, Any] = field(default_factory=dict)
    image_size: int = 160
    endpoint: str = "Mixed_4c"
    training: Mapping[str, Any] = field(default_factory=dict)
    max_pairs: int = 150

    @property
    def mirrored(self) -> bool:
        """Whether training draws mirrored views too, which are extracted for it."""
        return self.training.get("flip") == "on"


SHORT = {"seconds": (4, 5), "actors": (2, 2)}
SIZES = {
    "tiny": DemoSize(  # two cores without bfloat16: at stride 8, 80 pixels are as many cells as 160 at stride 16
        "small",
        {"num_train_videos": 60, "num_test_videos": 20, "image_size": 80, **SHORT},
        image_size=80,
        endpoint="Mixed_3c",
        training={"steps": 120, "batch_size": 8, "lr": 2e-3},
        max_pairs=60,
    ),
    "small": DemoSize(  # more videos, larger figures, ten times the steps
        "small",
        {"image_size": 112, **SHORT},
        image_size=112,
        endpoint="Mixed_3c",
        training={"steps": 1200, "batch_size": 8, "lr": 2e-3, "ema": 0.97, "flip": "on"},
    ),
    "full": DemoSize("full", image_size=320, training={"steps": 3000}),  # for a GPU; has not been run
}


@dataclass(frozen=True, slots=True)
class Places:
    """Where each stage of the demo leaves its result."""

    out: Path

    world = property(lambda self: self.out / "world")
    videos = property(lambda self: self.out / "world" / "videos")
    store = property(lambda self: self.out / "features.zarr")
    pairs = property(lambda self: self.out / "pairs.json")
    run = property(lambda self: self.out / "run")
    evaluation = property(lambda self: self.out / "eval")
    answers = property(lambda self: self.out / "answers")
    report = property(lambda self: self.out / "report.html")


def demo(out: Path, *, seed: int = 0, size: str = "tiny", steps: int | None = None) -> Path:
    """Runs every stage and returns the report's path. Started again after a stop, it goes on where it was.

    size: one of SIZES. steps: of training; those of the size when None. ValueError for a size that is not there.
    """
    if size not in SIZES:
        raise ValueError(f"there is no demo of size {size!r}. Choose one of {', '.join(SIZES)}.")
    places, plan = Places(out), SIZES[size]
    device = "cuda" if size == "full" and torch.cuda.is_available() else "cpu"
    out.mkdir(parents=True, exist_ok=True)
    clock = Clock(out / "timings.json")
    with clock("synth: a world of videos"):
        write_world(places.world, size=plan.world, seed=seed, **plan.dials)
    with clock("extract: I3D over all clips"):
        extract_world(places, plan, device)
    with clock("prepare: annotations to pairs"):
        prepare(places, seed)
    with clock("train: the matching head"):
        train_head(places, {**plan.training, "seed": seed, **({"steps": steps} if steps else {})}, device)
    with clock("eval: unseen actions"):
        results = evaluated(places, seed, plan.max_pairs, device)
    with clock("locate: a few questions"):
        answers = ask(places, results, device)
    log = places.run / LOG_FILE
    write_report(places.report, demo_report(results, log, answers, clock.seconds, seed, __version__))
    print(text_table(results))
    return places.report


class Clock:
    """Seconds of each stage, kept in a file so that a demo that was stopped adds up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        self.name = ""
        self.started = 0.0

    def __call__(self, name: str) -> Clock:
        self.name = name
        return self

    def __enter__(self) -> None:
        print(f"stvr demo: {self.name}", file=sys.stderr, flush=True)
        self.started = time.monotonic()

    def __exit__(self, *error: object) -> None:
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + time.monotonic() - self.started
        write_json(self.path, self.seconds)


def extract_world(places: Places, plan: DemoSize, device: str) -> None:
    videos = sorted(places.videos.glob("*.mp4"))
    backbone = load_backbone(weights="analytic", endpoint=plan.endpoint, device=device, runtime="auto")
    extract(videos, places.store, backbone, ClipSpec(image_size=plan.image_size), flip=plan.mirrored)


def prepare(places: Places, seed: int) -> None:
    """Pairs from the boxes that the world gives for every clip; its held-out actions are for testing alone."""
    store = FeatureStore.open(places.store)
    lengths = {video: store.num_clips(video) for video in store.videos()}
    options = PairOptions(seed=seed)
    tracks, held_out = places.world / "tracks.csv", str(places.world / "held_out_names.txt")
    prepare_pairs("table", [tracks], places.pairs, held_out=held_out, video_clips=lengths, options=options)


def train_head(places: Places, flags: Mapping[str, Any], device: str) -> None:
    options = train_options("small", flags=flags)
    with shown_steps("training") as tell:
        train(places.store, places.pairs, places.run, options, resume=True, device=device, report=tell)


def evaluated(places: Places, seed: int, max_pairs: int, device: str) -> dict[str, Any]:
    with shown_steps("evaluating") as tell:
        return evaluate(
            places.run, places.store, places.pairs, out=places.evaluation, seed=seed, limit=max_pairs, device=device,
            report=lambda done, total: tell(done, total, {}),
        )  # fmt: skip


def ask(places: Places, results: Mapping[str, Any], device: str) -> list[Answer]:
    """A question for each of the labels that the head finds best, median and worst, answered on the video files."""
    pairs, header = read_pairs(places.pairs)
    session = Session.open(places.run, device=device)
    return [ask_one(session, places, pair, header["labels"]) for pair in choose_questions(pairs, results)]


def choose_questions(pairs: Sequence[Pair], results: Mapping[str, Any]) -> list[Pair]:
    """The first test pair with a target of evenly spaced labels, from the best AP at IoU 0.5 to the worst."""
    table = results["frame_map"]["per_label"]
    ranked = sorted((label for label in table if table[label]["0.5"] is not None), key=lambda k: -table[k]["0.5"])
    step = max(1, (len(ranked) - 1) // max(1, NUM_ANSWERS - 1))
    chosen = ranked[::step][:NUM_ANSWERS]
    asked = [next((p for p in pairs if p.split == "test" and p.label == k and p.targets), None) for k in chosen]
    return [pair for pair in asked if pair is not None]


def ask_one(session: Session, places: Places, pair: Pair, names: Mapping[str, str]) -> Answer:
    """Locates from the files, as a user would, and draws what was found beside what is true."""
    spec, query = session.spec.clip, pair.query
    middle = len(query.span) // 2
    at, box = spec.seconds_at(query.span.start + middle) + 0.1, query.boxes[middle].tolist()
    reference = places.videos / f"{pair.reference.video}.mp4"
    source, name = places.videos / f"{query.span.video}.mp4", label_name(pair.label, names)
    folder = places.answers / f"{name}_{query.span.video}_in_{pair.reference.video}".replace(" ", "")
    found = session.ask(session.query(source, box, at), reference)
    write_lines(folder, list(found.to_json()))
    tubelets = found.tubelets
    video = render_tubelets(reference, tubelets, folder / "answer.mp4", spec)
    best = tubelets[0] if tubelets else None
    return Answer(
        title=f"{name}: asked with {query.span.video}, found in {pair.reference.video}",
        query=still(source, at, [box]),
        stills=stills_of(reference, best, pair, spec),
        video=str(video.relative_to(places.out)),
        note="Solid: the first answer with its score. Dashed: where the action truly is.",
    )


def stills_of(video: Path, best: Tubelet | None, pair: Pair, spec: ClipSpec) -> list[tuple[str, Any]]:
    """Pictures of the reference evenly over time."""
    span = pair.reference
    stills = []
    for number in range(NUM_STILLS):
        clip = span.start + (2 * number + 1) * len(span) // (2 * NUM_STILLS)
        seconds, truth = spec.middle_of(clip), boxes_by_clip(pair.targets, clip, 1)[0].boxes
        answer = best.within(Span(span.video, clip, clip + 1)) if best else None
        boxes, titles = (answer.boxes, [f"{answer.score:.2f}"]) if answer else ((), ())
        stills.append((f"{seconds:.1f} s", still(video, seconds, boxes, truth=truth, titles=titles)))
    return stills
