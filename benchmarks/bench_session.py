"""What a second query of the same reference costs in a session, against the first from a cached store.

Run: python benchmarks/bench_session.py [--image-size 320] [--seconds 20] [--preset small] [--rounds 5] [--out FILE.md].
One process; the head has its preset's sizes and was never trained, the features are made. Each round opens a session
anew, asks with one query (the reference is read, propagated, proposals are made and pooled), then with another.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from stvr.heads.assembly import MATCHING
from stvr.heads.checkpoint import save_head
from stvr.jobs.train import train_options
from stvr.machine import processor
from stvr.session import Session
from stvr.store import FeatureSpec, FeatureStore
from stvr.structures import ClipSpec, MapSpec, Query, Span, Tubelet
from stvr.tasks.pairs.judge import features_of


def write_store(path: Path, spec: FeatureSpec, num_clips: int) -> FeatureStore:
    """One video of made features: mostly zeros, as ReLU leaves them."""
    store, side = FeatureStore.create(path, spec), -(-spec.clip.image_size // spec.map.stride)
    shape = (side, side, spec.map.steps, spec.map.channels)
    with store.write("v", num_clips, shape, {"width": 640, "height": 480, "duration_seconds": num_clips / 3}) as writer:
        for clip in range(num_clips):
            maps = torch.randn(1, *shape, generator=torch.Generator().manual_seed(clip)).relu().half()
            writer.append(maps, torch.zeros(1, 8, dtype=torch.long).numpy())
        writer.complete()
    return store


def seconds_of(session: Session, query: Query) -> tuple[float, float]:
    """By the clock, and of all cores together."""
    begun, cores = time.perf_counter(), time.process_time()
    session.ask(query, "v")
    return time.perf_counter() - begun, time.process_time() - cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    spec = FeatureSpec("i3d", "made", "00", (MapSpec("Mixed_4c", 16, 2, 512),), ClipSpec(image_size=chosen.image_size))
    options = train_options(chosen.preset).head
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "store", spec, round(3 * chosen.seconds))
        save_head(Path(folder) / "head.safetensors", MATCHING.build(options, spec), options, spec, {})
        first, second, kept = [], [], 0
        for _ in range(chosen.rounds):
            session = Session.open(Path(folder) / "head.safetensors", store=str(store))
            boxes = torch.tensor([[0.2, 0.1, 0.6, 0.9]] * 3)
            tubelets = [Tubelet(Span("v", start, start + 3), boxes) for start in (0, 9)]
            queries = [session.pooled(each, features_of(store, each.span)) for each in tubelets]
            first.append(seconds_of(session, queries[0]))
            second.append(seconds_of(session, queries[1]))
            kept = session.kept_bytes
    low, cores = ([statistics.median(each[which] for each in values) for values in (first, second)] for which in (0, 1))
    lines = [
        f"preset {chosen.preset}, {chosen.image_size} px, {chosen.seconds:g} s of video, {chosen.rounds} rounds, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {processor()}",
        "", "| | seconds (median) | core seconds | |", "|---|---|---|---|",
        f"| first query, from a cached store | {low[0]:.3f} | {cores[0]:.3f} | |",
        f"| second query of the same reference | {low[1]:.3f} | {cores[1]:.3f} | {low[0] / low[1]:.1f} x |",
        f"| kept of the reference | {kept / 2**20:.0f} MiB | | |",
    ]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if chosen.out:
        chosen.out.write_text(text)


if __name__ == "__main__":
    main()
