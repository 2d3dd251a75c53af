"""Box coding and assigning, held to values of the TensorFlow Object Detection API that the authors used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from stvr.heads.boxes import IGNORED, NEGATIVE, POSITIVE, assign, decode, encode, has_area, in_front, in_pixels
from stvr.heads.targets import Truth, assign_regions

YX = [1, 0, 3, 2]  # theirs are [ymin, xmin, ymax, xmax]


@pytest.fixture(scope="module")
def theirs(shared):
    return np.load(shared / "data/reference_values/od_api_reference_values.npz")


def boxes_of(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values[..., YX])


def assigned(candidates: torch.Tensor, truth: torch.Tensor, *rule) -> tuple[torch.Tensor, torch.Tensor]:
    """To true boxes (G, 4) of which none is padding."""
    return assign(candidates, truth, torch.ones(len(truth), dtype=torch.bool), *rule)


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
    state, index = assigned(anchors, truth, 0.7, 0.3, True)
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
    state, index = assigned(proposals, truth, 0.5, 0.5, False)
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
    truth, labels = boxes_of(theirs["gt"]), torch.tensor([[1, 2, 2, 2]])
    real_ones = torch.ones(1, 64, dtype=torch.bool)
    classes, wanted = assign_regions(proposals, real_ones, Truth(truth[None], labels * (kind == "gt")))
    np.testing.assert_array_equal(F.one_hot(classes[0], 3), theirs[f"det_assign_{kind}_cls"])
    torch.testing.assert_close(wanted[0], boxes_of(theirs[f"det_assign_{kind}_reg"]), atol=1e-4, rtol=0)
    np.testing.assert_array_equal(classes[0] > 0, theirs[f"det_assign_{kind}_regw"])


@pytest.mark.parametrize(("stage", "thresholds", "force"), [("rpn", (0.7, 0.3), True), ("det", (0.5, 0.5), False)])
def test_without_a_true_box_all_is_background(theirs, stage, thresholds, force):
    candidates = boxes_of(theirs["anchors"][theirs["anchors_pruned_index"]] if stage == "rpn" else theirs["proposals"])
    padding = torch.zeros(2, 4), torch.zeros(2, dtype=torch.bool)
    state, _ = assign(candidates, *padding, *thresholds, force)
    torch.testing.assert_close(state, states_of(theirs[f"{stage}_assign_empty_match"]))
    np.testing.assert_array_equal((state != IGNORED).float(), theirs[f"{stage}_assign_empty_clsw"])
    np.testing.assert_array_equal((state == POSITIVE).float(), theirs[f"{stage}_assign_empty_regw"])


def test_a_true_box_takes_its_best_anchor_and_of_two_the_first():
    anchors = torch.tensor([[0.0, 0, 10, 10], [50.0, 50, 60, 60], [200.0, 200, 210, 210]])
    truth = torch.tensor([[0.0, 0, 10, 30], [0.0, 0, 10, 40], [55.0, 55, 65, 65]])  # IoU 1/3, 1/4 and 25/175
    state, index = assigned(anchors, truth, 0.7, 0.3, True)
    assert state.tolist() == [POSITIVE, POSITIVE, NEGATIVE]
    assert index.tolist()[:2] == [0, 2]
    assert assigned(anchors, truth, 0.7, 0.3, False)[0].tolist() == [IGNORED, NEGATIVE, NEGATIVE]


def test_padding_between_the_true_boxes_of_other_clips_changes_nothing():
    """Three clips at once, of two, no and one true box, against each by itself."""
    draw = torch.Generator().manual_seed(0)
    low, size = torch.rand(2, 200, 2, generator=draw).mul(200).unbind(0)
    anchors = torch.cat([low, low + size], 1)
    truth = anchors[torch.randint(200, (3, 4), generator=draw)] + 3
    real = torch.tensor([[False, True, False, True], [False] * 4, [False, False, True, False]])
    for force in (False, True):
        states, index = assign(anchors, truth, real, 0.7, 0.3, force)
        for clip in (0, 2):
            alone, place = assigned(anchors, truth[clip, real[clip]], 0.7, 0.3, force)
            assert states[clip].tolist() == alone.tolist()
            positive = alone == POSITIVE
            assert positive.any()
            wanted = truth[clip, real[clip]][place[positive]]
            assert truth[clip, index[clip, positive]].tolist() == wanted.tolist()
        assert (states[1] == NEGATIVE).all()


def test_a_box_has_an_area_or_not():
    boxes = torch.tensor([[0.0, 0, 1, 1], [3.0, 3, 3, 9], [0.0, 0, 0, 0]])
    assert has_area(boxes).tolist() == [True, False, False]


def test_pixels_of_a_picture_that_is_wider_than_high():
    assert in_pixels((2, 3), torch.zeros(1)).tolist() == [3, 2, 3, 2]


def test_what_is_wanted_comes_first_and_stays_in_order():
    assert in_front(torch.tensor([[False, True, False, True]])).tolist() == [[1, 3, 0, 2]]
