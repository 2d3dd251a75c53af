"""The page of an evaluation shows the figures of eval.json, and leaves out what there is none of."""

import re

import pytest
import torch

from stvr.metrics import ClipRecord, PairRecord
from stvr.render import evaluation_report, write_report
from stvr.render.bars import NAMES, NUMBERS, WIDTH, Bar, BarChart, bar_chart
from stvr.structures import LABEL_SAME, Detections, Pair, Span, Tubelet
from stvr.tasks.pairs.figures import PairAnswers, score

BOX, FAR = [0.2, 0.1, 0.6, 0.9], [0.7, 0.1, 0.9, 0.9]


def answered(label: str, found: list[float], value: float) -> PairAnswers:
    """Six clips of a reference, the target in all of them; one detection a clip."""
    target = Tubelet(Span("film", 0, 6), torch.tensor([BOX] * 6))
    pair = Pair(target, Span("film", 0, 6), (target,), label, (), "test")
    boxes, scores, truth = torch.tensor([found]), torch.tensor([value]), torch.tensor([BOX])
    clips = [ClipRecord(boxes, scores, truth)] * 6
    wrong = [ClipRecord(torch.tensor([FAR]), scores, truth)] * 6
    seen = [Detections(boxes, scores, torch.tensor([LABEL_SAME]))] * 6
    return PairAnswers(PairRecord(label, clips), PairRecord(label, wrong), [boxes] * 6, [truth] * 6, {}, pair, seen)


@pytest.fixture
def results() -> dict:
    return {
        "metric_version": 2, "split": ["test"], "evaluated": "2 of 3 pairs", "labels": {"1": "nod", "2": "<wave>"},
        "checkpoint": {"step": 7}, "pairs_digest": "sha256:00", "store_spec": {"backbone": "i3d"},
        **score([answered("1", BOX, 0.9), answered("2", FAR, 0.8)]),
    }  # fmt: skip


def test_the_figures_are_those_counted_by_hand(results):
    """Label 1 is right in every clip, label 2 in none; each pair is one tubelet."""
    assert results["frame_map"]["mean"]["0.5"] == 0.5
    assert results["intervals"]["per_label"]["1"] == pytest.approx([1, 1])
    assert results["intervals"]["per_label"]["2"] == [0, 0]
    assert results["errors"]["detections"]["right"] == results["errors"]["detections"]["background"] == 6
    assert results["errors"]["true_boxes"] == {"found": 6, "missed proposal": 6, "missed match": 0}
    for linker in ("greedy", "viterbi", "online", "oracle", "oracle in time"):
        assert results["video_map"]["linkers"][linker] == {"0.2": 0.5, "0.5": 0.5, "0.5:0.95": 0.5}
    assert results["video_map"]["gap_to_oracle"]["viterbi"] == {"0.2": 0, "0.5": 0}
    assert results["by_length"] == [{"from_seconds": 0, "to_seconds": 5, "pairs": 2, "mAP": 0.5}]
    assert [each["label"] for each in results["worst"]] == ["2", "1"]
    assert results["ndcg"] == {"mean": 0.5, "pairs": 2, "gain": "Jaccard index of the two sets of actions"}


def test_the_page_shows_them_and_escapes_names(results, tmp_path):
    page = write_report(tmp_path / "report.html", evaluation_report(results)).read_text(encoding="utf-8")
    for words in ("AP at IoU 0.5 by label", "video-mAP by linker", "What the best detections are", "Proposal recall",
                  "by length of the reference", "Answered worst", "film 0 to 6", "metric version 2", "2 of 3 pairs"):
        assert words in page
    assert "&lt;wave&gt;" in page
    assert "<wave>" not in page
    assert "<script" not in page
    assert not re.search(r"None|nan", page)


def test_what_was_not_measured_is_left_out(results, tmp_path):
    bare = score([PairAnswers(PairRecord("1", []), None, [], [])])
    page = write_report(tmp_path / "report.html", evaluation_report({**results, **bare})).read_text(encoding="utf-8")
    assert "video-mAP" not in page
    assert "Answered worst" not in page
    assert "shuffled query</text>" not in page


def test_a_bar_is_as_long_as_its_value_and_its_whisker_as_its_interval():
    picture = bar_chart(BarChart("t", [Bar("half", 50, 25, 100), Bar("none", None), Bar("full", 100)], 100))
    room = WIDTH - NAMES - NUMBERS
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', picture)]
    assert widths == pytest.approx([room / 2, room], abs=0.1)
    left, right = re.search(r'whisker" d="M([\d.]+) [\d.]+ H([\d.]+)"', picture).groups()
    assert (float(left), float(right)) == pytest.approx((NAMES + room / 4, NAMES + room), abs=0.1)
    assert "–" in picture
