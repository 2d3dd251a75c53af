"""Promises of the two protocols."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stvr.annotations.labelled import AnnotatedTubelet
from stvr.structures import Pair, Span, Tubelet
from stvr.tasks.pairs.build import build_pairs

LONG = 1000 * 3  # clips


def tubelet(video: str, start: int, stop: int, label: tuple[int, ...] = (1,), person: str = "0") -> AnnotatedTubelet:
    """start and stop in seconds."""
    boxes = torch.tensor([0.1, 0.1, 0.5, 0.5]).repeat(3 * (stop - start), 1)
    return AnnotatedTubelet(Tubelet(Span(video, 3 * start, 3 * stop), boxes), label, person)


def extents(tubelets: list[AnnotatedTubelet], stop: int = LONG) -> dict[str, Span]:
    return {t.video: Span(t.video, 0, stop) for t in tubelets}


def seconds(pair: Pair) -> tuple[float, float]:
    return pair.reference.start / 3, pair.reference.stop / 3


def released(tubelets: list[AnnotatedTubelet], extent: Span, **options) -> list[Pair]:
    return build_pairs(tubelets, {extent.video: extent}, protocol="released", **{"held_out": {}, **options})


# By the program's arithmetic: start = max(first - n, 900), end = min(last + n + 1, 1800), for n below 10.
@pytest.mark.parametrize(("first", "last", "start", "end"), [
    (1000, 1000, 999, 1002),  # one second: three
    (1000, 1001, 998, 1004),
    (1000, 1008, 991, 1018),  # nine: twenty-seven
    (1000, 1009, 1000, 1010),  # ten: no background
    (902, 906, 900, 912),  # the film begins at 900
    (1798, 1799, 1796, 1800),  # and ends at 1800
])
def test_a_released_reference_is_padded_by_the_length_of_its_target(first: int, last: int, start: int, end: int):
    pairs = released([tubelet("v", first, last + 1)], Span("v", 2700, 5400), held_out={"test": {(1,)}})
    assert seconds(pairs[0]) == (start, end)
    assert pairs[0].split == "test"
    assert pairs[0].reference.overlap(pairs[0].query.span) == pairs[0].query.span  # its own reference: it is alone


def test_a_released_pair_holds_all_boxes_of_its_label_and_all_others():
    tubelets = [tubelet("v", 100, 104), tubelet("v", 106, 110, person="1"), tubelet("v", 90, 120, (2,), "2")]
    pairs = released(tubelets, Span("v", 0, LONG), held_out={"test": {(1,)}}, seed=3)
    for pair in pairs:
        if pair.split == "test":
            start, stop = seconds(pair)
            assert (start, stop) in {(96, 108), (102, 114)}
            wanted = {96: [(100, 104), (106, 108)], 102: [(102, 104), (106, 110)]}[int(start)]
            assert [(t.span.start / 3, t.span.stop / 3) for t in pair.targets] == wanted
            assert [(t.span.start / 3, t.span.stop / 3) for t in pair.others] == [(start, stop)]


def test_released_queries_are_whole_in_evaluation_and_ten_seconds_in_training():
    tubelets = [tubelet("v", 100, 130), tubelet("v", 200, 230, (2,))]
    starts = set()
    for seed in range(60):
        for pair in released(tubelets, Span("v", 0, LONG), held_out={"test": {(1,)}}, seed=seed):
            assert len(pair.query.span) == (90 if pair.split == "test" else 30)
            if pair.split == "train":
                starts.add(pair.query.span.start / 3)
    assert starts <= set(range(200, 220))  # start in [0, len - 11]: the last window is never drawn
    assert len(starts) > 12


def test_no_training_pair_shows_a_second_of_a_held_out_label():
    tubelets = [tubelet("v", 10, 14, (1,)), tubelet("v", 12, 13, (9,), "1"), tubelet("v", 15, 16, (9,), "1"),
                tubelet("w", 5, 9, (1,))]
    for protocol in ("released", "debiased"):
        pairs = build_pairs(tubelets, extents(tubelets, 90), held_out={"test": {(9,)}}, protocol=protocol, seed=1)
        trains = [pair for pair in pairs if pair.split == "train"]
        assert {(p.query.span.video, p.query.span.start / 3, p.query.span.stop / 3) for p in trains} == {
            ("v", 10, 12), ("v", 13, 14), ("w", 5, 9)}
        for pair in trains:
            for hidden in (Span("v", 36, 39), Span("v", 45, 48)):
                assert pair.reference.overlap(hidden) is None
                assert pair.query.span.overlap(hidden) is None


def test_videos_for_training_never_evaluate_and_the_other_way_round():
    tubelets = [tubelet(video, 10, 14, label) for video in "abcd" for label in ((1,), (2,))]
    pairs = build_pairs(tubelets, extents(tubelets), held_out={"val": {(2,)}}, train_videos={"a", "b"})
    for pair in pairs:
        videos = {pair.query.span.video, pair.reference.video}
        assert videos == ({"a", "b"} if pair.split == "train" else {"c", "d"})
    # label 2 stands in all seconds of label 1 above, so training has nothing left
    assert {pair.split for pair in pairs} == {"val"}


@st.composite
def annotated(draw: st.DrawFn) -> list[AnnotatedTubelet]:
    found = []
    for video in "abcdef"[: draw(st.integers(2, 6))]:
        for person in range(draw(st.integers(1, 3))):
            start = draw(st.integers(0, 80))
            length = draw(st.integers(1, 70))
            found.append(tubelet(video, start, start + length, (draw(st.integers(1, 4)),), str(person)))
    return found


@settings(deadline=None, max_examples=40)
@given(annotated(), st.integers(0, 5), st.integers(150, 400), st.floats(0, 0.8))
def test_debiased_pairs_keep_their_promises(found: list[AnnotatedTubelet], seed: int, stop: int, absent: float):
    stop *= 3
    pairs = build_pairs(found, extents(found, stop), held_out={"val": {(3,)}, "test": {(4,)}}, seed=seed,
                        absent_share=absent)
    videos_of = {label: {t.video for t in found if t.label == (label,)} for label in range(1, 5)}
    for pair in pairs:
        assert pair.query.span.video != pair.reference.video
        assert len(videos_of[int(pair.label)]) >= 2
        assert pair.split == {"3": "val", "4": "test"}.get(pair.label, "train")
        assert len(pair.query.span) <= 30
        assert len(pair.reference) <= 180
        assert pair.reference.stop <= stop
        if pair.split != "train":
            assert len(pair.reference) >= 30
        shown = [t.within(pair.reference) for t in found if t.video == pair.reference.video]
        labels = [t.label for t in shown if t is not None]
        if pair.targets:
            assert (int(pair.label),) in labels
        else:
            assert (int(pair.label),) not in labels
            assert pair.others
        if pair.split != "train":
            assert len(pair.targets) + len(pair.others) == len(labels)
        for part in (*pair.targets, *pair.others):
            assert part.span == pair.reference.overlap(part.span)


def many(num_videos: int, start: int = 300, length: int = 4) -> list[AnnotatedTubelet]:
    return [tubelet(f"{index:03}", start, start + length, (1 + index % 2,)) for index in range(num_videos)]


def test_a_debiased_target_lies_anywhere_in_its_reference():
    found = many(600)
    pairs = build_pairs(found, extents(found), held_out={}, absent_share=0)
    lengths = np.array([len(pair.reference) for pair in pairs])
    offsets = np.array([pair.targets[0].span.start - pair.reference.start for pair in pairs])
    places = offsets / (lengths - 12)  # 0: at the start, 1: at the end
    assert np.histogram(places, 5, (0, 1))[0].min() > 0.7 * 600 / 5  # five standard deviations are 0.4
    assert np.histogram(lengths, 5, (30, 180))[0].min() > 0.7 * 600 / 5
    assert lengths.min() >= 30
    assert lengths.max() <= 180


def test_the_middle_third_no_longer_knows_where_the_target_is():
    found = many(600)
    hits = np.zeros(3)
    for pair in build_pairs(found, extents(found), held_out={}, absent_share=0):
        span = pair.targets[0].span
        for third in range(3):
            edge = [pair.reference.start + len(pair.reference) * k / 3 for k in (third, third + 1)]
            hits[third] += max(0, min(span.stop, edge[1]) - max(span.start, edge[0])) / len(span)
    assert (hits / hits.sum()).max() < 0.45  # the released protocol puts everything in the second


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_a_share_of_debiased_pairs_has_no_target(share: float):
    found = many(1000)
    pairs = build_pairs(found, extents(found), held_out={}, absent_share=share)
    assert np.mean([not pair.targets for pair in pairs]) == pytest.approx(share, abs=0.002)


@settings(deadline=None, max_examples=30)
@given(annotated(), st.integers(0, 5), st.floats(0, 0.8))
def test_pairs_without_a_target_take_none_away(found: list[AnnotatedTubelet], seed: int, absent: float):
    alone, among = (
        [p.query.span for p in build_pairs(found, extents(found), held_out={}, seed=seed, absent_share=share)
         if p.targets] for share in (0, absent))
    assert len(alone) == len(among)
    assert {span.video for span in alone} == {span.video for span in among}


def test_a_set_of_two_pairs_keeps_both():
    found = [tubelet("v", 10, 14), tubelet("w", 20, 24), tubelet("x", 30, 34, (2,))]
    for seed in range(40):
        pairs = build_pairs(found, extents(found), held_out={}, seed=seed)
        shown = [(p.query.span.video, p.reference.video) for p in pairs if p.targets]
        assert shown == [("v", "w"), ("w", "v")]


def test_a_label_that_is_in_every_video_can_still_be_missing_from_a_span():
    found = [tubelet(f"{index:03}", *place, label) for index in range(200)
             for place, label in (((100, 120), (1,)), ((300, 320), (2,)))]
    pairs = build_pairs(found, extents(found), held_out={}, absent_share=0.2)
    assert np.mean([not pair.targets for pair in pairs]) == pytest.approx(0.2, abs=0.05)


def test_a_label_in_one_video_alone_makes_no_debiased_pair():
    found = [tubelet("v", 10, 14, (1,)), tubelet("v", 30, 34, (1,)), tubelet("v", 50, 54, (2,)),
             tubelet("w", 10, 14, (2,))]
    pairs = build_pairs(found, extents(found), held_out={}, absent_share=0)
    assert [pair.label for pair in pairs] == ["2", "2"]
    assert len(build_pairs(found, extents(found), held_out={}, protocol="released")) == 4


def test_a_target_longer_than_any_reference_fills_it():
    found = [tubelet(video, 100, 200) for video in "vw"]
    for pair in build_pairs(found, extents(found), held_out={}, absent_share=0):
        assert pair.targets[0].span == pair.reference
        assert len(pair.reference) <= 180


def test_a_short_video_is_shown_whole():
    found = [tubelet(video, 2, 4) for video in "vw"]
    for pair in build_pairs(found, extents(found, 18), held_out={}, absent_share=0):
        assert (pair.reference.start, pair.reference.stop) == (0, 18)


def test_one_seed_gives_one_set_of_pairs_and_another_seed_another():
    found = many(20)
    first, again, other = (
        [(p.query.span, p.reference, p.split) for p in build_pairs(found, extents(found), held_out={}, seed=seed)]
        for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_a_label_cannot_be_held_out_twice():
    with pytest.raises(ValueError, match="label 1,2 is held out for val and for test"):
        build_pairs([], {}, held_out={"val": {(1, 2)}, "test": {(1, 2)}})


@pytest.mark.parametrize(("options", "says"), [({"protocol": "fair"}, "not 'fair'"), ({"absent_share": 1.0}, "1.0")])
def test_options_that_cannot_be_are_refused(options: dict, says: str):
    with pytest.raises(ValueError, match=says):
        build_pairs([], {}, held_out={}, **options)
