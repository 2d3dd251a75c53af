"""Rankings that never look at the query, on a reference whose answer can be counted by hand."""

import numpy as np
import pytest
import torch

from stvr.metrics import PROBES, frame_map, probe_records

LEFT, RIGHT = [0.0, 0.0, 0.4, 0.9], [0.5, 0.2, 0.9, 0.7]  # the first is larger


def precision(everyone, truth, query, probe):
    records = probe_records("wave", everyone, truth, torch.tensor(query), np.random.default_rng(0))
    return frame_map([records[probe]], [0.5]).mean[0.5]


@pytest.fixture
def middle():
    """Nine clips with both actors; the target is the left one in the middle third."""
    everyone = [torch.tensor([LEFT, RIGHT]) for _ in range(9)]
    truth = [torch.tensor([LEFT]) if 3 <= clip < 6 else torch.zeros(0, 4) for clip in range(9)]
    return everyone, truth


def test_the_layout_probe_finds_who_stands_where_the_query_stood(middle):
    assert precision(*middle, [LEFT], "layout") == pytest.approx(3 / 9, abs=0.15)
    everyone = [torch.tensor([LEFT, RIGHT])]
    assert precision(everyone, [torch.tensor([LEFT])], [LEFT], "layout") == 1.0
    assert precision(everyone, [torch.tensor([LEFT])], [RIGHT], "layout") == 0.5


def test_the_area_probe_prefers_the_larger_box():
    everyone = [torch.tensor([RIGHT, LEFT])]
    assert precision(everyone, [torch.tensor([LEFT])], [RIGHT], "box area") == 1.0
    assert precision(everyone, [torch.tensor([RIGHT])], [RIGHT], "box area") == 0.5


def test_the_middle_third_beats_chance_when_targets_lie_there(middle):
    """Six boxes lie in the middle third, three of them targets: about one half; by chance three of eighteen."""
    assert 0.4 < precision(*middle, [LEFT], "middle third / number of boxes") <= 1.0
    assert precision(*middle, [LEFT], "random score") < 0.4


def test_fewer_boxes_in_a_clip_make_a_better_bet():
    everyone = [torch.zeros(0, 4), torch.tensor([LEFT, RIGHT]), torch.tensor([LEFT]), torch.zeros(0, 4)]
    truth = [torch.zeros(0, 4), torch.zeros(0, 4), torch.tensor([LEFT]), torch.zeros(0, 4)]
    assert precision(everyone, truth, [RIGHT], "middle third / number of boxes") == 1.0


@pytest.mark.parametrize("probe", ["random score", "box area", "layout"])
def test_the_order_of_equal_boxes_gains_nothing(probe):
    """Fifty clips with the same box, true in the first alone: its rank is drawn, not given."""
    everyone = [torch.tensor([LEFT]) for _ in range(50)]
    truth = [torch.tensor([LEFT])] + [torch.zeros(0, 4)] * 49
    ranks = set()
    for seed in range(20):
        record = probe_records("x", everyone, truth, torch.tensor([LEFT]), np.random.default_rng(seed))[probe]
        scores = torch.cat([clip.scores for clip in record.clips])
        ranks.add(int((scores > scores[0]).sum()))
    assert len(ranks) > 5


def test_every_probe_of_the_audit_is_there():
    assert set(PROBES) == {"random score", "box area", "layout", "centre", "middle third / number of boxes"}
