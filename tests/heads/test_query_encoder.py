"""A query's clips as one vector: their order counts, padding does not, and what does not fit is refused."""

from __future__ import annotations

import pytest
import torch
from tiny import build_small

from stvr.heads.query_encoder import build_query_encoder
from stvr.temporal import TEMPORAL

VECTORS = [name for name, entry in ((name, TEMPORAL[name]) for name in TEMPORAL) if not entry.on_maps]


def encoder_of(name: str, steps: int = 4):
    torch.manual_seed(0)
    return build_query_encoder({"name": name}, steps, 16).eval()


@torch.no_grad()
@pytest.mark.parametrize("name", VECTORS)
def test_padding_is_not_read_and_order_is_unless_it_is_a_mean(name):
    encoder, clips = encoder_of(name), torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    found = encoder(clips, mask)
    assert found.shape == (2, 16)
    torch.testing.assert_close(encoder(clips[:1, :4], mask[:1, :4]), found[:1])
    backwards = encoder(clips[:1, :4].flip(1), mask[:1, :4])
    assert torch.allclose(backwards, found[:1], atol=1e-6) == (name == "mean")


def test_a_query_of_fewer_clips_than_steps_repeats_them_and_a_longer_one_is_read_at_its_parts():
    encoder = encoder_of("mean")
    encoder.project = torch.nn.Identity()
    clips = torch.eye(16)[None, :10]
    mask = torch.ones(1, 10, dtype=torch.bool)
    assert encoder(clips, mask)[0].nonzero().flatten().tolist() == [1, 3, 6, 8]  # the middles of 2.5 clips each
    few = encoder(clips[:, :2], mask[:, :2])[0]
    assert few[:2].tolist() == [0.5, 0.5]


def test_it_is_trained_with_the_head_and_is_not_there_by_default():
    assert not [name for name in build_small(16, "small").state_dict() if "query_encoder" in name]
    head = build_small(16, "small", query_encoder={"name": "gru", "hidden": 8})
    recurrent = 3 * (8 * 128 + 8 * 8 + 2 * 8)
    assert sum(each.numel() for each in head.query_encoder.parameters()) == recurrent + 8 * 128 + 128


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="reads maps, but a query's clips are vectors"):
        build_small(16, "small", query_encoder="convlstm")
    with pytest.raises(ValueError, match="Give embedding_width"):
        build_small(16, query_encoder="gru", embedding_width=None)
    with pytest.raises(LookupError, match="no temporal block 'hydra'"):
        build_small(16, "small", query_encoder="hydra")
