"""The region graph that names classes: the published sizes, gradients, masks, and what it alone can learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny import SPEC

from stvr.heads import build_head
from stvr.heads.classifier import ClassifierOptions
from stvr.heads.region_graph_classifier import RegionGraphClassifierOptions
from stvr.structures import Features, LabelBatch, MapSpec

CLASSES = ("one", "other")
PUBLISHED = replace(SPEC, maps=(MapSpec("res5", 16, 4, 2048),))  # of ResNet-50, time steps by themselves
REDUCER, CLASSIFIER = 2048 * 512 + 512, 1024 * 174 + 174
W_AND_W, SIMILARITY, SPACE_TIME = 2 * 512**2, 3 * 512**2, 6 * 512**2


def head_of(spec=SPEC, classes=CLASSES, **options):
    torch.manual_seed(0)
    return build_head(RegionGraphClassifierOptions(classes=classes, **options), spec)


@pytest.mark.parametrize(("options", "wanted"), [
    ({"norm": "none"}, 4_111_022),  # of the public program, layer by layer 1.05 + .52 + .79 + 1.57 + .18 M
    ({}, 4_111_022 + 6 * 2 * 512),  # and a layer norm after each of the six convolutions
    ({"norm": "none", "graphs": "similarity"}, REDUCER + W_AND_W + SIMILARITY + CLASSIFIER),
    ({"norm": "none", "graphs": "space_time"}, REDUCER + SPACE_TIME + CLASSIFIER),
])  # fmt: skip
def test_it_has_as_many_weights_as_the_published_one(options, wanted):
    classes = tuple(map(str, range(174)))
    with torch.device("meta"):
        head = build_head(RegionGraphClassifierOptions(classes=classes, proposals="boxes", **options), PUBLISHED)
    assert sum(each.numel() for each in head.parameters()) == wanted
    assert REDUCER + W_AND_W + SIMILARITY + SPACE_TIME + CLASSIFIER == 4_111_022


def scenes(count: int, seed: int, steps: int = 6, side: int = 12) -> LabelBatch:
    """Two things of 2 x 2 cells, a channel each, among noise, that come to two places of their own.

    In class 0 the first thing jumps from place to place at every step and the second keeps to its place for half of the
    steps at a time; in class 1 it is the other way round. Means over picture and time are the same, and so are the
    features of the boxes around the things: only which of them overlap from one step to the next differs.
    """
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=random)
    maps = 0.2 * torch.rand(count, steps, side, side, 8, generator=random)
    boxes = torch.zeros(count, steps, 3, 4)  # the third is padding
    for item, label in enumerate(labels.tolist()):
        corners = torch.randint(side // 2 - 2, (2, 2, 2), generator=random)  # [place, thing, (column, row)]
        corners[1, :, 0] += side // 2
        corners[:, 1, 1] += side // 2
        for step in range(steps):
            for thing in range(2):
                place = step % 2 if thing == label else int(step >= steps // 2)
                column, row = corners[place, thing, 0].item(), corners[place, thing, 1].item()
                maps[item, step, row : row + 2, column : column + 2, thing] += 2
                boxes[item, step, thing] = torch.tensor([column, row, column + 2, row + 2]) / side
    return LabelBatch({"Mixed_4c": maps}, labels, boxes)


def trained(options, seed: int = 0, steps: int = 150):
    torch.manual_seed(seed)
    head = build_head(options, SPEC)
    head.calibrate(Features({"Mixed_4c": scenes(16, 99).maps["Mixed_4c"].flatten(0, 1)}))
    optimizer = torch.optim.AdamW(head.parameters(), 3e-3)
    for step in range(steps):
        batch = scenes(24, 1000 + step)
        optimizer.zero_grad()
        sum(head.losses(head(batch), batch).values()).backward()
        optimizer.step()
    return head.eval()


@torch.inference_mode()
def accuracy(head) -> float:
    batch = scenes(200, 7)
    answers = [head.answers(head(batch)) for _ in range(2)]
    assert torch.equal(*answers)
    return float((answers[0].argmax(1) == batch.labels).float().mean())


def graph_options(**options):
    fixed = {"classes": CLASSES, "proposals": "boxes", "segments": 6, "width": 16, "dropout": 0.0}
    return RegionGraphClassifierOptions(**fixed, **options)


def test_it_tells_apart_what_differs_only_in_which_regions_overlap():
    assert accuracy(trained(graph_options())) >= 0.95


@pytest.mark.parametrize("options", [
    ClassifierOptions(classes=CLASSES, block={"name": "mean"}, segments=6, width=16, dropout=0.0),
    graph_options(graphs="similarity"),
], ids=["mean", "similarity"])  # fmt: skip
def test_neither_a_mean_nor_likeness_alone_can_tell_them_apart(options):
    assert accuracy(trained(options)) <= 0.65


@pytest.mark.parametrize("loss", ["softmax", "multi_label"])
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_every_weight_gets_a_gradient(loss, norm):
    head, batch = head_of(proposals="boxes", width=8, loss=loss, norm=norm), scenes(4, 1)
    sum(head.losses(head(batch), batch).values()).backward()
    assert not [name for name, each in head.named_parameters() if each.grad is None or not each.grad.any()]


@torch.inference_mode()
def test_padding_is_no_node_and_only_the_best_boxes_are_taken():
    head, batch = head_of(proposals="boxes", width=8, boxes=3).eval(), scenes(3, 1)
    more = torch.cat([batch.boxes, torch.rand(3, 6, 2, 4).sort(-1).values], 2)
    wanted = head(batch).embedding
    torch.testing.assert_close(head(replace(batch, boxes=batch.boxes[:, :, :2])).embedding, wanted)
    torch.testing.assert_close(head(replace(batch, boxes=more)).embedding, wanted)
    assert not torch.allclose(head(replace(batch, boxes=more[:, :, 2:])).embedding, wanted)


@torch.inference_mode()
def test_what_graphs_make_of_nodes_is_as_large_as_they_are():
    """The public program's, of weights of spread 0.001 and without norms, is a hundred thousand times smaller."""
    head, batch = head_of(proposals="boxes", width=64).eval(), scenes(3, 1)
    of_regions, of_picture = head(batch).embedding.split(64, 1)
    assert 0.1 < of_regions.std() / of_picture.std() < 10


@torch.inference_mode()
def test_a_grid_needs_no_detector_and_a_detector_is_asked_for():
    batch = replace(scenes(2, 1), boxes=None)
    head = head_of(width=8).eval()
    assert head.regions(batch).shape == (2, 6, 34, 4)
    assert head(batch).scores.shape == (2, 2)
    with pytest.raises(ValueError, match="come without boxes"):
        head_of(width=8, proposals="boxes").eval()(batch)
    with pytest.raises(ValueError, match="cannot depend on a query"):
        RegionGraphClassifierOptions(proposals="map")


def test_several_labels_are_each_judged_by_themselves():
    head, batch = head_of(width=8, loss="multi_label").eval(), scenes(2, 1)
    truth = torch.tensor([[True, True], [False, True]])
    outputs = head(batch)
    found = head.losses(outputs, replace(batch, targets=truth))["binary_cross_entropy"]
    likely = outputs.scores.sigmoid()
    wanted = -(torch.where(truth, likely, 1 - likely).log().mean())
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(head.answers(outputs), likely)
