"""Promises of the protocol one_shot, on pairs counted by hand."""

from __future__ import annotations

import pytest
import torch

from stvr.annotations.labelled import AnnotatedTubelet
from stvr.structures import Pair, Span, Tubelet
from stvr.tasks.pairs.build import build_pairs

WHOLE = 45  # clips of every video
TRAINS = {"t0", "t1", "t2", "t3"}
LABELS = {"t0": 1, "t1": 1, "t2": 2, "t3": 3, "e0": 1, "e1": 2, "e2": 2, "e3": 3, "e4": 4}  # 1 and 2 are held out


def tubelet(video: str, label: int) -> AnnotatedTubelet:
    boxes = torch.tensor([0.1, 0.1, 0.5, 0.5]).repeat(6, 1)
    return AnnotatedTubelet(Tubelet(Span(video, 9, 15), boxes), (label,), "0")


def built(train_videos: set[str] | None, seed: int = 0, **labels: int) -> list[Pair]:
    tubelets = [tubelet(video, label) for video, label in {**LABELS, **labels}.items()]
    extents = {each.video: Span(each.video, 0, WHOLE) for each in tubelets}
    return build_pairs(tubelets, extents, held_out={"test": {(1,), (2,)}}, protocol="one_shot", seed=seed,
                       train_videos=train_videos)


def test_one_support_of_each_unseen_label_is_asked_of_every_whole_test_video_of_an_unseen_label():
    asked = [pair for pair in built(TRAINS) if pair.split == "test"]
    assert len(asked) == 2 * 3  # labels 1 and 2, of e0, e1, e2: e3 and e4 show no unseen label
    assert {pair.reference for pair in asked} == {Span(video, 0, WHOLE) for video in ("e0", "e1", "e2")}
    assert {pair.label: len({other.query.span.video for other in asked if other.label == pair.label})
            for pair in asked} == {"1": 1, "2": 1}
    assert {pair.query.span.video for pair in asked if pair.label == "2"} == {"t2"}
    true = {(pair.label, pair.reference.video) for pair in asked if pair.targets}
    assert true == {("1", "e0"), ("2", "e1"), ("2", "e2")}


def test_the_seed_draws_the_support_from_the_training_list_evenly():
    support = [pair.query.span.video for seed in range(60) for pair in built(TRAINS, seed)
               if pair.split == "test" and pair.label == "1" and pair.reference.video == "e0"]
    assert set(support) == {"t0", "t1"}
    assert 18 <= support.count("t0") <= 42  # of 60 throws of a coin, beyond 3 deviations once in 370


def test_training_sees_no_unseen_label_and_pairs_are_those_of_debiased():
    trains = [pair for pair in built(TRAINS | {"t4"}, t4=3) if pair.split == "train"]
    assert {pair.label for pair in trains} == {"3"}
    assert {pair.query.span.video for pair in trains if pair.targets} == {"t3", "t4"}


def test_without_a_training_list_the_support_is_never_asked_of_its_own_video():
    asked = [pair for pair in built(None) if pair.split == "test"]
    videos = {"t0", "t1", "t2", "e0", "e1", "e2"}
    assert len(asked) == 2 * (len(videos) - 1)
    for label in "12":
        own = [pair for pair in asked if pair.label == label]
        (query,) = {pair.query.span.video for pair in own}
        assert {pair.reference.video for pair in own} == videos - {query}


def test_a_label_without_support_or_without_a_test_video_is_not_asked():
    pairs = built({"t2", "t3"}, t0=3, t1=3)
    assert {pair.label for pair in pairs if pair.split == "test"} == {"2"}
    pairs = built(TRAINS | {"e0"})
    assert {pair.label for pair in pairs if pair.split == "test"} == {"2"}


def test_no_other_protocol_is_known():
    with pytest.raises(ValueError, match="debiased, released, paper, one_shot, not 'two_shot'"):
        build_pairs([], {}, held_out={}, protocol="two_shot")  # type: ignore[arg-type]
