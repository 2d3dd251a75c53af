"""What a training batch costs to read, as release 0.1.0 read it and as `stvr train --readers N` does.

Run: python benchmarks/bench_feed.py [--small] [--batches 8] [--rounds 3] [--out FILE.md]. Batches of the preset paper:
8 pairs, six reference and six query clips, maps of 20 x 20 x 1024. Core seconds are of all threads and reader
processes, without their start. All ways take turns in one process; before, their batches are compared, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from plain_feed import prefetch, read_batch
from torch import Tensor
from torch.utils.data import DataLoader

import stvr
from stvr.heads.regions import crop_regions
from stvr.machine import processor
from stvr.specs import ClipSpec, FeatureSpec, MapSpec, Span
from stvr.store import FeatureStore
from stvr.structures import Batch, Pair, Tubelet
from stvr.tasks.pairs.dataset import TrainingBatches
from stvr.tasks.pairs.draws import Draws
from stvr.tasks.pairs.stored_batches import StoredBatch, StoreReader
from stvr.training.feed import feed

BATCH, CLIPS, NUM_VIDEOS, SHARD = 8, 6, 4, 64
BOX = (0.2, 0.1, 0.6, 0.9)
WARM_UP = 4  # batches


@dataclass(frozen=True)
class Told:
    """A batch that is not moved, so that moving it is timed by itself; who read it, and that process's seconds."""

    batch: Any
    process: int
    seconds: float

    def to(self, device: str, *, non_blocking: bool = False) -> Told:
        return self


@dataclass(frozen=True)
class Telling:
    batches: Callable[..., Any]

    def __call__(self, step: int, empty: Any = torch.empty) -> Told:
        batch = self.batches(step, empty)
        return Told(batch, os.getpid(), time.process_time())

    __getitem__ = __call__  # for a DataLoader


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a batch. core: up to the device. moved: core seconds more, to float32 on the CPU. wall: both, one by one."""

    core: float
    moved: float
    wall: float


def write_store(path: Path, side: int, zeros: float) -> FeatureStore:
    """Rectified noise: normal numbers, of which a share is zero."""
    spec = FeatureSpec("i3d", "made", "00", (MapSpec("Mixed_4c", 16, 2, 512),), ClipSpec(image_size=16 * side))
    store = FeatureStore.create(path, spec, SHARD)
    threshold = float(torch.distributions.Normal(0, 1).icdf(torch.tensor(zeros)))
    for number in range(NUM_VIDEOS):
        maps = (torch.randn(SHARD, side, side, 2, 512) - threshold).relu().half()
        with store.write(str(number), SHARD, tuple(maps.shape[1:])) as writer:
            writer.append(maps, np.zeros((SHARD, 8), np.int64))
            writer.complete()
    return store


def drawn() -> Draws:
    pairs = []
    for query in range(NUM_VIDEOS):
        for start in range(0, SHARD - CLIPS, 10):
            boxes = torch.tensor(BOX).repeat(CLIPS, 1)
            tubelet = Tubelet(Span(str(query), start, start + CLIPS), boxes)
            pairs.append(Pair(tubelet, Span(str((query + 1) % NUM_VIDEOS), 0, SHARD), (), "made"))
    return Draws(pairs, batch_size=BATCH, window=CLIPS, max_query=CLIPS, seed=0)


def measured(told: Iterator[Told], count: int) -> Cost:
    """Takes batches, as fast as they come; readers are ahead by as many at the end as at the beginning."""
    moved, readers = 0.0, dict[int, list[float]]()
    for number, each in enumerate(told):
        if number == WARM_UP:
            core, wall, moved = time.process_time(), time.perf_counter(), 0.0
            readers = {process: seconds[-1:] for process, seconds in readers.items()}
        readers.setdefault(each.process, []).append(each.seconds)
        if number == WARM_UP + count:
            break
        begun = time.thread_time()
        each.batch.to("cpu")
        moved += time.thread_time() - begun
    core, wall = time.process_time() - core, time.perf_counter() - wall
    core += sum(seconds[-1] - seconds[0] for process, seconds in readers.items() if process != os.getpid())
    return Cost((core - moved) / count, moved / count, wall / count)


def ways(store: FeatureStore, draws: Draws, count: int) -> dict[str, Callable[[], Cost]]:
    stop, batches = WARM_UP + count + 8, Telling(TrainingBatches(draws, StoreReader(store, query_in_box=True)))

    def plain() -> Cost:
        read = partial(read_batch, store, draws)
        return measured((Told(batch, os.getpid(), 0.0) for batch in prefetch(read, stop)), count)

    def ours(readers: int) -> Cost:
        with closing(feed(batches, 0, stop, "cpu", readers)) as fed:
            return measured(fed, count)

    def loader() -> Cost:
        return measured(iter(DataLoader(
            batches, batch_size=None, sampler=range(stop), num_workers=1, multiprocessing_context="forkserver",
            collate_fn=kept,
        )), count)  # fmt: skip

    return {"0.1.0: a thread, zarr, float32": plain, "`--readers 0`: a thread": partial(ours, 0),
            "`--readers 1`": partial(ours, 1), "`--readers 2`": partial(ours, 2),
            "the same in torch's DataLoader, 1 worker": loader}  # fmt: skip


def kept(batch: Any) -> Any:
    return batch


def tensors(batch: Batch | StoredBatch) -> list[Tensor]:
    """All that has to be moved."""
    if isinstance(batch, StoredBatch):
        return [*tensors(batch.batch), *(each for own in batch.cells.values() for each in (own.values, own.places))]
    values = [getattr(batch, field.name) for field in fields(batch)]
    return [each for value in values if value is not None
            for each in (value.values() if isinstance(value, dict) else [value])]  # fmt: skip


def size_of(batch: Batch | StoredBatch) -> float:
    return sum(each.nbytes for each in tensors(batch)) / 1e6


def pooled_in_the_reader(queries: Tensor, boxes: Tensor) -> tuple[float, float]:
    """Core seconds and MB of the queries, were they pooled to 7 x 7 where they are read."""
    begun = time.process_time()
    regions = crop_regions(queries.flatten(0, 1), boxes.flatten(0, 1)[:, None])
    return time.process_time() - begun, regions.nbytes / 1e6


def compare(store: FeatureStore, draws: Draws) -> tuple[float, float, str]:
    """MB of a batch in both ways; refuses where what the head pools of them is not the same."""
    plain = read_batch(store, draws, 0)
    stored = TrainingBatches(draws, StoreReader(store, query_in_box=True))(0)
    ours = stored.to("cpu")
    for mine, theirs in ((ours.reference, plain.reference), (pooled(ours), pooled(plain))):
        if not torch.equal(mine, theirs):
            raise AssertionError("the two ways do not read the same batch")
    seconds, size = min(pooled_in_the_reader(plain.query, plain.query_boxes) for _ in range(3))
    own = sum(each.values.nbytes + each.places.nbytes for each in stored.cells.values()) / 1e6
    said = (f"Of a batch the references are {stored.batch.reference.nbytes / 1e6:.1f} MB, the cells of the queries "
            f"{own:.1f} MB. Pooled to 7x7 by the reader the queries would be {size:.1f} MB and cost "
            f"{seconds:.3f} core s more.")  # fmt: skip
    return size_of(plain), size_of(stored), said


def pooled(batch: Batch) -> Tensor:
    return crop_regions(batch.query.flatten(0, 1), batch.query_boxes.flatten(0, 1)[:, None])


def table(side: int, zeros: float, count: int, rounds: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        store, draws = write_store(Path(folder) / "store", side, zeros), drawn()
        files = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        ratio = NUM_VIDEOS * SHARD * side * side * 2048 / files
        before, after, said = compare(store, draws)
        costs: dict[str, list[Cost]] = {}
        for _ in range(rounds):
            for name, run in ways(store, draws, count).items():
                costs.setdefault(name, []).append(run())
    yield f"## {zeros:.0%} of the features are zero: a store {ratio:.2f} x smaller than its maps\n"
    yield "| | core s up to the device | core s, float32 on the CPU | wall s | MB to the device |"
    yield "|---|---|---|---|---|"
    for name, own in costs.items():
        core, moved, wall = (statistics.median(getattr(each, field.name) for each in own) for field in fields(Cost))
        size = before if name.startswith("0.1.0") else after
        yield f"| {name} | {core:.3f} | {core + moved:.3f} | {wall:.3f} | {size:.1f} |"
    yield f"\n{said}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="maps of 10 x 10, one round")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commit", default="a commit not given", help="what is measured, for the record")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    side, rounds = (10, 1) if chosen.small else (20, chosen.rounds)
    flags = f"{'--small ' if chosen.small else ''}--batches {chosen.batches} --rounds {rounds}"
    lines = ["# Reading a training batch", "",
             f"`python benchmarks/bench_feed.py {flags}`, {processor()}, {os.cpu_count()} cores,",
             f"torch {torch.__version__}, zarr {zarr.__version__}, stvr {stvr.__version__} at {chosen.commit}, "
             f"{time.strftime('%Y-%m-%d')}. {BATCH} pairs, {CLIPS} reference and {CLIPS} query clips,",
             f"maps of {side} x {side} x 1024, files in the cache of the system; the box of a query is {BOX}. Medians.",
             ""]  # fmt: skip
    for zeros in (0.6, 0.8):
        lines += table(side, zeros, chosen.batches, rounds)
    print("\n".join(lines))
    if chosen.out:
        chosen.out.write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
