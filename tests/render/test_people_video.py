"""People drawn into a video: one box for a person and a line a class; frames without anybody stay as they were."""

from __future__ import annotations

import numpy as np
import torch

from stvr.render.draw import colour_of
from stvr.render.people_video import draw_person, people_in, render_classes, render_people
from stvr.structures import ClipSpec, Detections
from stvr.video.pictures import frame_at

NAMES = ("stand", "walk", "talk")
BOX = [0.25, 0.5, 0.75, 1.0]


def detections(*found: tuple[list[float], float, int]) -> Detections:
    boxes, scores, labels = zip(*found, strict=True)
    return Detections(torch.tensor(boxes), torch.tensor(scores), torch.tensor(labels))


def test_boxes_that_show_one_person_are_joined_and_doubtful_ones_left_out():
    moved = [0.25, 0.48, 0.75, 1.0]  # IoU 0.96 with BOX
    far = [0.0, 0.0, 0.2, 0.4]
    first, second = people_in(detections((BOX, 0.9, 1), (far, 0.8, 0), (moved, 0.6, 2), (BOX, 0.3, 0)), NAMES)
    assert [name for name, _ in first.shows] == ["walk", "talk"]
    torch.testing.assert_close(first.box, torch.tensor([0.25, 0.49, 0.75, 1.0]))
    assert (second.label, [name for name, _ in second.shows]) == (0, ["stand"])


def test_lines_of_one_person_stand_above_one_another():
    picture = np.zeros((200, 200, 3), np.uint8)
    (person,) = people_in(detections((BOX, 0.9, 1), (BOX, 0.6, 2)), NAMES)
    draw_person(picture, person)
    filled = (picture == colour_of(1)).all(2).sum(1) > 10  # rows in which the colour is seen
    assert filled[100 - 26 : 100].all()
    assert not filled[: 100 - 26].any()


def test_people_are_on_the_frames_of_their_clip_alone(films, tmp_path):
    clips = [[], people_in(detections((BOX, 0.9, 1)), NAMES), []]
    out = render_people(films[0], clips, tmp_path / "drawn.mp4", ClipSpec())
    for seconds, drawn in ((0.1, False), (0.5, True), (0.9, False)):
        before, after = (frame_at(video, seconds).astype(int) for video in (films[0], out))
        assert (np.abs(before - after).max() > 100) == drawn


def test_a_class_is_written_over_its_segment(films, tmp_path):
    out = render_classes(films[0], [(0.0, 0.5, "walk: 0.90"), (2.0, 3.0, "talk: 0.80")], tmp_path / "drawn.mp4")
    for seconds, drawn in ((0.2, True), (1.0, False), (2.5, True)):
        before, after = (frame_at(video, seconds).astype(int) for video in (films[0], out))
        assert (np.abs(before - after)[:13, :40].max() > 100) == drawn
