"""Where candidate boxes come from: windows, a detector, a trained head, in both heads and from the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from patterned import ACTOR, OTHER, SPEC, head_of, iou, query_of, video, write
from tiny import TWO, pair, write_store, write_tiny_pairs

from stvr.heads.assembly import MATCHING, MatchingOptions, build_matching
from stvr.heads.entry import Reads
from stvr.heads.given import Proposer
from stvr.heads.head import Localizer
from stvr.heads.nearest import NEAREST, NearestHead, NearestOptions
from stvr.heads.proposal_sources import Sources
from stvr.session import Session
from stvr.store.region_boxes import write_boxes
from stvr.structures import Features
from stvr.tasks.pairs.dataset import collate, read_item

LOOSE, ELSEWHERE = (0.55, 0.05, 0.95, 0.6), (0.05, 0.85, 0.2, 1.0)  # around OTHER; where nobody is


def detected(num_clips: int, *boxes) -> torch.Tensor:
    """The same boxes in each clip, and a row of padding."""
    return torch.tensor([*boxes, (0.0,) * 4]).expand(num_clips, -1, 4).clone()


def with_boxes(features: Features, *boxes) -> Features:
    return Features(features.maps, boxes=detected(len(features), *boxes))


class Fixed(Localizer):
    """Proposes the same two boxes in each clip; its state counts the clips that it has seen."""

    def stream(self, state, features):
        return (state or 0) + len(features), [torch.tensor([ELSEWHERE, LOOSE])] * len(features)

    def proposals_of(self, look, query=None):
        return look


def nearest_with(proposals: str) -> NearestHead:
    proposer = Proposer(Fixed(), ["Mixed_4c"], Reads()) if "rpn" in proposals else None
    return NearestHead(NEAREST.fit(NearestOptions(proposals=proposals), SPEC), SPEC, proposer).eval()


@pytest.mark.parametrize("proposals", ["boxes", "rpn", "boxes+rpn"])
def test_given_boxes_are_answers_as_they_are(proposals):
    head = nearest_with(proposals)
    reference = with_boxes(video(6, actor=3, other=1), ELSEWHERE, LOOSE)
    query = query_of(head, video(3, seed=5))
    for clip in head.ask(head.look(reference), query):
        assert clip.boxes[0].tolist() == pytest.approx(LOOSE)
        assert (clip.boxes[:, 2:] > clip.boxes[:, :2]).all()  # the padding is no answer
        assert clip.scores[0] > 0.5


def test_a_window_that_fits_better_wins_over_a_given_box():
    head = nearest_with("map+rpn")
    query = query_of(head, video(3, seed=5))
    (clip, *_) = head.ask(head.look(video(6, actor=3, other=1)), query)
    assert iou(clip.boxes[0].tolist(), OTHER) > iou(LOOSE, OTHER)


@pytest.mark.parametrize("proposals", ["boxes", "map+rpn"])
def test_a_stream_with_given_boxes_answers_as_one_look(proposals):
    head, reference = nearest_with(proposals), with_boxes(video(7, actor=3, other=1), LOOSE)
    query, state, found = query_of(head, video(3, seed=5)), None, []
    for clips in (slice(1), slice(1, 5), slice(5, 7)):
        state, look = head.stream(state, reference.part(clips))
        found += head.ask(look, query)
    found += head.ask(head.finish(state), query)
    whole = head.ask(head.look(reference), query)
    assert len(found) == len(whole) == 7
    for one, other in zip(found, whole, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes)
        torch.testing.assert_close(one.scores, other.scores)


def test_without_boxes_the_user_is_told_where_they_come_from():
    head = nearest_with("boxes")
    with pytest.raises(ValueError, match="stvr extract --boxes DETECTOR"):
        head.look(video(3))


def test_names_on_no_menu_are_refused():
    assert Sources.of("map+rpn") == (("map",), ("rpn",))
    for wrong in ("", "maps", "map+", "map+map"):
        with pytest.raises(ValueError, match="Choose of map, grid, boxes, rpn"):
            Sources.of(wrong)
    with pytest.raises(ValueError, match="name its checkpoint as the proposer"):
        head_of(proposals="rpn")
    with pytest.raises(ValueError, match="no proposals of its own"):
        Proposer(torch.nn.Identity(), ["Mixed_4c"], Reads())


def test_the_matching_head_proposes_what_looks_like_the_query():
    """Its windows are where the query's pattern is, however little it has learnt; without a query there are none."""
    torch.manual_seed(0)
    head = build_matching_for_spec("map").eval()
    features, query = video(4, actor=3, other=1), video(3, seed=5)
    head.calibrate(features)
    asked = query_of(head, query)
    look = head.look(features)
    assert all(len(boxes) == 0 for boxes in head.proposals_of(look))
    for boxes in head.proposals_of(look, asked):
        assert max(iou(box, OTHER) for box in boxes.tolist()) > 0.5
        assert iou(boxes[0].tolist(), ACTOR) < 0.1


def build_matching_for_spec(proposals: str):
    options = MatchingOptions(width=8, proposal_width=8, tail_width=8, tail_units=1, attention_width=4,
                              localise_on="Mixed_4c", proposals=proposals)  # fmt: skip
    return build_matching(MATCHING.fit(options, SPEC), SPEC)


@pytest.mark.parametrize("proposals", ["map", "map+rpn", "boxes+grid"])
def test_it_trains_and_answers_from_the_command_line(proposals, tmp_path, stvr):
    store = write_store(tmp_path / "store", TWO)
    for video_name in "abcd":
        boxes = np.zeros((24, 3, 6), np.float32)
        boxes[:, 0] = (0.2, 0.2, 0.6, 0.7, 0.9, 1)
        write_boxes(store, video_name, boxes, "made")
    write_tiny_pairs(tmp_path / "pairs.json")
    config = tmp_path / "config.toml"
    config.write_text(f'[head]\nproposals = "{proposals}"\nmatch_on = "Mixed_5c"\nwidth = 8\n')
    trained = stvr("train", "--frozen-backbone", "--store", store, "--pairs", tmp_path / "pairs.json", "--out",
                   tmp_path / "run", "--preset", "small", "--config", config, "--steps", 2)
    assert trained.status == 0, trained.err
    found = stvr("eval", "--checkpoint", tmp_path / "run", "--store", store, "--pairs", tmp_path / "pairs.json",
                 "--split", "train")
    assert found.status == 0, found.err


def test_a_mirrored_view_has_mirrored_boxes(tmp_path):
    store = write_store(tmp_path / "store", replace(TWO, flipped=True))
    boxes = np.zeros((24, 2, 6), np.float32)
    boxes[:, 0] = (0.125, 0.25, 0.5, 0.75, 0.9, 1)
    write_boxes(store, "b", boxes, "made")
    plain, turned = (read_item(store, pair("a", "b"), flip_reference=each, boxes=True) for each in (False, True))
    assert plain.detected[0].tolist() == [[0.125, 0.25, 0.5, 0.75], [0.0] * 4]
    assert turned.detected[0].tolist() == [[0.5, 0.25, 0.875, 0.75], [0.0] * 4]
    assert collate([plain, turned]).boxes.shape == (2, len(plain.detected), 2, 4)
    other = read_item(store, pair("b", "a"), boxes=True)
    assert other.detected is None
    assert collate([plain, other]).boxes is None


def test_the_command_takes_a_detectors_boxes(tmp_path, stvr):
    library = write(tmp_path / "library", a=video(4, 5, 6, seed=11), b=video(5, 7, 8, seed=12))
    asked = write(tmp_path / "asked", q=video(3, seed=5), same=video(6, actor=3, other=1))
    words = ("locate", "--store", asked, "--statistics", library, "--query", "q", "--box", "40,30,100,80", "--at", 0.5,
             "same", "--out", tmp_path)  # fmt: skip
    lacking = stvr(*words, "--proposals", "boxes")
    assert lacking.status == 2
    assert "stvr extract --boxes" in lacking.err
    boxes = np.zeros((6, 2, 6), np.float32)
    boxes[:, 0] = (*LOOSE, 0.8, 1)
    write_boxes(asked, "same", boxes, "made")
    done = stvr(*words, "--proposals", "boxes")
    assert done.status == 0, done.err
    best, *_ = map(json.loads, (tmp_path / "tubelets.jsonl").read_text().splitlines())
    assert best["boxes"][0]["box"] == pytest.approx([LOOSE[0] * 200, LOOSE[1] * 100, LOOSE[2] * 200, LOOSE[3] * 100],
                                                    abs=0.1)
    for wrong, says in ((("--proposals", "rpn"), "Name it with --proposer"),
                        (("--proposer", tmp_path / "run"), "Give --proposals rpn")):  # fmt: skip
        ended = stvr(*words, *wrong)
        assert (ended.status, ended.err.count("\n")) == (2, 1)
        assert says in ended.err


def test_boxes_without_a_store_are_refused_before_anything_is_loaded():
    with pytest.raises(ValueError, match="name its --store"):
        Session.open(proposals="boxes")
