"""Training batches of labels: mirrored classes, single time steps, the same batch whenever it is asked for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tiny import SPEC, write_store

from stvr.heads.classifier import ClassifierOptions
from stvr.store import FeatureStore
from stvr.structures import Span
from stvr.tasks.labels.steps import Steps
from stvr.tasks.labels.training import LabelExamples, mirrored_label

CLASSES = ("Clapping", "Swiping Left", "Swiping Right", "Turning left only")


@pytest.mark.parametrize(("label", "mirrored"), [
    ("Clapping", "Clapping"),
    ("Swiping Left", "Swiping Right"),
    ("Swiping Right", "Swiping Left"),
    ("Turning left only", None),  # nothing is called "Turning right only"
])  # fmt: skip
def test_a_mirrored_class_has_left_and_right_changed(label, mirrored):
    assert mirrored_label(label, CLASSES) == mirrored


@pytest.fixture
def place(tmp_path):
    """A store with both views of four videos, and a file of their labels."""
    write_store(tmp_path / "store", replace(SPEC, flipped=True))
    rows = "a,Swiping Left\nb,Swiping Right\nc,Turning left only\nd,Clapping\n"
    (tmp_path / "labels.csv").write_text("video,label,split\n" + rows.replace("\n", ",train\n"))
    return tmp_path


def examples(place, block: str = "mlp", flip: str = "on", part: tuple[int, int] = (0, 1)) -> LabelExamples:
    options = SimpleNamespace(batch_size=8, flip=flip, head=ClassifierOptions(block={"name": block}, segments=5))
    return LabelExamples(place / "labels.csv", FeatureStore.open(place / "store"), options, seed=3, part=part)


def test_mirrored_views_come_with_the_class_that_they_show(place):
    """The mirrored features of the tiny store are the square roots of the others, so a mean tells which view it is."""
    drawn = examples(place)
    seen = {(view_of(drawn, maps), drawn.classes[label]) for step in range(6)
            for maps, label in zip(*parts(drawn.batch(step)), strict=True)}
    assert seen == {
        (("a", False), "Swiping Left"), (("a", True), "Swiping Right"), (("b", False), "Swiping Right"),
        (("b", True), "Swiping Left"), (("c", False), "Turning left only"), (("d", False), "Clapping"),
        (("d", True), "Clapping"),
    }  # fmt: skip
    assert {view[1] for view in (view_of(examples(place, flip="off"), maps) for maps in parts(
        examples(place, flip="off").batch(0))[0])} == {False}  # fmt: skip


def parts(batch):
    return batch.maps["Mixed_4c"], batch.labels.tolist()


def view_of(drawn: LabelExamples, maps: torch.Tensor) -> tuple[str, bool]:
    """The video and the view whose first part has the first of the steps."""
    for video in "abcd":
        for flipped in (False, True):
            every = drawn.steps.store.read(Span(video, 0, 24), flipped).float()  # (T, row, column, time, channel)
            means = every.mean((1, 2)).flatten(0, 1)  # (48, channel)
            if (means - maps[0].mean((0, 1))).abs().amax(1).min() < 1e-4:
                return video, flipped
    raise AssertionError("these are features of no video")


def test_a_batch_depends_on_the_seed_and_its_number_alone_and_is_shared_by_processes(place):
    whole = examples(place, "fcn3d").batch(3)
    assert whole.maps["Mixed_4c"].shape == (8, 5, 10, 10, 8)  # single time steps: half of the clip's 16 channels
    shares = [examples(place, "fcn3d", part=(which, 2)).batch(3) for which in (0, 1)]
    assert torch.equal(torch.cat([share.maps["Mixed_4c"] for share in shares]), whole.maps["Mixed_4c"])
    assert torch.equal(torch.cat([share.labels for share in shares]), whole.labels)


def test_time_steps_of_clips_are_read_one_by_one_and_as_means_alike(place):
    store = FeatureStore.open(place / "store")
    span, chosen = Span("b", 4, 9), [0, 3, 3, 9]
    stored = store.read(span).float()  # (T, row, column, time, channel)
    wanted = torch.stack([stored[step // 2, :, :, step % 2] for step in chosen])
    assert torch.equal(Steps(store, cells=True).read(span, chosen)["Mixed_4c"], wanted)
    for room in (0, 1 << 20):
        steps = Steps(store, cells=False, kept_bytes=room)
        for _ in range(2):  # the second time from memory, where there is room
            torch.testing.assert_close(steps.read(span, chosen)["Mixed_4c"], wanted.mean((1, 2), keepdim=True))
