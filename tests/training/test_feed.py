"""What feeds training: the same batches whoever reads them, float16 up to the device, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import reporting
import torch
from ended import gone
from reporting import Reporting
from stopping import Stopped, assert_same_run, stop_at
from tiny import SPEC, build_small, pair, tiny_options, write_store

from stvr.heads import HEADS
from stvr.heads.regions import align_regions, cells_around, crop_regions
from stvr.jobs.train import train
from stvr.store import FeatureStore
from stvr.structures import Batch
from stvr.tasks.pairs.dataset import EachRead, TrainingBatches, read_item
from stvr.tasks.pairs.draws import Draws
from stvr.tasks.pairs.stored_batches import StoreReader
from stvr.training.feed import feed
from stvr.training.room import Room

OPTIONS = {"batch_size": 4, "steps": 5, "save_every": 3, "window_seconds": 8.0, "max_query_seconds": 2.0, "lr": 3e-3}
ASKED = [pair("a", "b"), pair("b", "a", stop=14), pair("c", "d"), pair("d", "c", stop=12)]


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return write_store(tmp_path_factory.mktemp("mirrored") / "store", replace(SPEC, flipped=True))


def drawn() -> Draws:
    return Draws(ASKED, batch_size=4, window=24, max_query=6, seed=0, flip=True)


def read_by(store: FeatureStore, query_in_box: bool) -> TrainingBatches:
    return TrainingBatches(drawn(), StoreReader(store, query_in_box=query_in_box))


def one_by_one(store: FeatureStore, step: int) -> Batch:
    """As items are read by themselves, in float32."""
    batches = TrainingBatches(
        drawn(), EachRead(lambda draw: read_item(store, draw.pair, draw.flip_reference, draw.flip_query))
    )
    return batches(step)


def tensors_of(batch: Batch) -> dict[str, torch.Tensor]:
    rest = ("reference_mask", "query_boxes", "query_mask", "target_boxes", "target_labels", "asked", "seeds")
    return {"reference": batch.reference, "query": batch.query, **{name: getattr(batch, name) for name in rest}}


def assert_same(one: Batch, other: Batch) -> None:
    for (name, mine), yours in zip(tensors_of(one).items(), tensors_of(other).values(), strict=True):
        assert mine.dtype == yours.dtype, name
        assert torch.equal(mine, yours), name


@pytest.mark.parametrize("readers", [0, 1, 2])
def test_batches_are_the_same_whoever_reads_them(mirrored, readers):
    with closing(feed(read_by(mirrored, False), 1, 7, "cpu", readers)) as fed:
        steps = 1
        for batch in fed:
            assert_same(batch, one_by_one(mirrored, steps))
            steps += 1
    assert steps == 7


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none")
@pytest.mark.parametrize("readers", [0, 2])
def test_batches_that_are_copied_beside_the_computing_are_the_same(mirrored, readers):
    with closing(feed(read_by(mirrored, True), 0, 6, "cuda:0", readers)) as fed:
        for step, batch in enumerate(fed):
            torch.randn(2000, 2000, device="cuda:0").square_().sum()  # something to be beside
            assert_same(batch.to("cpu"), read_by(mirrored, True)(step).to("cpu"))


class Streams:
    """Stands for CUDA's streams, and notes what is asked of them."""

    def __init__(self, told: list[str]) -> None:
        self.told, self.copies = told, 0

    def wait_stream(self, other: object) -> None:
        self.told.append("copying waits for training")

    def record_event(self) -> Copied:
        self.copies += 1
        return Copied(self.told, self.copies - 1)

    def wait_event(self, event: Copied) -> None:
        self.told.append(f"training waits for copy {event.number}")


class Copied:
    def __init__(self, told: list[str], number: int) -> None:
        self.told, self.number = told, number

    def synchronize(self) -> None:
        self.told.append(f"copy {self.number} is over")


def test_on_cuda_a_batch_is_copied_before_the_one_before_it_is_trained_on(monkeypatch):
    """And its room is read into again only after its copy is over: of three rooms, batch 3 is read into that of 0."""
    told: list[str] = []
    streams = Streams(told)
    for name, value in {"Stream": streams, "current_stream": streams, "stream": nullcontext()}.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    monkeypatch.setattr(Room, "pin", lambda room: told.append("pinned"))
    for report in feed(Reporting(told), 0, 4, "cuda:0"):
        told.append(f"training on {report.step}")
    for step in range(3):
        begun = told.index(f"training on {step}")
        assert told.index(f"copy of {step + 1}") < begun
        assert told.index(f"training waits for copy {step}") < begun < told.index(f"copy {step} is over")
    assert told.index("copy 0 is over") < told.index("read 3")
    assert told.count("pinned") == told.count("copying waits for training") == 4


def test_maps_stay_float16_until_they_are_on_the_device(mirrored):
    stored = read_by(mirrored, True)(0)
    assert {maps.dtype for maps in stored.batch.references.values()} == {torch.float16}
    assert {cells.values.dtype for cells in stored.cells.values()} == {torch.float16}
    moved = stored.to("cpu")
    assert moved.reference.dtype == moved.query.dtype == torch.float32


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_query_of_the_cells_in_its_boxes_is_pooled_as_the_whole_one(mirrored, step):
    part, whole = read_by(mirrored, True)(step).to("cpu"), one_by_one(mirrored, step)
    assert int((part.query != 0).sum()) < int((whole.query != 0).sum())  # something was left out
    head = build_small().train()
    pooled, wanted = (head.encode_query(each.queries, each.query_boxes).regions for each in (part, whole))
    assert torch.equal(pooled[whole.query_mask], wanted[whole.query_mask])
    ours, theirs = (head.losses(head(each), each).values() for each in (part, whole))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("pool", [crop_regions, align_regions])
def test_nothing_outside_the_cells_around_a_box_is_pooled(pool):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(200, 2, 2, generator=generator) * 1.2 - 0.1
    boxes = torch.cat([corners.amin(1), corners.amax(1)], 1)
    boxes[:4] = torch.tensor([[0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [1, 1, 1, 1], [0, 0.25, 1 / 6, 1]])
    maps = torch.rand(200, 7, 9, 3, generator=generator) + 0.1
    kept = torch.zeros_like(maps)
    for own, whole, (top, left, bottom, right) in zip(kept, maps, cells_around(boxes, 7, 9).tolist(), strict=True):
        own[top:bottom, left:right] = whole[top:bottom, left:right]
    assert torch.equal(pool(kept, boxes[:, None]), pool(maps, boxes[:, None]))


def test_heads_that_look_beside_the_box_are_given_whole_queries():
    matching = HEADS["matching"]
    for proposals, in_box in (("rpn", True), ("map+rpn", False)):
        assert matching.reads(matching.options(proposals=proposals)).query_in_box is in_box
    assert not HEADS["progressive"].reads(HEADS["progressive"].options()).query_in_box


def test_a_room_hands_tensors_over_by_their_place():
    room = Room()
    inside = room.empty((300, 300), dtype=torch.float16).fill_(2)
    outside, small = torch.arange(100_000), torch.arange(3)
    packed = room.pack({"inside": inside, "outside": outside, "small": small})
    assert len(packed) < 2000
    found = room.unpack(packed)
    assert found["inside"].data_ptr() == inside.data_ptr()
    assert all(map(torch.equal, found.values(), (inside, outside, small)))
    room.close()


@pytest.mark.slow
def test_a_run_with_readers_goes_on_where_a_run_without_was_stopped(store, pairs, tmp_path):
    train(store, pairs, tmp_path / "whole", tiny_options(**OPTIONS))
    with pytest.raises(Stopped):
        train(store, pairs, tmp_path / "run", tiny_options(**OPTIONS, readers=2), report=stop_at(4))
    assert train(store, pairs, tmp_path / "run", tiny_options(**OPTIONS, readers=1), resume=True).steps_now == 2
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_reader_that_dies_is_told_of_in_one_line():
    with closing(feed(Reporting(), 0, 1000, "cpu", 2)) as fed:
        readers = {next(fed).process for _ in range(8)}
        os.kill(min(readers), signal.SIGKILL)
        with pytest.raises(ChildProcessError, match=r"reads batches has died.*--resume") as raised:
            for _ in fed:
                pass
    assert "\n" not in str(raised.value)
    assert gone(readers)


def test_what_a_reader_cannot_read_is_told_as_a_thread_tells_it():
    for readers in (0, 1):
        with pytest.raises(ValueError, match=r"^step 3 is damaged\.$"):
            list(feed(Reporting(damaged=3), 0, 10, "cpu", readers))


def test_what_cannot_be_sent_to_a_reader_is_refused():
    with pytest.raises(ValueError, match="Leave --readers out"):
        next(feed(lambda step, empty: step, 0, 1, "cpu", 1))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_reader_outlives_training(how):
    training = subprocess.Popen(
        [sys.executable, str(Path(reporting.__file__))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert training.stdout is not None
    readers = {int(number) for number in training.stdout.readline().split()}
    assert len(readers) == 2
    if how == signal.SIGINT:
        os.killpg(training.pid, how)  # as a terminal does
    else:
        training.send_signal(how)
    _, told = training.communicate(timeout=120)
    assert gone(readers)
    assert "Process ForkServerProcess" not in told
