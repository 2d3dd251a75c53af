"""Linking, held to made detections whose tubelets are known."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from stvr.metrics.oracle import oracle_link
from stvr.structures import LABEL_DIFFERENT, LABEL_SAME, Detections, Span, Tubelet
from stvr.tubelets.linking import LINKERS, link

HALF = np.array([-0.08, -0.2, 0.08, 0.2])


def actor(x: float, y: float = 0.5) -> np.ndarray:
    """A box 0.16 wide and 0.4 high around (x, y)."""
    return np.array([x, y, x, y]) + HALF


def detections(*found: tuple[np.ndarray, float], label: int = LABEL_SAME) -> Detections:
    return Detections(
        torch.tensor(np.array([box for box, _ in found]).reshape(-1, 4), dtype=torch.float32),
        torch.tensor([score for _, score in found]),
        torch.full((len(found),), label),
    )


def test_one_actor_gives_one_tubelet_with_its_boxes_time_and_mean_score():
    clips = [detections((actor(0.2 + 0.02 * t), score)) for t, score in enumerate([0.6, 0.8, 1.0, 0.8])]
    (only,) = link(clips, "film", start=40)
    assert (only.span.video, only.span.start, only.span.stop) == ("film", 40, 44)
    assert only.score == pytest.approx(0.8)
    assert only.boxes[3].numpy() == pytest.approx(actor(0.26), abs=1e-6)
    assert only.boxes.dtype == torch.float32


def test_two_actors_who_cross_keep_their_way_though_one_hides_the_other():
    ways = np.linspace(0.1, 0.9, 17)
    clips = []
    for x in ways:
        seen = [(actor(x), 0.9), (actor(1 - x, 0.55), 0.7)]
        clips.append(detections(*(seen[:1] if abs(x - 0.5) < 0.05 else seen)))  # hidden for one clip
    first, second = link(clips, "v", 0)
    assert first.boxes[:, 0].numpy() == pytest.approx(ways - 0.08, abs=1e-6)
    assert second.boxes[:, 0].numpy() == pytest.approx(1 - ways - 0.08, abs=1e-6)
    assert first.score == pytest.approx(0.9)
    assert second.score == pytest.approx(0.7)


def test_a_short_gap_is_filled_on_a_straight_line_and_a_long_one_parts():
    seen = {0: 0.30, 1: 0.32, 4: 0.38, 5: 0.40, 9: 0.48, 10: 0.50}  # gaps of 2 and of 3 clips
    clips = [detections((actor(seen[t]), 0.9)) if t in seen else detections() for t in range(11)]
    first, second = sorted(link(clips, "v", 0, max_gap=2), key=lambda tubelet: tubelet.span.start)
    assert (first.span.start, first.span.stop) == (0, 6)
    assert first.boxes.mean(1).numpy() == pytest.approx((np.array([0.30, 0.32, 0.34, 0.36, 0.38, 0.40]) + 0.5) / 2)
    assert (second.span.start, second.span.stop) == (9, 11)


def test_noise_of_a_single_clip_is_no_answer():
    rng = np.random.default_rng(0)
    clips = [detections((actor(0.5), 0.8), (actor(*rng.random(2)), 0.3)) for _ in range(12)]
    best = link(clips, "v", 0)[0]
    assert len(best.span) == 12
    assert best.score == pytest.approx(0.8, abs=0.05)
    lonely = [detections(), detections((actor(0.5), 0.9)), detections(), detections()]
    assert link(lonely, "v", 0) == []


def test_the_tubelet_begins_and_ends_with_the_action_not_with_the_actor():
    scores = [0.1] * 6 + [0.9] * 5 + [0.15] * 4
    (only,) = link([detections((actor(0.5), score)) for score in scores], "v", 100)
    assert (only.span.start, only.span.stop) == (106, 111)
    assert only.score == pytest.approx(0.9)


def test_an_actor_who_does_it_twice_gives_two_tubelets_and_a_flicker_does_not_part():
    scores = [0.9, 0.9, 0.2, 0.9, 0.9] + [0.1] * 5 + [0.8, 0.8, 0.8] + [0.1, 0.1, 0.1, 0.8, 0.1]
    tubelets = link([detections((actor(0.5), score)) for score in scores], "v", 0)
    assert sorted((each.span.start, each.span.stop) for each in tubelets) == [(0, 5), (10, 13)]


def test_where_scores_span_much_the_cut_lies_higher():
    """By hand: the 10 % quantile is .5 and the peak .95, so .815 is asked for, in place of .475."""
    scores = [0.5] * 6 + [0.95] * 5 + [0.7] * 4
    clips = [detections((actor(0.5), score)) for score in scores]
    (whole,) = link(clips, "film", 0)
    (part,) = link(clips, "film", 0, contrast=0.4)
    assert (whole.span.start, whole.span.stop) == (0, 15)
    assert (part.span.start, part.span.stop) == (6, 11)
    (even,) = link(clips, "film", 0, contrast=0.46)  # the scores do not span that much
    assert (even.span.start, even.span.stop) == (0, 15)


def test_a_reference_of_one_clip_may_have_an_answer():
    (only,) = link([detections((actor(0.5), 0.9))], "film", 0)
    assert (only.span.start, only.span.stop) == (0, 1)


def test_the_same_actor_found_twice_is_answered_once():
    clips = [detections((actor(0.5), 0.9), (actor(0.52), 0.6)) for _ in range(6)]
    (only,) = link(clips, "v", 0)
    assert only.score == pytest.approx(0.9)


def test_a_lucky_clip_does_not_remove_the_long_tubelet():
    doubled = {3: (actor(0.55), 0.95), 4: (actor(0.55), 0.95)}
    clips = [detections(*([(actor(0.5), 0.8)] + ([doubled[t]] if t in doubled else []))) for t in range(10)]
    assert len(link(clips, "v", 0)[0].span) == 10


def test_only_the_query_s_action_is_linked_best_first_and_no_more_than_asked():
    other = detections((actor(0.5), 0.9), label=LABEL_DIFFERENT)
    assert link([other] * 4, "v", 0) == []
    three = detections((actor(0.1), 0.4), (actor(0.5), 0.9), (actor(0.9), 0.6))
    assert [each.score for each in link([three] * 4, "v", 0)] == pytest.approx([0.9, 0.6, 0.4])
    assert [each.score for each in link([three] * 4, "v", 0, max_tubelets=2)] == pytest.approx([0.9, 0.6])
    assert link([], "v", 0) == []


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_detections_within_a_clip_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    clips = [
        detections(*((actor(*rng.random(2)), float(rng.random())) for _ in range(5)), (actor(0.1 + 0.05 * t), 0.7))
        for t in range(12)
    ]
    shuffled = []
    for each in clips:
        order = torch.from_numpy(rng.permutation(len(each.scores)))
        shuffled.append(Detections(each.boxes[order], each.scores[order], each.labels[order]))
    for one, other in zip(link(clips, "v", 0), link(shuffled, "v", 0), strict=True):
        assert (one.span, one.score) == (other.span, other.score)
        assert torch.equal(one.boxes, other.boxes)


def test_moving_the_start_moves_the_answer():
    clips = [detections((actor(0.1 + 0.05 * t), 0.7)) for t in range(6)]
    early, late = link(clips, "v", 0)[0], link(clips, "v", 70)[0]
    assert late.span.start == early.span.start + 70
    assert torch.equal(early.boxes, late.boxes)


def one_actor_beside_another() -> list[Detections]:
    """A sure actor and one who is hidden for two clips, standing apart."""
    clips = []
    for t in range(12):
        seen = [(actor(0.2 + 0.01 * t), 0.9)] + ([] if t in (5, 6) else [(actor(0.8 - 0.01 * t), 0.6)])
        clips.append(detections(*seen))
    return clips


@pytest.mark.parametrize("linker", LINKERS)
def test_every_linker_finds_both_actors_and_fills_the_gap(linker):
    first, second = link(one_actor_beside_another(), "v", 30, linker=linker)
    assert (first.span.start, first.span.stop) == (second.span.start, second.span.stop) == (30, 42)
    assert first.boxes[:, 0].numpy() == pytest.approx(0.12 + 0.01 * np.arange(12), abs=1e-6)
    assert second.boxes[:, 0].numpy() == pytest.approx(0.72 - 0.01 * np.arange(12), abs=1e-6)


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("seed", range(3))
def test_no_linker_uses_a_detection_twice_or_steps_too_far(linker, seed):
    rng = np.random.default_rng(seed)
    clips = []
    for _ in range(15):
        number = int(rng.integers(0, 6)) if rng.random() < 0.8 else 0
        boxes = np.array([actor(*rng.random(2)) for _ in range(number)]).reshape(-1, 4)
        clips.append((boxes, np.sort(rng.random(len(boxes)))[::-1]))
    tracks = LINKERS[linker](clips, 0.3, 2)
    used = [(clip, *box) for track in tracks for clip, box in zip(track.clips, track.boxes, strict=True)]
    assert len(used) == len(set(used))
    for track in tracks:
        assert np.all(np.diff(track.clips) >= 1)
        assert np.all(np.diff(track.clips) <= 3)


def test_viterbi_takes_the_path_with_the_largest_sum_where_greedy_is_led_astray():
    # a lure of score .9 beside the way leads greedy to a dead end; the whole way is worth more
    way = [actor(0.20), actor(0.24), actor(0.28), actor(0.32), actor(0.36)]
    lure = actor(0.17)
    clips = [detections((box, 0.6)) for box in way]
    clips[1] = detections((way[1], 0.6), (lure, 0.9))
    viterbi = link(clips, "v", 0, linker="viterbi")
    assert any(len(each.span) == 5 and each.score == pytest.approx(0.6) for each in viterbi)
    greedy = link(clips, "v", 0, linker="greedy")
    assert not any(len(each.span) == 5 and each.score == pytest.approx(0.6) for each in greedy)


def test_viterbi_is_the_best_of_all_paths():
    """Held to every path there is, by recursion."""
    rng = np.random.default_rng(4)
    clips = [(np.stack([actor(0.4 + 0.1 * x, 0.5) for x in rng.random(3)]), np.sort(rng.random(3))[::-1])
             for _ in range(5)]

    def best_from(clip: int, index: int) -> float:
        boxes, scores = clips[clip]
        after = [0.0]
        for later in range(clip + 1, min(clip + 2 + 1, len(clips))):
            for other, box in enumerate(clips[later][0]):
                overlap = plain_iou(boxes[index], box)
                if overlap >= 0.3:
                    after.append(overlap + best_from(later, other))
        return float(scores[index]) + max(after)

    expected = max(best_from(clip, index) for clip in range(5) for index in range(3))
    first = LINKERS["viterbi"](clips, 0.3, 1)[0]
    worth = sum(first.scores) + sum(plain_iou(a, b) for a, b in pairwise(first.boxes))
    assert worth == pytest.approx(expected)


def plain_iou(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_the_oracle_in_time_parts_what_no_linker_can_part():
    """One actor does two things one after the other, and is found in both."""
    clips = [detections((actor(0.5), 0.9 if t < 6 else 0.85)) for t in range(12)]
    true = [Tubelet(Span("film", 40 + 6 * k, 46 + 6 * k), torch.tensor(np.array([actor(0.5)] * 6))) for k in range(2)]
    assert len(link(clips, "v", 40)) == 1
    assert len(oracle_link(clips, true, "v", 40)) == 1  # one actor, as the boxes tell, and the score never falls
    found = oracle_link(clips, true, "v", 40, in_time=True)
    assert [(each.span.video, each.span.start, each.span.stop) for each in found] == [("v", 40, 46), ("v", 46, 52)]


def test_the_oracle_uses_detections_not_the_true_boxes():
    shifted = actor(0.53)
    clips = [detections((shifted, 0.8), (actor(0.9), 0.4)) if t != 2 else detections() for t in range(5)]
    true = [Tubelet(Span("film", 0, 6), torch.tensor(np.array([actor(0.5)] * 6)))]
    first, stray = oracle_link(clips, true, "v", 0)
    assert first.boxes.numpy() == pytest.approx(np.array([shifted] * 5), abs=1e-6)  # clip 5 was not detected
    assert stray.boxes[0].numpy() == pytest.approx(actor(0.9), abs=1e-6)  # what is nobody's is linked as usual


def test_the_oracle_follows_an_actor_who_leaps_where_no_linker_can():
    ways = [actor(0.2 + 0.4 * (t % 2), 0.5) for t in range(8)]
    clips = [detections((box, 0.9)) for box in ways]
    true = [Tubelet(Span("film", 0, 8), torch.tensor(np.array(ways)))]
    (only,) = oracle_link(clips, true, "v", 0)
    assert len(only.span) == 8
    for linker in LINKERS:
        assert all(len(each.span) < 8 or not np.allclose(each.boxes.numpy(), ways) for each in
                   link(clips, "v", 0, linker=linker))


def test_an_unknown_linker_is_refused():
    with pytest.raises(ValueError, match="'best' is no linker; there are: greedy, viterbi, online"):
        link([], "v", 0, linker="best")
