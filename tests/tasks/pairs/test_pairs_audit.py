"""Promises of the audit of a pairs file; every number here was counted by hand."""

import pytest
import torch

from stvr.structures import Pair, Span, Tubelet
from stvr.tasks.pairs.audit import audit, headline, subset_labels


def tubelet(video: str, start: int, stop: int, edge: float = 0.1) -> Tubelet:
    return Tubelet(Span(video, start, stop), torch.tensor([edge, 0.1, 0.9, 0.9]).repeat(stop - start, 1))


@pytest.fixture
def found() -> dict:
    own = tubelet("a", 3, 6)
    pairs = [
        Pair(own, Span("a", 0, 9), (own,), "12", split="test"),  # its own target, in the middle third
        Pair(tubelet("a", 3, 6), Span("b", 0, 9), (tubelet("b", 0, 6), tubelet("b", 4, 6)), "12,79", split="test"),
        Pair(tubelet("c", 0, 30), Span("a", 30, 60), (), "14", split="test"),
        Pair(tubelet("a", 3, 6, 0.3), Span("a", 0, 9), (own,), "12", split="test"),  # another actor's box
    ]
    return audit(pairs)["test"]


def test_lengths_are_counted_in_seconds(found: dict):
    assert found["query_seconds"] == {"1": 3, "10": 1}
    assert found["reference_seconds"] == {"3": 3, "10": 1}


def test_a_target_is_looked_for_in_each_third(found: dict):
    # thirds of three references with a target: 0 + 3 + 0, 3 + 3 + 3 and 0 + 0 + 0 of 3 + 3 + 3 clips
    assert found["target_position"] == {"first": 3 / 9, "middle": 9 / 9, "last": 0}


def test_a_clip_belongs_to_the_third_that_its_middle_is_in():
    pair = Pair(tubelet("a", 3, 6), Span("b", 0, 4), (tubelet("b", 1, 2),), "12")  # middles at 1/8, 3/8, 5/8, 7/8
    assert audit([pair])["train"]["target_position"] == {"first": 0, "middle": 0.5, "last": 0}


def test_pairs_that_share_a_video_or_are_their_own_target_are_told_apart(found: dict):
    assert (found["same_video"], found["own_target"], found["without_target"], found["one_video"]) == (2, 1, 1, 3)


def test_support_counts_pairs_and_targets(found: dict):
    assert found["support"] == {"12": {"pairs": 2, "targets": 2}, "12,79": {"pairs": 1, "targets": 2},
                                "14": {"pairs": 1, "targets": 0}}
    assert list(found["support"]) == ["12", "12,79", "14"]


def test_a_label_within_another_is_named():
    assert subset_labels(["12", "12,79", "1", "14,79"]) == [["12", "12,79"]]


def test_the_authors_test_labels_lie_within_one_another_as_published():
    """The published audit: 9 of the 27 combinations of the test list are strict subsets of another."""
    from stvr.annotations.held_out import released_labels

    labels = [",".join(map(str, label)) for label in released_labels()["test"]]
    assert len({less for less, _ in subset_labels(labels)}) == 9


def test_the_headline_is_one_line(found: dict):
    assert headline("test", found) == (
        "test: 75.0% of queries last 1 s; references last 3 to 10 s; share of clips with a target in their first / "
        "middle / last third 0.33 / 1.00 / 0.00; query and reference from one video 50.0%, query its own target 25.0%; "
        "1 of 3 labels are part of another")
