"""Boxes that vote, held to sums by hand; scores that tell how tight a box is; one refinement for all classes."""

import pytest
import torch
from tiny import build_small
from torchvision.ops import generalized_box_iou

from stvr.heads.boxes import encode
from stvr.heads.cross_attention import CrossAttention
from stvr.heads.region_losses import GIOU_WEIGHT, giou
from stvr.heads.voting import vote


def test_a_kept_box_is_the_mean_of_those_near_it_weighted_by_their_scores():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60], [1, 0, 11, 10]]])
    scores = torch.tensor([[0.6, 0.3, 0.9, 0.5]])
    real = torch.tensor([[True, True, True, False]])
    # IoU of the first two is 80 / 120; the last is no box
    kept = vote(boxes[:, :1], boxes, scores, real, 0.5)
    torch.testing.assert_close(kept, torch.tensor([[[0.6 / 0.9, 0, 10 + 0.6 / 0.9, 10]]]))
    torch.testing.assert_close(vote(boxes[:, :1], boxes, scores, real, 0.7), boxes[:, :1])


def test_without_a_voter_a_box_stays():
    box = torch.tensor([[[1.0, 2, 3, 4]]])
    assert torch.equal(vote(box, box, torch.tensor([[0.5]]), torch.tensor([[False]]), 0.5), box)


def test_the_giou_loss_is_torchvisions_of_the_boxes_behind_the_codes():
    anchors = torch.tensor([[[0.0, 0, 10, 20], [5, 5, 30, 25]]])
    found = torch.tensor([[[1.0, 1, 12, 18], [20, 20, 40, 60]]])
    wanted = torch.tensor([[[0.0, 2, 10, 22], [4, 6, 33, 20]]])
    loss = giou(encode(found, anchors), encode(wanted, anchors), anchors)
    shared = torch.stack([generalized_box_iou(found[0], wanted[0])[at, at] for at in range(2)])
    torch.testing.assert_close(loss[0], GIOU_WEIGHT * (1 - shared), rtol=1e-4, atol=1e-4)


def test_attention_of_cells_is_softmax_over_the_clips_that_are_there():
    torch.manual_seed(0)
    layer = CrossAttention(4, 6, places=4)
    query, regions = torch.randn(1, 3, 2, 2, 4), torch.randn(1, 2, 2, 2, 4)
    attended, shares = layer(query, regions, torch.tensor([[True, True, False]]))
    sought, offered = layer.reference(regions[0, 1, 0, 1]), layer.query(query[0, :2].flatten(0, 2))
    weights = (offered @ sought / 6**0.5 + layer.place[1].repeat(2)).softmax(0)
    torch.testing.assert_close(attended[0, 1, 0, 1], weights @ query[0, :2].flatten(0, 2))
    assert shares[0, :, 2].tolist() == [0, 0]
    torch.testing.assert_close(shares.sum(-1), torch.ones(1, 2))


@pytest.mark.parametrize(("box_of", "outputs"), [("class", 8), ("any", 4)])
def test_one_refinement_for_all_classes_has_four_numbers(box_of, outputs):
    assert build_small(8, "small", box_of=box_of).box.out_features == outputs
