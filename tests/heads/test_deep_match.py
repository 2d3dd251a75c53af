"""Matching on a map of its own: its cosine as computed by hand, and what it adds to the head's answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial.distance import cosine
from tiny import DEEP, TWO, build_small, tubelet

from stvr.heads.assembly import MATCHING, MatchingOptions, build_matching
from stvr.heads.deep_match import DeepMatch
from stvr.structures import Features, Query

SIDE, CHANNELS = 5, DEEP.width


def maps_of(count: int, seed: int) -> torch.Tensor:
    """Made-up maps of the second endpoint, (count, 5, 5, 6); channels of unlike size."""
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([0.1, 1.0, 5.0, 1.0, 30.0, 0.5])
    return torch.rand(count, SIDE, SIDE, CHANNELS, generator=draw) * sizes


def pooled_by_hand(one: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(H, W, C), xyxy in [0, 1] -> (C,): 14 x 14 samples from corner to corner, the largest of each 2 x 2, the mean."""
    x1, y1, x2, y2 = box * (SIDE - 1)  # 0 and 1 are the middles of the outermost cells
    rows, columns = np.meshgrid(np.linspace(y1, y2, 14), np.linspace(x1, x2, 14), indexing="ij")
    samples = np.stack([map_coordinates(one[..., k], [rows, columns], order=1) for k in range(one.shape[-1])], -1)
    return samples.reshape(7, 2, 7, 2, -1).max((1, 3)).mean((0, 1))


def test_the_score_is_the_cosine_of_standardised_means():
    """Against NumPy and SciPy: pooling, statistics, the attended query and the cosine."""
    match, training = DeepMatch("Mixed_5c", CHANNELS), maps_of(40, 1)
    match.calibrate(training)
    found, asked = maps_of(1, 2), maps_of(2, 3)
    boxes = torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.0, 0.0, 1.0, 1.0], [0.5, 0.3, 0.8, 0.4]])
    query_boxes = torch.tensor([[0.2, 0.1, 0.6, 0.9], [0.3, 0.1, 0.7, 1.0]])
    weights = torch.tensor([[[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]])  # (B, P, Q)
    vectors, examples = match.pool(found, boxes[None]), match.pool(asked, query_boxes[:, None])[:, 0]
    scores = match(vectors, examples[None], weights)

    cells = training.numpy().astype(np.float64).reshape(-1, CHANNELS)
    mean, deviation = cells.mean(0), cells.std(0, ddof=1)
    examples = [(pooled_by_hand(one, box) - mean) / deviation for one, box in
                zip(asked.numpy(), query_boxes.numpy(), strict=True)]  # fmt: skip
    for candidate, box in enumerate(boxes.numpy()):
        vector = (pooled_by_hand(found[0].numpy(), box) - mean) / deviation
        attended = weights[0, candidate].numpy() @ np.stack(examples)
        assert scores[0, candidate].item() == pytest.approx(10 * (1 - cosine(vector, attended)), abs=1e-4)


def test_the_size_of_a_channel_does_not_matter():
    """Maps in other units, measured in these, match the same."""
    units = torch.tensor([0.5, 3.0, 1.0, 50.0, 0.2, 7.0])
    scores = []
    for scale in (torch.ones(CHANNELS), units):
        match = DeepMatch("Mixed_5c", CHANNELS)
        match.calibrate(maps_of(40, 1) * scale)
        one, other = (match.pool(maps_of(1, seed) * scale, torch.tensor([[[0.1, 0.2, 0.8, 0.9]]])) for seed in (2, 3))
        scores.append(match(one, other, torch.ones(1, 1, 1)))
    torch.testing.assert_close(*scores, rtol=1e-3, atol=1e-3)


def test_a_gradient_reaches_the_scale_and_the_projection():
    match = DeepMatch("Mixed_5c", CHANNELS, width=3)
    one, other = (match.pool(maps_of(1, seed), torch.tensor([[[0.1, 0.2, 0.8, 0.9]]])) for seed in (2, 3))
    score = match(one, other, torch.ones(1, 1, 1)).sum()
    score.backward()
    assert match.scale.grad.item() == pytest.approx(score.item() / 10)  # linear in its scale, which begins at 10
    assert match.project.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_it_is_added_to_the_logits_of_same_and_of_another():
    """Half of it to "same", half of it away from "another action", as the embedding's likeness."""
    torch.manual_seed(0)
    head, draw = build_small(8, "small", match_on="Mixed_5c").eval(), torch.Generator().manual_seed(5)
    features = Features({"Mixed_4c": torch.rand(2, 10, 10, 8, generator=draw), "Mixed_5c": maps_of(2, 4)})
    head.calibrate(features)
    query = Query((tubelet("a", 0, 2),), head.pool(features, torch.tensor([[0.2, 0.1, 0.6, 0.9]] * 2)))
    look, logits = head.look(features), {}
    for scale in (0.0, 10.0):
        head.deep_match.scale.fill_(scale)
        (outputs,) = head.second_stage(look.candidates, query)
        logits[scale] = outputs.logits
    cells = maps_of(2, 4).numpy().astype(np.float64).reshape(-1, CHANNELS)
    mean, deviation = cells.mean(0), cells.std(0, ddof=1)
    examples = np.stack([(pooled_by_hand(one, np.array([0.2, 0.1, 0.6, 0.9])) - mean) / deviation
                         for one in maps_of(2, 4).numpy()])  # fmt: skip
    for clip, candidate in ((0, 0), (1, 3)):
        box = look.candidates.shares[clip, candidate].numpy()
        vector = (pooled_by_hand(maps_of(2, 4)[clip].numpy(), box) - mean) / deviation
        likeness = 10 * (1 - cosine(vector, outputs.attention[clip, candidate].numpy() @ examples))
        added = (logits[10.0] - logits[0.0])[clip, candidate]
        np.testing.assert_allclose(added, [0, -likeness / 2, likeness / 2], atol=1e-3)


def test_without_match_on_a_head_is_what_it_was():
    plain, deep = build_small(8, "small"), build_small(8, "small", match_on="Mixed_5c", match_width=4)
    added = {"deep_match.mean", "deep_match.deviation", "deep_match.scale", "deep_match.project.weight"}
    assert deep.state_dict().keys() - plain.state_dict().keys() == added
    assert plain.state_dict().keys() <= deep.state_dict().keys()


def test_which_maps_are_read_is_decided_once():
    options = MATCHING.fit(MatchingOptions(match_on="Mixed_5c"), TWO)
    assert (options.localise_on, MATCHING.reads(options).endpoints) == ("Mixed_4c", ("Mixed_4c", "Mixed_5c"))
    assert MATCHING.fit(MatchingOptions(), TWO).localise_on == "Mixed_4c"  # the finest
    assert MATCHING.fit(MatchingOptions(), TWO.only(["Mixed_5c"])).localise_on is None
    coarse = MATCHING.fit(MatchingOptions(localise_on="Mixed_5c"), TWO)
    assert MATCHING.reads(coarse).endpoints == ("Mixed_5c",)
    assert build_matching(coarse, TWO).proposals.stride == 32
    same = MatchingOptions(localise_on="Mixed_4c", match_on="Mixed_4c")
    assert MATCHING.reads(same).endpoints == ("Mixed_4c",)
    with pytest.raises(ValueError, match=r"reads Mixed_5c, but .* of Mixed_4c\. .*--endpoint Mixed_4c,Mixed_5c"):
        MATCHING.reads(options).check(TWO.only(["Mixed_4c"]), "matching")
