"""What is told of tubelets while they happen adds up to what the linker says when all is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stvr.structures import LABEL_SAME, Detections
from stvr.tubelets import OnlineLinker, link
from stvr.tubelets.linking import Scored, suppress
from stvr.tubelets.telling import CLOSE, DROP, EXTEND, GONE, LONGEST, OPEN, Teller

ALL = {"nms_iou": 1.0, "max_tubelets": 10**9}  # nothing is suppressed


def detections(*found: tuple[float, float]) -> Detections:
    """Boxes half as wide as the picture, by where they begin and their score."""
    boxes = torch.tensor([[left, 0.1, left + 0.4, 0.9] for left, _ in found]).reshape(-1, 4)
    scores = torch.tensor([score for _, score in found], dtype=torch.float32)
    return Detections(boxes, scores, torch.full((len(found),), LABEL_SAME))


def random_clips(seed: int, num_clips: int = 60) -> list[Detections]:
    """Two actors who come and go and whose scores rise and fall, and boxes that come from nowhere."""
    chance = np.random.default_rng(seed)
    clips = []
    for clip in range(num_clips):
        found = [(left + 0.05 * np.sin(clip / 4), float(np.clip(0.5 + 0.5 * np.sin(clip / pace) +
                  chance.normal(0, 0.15), 0.01, 1))) for left, pace in ((0.0, 3), (0.5, 7)) if chance.random() < 0.8]
        found += [(chance.random() * 0.6, chance.random())] * (chance.random() < 0.2)
        clips.append(detections(*sorted(found, key=lambda each: -each[1])))
    return clips


def told_of(clips, **options):
    """(clip that said so, what it said), to the end."""
    teller = Teller(OnlineLinker("v", 3, **options))
    told = [(number, each) for number, clip in enumerate(clips, 3) for each in teller.step(clip)]
    return told + [(len(clips) + 3, each) for each in teller.finish("the end")]


def rows(tubelets):
    return sorted((each.span.start, each.span.stop, each.score, each.boxes.flatten().tolist()) for each in tubelets)


@pytest.mark.parametrize("contrast", [None, 0.4])
@pytest.mark.parametrize("seed", range(6))
def test_what_closes_is_all_that_the_linker_finds(seed, contrast):
    clips = random_clips(seed)
    told = [each for _, each in told_of(clips, contrast=contrast)]
    closed = [each.tubelet for each in told if each.kind == CLOSE]
    assert rows(closed) == rows(link(clips, "v", 3, contrast=contrast, **ALL))
    assert len(closed) > 3


@pytest.mark.parametrize("seed", range(6))
def test_every_tubelet_opens_once_and_ends_once(seed):
    told = told_of(random_clips(seed), contrast=0.4)
    opened = [each.number for _, each in told if each.kind == OPEN]
    ended = [each.number for _, each in told if each.kind in (CLOSE, DROP)]
    assert len(opened) == len(set(opened))
    assert len(ended) == len(set(ended))
    assert set(opened) <= set(ended)
    for number in opened:
        kinds = [each.kind for _, each in told if each.number == number]
        assert kinds[0] == OPEN
        assert set(kinds[1:-1]) <= {EXTEND}


def test_the_clips_in_which_it_is_told():
    """Clips 5 to 9 show it: it opens with the second of them, and 4 clips later it is known not to come back."""
    clips = [detections((0.2, 0.9)) if 5 <= number < 10 else detections() for number in range(3, 20)]
    told = told_of(clips)
    assert [(clip, each.kind) for clip, each in told] == [(6, OPEN), (7, EXTEND), (8, EXTEND), (9, EXTEND), (13, CLOSE)]
    assert [(each.span.start, each.span.stop) for _, each in told] == [(5, 7), (5, 8), (5, 9), (5, 10), (5, 10)]
    assert told[-1][1].why == GONE
    assert told[-1][1].score == pytest.approx(0.9)


def test_what_later_clips_show_better_is_dropped():
    """0.3 is less than half of 0.9, and a second apart."""
    scores = [0.3] * 5 + [0.06] * 5 + [0.9] * 5
    told = told_of([detections((0.2, score)) for score in scores])
    ends = [(each.kind, each.number, each.span.start, each.span.stop) for _, each in told
            if each.kind in (CLOSE, DROP)]  # fmt: skip
    assert ends == [(DROP, 1, 3, 8), (CLOSE, 2, 13, 18)]
    assert told[-1][1].why == "the end"


def test_who_never_goes_away_closes_all_the_same():
    clips = [detections((0.2, 0.9))] * 25
    told = told_of(clips, longest=10)
    closed = [(clip, each.span.start, each.span.stop, each.why) for clip, each in told if each.kind == CLOSE]
    assert closed == [(13, 3, 13, LONGEST), (23, 13, 23, LONGEST), (28, 23, 28, "the end")]


def test_a_source_of_one_clip_answers_as_offline():
    clips = [detections((0.2, 0.9))]
    assert [each.kind for _, each in told_of(clips)] == [CLOSE]
    assert rows([told_of(clips)[0][1].tubelet]) == rows(link(clips, "v", 3))


@pytest.mark.parametrize("seed", range(6))
def test_what_an_answer_leaves_out_of_what_closes_tells_the_same_story_less_well(seed):
    clips = random_clips(seed)
    closed = [each.tubelet for _, each in told_of(clips) if each.kind == CLOSE]
    scored = [Scored(each, np.full(len(each.span), each.score)) for each in closed]  # their sums are what counts
    best = sorted((each.tubelet for each in suppress(scored, 0.3)), key=lambda each: -each.score)[:10]
    assert rows(best) == rows(link(clips, "v", 3))
