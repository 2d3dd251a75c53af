"""The two propagations of ours: both ways within a window, and attention over the clips before."""

import pytest
import torch

from stvr.propagation import build_propagation


@pytest.fixture
def features():
    return torch.randn(2, 7, 6, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def both_ways(window=3, cell="warp_lstm"):
    torch.manual_seed(0)
    return build_propagation("bidirectional", 8, {"window": window, "cell": cell}).double()


@pytest.mark.parametrize("cell", ["warp_lstm", "conv_lstm"])
def test_both_ways_is_the_mean_of_a_run_and_of_runs_from_each_windows_end(cell, features):
    head = both_ways(3, cell)
    backwards = []
    for first in (0, 3, 6):
        state, own = None, []
        for clip in reversed(range(first, min(first + 3, 7))):
            answer, state = head.backwards.stream(features[:, clip : clip + 1], state)
            own.insert(0, answer)
        backwards += own
    wanted = (head.onwards(features) + torch.cat(backwards, 1)) / 2
    torch.testing.assert_close(head(features), wanted, rtol=0, atol=1e-12)


def test_both_ways_streams_in_whole_windows(features):
    head, state, parts = both_ways(), None, []
    for first, stop in ((0, 3), (3, 6), (6, 7)):
        answer, state = head.stream(features[:, first:stop], state)
        parts.append(answer)
    torch.testing.assert_close(torch.cat(parts, 1), head(features), rtol=0, atol=1e-12)


def test_both_ways_sees_its_own_window_to_the_end_and_nothing_beyond(features):
    head, changed = both_ways(), features.clone()
    changed[:, 5] += 1.0
    before, after = head(features), head(changed)
    assert torch.equal(before[:, :3], after[:, :3])
    assert all(not torch.equal(before[:, clip], after[:, clip]) for clip in (3, 4, 5, 6))


def attention(reach=2):
    torch.manual_seed(0)
    layer = build_propagation("transformer", 8, {"reach": reach, "heads": 2}).double()
    torch.nn.init.normal_(layer.lag)
    torch.nn.init.normal_(layer.out.weight)
    return layer


@torch.no_grad()
def test_attention_over_clips_is_softmax_by_hand(features):
    layer = attention()
    maps = layer.norm(features.flatten(0, 1).permute(0, 3, 1, 2))
    asked = layer.query(maps.permute(0, 2, 3, 1)).unflatten(0, (2, 7))
    key, value = layer.key_value(layer.around(maps).permute(0, 2, 3, 1)).unflatten(0, (2, 7)).chunk(2, -1)
    for clip, row, column in ((0, 0, 0), (1, 3, 2), (6, 5, 4)):
        told = []
        for head in range(2):
            part, ago = slice(4 * head, 4 * head + 4), range(min(2, clip) + 1)
            energy = [float(asked[1, clip, row, column, part] @ key[1, clip - back, row, column, part]) / 2
                      + float(layer.lag[head, back]) for back in ago]  # fmt: skip
            weights = torch.tensor(energy, dtype=torch.float64).softmax(0)
            told.append(sum(weights[back] * value[1, clip - back, row, column, part] for back in ago))
        wanted = features[1, clip, row, column] + layer.out(torch.cat(told))
        torch.testing.assert_close(layer(features)[1, clip, row, column], wanted, rtol=0, atol=1e-12)


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="cannot be shared by 3 heads"):
        build_propagation("transformer", 8, {"heads": 3, "width": 8})
