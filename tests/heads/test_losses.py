"""The losses' own arithmetic, region by region, held to values of the TensorFlow Object Detection API."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import build_small

from stvr.heads import targets
from stvr.heads.boxes import decode
from stvr.heads.targets import Truth
from stvr.tasks.pairs.dataset import Item, collate

YX = [1, 0, 3, 2]  # theirs are [ymin, xmin, ymax, xmax]
REGION = torch.tensor([[100.0, 120.0, 160.0, 200.0]])  # in pixels of 320
CASES = range(10)


@pytest.fixture(scope="module")
def theirs(shared):
    return np.load(shared / "data/reference_values/od_api_reference_values.npz")


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return build_small(8, width=None, embedding_width=None).train()


def batch_of(truth: torch.Tensor, label: int):
    """One clip with one true box, given in pixels."""
    maps, box = {"Mixed_4c": torch.rand(1, 20, 20, 8)}, torch.tensor([[0.2, 0.1, 0.6, 0.9]])
    return collate([Item(maps, maps, box, truth[None] / 320, torch.full((1, 1), label), 0)])


def codes_of(theirs, name: str, case: int) -> torch.Tensor:
    return torch.from_numpy(theirs[name][0, case, YX])


def with_one_region(outputs, codes: torch.Tensor, logits: torch.Tensor):
    """What a head gave, as if it had looked at REGION alone."""
    alone = replace(outputs.candidates, boxes=REGION[None], mask=torch.ones(1, 1, dtype=torch.bool))
    return replace(outputs, candidates=alone, codes=codes, logits=logits)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("label", [1, 2])
def test_the_distance_of_a_regions_codes_is_theirs(theirs, head, monkeypatch, case, label):
    """The weight of 2 apart; codes of the class that is not matched count for nothing."""
    monkeypatch.setattr(targets, "POSITIVE_FROM", 1e-6)  # their codes lead far away
    batch = batch_of(decode(codes_of(theirs, "l1_target", case), REGION), label)
    codes = torch.full((1, 1, 2, 4), 1e3)
    codes[0, 0, label - 1] = codes_of(theirs, "l1_pred", case)
    outputs = with_one_region(head(batch), codes, torch.zeros(1, 1, 3))
    assert head.losses(outputs, batch)["box"].item() / 2 == pytest.approx(theirs["l1"][0, case], abs=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_the_distance_of_an_anchors_codes_is_theirs(theirs, head, case):
    truth = decode(codes_of(theirs, "l1_target", case), REGION)
    outputs = replace(head.proposals(torch.rand(1, 20, 20, 8)), anchors=REGION, logits=torch.zeros(1, 1, 2),
                      codes=codes_of(theirs, "l1_pred", case)[None, None])  # fmt: skip
    losses = head.proposals.losses(outputs, Truth(truth[None], torch.ones(1, 1)), torch.tensor([True]), "first")
    assert losses["rpn_box"].item() / 2 == pytest.approx(theirs["l1"][0, case], abs=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_the_entropy_of_a_regions_classes_is_theirs(theirs, head, case):
    label = int(theirs["ce_target"][0, case].argmax())
    elsewhere = torch.tensor([[0.0, 0.0, 20.0, 20.0]])
    batch = batch_of(REGION if label else elsewhere, max(label, 1))
    logits = torch.from_numpy(theirs["ce_logits"][:, [case]])
    outputs = with_one_region(head(batch), torch.zeros(1, 1, 2, 4), logits)
    assert head.losses(outputs, batch)["class"].item() == pytest.approx(theirs["ce"][0, case], abs=1e-4)
