"""The head of a finished `stvr demo`, asked about videos of new worlds: is the first answer in the right place?

    python benchmarks/bench_demo_answers.py DEMO [--size tiny] [--seeds 10] [--work FOLDER]

For every seed a world like the demo's is made anew. The first of its pairs of an unseen action is asked, from the video
files, as `stvr locate` asks: a second of the query's actor in the middle of its tubelet. Right is a tube IoU of 0.5
with what the reference holds of it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from stvr.jobs.demo import SIZES, DemoSize, Places
from stvr.machine import processor
from stvr.session import Session
from stvr.structures import Pair
from stvr.tasks.pairs.file import read_pairs
from stvr.tasks.pairs.prepare import PairOptions
from stvr.tasks.pairs.prepare import prepare as prepare_pairs
from stvr.tubelets import tube_iou
from stvr.video.probing import probe_videos
from stvr.world.synthetic import write_world

RIGHT = 0.5
FIRST_SEED = 1000  # the demo's own worlds have small ones
VIDEOS = {"num_train_videos": 1, "num_test_videos": 6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--size", default="tiny", choices=SIZES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--work", type=Path)
    chosen = parser.parse_args()
    session = Session.open(Places(chosen.demo).run)
    overlaps = []
    with tempfile.TemporaryDirectory() as fresh:
        for seed in range(FIRST_SEED, FIRST_SEED + chosen.seeds):
            places = Places((chosen.work or Path(fresh)) / str(seed))
            pair = first_pair(places, SIZES[chosen.size], seed)
            overlaps.append(overlap(session, places, pair))
            print(f"seed {seed}, {pair.label}, {pair.query.span.video} in {pair.reference.video}: {overlaps[-1]:.2f}",
                  flush=True)
    right = sum(each >= RIGHT for each in overlaps)
    print(f"{right} of {len(overlaps)} first answers at tube IoU {RIGHT} or more; {processor()}")


def first_pair(places: Places, plan: DemoSize, seed: int) -> Pair:
    """Of the actions that no training video shows. No tubelet of it lasts longer than its video."""
    write_world(places.world, size=plan.world, seed=seed, **{**plan.dials, **VIDEOS})
    clips = probe_videos(sorted(places.videos.glob("*.mp4"))).clips
    prepare_pairs("table", [places.world / "tracks.csv"], places.pairs, video_clips=clips,
                  held_out=str(places.world / "held_out_names.txt"), options=PairOptions(seed=seed))  # fmt: skip
    return next(pair for pair in read_pairs(places.pairs)[0] if pair.split == "test" and pair.targets)


def overlap(session: Session, places: Places, pair: Pair) -> float:
    """The tube IoU of the first answer with the best of what is true; 0 without an answer."""
    middle = len(pair.query.span) // 2
    at = session.spec.clip.seconds_at(pair.query.span.start + middle) + 0.1
    source, reference = (places.videos / f"{name}.mp4" for name in (pair.query.span.video, pair.reference.video))
    answer = session.ask(session.query(source, pair.query.boxes[middle].tolist(), at), reference)
    found = next(iter(answer), None)
    return 0.0 if found is None else max(float(tube_iou(found, target)) for target in pair.targets)


if __name__ == "__main__":
    main()
