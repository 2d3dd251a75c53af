"""Examples of what is not meant: what is more like them than like the query falls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from patterned import ACTOR, OTHER, head_of, iou, query_of, video
from scipy.special import expit

from stvr.heads.head import Localizer
from stvr.heads.negatives import ask_with_negatives, less
from stvr.structures import LABEL_DIFFERENT, LABEL_SAME, Detections, Query


def test_what_is_more_like_a_negative_falls_by_as_much_again():
    logits = np.random.default_rng(0).normal(0, 3, (50, 2))
    wanted = expit(np.minimum(logits[:, 0], 2 * logits[:, 0] - logits[:, 1]))
    scores, against = torch.from_numpy(expit(logits)).unbind(1)
    np.testing.assert_allclose(less(scores, against).numpy(), wanted, rtol=1e-5)


def test_edges_of_scores_stay_numbers():
    scores = less(torch.tensor([1.0, 1.0, 0.0, 0.7]), torch.tensor([1.0, 0.0, 1.0, 0.0]))
    assert scores.tolist() == pytest.approx([1.0, 1.0, 0.0, 0.7])
    assert less(torch.tensor([0.999999]), torch.tensor([1.0])).tolist() == [0.0]


def test_of_two_who_may_be_meant_a_negative_chooses():
    """What is asked for is half of either actor of the reference; then one of them is said not to be meant."""
    head = head_of()
    one, two = query_of(head, video(3, seed=5)), query_of(head, video(3, actor=2, other=4, seed=6))
    both = Query(one.tubelets, {name: (one.regions[name] + two.regions[name]) / 2 for name in one.regions})
    look = head.look(video(4))
    before = at_both(head.ask(look, both)[1])  # a clip in which both are found
    less_one, less_two = (at_both(ask_with_negatives(head, look, both.minus(each))[1]) for each in (one, two))
    assert before[ACTOR] > before[OTHER] > 0.5
    assert less_one[OTHER] == before[OTHER]
    assert less_one[ACTOR] < before[ACTOR] - 0.1
    assert less_two[ACTOR] == before[ACTOR]
    assert less_two[OTHER] < 0.05


def at_both(clip):
    """The scores of the boxes around either actor; the detections are best first."""
    assert clip.scores.tolist() == sorted(clip.scores.tolist(), reverse=True)
    return {place: max(score for box, score in zip(clip.boxes.tolist(), clip.scores.tolist(), strict=True)
                       if iou(box, place) > 0.5) for place in (ACTOR, OTHER)}  # fmt: skip


def test_without_negatives_the_head_answers_alone_bit_for_bit():
    head = head_of()
    query, look = query_of(head, video(3, seed=5)), head.look(video(4))
    for ours, theirs in zip(ask_with_negatives(head, look, query), head.ask(look, query), strict=True):
        assert torch.equal(ours.boxes, theirs.boxes)
        assert torch.equal(ours.scores, theirs.scores)


def test_of_several_negatives_the_likeliest_counts():
    head = head_of()
    query, negative = query_of(head, video(3, seed=5)), query_of(head, video(3, actor=2, seed=6))
    far, look = query_of(head, video(3, actor=7, seed=7)), head.look(video(4))
    near, several = (ask_with_negatives(head, look, query.minus(*some)) for some in ((negative,), (negative, far, far)))
    alone = ask_with_negatives(head, look, query.minus(far))
    for both, one, other in zip(several, near, alone, strict=True):
        scores = [dict(zip(map(tuple, clip.boxes.tolist()), clip.scores.tolist(), strict=True))
                  for clip in (one, other)]
        for box, score in zip(map(tuple, both.boxes.tolist()), both.scores.tolist(), strict=True):
            assert score == min(scores[0][box], scores[1][box])


class Blind(Localizer):
    """It answers, but cannot score a box that it is given."""

    def ask(self, look, query):
        boxes = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.9, 0.7]])
        return [Detections(boxes, torch.tensor([0.9, 0.8]), torch.tensor([LABEL_SAME, LABEL_DIFFERENT]))]


class Seeing(Blind):
    def score_boxes(self, look, query, boxes):
        return [torch.full((len(each),), 0.97) for each in boxes]


def test_a_head_that_cannot_score_boxes_refuses():
    with pytest.raises(ValueError, match="takes no examples of what is not meant"):
        ask_with_negatives(Blind(), [None], Query((), None).minus(Query((), None)))


def test_boxes_of_other_labels_keep_their_scores():
    (clip,) = ask_with_negatives(Seeing(), [None], Query((), None).minus(Query((), None)))
    assert clip.labels.tolist() == [LABEL_DIFFERENT, LABEL_SAME]
    assert clip.scores.tolist() == pytest.approx([0.8, 243 / 340])


def test_a_negative_has_no_negatives():
    negative = Query((), None).minus(Query((), None))
    with pytest.raises(ValueError, match="has examples of its own"):
        Query((), None).minus(negative)
