"""Every pair is asked and counted, the probe asks with strangers, and what does not fit is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import HEAD, NUM_CLIPS, SPEC, pair, write_store, write_tiny_pairs

import stvr.session.session
from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import save_head
from stvr.jobs.evaluate import evaluate
from stvr.metrics import PROBES, ClipRecord, PairRecord
from stvr.propagation import Recurrent
from stvr.render import text_table
from stvr.structures import ClipSpec, MapSpec, Span
from stvr.tasks.pairs.figures import PairAnswers, score, thinned
from stvr.tasks.pairs.judge import draw_strangers
from stvr.tubelets import LINKERS

BOX, FAR = torch.tensor([[0.2, 0.1, 0.6, 0.9]]), torch.tensor([[0.7, 0.1, 0.9, 0.2]])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "head.safetensors"
    options = MatchingOptions(**HEAD)
    torch.manual_seed(0)
    save_head(path, build_head(options, SPEC), options, SPEC, {"step": 1})
    return path


def test_a_stranger_never_shares_the_label_and_every_label_is_drawn():
    found = [pair(query, "a") for query in "abcd" * 100]
    strangers = draw_strangers(found, seed=0)
    for own, stranger in zip(found, strangers, strict=True):
        assert stranger.label != own.label
    counts = Counter(stranger.query.span.video for stranger in strangers)
    assert min(counts.values()) > 100 - 5 * (400 * 0.25 * 0.75) ** 0.5  # five standard deviations
    assert [s.query.span for s in draw_strangers(found, 0)] == [s.query.span for s in strangers]


def test_without_another_label_there_is_no_stranger():
    assert draw_strangers([pair("a", "b"), pair("b", "a")], seed=0) == [None, None]


def answers(own: list[tuple[torch.Tensor, float]], shuffled: list[tuple[torch.Tensor, float]]) -> PairAnswers:
    """A clip each: what was found there with which score; the truth is BOX everywhere."""
    records = [PairRecord("1", [ClipRecord(box, torch.tensor([value]), BOX) for box, value in found])
               for found in (own, shuffled)]
    return PairAnswers(records[0], records[1], [box for box, _ in own], [BOX] * len(own))


def test_the_score_is_counted_as_by_hand():
    """Own: right at .9, wrong at .8, right at .7: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3. Shuffled: wrong."""
    said = score([answers([(BOX, 0.9), (FAR, 0.8), (BOX, 0.7)], [(FAR, 0.9)] * 3)])
    assert said["frame_map"]["mean"]["0.5"] == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert said["frame_map"]["boxes"] == {"1": 3}
    assert said["shuffled_query"]["mean"] == {"0.3": 0, "0.5": 0, "0.7": 0}
    assert said["proposal_recall"]["8"]["0.5"] == pytest.approx(2 / 3)


def test_every_figure_is_json(store: Path, pairs: Path, checkpoint: Path, tmp_path: Path):
    told: list[tuple[int, int]] = []
    results = evaluate(checkpoint, store, pairs, out=tmp_path / "eval", report=lambda *done: told.append(done))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads((tmp_path / "eval" / "eval.json").read_text(), parse_constant=refuse) == results
    assert results["evaluated"] == "5 of 5 pairs"
    assert results["split"] == ["test"]
    assert results["frame_map"]["pairs"] == {"1": 3, "2": 2}
    assert results["frame_map"]["boxes"] == {"1": 12, "2": 12}  # six clips of each reference with a target
    assert set(results["shuffled_query"]["per_label"]) == {"1", "2"}
    assert told == [(number, 5) for number in range(1, 6)]
    assert "with a shuffled query" in text_table(results)
    assert text_table(results).splitlines()[1].startswith("nod ")
    assert "by linker: greedy" in text_table(results)
    assert set(results["video_map"]["linkers"]) == {*LINKERS, "oracle", "oracle in time"}
    assert sum(results["errors"]["detections"].values()) <= 24 == sum(results["errors"]["true_boxes"].values())
    assert results["ndcg"] == {"mean": results["ndcg"]["mean"], "pairs": 4, "gain": results["ndcg"]["gain"]}
    assert text_table(results).endswith("5 of 5 pairs")


def test_one_seed_gives_one_answer(store: Path, pairs: Path, checkpoint: Path):
    first, again = (evaluate(checkpoint, store, pairs, seed=3, limit=4) for _ in range(2))
    assert first == again
    assert first["evaluated"] == "4 of 5 pairs"


def test_long_references_are_matched_in_parts_that_change_nothing(
    store: Path, pairs: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = evaluate(checkpoint, store, pairs)
    monkeypatch.setattr(stvr.session.session, "CLIPS_AT_ONCE", 7)
    parts = evaluate(checkpoint, store, pairs)
    for name in ("frame_map", "shuffled_query"):
        for label, values in whole[name]["per_label"].items():
            assert parts[name]["per_label"][label] == pytest.approx(values, abs=1e-3)


def test_pairs_that_the_store_cannot_feed_are_counted_as_left_out(store: Path, checkpoint: Path, tmp_path: Path):
    asked = [pair("a", "b"), pair("c", "d"), pair("d", "c", stop=NUM_CLIPS + 3)]
    results = evaluate(checkpoint, store, write_tiny_pairs(tmp_path / "pairs.json", asked))
    assert results["evaluated"] == "2 of 3 pairs"
    with pytest.raises(LookupError, match=r"none of the 1 pairs can be evaluated: 'c' has 24 clips.*stvr extract"):
        evaluate(checkpoint, store, write_tiny_pairs(tmp_path / "pairs.json", asked[2:]))


def test_one_label_alone_has_no_probe(store: Path, checkpoint: Path, tmp_path: Path):
    results = evaluate(checkpoint, store, write_tiny_pairs(tmp_path / "pairs.json", [pair("a", "b")]))
    assert results["shuffled_query"] is None
    assert "no shuffled-query probe" in text_table(results)


def test_references_without_any_target_give_no_figure(store: Path, checkpoint: Path, tmp_path: Path):
    results = evaluate(checkpoint, store, write_tiny_pairs(tmp_path / "pairs.json", [pair("a", "c")]))
    assert results["frame_map"]["mean"] == {"0.3": None, "0.5": None, "0.7": None}
    assert "-" in text_table(results)


def test_another_split_is_refused_with_those_there_are(store: Path, pairs: Path, checkpoint: Path):
    assert evaluate(checkpoint, store, pairs, split="train", limit=1)["split"] == ["train"]
    with pytest.raises(LookupError, match="no pair has split 'val'; the file has: test, train"):
        evaluate(checkpoint, store, pairs, split="val")


@pytest.mark.parametrize(("changes", "says"), [
    ({"weights_digest": "sha256:11", "weights": "other.pt"}, "'analytic', not 'other.pt'"),
    ({"maps": (MapSpec("Mixed_3c", 8, 4, 480),)}, "reads Mixed_4c, but the features are those of Mixed_3c"),
    ({"clip": ClipSpec(image_size=320)}, "image_size is 160, not 320"),
])
def test_features_that_the_head_was_not_trained_on_are_refused(changes, says, pairs, checkpoint, tmp_path):
    other = write_store(tmp_path / "store", replace(SPEC, **changes), side=4, videos="ab")
    with pytest.raises(ValueError, match=says):
        evaluate(checkpoint, other.path, pairs)


def test_what_lies_beside_the_features_matters_only_to_heads_that_read_it(pairs, checkpoint, store, tmp_path):
    both = write_store(tmp_path / "both", replace(SPEC, flow="ilk at 80 px", flipped=True))
    assert evaluate(checkpoint, both.path, pairs)["frame_map"] == evaluate(checkpoint, store, pairs)["frame_map"]


def test_a_head_of_flow_is_told_of_the_pairs_flow(pairs, store, tmp_path, monkeypatch):
    spec = replace(SPEC, flow="ilk at 80 px")
    options = MatchingOptions(**{**HEAD, "propagation": "flow"})
    torch.manual_seed(0)
    head, path = build_head(options, SPEC), tmp_path / "head.safetensors"
    save_head(path, head, options, spec, {})
    given, stream = [], Recurrent.stream
    monkeypatch.setattr(Recurrent, "stream", lambda self, maps, state=None, flow=None: (
        given.append(flow), stream(self, maps, state, flow))[1])
    flows = write_store(tmp_path / "flows", spec)
    assert evaluate(path, flows.path, pairs)["evaluated"] == "5 of 5 pairs"
    whole = torch.cat(given, 1)  # eight clips at a time; the fifth pair's reference, c again, was looked at already
    for each, asked in zip(whole[0].split(NUM_CLIPS), "badc", strict=True):  # the references, in the pairs' order
        torch.testing.assert_close(each, flows.read_flow(Span(asked, 0, NUM_CLIPS)).float(), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"reads optical flow .* but the features have none"):
        evaluate(path, store, pairs)
    with pytest.raises(ValueError, match="flow is 'ilk at 80 px', not 'tvl1 at 80 px'"):
        evaluate(path, write_store(tmp_path / "other", replace(spec, flow="tvl1 at 80 px")).path, pairs)


def test_pairs_that_count_other_clips_are_refused(store: Path, checkpoint: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="8 frames at 12 a second"):
        evaluate(checkpoint, store, write_tiny_pairs(tmp_path / "pairs.json", fps=12))


def test_a_curve_is_thinned_and_keeps_its_ends():
    recall = np.linspace(0, 1, 1001)
    curve = thinned(recall, recall[::-1], points=5)
    assert curve == {"recall": [0, 0.25, 0.5, 0.75, 1], "precision": [1, 0.75, 0.5, 0.25, 0]}
    assert thinned([], []) == {"recall": [], "precision": []}


def test_an_audit_ranks_true_boxes_with_and_without_the_query(store: Path, pairs: Path, checkpoint: Path, monkeypatch):
    results = evaluate(checkpoint, store, pairs, audit=True)
    assert set(results["audit"]) == {*PROBES, "true boxes, the model's match score"}
    assert all(0 < values["0.5"] <= 1 for values in results["audit"].values())  # true boxes overlap themselves
    for name in results["audit"]:
        assert name[:20] in text_table(results)
    monkeypatch.setattr(stvr.session.session, "CLIPS_AT_ONCE", 5)  # parts change nothing
    assert evaluate(checkpoint, store, pairs, audit=True)["audit"] == results["audit"]


def test_without_an_audit_there_is_none(store: Path, pairs: Path, checkpoint: Path):
    assert evaluate(checkpoint, store, pairs)["audit"] == {}
