"""Promises of linking."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from hypothesis import given
from hypothesis import strategies as st

from stvr.annotations.ava import read_ava
from stvr.annotations.labelled import AnnotatedTubelet, cover, cut, free_runs, link_annotations
from stvr.annotations.rows import Annotations
from stvr.structures import ClipSpec, Span, Tubelet


def annotations(*rows: tuple) -> Annotations:
    """rows: video, person, second, labels."""
    boxes = [(video, person, second, second + 1, labels, 0.1, 0.1, 0.5, 0.9 - second / 1e4)
             for video, person, second, labels in rows]
    return Annotations(pd.DataFrame(boxes, columns=["video", "person", "start", "stop", "labels",
                                                    "x1", "y1", "x2", "y2"]))


def tubelet(start: int, stop: int, label: tuple[int, ...] = (1,), video: str = "v") -> AnnotatedTubelet:
    return AnnotatedTubelet(Tubelet(Span(video, start, stop), torch.rand(stop - start, 4)), label, "0")


def test_the_excerpt_of_ava_links_to_55_tubelets(shared: Path):
    path = shared / "data/annotations/ava/ava_val_v2.2_excerpt_1j20qq1JyX4_0902-0969.csv"
    linked = link_annotations(read_ava(path).checked())
    # the numbers: a twelve-line count over csv.reader, without this package
    assert len(linked) == 55
    assert len({tubelet.label for tubelet in linked}) == 21
    counts = Counter(tubelet.label for tubelet in linked)
    assert counts[12, 74, 80] == 8
    assert counts[12, 74] == 7
    assert counts[12, 79] == 6
    assert sum(len(tubelet.span) for tubelet in linked) == 3 * 99


def test_a_change_of_label_and_a_gap_both_end_a_tubelet():
    rows = [("v", "7", second, (11,)) for second in (911, 912)]
    rows += [("v", "7", second, (12, 17, 79)) for second in (913, 914, 969, 972)]
    linked = link_annotations(annotations(*rows))
    assert [(t.span.start // 3, t.span.stop // 3, t.label) for t in linked] == [
        (911, 913, (11,)), (913, 915, (12, 17, 79)), (969, 970, (12, 17, 79)), (972, 973, (12, 17, 79))]


def test_a_second_gives_its_box_to_three_clips():
    linked = link_annotations(annotations(("v", "0", 4, (1,)), ("v", "0", 5, (1,))))[0]
    assert (linked.span.start, linked.span.stop) == (12, 18)
    torch.testing.assert_close(linked.tubelet.boxes[:, 3], torch.tensor([0.8996] * 3 + [0.8995] * 3))


def test_persons_and_videos_are_never_joined():
    linked = link_annotations(annotations(("v", "0", 1, (1,)), ("v", "1", 2, (1,)), ("w", "1", 3, (1,))))
    assert [(t.video, t.person) for t in linked] == [("v", "0"), ("v", "1"), ("w", "1")]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30, unique=True), st.sampled_from([24, 25, 30]))
def test_every_annotated_second_is_covered_and_no_other(seconds: list[int], fps: int):
    spec = ClipSpec(fps=fps)
    linked = link_annotations(annotations(*[("v", "0", second, (1,)) for second in seconds]), spec)
    clips = [clip for tubelet in linked for clip in range(tubelet.span.start, tubelet.span.stop)]
    assert len(clips) == len(set(clips))
    middles = (np.arange(spec.index_at(402)) + 0.5) * 8 / fps
    assert clips == [clip for clip, middle in enumerate(middles) if int(middle + 1e-9) in set(seconds)]


def test_what_is_taken_cuts_a_tubelet_into_pieces():
    taken = cover([tubelet(3, 6), tubelet(5, 9), tubelet(0, 4, video="w")])
    pieces = cut([tubelet(0, 12, (2,))], taken)
    assert [(t.span.start, t.span.stop) for t in pieces] == [(0, 3), (9, 12)]
    assert cut([tubelet(4, 8, (2,))], taken) == []


@given(st.integers(0, 20), st.integers(1, 20), st.lists(st.booleans(), max_size=50))
def test_free_runs_are_exactly_what_is_not_taken(start: int, length: int, flags: list[bool]):
    span, taken = Span("v", start, start + length), {"v": np.array(flags, bool)}
    runs = free_runs(span, taken)
    free = [clip for run in runs for clip in range(run.start, run.stop)]
    assert free == [clip for clip in range(start, start + length) if clip >= len(flags) or not flags[clip]]
    assert all(a.stop < b.start for a, b in pairwise(runs))
