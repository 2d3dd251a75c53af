"""The matching head: what padding, batches and streaming must not change, and suppression held to the authors' API."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import build_small, spec_of

from stvr.heads import HeadOptions, build_head
from stvr.heads.boxes import encode
from stvr.heads.targets import columns
from stvr.structures import Features, Query
from stvr.tasks.pairs.dataset import Item, collate

YX = [1, 0, 3, 2]  # theirs are [ymin, xmin, ymax, xmax]


OTHERS = {
    "deep": {"match_on": "Mixed_5c"},
    "windows": {"match_on": "Mixed_5c", "proposals": "map+rpn"},
    "boxes": {"match_on": "Mixed_5c", "proposals": "rpn+boxes"},
    "encoder": {"query_encoder": "gru", "query_steps": 3},
    "ours": {"box_of": "any", "tightness": True, "vote_iou": 0.5, "attention": "cells", "propagation": "transformer"},
    "windows of clips": {"propagation": {"name": "bidirectional", "window": 2}},
}  # fmt: skip


@pytest.fixture(scope="module", params=["paper", "small", *OTHERS])
def head(request):
    torch.manual_seed(0)
    preset = "small" if request.param in OTHERS else request.param
    return build_small(8, preset, **OTHERS.get(request.param, unlike_small(preset))).eval()


def unlike_small(preset: str) -> dict:
    return {"width": None, "embedding_width": None} if preset == "paper" else {}


def item(head, seed: int, num_clips: int = 3, num_queries: int = 2) -> Item:
    """The maps that the head reads: one, or a second one of half the side."""
    draw = torch.Generator().manual_seed(seed)
    maps, query = (torch.rand(count, 10, 10, 8, generator=draw) for count in (num_clips, num_queries))
    references, queries = {"Mixed_4c": maps}, {"Mixed_4c": query}
    if head.deep_match is not None:
        references["Mixed_5c"], queries["Mixed_5c"] = (
            torch.rand(count, 5, 5, 6, generator=draw) for count in (num_clips, num_queries)
        )  # fmt: skip
    box = torch.tensor([0.2, 0.1, 0.6, 0.9])
    labels = torch.full((num_clips, 1), 2)
    detected = torch.tensor([[0.1, 0.1, 0.7, 0.9], [0.5, 0.2, 0.9, 0.8], [0.0] * 4]).repeat(num_clips, 1, 1)
    return Item(references, queries, box.repeat(num_queries, 1), box.repeat(num_clips, 1, 1), labels, seed,
                detected=detected)


def first_of(maps: dict[str, torch.Tensor], clips: slice = slice(None), boxes: torch.Tensor | None = None) -> Features:
    """Of a batch's first item."""
    detected = None if boxes is None else boxes[0, clips]
    return Features({endpoint: each[0, clips] for endpoint, each in maps.items()}, boxes=detected)


def assert_same_detections(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes, atol=1e-5, rtol=0)
        torch.testing.assert_close(one.scores, other.scores, atol=1e-5, rtol=0)
        assert one.labels.tolist() == other.labels.tolist()


@torch.no_grad()
def test_an_answer_does_not_depend_on_its_neighbours_in_the_batch(head):
    alone, crowded = item(head, 0), [item(head, 0), item(head, 1, num_clips=5, num_queries=4)]
    together = head.answers(head(collate(crowded)))
    assert_same_detections(together[:3], head.answers(head(collate([alone]))))


@torch.no_grad()
def test_what_an_item_trains_on_does_not_depend_on_its_neighbours(head):
    """The regions that are drawn for it, though a neighbour has more clips and more true boxes."""
    other = item(head, 1, num_clips=5)
    crowd = replace(other, boxes=other.boxes.repeat(1, 3, 1) * torch.tensor([[0.5], [0.8], [1.0]]),
                    labels=other.labels.repeat(1, 3))  # fmt: skip
    alone = replace(collate([item(head, 0)]), seeds=torch.tensor([5]))
    together = replace(collate([crowd, item(head, 0)]), seeds=torch.tensor([6, 5]))
    head.train()
    try:
        one, both = (head(batch).candidates for batch in (alone, together))
    finally:
        head.eval()
    assert one.mask.sum() > 6
    torch.testing.assert_close(both.boxes[5:8], one.boxes, atol=1e-2, rtol=0)  # pixels


@torch.no_grad()
def test_a_streamed_reference_gives_the_same_answer(head):
    batch = collate([item(head, 0, num_clips=5)])
    query = Query((), head.pool(first_of(batch.queries), batch.query_boxes[0]))
    found, state = [], None
    for clips in (slice(2), slice(2, 3), slice(3, 5)):
        part = first_of(batch.references, clips, batch.boxes)
        state, look = head.stream(state, part)
        assert len(look) == len(part) or head.propagation.window
        found += head.ask(look, query)
    found += head.ask(rest, query) if (rest := head.finish(state)) else []
    assert_same_detections(found, head.answers(head(batch)))
    whole = head.look(first_of(batch.references, boxes=batch.boxes))
    assert_same_detections(head.ask(whole, query), head.answers(head(batch)))


@torch.no_grad()
def test_given_boxes_are_scored_as_the_heads_own(head):
    """Its own proposals, given to it by hand, have the scores that it gives them itself."""
    batch = collate([item(head, 0, num_clips=3)])
    query = Query((), head.pool(first_of(batch.queries), batch.query_boxes[0]))
    look, outputs = head.look(first_of(batch.references, boxes=batch.boxes)), head(batch)
    proposals = head.proposals_of(look, query)
    scores = head.score_boxes(look, query, [proposals[0], proposals[1][:0], proposals[2][:2]])
    assert [len(each) for each in scores] == [len(proposals[0]), 0, 2]
    wanted = outputs.logits.softmax(-1)[..., -1]
    torch.testing.assert_close(scores[0], wanted[0][outputs.candidates.mask[0]], atol=1e-5, rtol=0)
    torch.testing.assert_close(scores[2], wanted[2][:2], atol=1e-5, rtol=0)


@torch.no_grad()
def test_attention_is_a_share_of_the_real_clips_of_the_query(head):
    outputs = head(collate([item(head, 0, num_queries=2), item(head, 1, num_queries=4)]))
    real = outputs.attention[:3][outputs.candidates.mask[:3]]
    torch.testing.assert_close(real.sum(-1), torch.ones(len(real), dtype=real.dtype))
    assert (real[:, 2:] == 0).all()


@torch.no_grad()
def test_detections_lie_in_the_picture_best_first(head):
    for found in head.answers(head(collate([item(head, 0)]))):
        assert 0 < len(found.boxes) <= 30
        assert found.boxes.min() >= 0
        assert found.boxes.max() <= 1
        assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        assert set(found.labels.tolist()) <= {1, 2}


@torch.no_grad()
def test_padded_clips_are_counted_in_the_second_stage_alone(head):
    """The program divides by all clips, padded ones too: twice as many clips, half the loss. The proposals' stays."""
    head.train()
    try:
        batch = collate([item(head, 0, num_clips=3)])
        padded = collate([item(head, 0, num_clips=3), item(head, 1, num_clips=3)])
        padded = replace(padded, reference_mask=torch.tensor([[True] * 3, [False] * 3]))
        alone, both = (head.losses(head(each, "first"), each) for each in (batch, padded))
    finally:
        head.eval()
    for name in ("box", "class"):
        torch.testing.assert_close(both[name], alone[name] / 2)
    for name in ("rpn_box", "rpn_objectness"):
        torch.testing.assert_close(both[name], alone[name])


@torch.no_grad()
def test_detections_are_suppressed_as_theirs(shared):
    """Of 80 regions 70 are real. Two scores may sum to more than 1, so all are halved: a softmax can say that."""
    theirs = np.load(shared / "data/reference_values/od_api_reference_values.npz")
    head = build_small(8).eval()
    references, queries = ({"Mixed_4c": torch.rand(count, 20, 20, 8)} for count in (1, 2))
    batch = collate([replace(item(head, 0, 1), references=references, queries=queries, query_boxes=torch.rand(2, 4))])
    regions = torch.from_numpy(theirs["nms_boxes"][:, YX])
    wanted = torch.from_numpy(theirs["nms_boxes_per_class"][0][..., YX])  # (80, 2, 4)
    half = torch.from_numpy(theirs["nms_scores"]) / 2
    outputs = head(batch)
    candidates = replace(outputs.candidates, boxes=regions[None], mask=torch.arange(80)[None] < 70)
    outputs = replace(
        outputs, candidates=candidates, codes=encode(wanted, regions[:, None])[None],
        logits=torch.cat([1 - half.sum(1, keepdim=True), half], 1).log()[None],
    )  # fmt: skip
    found = head.answers(outputs)[0]
    assert len(found.boxes) == theirs["det_nms_n"][0]
    np.testing.assert_allclose(found.scores * 2, theirs["det_nms_scores"][0], atol=1e-6)
    np.testing.assert_array_equal(found.labels - 1, theirs["det_nms_classes"][0])
    np.testing.assert_allclose(found.boxes, theirs["det_nms_boxes"][0][:, YX], atol=1e-4)


def test_a_head_of_another_name_is_refused_with_the_menu():
    with pytest.raises(LookupError, match=r"no head 'hydra'.*matching"):
        build_head(HeadOptions(name="hydra"), spec_of(8))


def test_with_two_classes_another_action_is_background():
    found = torch.tensor([[-1, 0, 1, 2]])
    assert columns(found, (1, 2)).tolist() == [[-1, 0, 1, 2]]  # the program's three
    assert columns(found, (2,)).tolist() == [[-1, 0, 0, 1]]


@pytest.mark.parametrize("preset", ["paper", "small"])
def test_a_binary_head_finds_the_querys_action_alone(preset):
    torch.manual_seed(0)
    head = build_small(8, preset, **unlike_small(preset), classes="binary").eval()
    batch = collate([item(head, 0)])
    outputs = head(batch)
    assert outputs.logits.shape[-1] == 2
    assert outputs.codes.shape[-2] == 1
    found = head.answers(outputs)
    assert sum(len(clip.boxes) for clip in found) > 0
    assert all((clip.labels == 2).all() for clip in found)
    there = outputs.candidates.boxes[:, :1] / 160  # a proposal of each clip is a true box
    batch = replace(batch, target_boxes=there[None])
    other = replace(batch, target_labels=batch.target_labels.clamp_max(1))  # the same boxes show another action
    none = replace(batch, target_labels=torch.zeros_like(batch.target_labels))
    losses = [head.losses(outputs, each)["class"] for each in (other, none)]
    torch.testing.assert_close(*losses)
    assert not torch.allclose(head.losses(outputs, batch)["class"], losses[0])
