"""What is read around a keyframe: clips of both sides, the same person a second before and after, the mirror image."""

from __future__ import annotations

from dataclasses import replace

import torch
from tiny import NUM_CLIPS, SPEC, write_store

from stvr.structures import Span
from stvr.tasks.people.around import SECONDS, batch_of, boxes_by_moment, read_keyframe, read_window
from stvr.tasks.people.file import Keyframe, Person

BOX, LATER = (0.25, 0.125, 0.5, 0.75), (0.5, 0.125, 0.75, 0.75)
CLASSES = ("12: stand", "14: walk")


def keyframe(second: int, box: tuple[float, float, float, float], *classes: str) -> Keyframe:
    return Keyframe("a", second, float(second), "train", (Person("7", box, classes),))


def test_a_window_repeats_the_last_clip_at_the_ends_of_a_video(tmp_path):
    store = write_store(tmp_path / "store", videos="a")
    every = store.read_features(Span("a", 0, NUM_CLIPS)).maps["Mixed_4c"]
    for clip, wanted in ((1, [0, 0, 0, 1, 2, 3, 4]), (NUM_CLIPS - 1, [20, 21, 22, 23, 23, 23, 23])):
        torch.testing.assert_close(read_window(store, Span("a", clip, clip + 1), 3)["Mixed_4c"], every[wanted])


def test_people_are_followed_by_their_names_and_classes_of_no_interest_left_out(tmp_path):
    store = write_store(tmp_path / "store", videos="a")
    frames = [keyframe(2, BOX, "12: stand", "80: watch"), keyframe(3, LATER, "14: walk")]
    read = read_keyframe(store, frames[0], Span("a", 6, 7), 1, CLASSES, boxes_by_moment(frames))
    assert read.classes.tolist() == [[1, 0]]
    assert read.around_mask[0].tolist() == [False, False, True, True, False]
    assert read.around[0, SECONDS + 1].tolist() == list(LATER)


def test_a_mirrored_keyframe_has_mirrored_people(tmp_path):
    store = write_store(tmp_path / "store", replace(SPEC, flipped=True), videos="a")
    read = read_keyframe(store, keyframe(2, BOX, "14: walk"), Span("a", 6, 7), 0, CLASSES,
                         boxes_by_moment([keyframe(2, BOX)]), flipped=True)  # fmt: skip
    assert read.boxes.tolist() == [[0.5, 0.125, 0.75, 0.75]]
    assert read.around[0, SECONDS].tolist() == [0.5, 0.125, 0.75, 0.75]
    assert not read.around[0, 0].any()
    other = store.read_features(Span("a", 6, 7), flipped=True).maps["Mixed_4c"]
    torch.testing.assert_close(read.window["Mixed_4c"], other)


def test_a_batch_has_room_for_nobody(tmp_path):
    store = write_store(tmp_path / "store", videos="a")
    nobody = Keyframe("a", 2, 2.0, "test", ())
    batch = batch_of([read_keyframe(store, nobody, Span("a", 6, 7), 1, CLASSES, {})])
    assert (batch.mask.tolist(), batch.classes.shape) == ([[False]], (1, 1, 2))
