"""The contrastive part of the small head: who is drawn near to whom, counted by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from stvr.heads.embedding import TEMPERATURE, Embedding, contrastive_loss
from stvr.structures import LABEL_DIFFERENT, LABEL_NONE, LABEL_SAME


def test_regions_of_any_leading_shape_become_vectors():
    assert Embedding(6, 8, dimensions=5)(torch.rand(2, 3, 7, 7, 6)).shape == (2, 3, 5)


def test_the_loss_is_what_a_count_by_hand_gives():
    """Two queries of one label and a region that shows it, one that does not: every cosine is 0 or 1."""
    east, north = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    queries, asked = torch.stack([east, east]), torch.tensor([7, 7])
    regions, owner = torch.stack([east, north, east]), torch.tensor([0, 0, 1])
    labels = torch.tensor([LABEL_SAME, LABEL_DIFFERENT, LABEL_NONE])  # the last is left out
    e = math.exp(1 / TEMPERATURE)
    first = -math.log(e / (2 * e + 1))  # the other query and the region alike, the stranger in its own reference
    second = -math.log(e / (2 * e))  # it knows the alike one by its label, the stranger not at all
    loss = contrastive_loss(queries, asked, regions, owner, labels)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_a_stranger_in_anothers_reference_is_not_judged():
    queries = F.normalize(torch.randn(2, 4), dim=1).requires_grad_()
    region = F.normalize(torch.randn(1, 4), dim=1).requires_grad_()
    asked, owner = torch.tensor([1, 1]), torch.tensor([1])
    loss = contrastive_loss(queries, asked, region, owner, torch.tensor([LABEL_DIFFERENT]))
    (gradient,) = torch.autograd.grad(loss, region)
    only_owner = (gradient / gradient.norm()) @ (queries[1] / queries[1].norm())
    assert abs(abs(only_owner.item()) - 1) < 1e-5


@pytest.mark.parametrize("count", [1, 3])
def test_without_anything_alike_there_is_no_loss_and_no_gradient(count):
    queries = F.normalize(torch.randn(count, 4), dim=1).requires_grad_()
    nothing = torch.zeros(count, dtype=torch.long)
    loss = contrastive_loss(queries, torch.arange(count), queries.detach(), torch.arange(count), nothing)
    (gradient,) = torch.autograd.grad(loss, queries)
    assert loss.item() == 0.0
    assert (gradient == 0).all()
