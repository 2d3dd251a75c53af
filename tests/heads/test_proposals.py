"""Anchors and non-maximum suppression, held to values of the TensorFlow Object Detection API that the authors used."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stvr.heads.proposals import ProposalNetwork, build_anchors
from stvr.heads.targets import Truth

YX = [1, 0, 3, 2]  # theirs are [ymin, xmin, ymax, xmax]


@pytest.fixture(scope="module")
def theirs(shared):
    return np.load(shared / "data/reference_values/od_api_reference_values.npz")


@pytest.fixture(scope="module")
def network() -> ProposalNetwork:
    torch.manual_seed(0)
    return ProposalNetwork(4, 8, stride=16)


def outputs_of(network: ProposalNetwork, training: bool, side: int = 20):
    network.train(training)
    with torch.no_grad():
        return network(torch.zeros(1, side, side, 4))


def close(ours, wanted, tolerance=1e-4):
    np.testing.assert_allclose(ours.numpy(), wanted[..., YX], atol=tolerance, rtol=1e-6)


# ymin, xmin, ymax, xmax around (0, 0), from h = s / sqrt(r) * 256 and w = s * sqrt(r) * 256
@pytest.mark.parametrize(("index", "height", "width"),
                         [(0, 90.5, 45.3), (1, 181, 90.5), (2, 362, 181), (3, 724, 362), (4, 64, 64)])
def test_the_first_anchors_stand_around_the_corner(index, height, width):
    anchor = build_anchors(20, 20, 16)[index]
    np.testing.assert_allclose(anchor, [-width / 2, -height / 2, width / 2, height / 2], atol=0.1)


def test_anchors_are_theirs(theirs):
    anchors = build_anchors(20, 20, 16)
    assert anchors.shape == (4800, 4)
    close(anchors, theirs["anchors"])
    part = anchors.reshape(20, 20, 3, 4, 4)[:2, :3, ::2, :2]  # their second case: two ratios, two scales
    close(part.reshape(-1, 4), theirs["anchors_2x3"])


def test_anchors_are_clipped_for_answers(theirs, network):
    close(outputs_of(network, False).anchors, theirs["anchors_clipped"])


def test_training_drops_the_anchors_that_cross_the_border(network):
    inside = outputs_of(network, True).anchors
    assert len(inside) == 1263
    size = inside[:, 2:] - inside[:, :2]
    kinds = [(256 * s * r**0.5, 256 * s / r**0.5) for r in (0.5, 1, 2) for s in (0.25, 0.5, 1, 2)]
    counts = [((size - torch.tensor(kind)).abs() < 0.01).all(1).sum().item() for kind in kinds]
    assert counts == [255, 135, 0, 0, 289, 169, 25, 0, 255, 135, 0, 0]


def test_the_anchors_that_are_left_are_theirs(theirs, network):
    close(outputs_of(network, True).anchors, theirs["anchors"][theirs["anchors_pruned_index"]])


def test_anchors_keep_their_share_of_smaller_images():
    small, large = build_anchors(10, 10, 16)[0], build_anchors(20, 20, 16)[0]
    torch.testing.assert_close(2 * small, large)


def propose(network: ProposalNetwork, boxes: torch.Tensor, scores: torch.Tensor):
    """Boxes and scores in place of what the network would say."""
    logits = torch.stack([torch.zeros_like(scores), scores.logit()], -1)
    return network.propose(torch.zeros_like(boxes)[None], logits[None], boxes, (320, 320))


def test_proposals_are_suppressed_as_theirs(theirs, network):
    boxes, scores = torch.from_numpy(theirs["nms_boxes"][:, YX]), torch.from_numpy(theirs["nms_scores"][:, 0])
    found, said, mask = propose(network, boxes, scores)
    assert mask.sum() == theirs["rpn_nms_n"][0] == 32
    close(found[0], theirs["rpn_nms_boxes"][0])
    np.testing.assert_allclose(said[0], theirs["rpn_nms_scores"][0], atol=1e-6)


def test_boxes_outside_the_picture_are_no_proposals(theirs, network):
    boxes = torch.from_numpy(theirs["outside_boxes"][:, YX])
    found, _, mask = propose(network, boxes, torch.tensor([0.9, 0.8, 0.7]))
    assert mask.sum() == theirs["outside_n"][0] == 1
    close(found[0, :3], theirs["outside_kept"])
    assert (found[0, 1:] == 0).all()


def test_padded_clips_do_not_change_the_losses(network):
    torch.manual_seed(0)
    maps = torch.rand(2, 10, 10, 4)
    truth = Truth(torch.tensor([[[20.0, 20, 90, 90]], [[0.0] * 4]]), torch.tensor([[2], [0]]))
    network.train()
    both, alone = network(maps), network(maps[:1])
    masked = network.losses(both, truth, torch.tensor([True, False]), "first")
    single = network.losses(alone, Truth(*(each[:1] for each in truth)), torch.tensor([True]), "first")
    for name in single:
        torch.testing.assert_close(masked[name], single[name])
