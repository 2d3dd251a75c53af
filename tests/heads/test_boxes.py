"""Box coding, assigning and sampling, held to values of the TensorFlow Object Detection API that the authors used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from stvr.heads.boxes import IGNORED, NEGATIVE, POSITIVE, assign, decode, encode, has_area, sample
from stvr.heads.targets import assign_regions

YX = [1, 0, 3, 2]  # theirs are [ymin, xmin, ymax, xmax]


@pytest.fixture(scope="module")
def theirs(shared):
    return np.load(shared / "data/reference_values/od_api_reference_values.npz")


def boxes_of(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values[..., YX])


def test_codes_are_theirs(theirs):
    codes = encode(boxes_of(theirs["coder_boxes"]), boxes_of(theirs["coder_anchors"]))
    torch.testing.assert_close(codes, boxes_of(theirs["coder_codes"]), atol=1e-4, rtol=0)


def test_decoded_boxes_are_theirs(theirs):
    boxes = decode(boxes_of(theirs["coder_codes"]), boxes_of(theirs["coder_anchors"]))
    torch.testing.assert_close(boxes, boxes_of(theirs["coder_decoded"]), atol=1e-4, rtol=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(1, 300), min_size=8, max_size=8))
def test_decoding_undoes_encoding(numbers):
    low, size, anchor_low, anchor_size = torch.tensor(numbers, dtype=torch.float64).reshape(4, 2)
    box, anchor = torch.cat([low, low + size]), torch.cat([anchor_low, anchor_low + anchor_size])
    torch.testing.assert_close(decode(encode(box, anchor), anchor), box, atol=1e-5, rtol=0)


def states_of(match: np.ndarray) -> torch.Tensor:
    """Their match: the index of the true box, -1 background, -2 ignored."""
    return torch.from_numpy(np.select([match >= 0, match == -1], [POSITIVE, NEGATIVE], IGNORED))


def test_anchors_are_assigned_as_theirs(theirs):
    anchors, truth = boxes_of(theirs["anchors"][theirs["anchors_pruned_index"]]), boxes_of(theirs["gt"])
    state, index = assign(anchors, truth, 0.7, 0.3, force=True)
    match = theirs["rpn_assign_gt_match"]
    torch.testing.assert_close(state, states_of(match))
    positive = match >= 0
    assert positive.sum() == 9
    np.testing.assert_array_equal(index[torch.from_numpy(positive)], match[positive])
    wanted = encode(truth[index], anchors) * (state == POSITIVE)[:, None]
    torch.testing.assert_close(wanted, boxes_of(theirs["rpn_assign_gt_reg"]), atol=1e-4, rtol=0)
    np.testing.assert_array_equal((state != IGNORED).float(), theirs["rpn_assign_gt_clsw"])
    np.testing.assert_array_equal((state == POSITIVE).float(), theirs["rpn_assign_gt_regw"])
    np.testing.assert_array_equal((state == POSITIVE).float(), theirs["rpn_assign_gt_cls"][:, 0])


def test_proposals_are_assigned_as_theirs(theirs):
    proposals, truth = boxes_of(theirs["proposals"]), boxes_of(theirs["gt"])
    state, index = assign(proposals, truth, 0.5, 0.5, force=False)
    match = theirs["det_assign_gt_match"]
    torch.testing.assert_close(state, states_of(match))
    np.testing.assert_array_equal(index[torch.from_numpy(match >= 0)], match[match >= 0])
    wanted = encode(truth[index], proposals) * (state == POSITIVE)[:, None]
    torch.testing.assert_close(wanted, boxes_of(theirs["det_assign_gt_reg"]), atol=1e-4, rtol=0)
    np.testing.assert_array_equal((state == POSITIVE).float(), theirs["det_assign_gt_regw"])
    np.testing.assert_array_equal((state != IGNORED).float(), theirs["det_assign_gt_clsw"])


@pytest.mark.parametrize("kind", ["gt", "empty"])
def test_proposals_get_the_classes_and_codes_that_theirs_get(theirs, kind):
    """Their first true box shows another action; no proposal lies on any of the rest."""
    proposals = boxes_of(theirs["proposals"])[None]
    truth, labels = boxes_of(theirs["gt"]), torch.tensor([1, 2, 2, 2])
    real = len(truth) if kind == "gt" else 0
    real_ones = torch.ones(1, 64, dtype=torch.bool)
    classes, wanted = assign_regions(proposals, real_ones, [(truth[:real], labels[:real])])
    np.testing.assert_array_equal(F.one_hot(classes[0], 3), theirs[f"det_assign_{kind}_cls"])
    torch.testing.assert_close(wanted[0], boxes_of(theirs[f"det_assign_{kind}_reg"]), atol=1e-4, rtol=0)
    np.testing.assert_array_equal(classes[0] > 0, theirs[f"det_assign_{kind}_regw"])


@pytest.mark.parametrize(("stage", "thresholds", "force"), [("rpn", (0.7, 0.3), True), ("det", (0.5, 0.5), False)])
def test_without_a_true_box_all_is_background(theirs, stage, thresholds, force):
    candidates = boxes_of(theirs["anchors"][theirs["anchors_pruned_index"]] if stage == "rpn" else theirs["proposals"])
    state, _ = assign(candidates, torch.zeros(0, 4), *thresholds, force)
    torch.testing.assert_close(state, states_of(theirs[f"{stage}_assign_empty_match"]))
    np.testing.assert_array_equal((state != IGNORED).float(), theirs[f"{stage}_assign_empty_clsw"])
    np.testing.assert_array_equal((state == POSITIVE).float(), theirs[f"{stage}_assign_empty_regw"])


def test_a_true_box_takes_its_best_anchor_and_of_two_the_first():
    anchors = torch.tensor([[0.0, 0, 10, 10], [50.0, 50, 60, 60], [200.0, 200, 210, 210]])
    truth = torch.tensor([[0.0, 0, 10, 30], [0.0, 0, 10, 40], [55.0, 55, 65, 65]])  # IoU 1/3, 1/4 and 25/175
    state, index = assign(anchors, truth, 0.7, 0.3, force=True)
    assert state.tolist() == [POSITIVE, POSITIVE, NEGATIVE]
    assert index.tolist()[:2] == [0, 2]
    assert assign(anchors, truth, 0.7, 0.3, force=False)[0].tolist() == [IGNORED, NEGATIVE, NEGATIVE]


@pytest.mark.parametrize("method", ["random", "first"])
@pytest.mark.parametrize("case", range(6))
def test_a_sample_is_balanced_as_theirs(theirs, method, case):
    """Counted with the API's balanced sampler, which never tops up with positives: 10 of 16 give 4 and 6."""
    share, *counts = theirs["sampler_cases(frac,batch,pos,neg,ign->pos,neg)"][case].tolist()
    size, positives, negatives, ignored, *wanted = map(int, counts)
    state = torch.tensor([POSITIVE] * positives + [NEGATIVE] * negatives + [IGNORED] * ignored)
    state = state[torch.randperm(len(state), generator=torch.Generator().manual_seed(0))]
    taken = state[sample(state, size, share, method)]
    assert [(taken == kind).sum() for kind in (POSITIVE, NEGATIVE, IGNORED)] == [*wanted, 0]


def test_the_first_of_each_kind_are_kept():
    state = torch.tensor([NEGATIVE, POSITIVE, IGNORED, POSITIVE, NEGATIVE, NEGATIVE])
    assert sample(state, 3, 0.4, "first").tolist() == [True, True, False, False, True, False]


def test_a_random_sample_is_even():
    torch.manual_seed(0)
    state = torch.zeros(20, dtype=torch.long)
    counts = sum(sample(state, 5, 0.25).long() for _ in range(2000))
    assert (counts - 500).abs().max() < 5 * (2000 * 0.25 * 0.75) ** 0.5  # five standard deviations


def test_a_box_has_an_area_or_not():
    boxes = torch.tensor([[0.0, 0, 1, 1], [3.0, 3, 3, 9], [0.0, 0, 0, 0]])
    assert has_area(boxes).tolist() == [True, False, False]
