"""STEP's own part: sizes as published, which candidates go on, what trains, and what is said of a keyframe."""

from __future__ import annotations

import pytest
import torch
from tiny import spec_of

from stvr.backbones import I3D
from stvr.config import fill
from stvr.heads.jitter import draw_boxes
from stvr.heads.step import best_of_classes, classes_of
from stvr.heads.step_assembly import SMALL, StepOptions, build_step_head
from stvr.heads.tube_samples import NOBODY
from stvr.structures import Features, PeopleBatch

TINY = {**SMALL, "width": 8, "reduced": 4, "hidden": 8, "bottleneck": 4, "classes": ("12: stand", "14: walk", "80: x")}


def head_of(**options: object):
    torch.manual_seed(0)
    return build_step_head(fill(StepOptions, {**TINY, **options}), spec_of(8))


def batch(frames: int = 9, seconds: int = 2) -> PeopleBatch:
    """Two keyframes: two people at one, one at the other, who is known a second before and not after."""
    draw = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[[0.2, 0.1, 0.6, 0.9], [0.6, 0.2, 0.9, 0.8]], [[0.3, 0.2, 0.7, 0.9], [0, 0, 0, 0]]])
    classes = torch.tensor([[[1.0, 0, 1], [0, 1, 0]], [[0, 1, 0], [0, 0, 0]]])
    mask = torch.tensor([[True, True], [True, False]])
    known = torch.zeros(2, 2, 2 * seconds + 1, dtype=torch.bool)
    known[:, 0, seconds - 1 : seconds + 1] = True
    known[0, 0, seconds + 1] = True
    around = boxes[:, :, None].repeat(1, 1, 2 * seconds + 1, 1)
    windows = {"Mixed_4c": torch.rand(2, frames, 10, 10, 8, generator=draw)}
    return PeopleBatch(windows, boxes, classes, mask, around, known, torch.tensor([5, 6]))


@pytest.mark.parametrize("options", [
    {"context": True, "dropout": 0.3}, {"chunks": (1, 3, 3, 5), "positive_from": (0.2, 0.3, 0.4, 0.5)},
    {"extension": "extrapolate", "grid": 2},
])  # fmt: skip
def test_gradients_reach_every_parameter(options):
    head = head_of(**options).train()
    frames = 2 * fill(StepOptions, {**TINY, **options}).reach + 1
    given = batch(frames)
    losses = head.losses(head(given), given)
    assert {*losses} == {"classes", "box", *(["neighbour"] if options.get("extension") is None else [])}
    sum(losses.values()).backward()
    silent = [name for name, each in head.named_parameters() if each.grad is None or not each.grad.any()]
    assert [name for name in silent if "before" not in name and "after" not in name] == []


def test_an_item_trains_alike_whoever_else_is_in_the_batch():
    head, both = head_of(), batch()
    one = PeopleBatch({name: maps[:1] for name, maps in both.windows.items()}, both.boxes[:1], both.classes[:1],
                      both.mask[:1], both.around[:1], both.around_mask[:1], both.seeds[:1])  # fmt: skip
    for step, alone in zip(head.train()(both).trained, head(one).trained, strict=True):
        mine = step[0].samples.keys == 0
        torch.testing.assert_close(step[0].tubes[mine], alone[0].tubes)
        torch.testing.assert_close(step[1][mine], alone[1])


def test_the_person_of_a_sample_is_where_the_annotations_have_it_a_second_before():
    head, given = head_of().train(), batch()
    trained, _ = head(given).trained[1]  # the step that anticipates
    boxes, known = trained.neighbours
    alone = (trained.samples.keys == 1) & trained.samples.positive
    assert alone.any()
    assert known[alone].tolist() == [[True, False]] * int(alone.sum())
    torch.testing.assert_close(boxes[alone, 0], (given.around[1, 0, 1] * 160).expand(int(alone.sum()), 4))
    assert not known[~trained.samples.positive].any()


def test_samples_show_what_their_person_shows_and_nobody_nothing():
    shown = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    assert classes_of(shown, torch.tensor([1, NOBODY, 0])).tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 1]]


def test_candidates_are_the_best_of_some_class():
    """300 over 100 classes: the best six of each, here of seven; the last one is no class's."""
    scores = torch.full((7, 100), 0.5)
    scores[:, 0] = torch.tensor([0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.05])
    scores[:, 1:] = torch.tensor([0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.0])[:, None]
    assert best_of_classes(scores).tolist() == [1, 3, 5, 0, 2, 4]


def test_detections_of_a_class_do_not_overlap_and_classes_do_not_compete():
    head = head_of()
    boxes = torch.tensor([[0.0, 0, 80, 160], [4, 0, 84, 160], [80, 0, 160, 160]])
    scores = torch.tensor([[0.9, 0.2, 0.005], [0.8, 0.7, 0], [0.05, 0, 0]])
    found = head.detect(boxes, scores)
    assert list(zip(found.labels.tolist(), [round(each, 3) for each in found.scores.tolist()], strict=True)) == [
        (0, 0.9), (1, 0.7), (0, 0.05)]  # fmt: skip
    torch.testing.assert_close(found.boxes[2], torch.tensor([0.5, 0, 1, 1]))


@torch.no_grad()
def test_a_keyframe_says_what_a_look_at_its_video_says():
    head = head_of(context=True).eval()
    maps = torch.rand(11, 10, 10, 8, generator=torch.Generator().manual_seed(1))
    look = head.look(Features({"Mixed_4c": maps}))
    given = batch()
    window = PeopleBatch({"Mixed_4c": maps[None, 1:10]}, *(getattr(given, name)[:1] for name in (
        "boxes", "classes", "mask", "around", "around_mask")))  # fmt: skip
    for step, found in enumerate(head.answers(head(window))):
        there = head.people(look, step)[5]
        torch.testing.assert_close(found[0].scores, there.scores, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found[0].boxes, there.boxes, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_stream_says_what_one_look_says():
    head = head_of(context=True).eval()
    features = Features({"Mixed_4c": torch.rand(11, 10, 10, 8, generator=torch.Generator().manual_seed(1))})
    whole, state, parts, start = head.people(head.look(features)), None, [], 0
    for size in (4, 7):
        state, look = head.stream(state, features.part(slice(start, start + size)))
        parts += head.people(look)
        start += size
    parts += head.people(head.finish(state))
    assert len(parts) == 11
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one.scores, other.scores, atol=1e-5, rtol=1e-4)


def test_jittered_boxes_are_near_their_person_and_the_others_near_nobody():
    truth = torch.tensor([[0.1, 0.1, 0.3, 0.6], [0.6, 0.2, 0.9, 0.9]])
    boxes, owner = draw_boxes(truth, torch.Generator().manual_seed(3))
    assert owner.tolist() == [0, 1, *[NOBODY] * 6]
    low, high = torch.maximum(boxes[:, None, :2], truth[:, :2]), torch.minimum(boxes[:, None, 2:], truth[:, 2:])
    shared = (high - low).clamp_min(0).prod(-1)
    area, true_area = ((each[:, 2:] - each[:, :2]).prod(1) for each in (boxes, truth))
    iou = shared / (area[:, None] + true_area - shared)
    assert (iou[[0, 1], [0, 1]] > 0.75).all()
    assert (iou[2:] < 0.2).all()
    assert not torch.equal(boxes[:2], truth)


def test_who_stands_too_close_to_another_trains_with_the_true_box():
    truth = torch.tensor([[0.1, 0.1, 0.5, 0.9], [0.15, 0.1, 0.55, 0.9]])
    boxes, owner = draw_boxes(truth, torch.Generator().manual_seed(3))
    torch.testing.assert_close(boxes[owner >= 0], truth)


@pytest.mark.slow
def test_every_branch_begins_with_i3ds_own_layers():
    torch.manual_seed(0)
    head = build_step_head(StepOptions(classes=("12: stand",), chunks=(1,), positive_from=(0.2,)), spec_of(1024))
    network = I3D("Mixed_5c")
    head.start_from(network)
    tails = [head.progression.context.tail, head.progression.step(0).what.tail]
    for tail in tails:
        torch.testing.assert_close(tail.Mixed_5c.b0.conv3d.weight, network.Mixed_5c.b0.conv3d.weight)
    torch.testing.assert_close(head.progression.deepen.Mixed_4e.b0.conv3d.weight, network.Mixed_4e.b0.conv3d.weight)
    with pytest.raises(ValueError, match="no layers in common"):
        head_of().start_from(network)
