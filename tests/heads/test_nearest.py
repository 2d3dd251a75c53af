"""The head with nothing trained: where the query stands out on a map, what it is, and where nothing moves."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from patterned import ACTOR, OTHER, SPEC, head_of, iou, query_of, video, write
from scipy.spatial.distance import cosine

from stvr.heads.nearest import NEAREST, NearestHead, NearestOptions, as_score, moving
from stvr.heads.ready import ready_head
from stvr.heads.similarity import similarity
from stvr.heads.standardise import Standardise
from stvr.heads.where import OFFSETS
from stvr.session import Session
from stvr.structures import Features, MapSpec, Query, Span


@pytest.mark.parametrize("proposals", ["map", "grid", "map+grid"])
def test_the_first_answer_is_who_does_the_same(proposals):
    head = head_of(proposals=proposals)
    query = query_of(head, video(3, seed=5))
    for clip in head.ask(head.look(video(6, actor=3, other=1)), query):  # here the other one does it
        assert iou(clip.boxes[0].tolist(), OTHER) > 0.5
        assert clip.scores[0] > 0.5
        assert clip.scores.tolist() == sorted(clip.scores.tolist(), reverse=True)


def test_scores_tell_a_video_where_it_happens_from_one_where_it_does_not():
    head = head_of()
    query = query_of(head, video(3, seed=5))
    there, elsewhere = (head.ask(head.look(video(5, actor=actor, other=2)), query) for actor in (1, 3))
    least = min(float(clip.scores[0]) for clip in there)
    assert least > 0.9
    assert max(float(clip.scores[0]) for clip in elsewhere if len(clip.scores)) < least - 0.3


@pytest.mark.parametrize("features", [
    video(6, still=True),
    Features({name: torch.zeros_like(maps) for name, maps in video(6).maps.items()}),
], ids=["still", "blank"])  # fmt: skip
def test_where_nothing_moves_nothing_is_found(features):
    head = head_of()
    assert all(len(clip.scores) == 0 for clip in head.ask(head.look(features), query_of(head, video(3, seed=5))))


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1, 1, 1, 1), (4, 5), (2, 7), (8, 1)])
def test_a_stream_answers_as_one_look(sizes):
    head, features = head_of(), video(9)
    query, state, answers, start = query_of(head, video(3, seed=5)), None, [], 0
    for size in sizes:
        part = Features({name: maps[start : start + size] for name, maps in features.maps.items()})
        state, look = head.stream(state, part)
        answers += head.ask(look, query)
        start += size
    answers += head.ask(head.finish(state), query)
    whole = head.ask(head.look(features), query)
    assert len(answers) == len(whole) == 9
    for ours, theirs in zip(answers, whole, strict=True):
        torch.testing.assert_close(ours.boxes, theirs.boxes)
        torch.testing.assert_close(ours.scores, theirs.scores, rtol=1e-4, atol=1e-6)


def test_the_score_of_a_given_box_is_its_cosine_with_the_query():
    head, reference = head_of(smoothing=1), video(2)
    query = query_of(head, video(3, seed=5))
    (score, _) = head.score_boxes(head.look(reference), query, [torch.tensor([[0.2, 0.4, 0.6, 0.8]])] * 2)
    inside = reference.maps["Mixed_5c"][0, 2:4, 1:3].mean((0, 1)).numpy()  # statistics are 0 and 1
    asked = query.regions["what"].mean(0).numpy()
    assert float(score[0]) == pytest.approx(float(as_score(torch.tensor(1 - cosine(inside, asked)))), abs=2e-3)


def test_several_examples_count_together_or_the_best_of_them():
    query = {}
    for examples in ("mean", "best"):
        head = head_of(examples=examples)
        one, two = query_of(head, video(3, seed=5)), query_of(head, video(3, actor=4, seed=6))
        both = Query(one.tubelets + two.tubelets, {name: torch.cat([one.regions[name], two.regions[name]])
                                                   for name in one.regions})
        query[examples] = [head.ask(head.look(video(4, actor=actor)), both)[2] for actor in (1, 4)]
    for single, best in zip(query["mean"], query["best"], strict=True):
        assert iou(best.boxes[0].tolist(), ACTOR) > 0.5
        assert best.scores[0] > single.scores[0]  # each reference does one of the two, none does their mean


def test_what_a_cell_of_i3d_sees_lies_right_and_below_of_it():
    """Along one axis, by hand: a step of size k and stride s reads from s * i - (k - s) // 2 on, k of them."""
    to_4c = [(7, 2), (3, 2), (3, 1), (3, 2), (3, 1), (3, 1), (3, 2), (3, 1), (3, 1)]
    to_5c = [*to_4c, (3, 1), (3, 1), (3, 1), (2, 2), (3, 1), (3, 1)]
    for layers, stride in ((to_4c, 16), (to_5c, 32)):
        first = last = 5  # the sixth cell
        for size, step in reversed(layers):
            first, last = (edge * step - (size - step) // 2 for edge in (first, last))
            last += size - 1
        middle = (first + last + 1) / 2  # of the pixels that it sees
        assert middle - 5.5 * stride == OFFSETS["i3d"]


def test_boxes_of_i3d_are_moved_by_that_there_and_back():
    spec = replace(SPEC, backbone="i3d")
    plain, shifted = head_of(), NearestHead(NEAREST.fit(NearestOptions(), spec), spec).eval()
    offset, features = 7.5 / 160, video(3, seed=5)
    box = tuple(edge + offset for edge in ACTOR)
    ours, theirs = query_of(shifted, features, box), query_of(plain, features, ACTOR)
    for name, regions in ours.regions.items():
        torch.testing.assert_close(regions, theirs.regions[name], rtol=1e-4, atol=1e-4)
    found, expected = (head.ask(head.look(video(2)), query)[1] for head, query in ((shifted, ours), (plain, theirs)))
    torch.testing.assert_close(found.boxes, (expected.boxes + offset).clamp(0, 1))
    torch.testing.assert_close(found.scores, expected.scores)


def test_what_stands_out_does_not_depend_on_how_like_the_clip_is():
    cells = torch.nn.functional.normalize(torch.randn(1, 4, 4, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    wanted = torch.ones(8)
    cosines = cells[0].numpy() @ (np.ones(8) / np.sqrt(8))
    expected = (cosines - cosines.mean()) / cosines.std(ddof=1)
    found = similarity({"m": cells.half()}, {"m": wanted})[0].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_channel_that_hardly_speaks_is_not_blown_up():
    standard = Standardise(MapSpec("m", 16, 2, 2))
    standard.set_usual(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0]))
    maps = torch.tensor([4.0, 2.0, 4.0, 3.0])  # two steps of two channels: their mean is (4, 2.5)
    assert standard(maps).tolist() == pytest.approx([(4 - 1) / 3, 0.5 / (0.05 * 1.5)])


def test_one_clip_alone_may_move_and_a_still_part_of_a_video_does_not():
    assert moving(torch.randn(1, 2, 2, 3)).tolist() == [True]
    lively, frozen = torch.randn(8, 2, 2, 3), torch.randn(1, 2, 2, 3).expand(8, 2, 2, 3)
    found = moving(torch.cat([lively, frozen])).tolist()
    assert found[:5] == [True] * 5
    assert found[11:] == [False] * 5


def test_it_has_nothing_to_train():
    with pytest.raises(ValueError, match="nothing to train"):
        head_of()(None)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A library that says what is usual, and the videos that are asked."""
    folder = tmp_path_factory.mktemp("nearest")
    library = write(folder / "library", a=video(4, 5, 6, seed=11), b=video(5, 7, 8, seed=12))
    same, none = video(6, actor=3, other=1), video(6, actor=3, other=4)
    asked = write(folder / "asked", q=video(3, seed=5), same=same, none=none)
    return library, asked


def test_the_command_asks_without_a_checkpoint(stores, tmp_path, stvr):
    library, asked = stores
    done = stvr("locate", "--store", asked, "--statistics", library, "--query", "q", "--box", "40,30,100,80",
                "--at", 0.5, "same", "none", "--out", tmp_path)
    assert done.status == 0, done.err
    best, *_ = map(json.loads, (tmp_path / "tubelets.jsonl").read_text().splitlines())
    assert best["reference"] == "same"
    box = best["boxes"][0]["box"]
    assert iou([box[0] / 200, box[1] / 100, box[2] / 200, box[3] / 100], OTHER) > 0.5


def test_where_no_statistics_ship_a_library_is_asked_for(stores):
    with pytest.raises(ValueError, match="no statistics ship for features of blocks with the weights 'made'"):
        Session.open(store=stores[1])


def test_a_library_of_other_features_is_refused(stores, tmp_path):
    other = write(tmp_path / "other", replace(SPEC, weights_digest="cc,dd"), a=video(3))
    with pytest.raises(ValueError, match="holds other features than are asked"):
        Session.open("nearest", store=stores[1], statistics=other)


def test_statistics_beside_a_checkpoint_are_refused(stores, tmp_path):
    with pytest.raises(ValueError, match="has its own"):
        Session.open(tmp_path / "run", statistics=stores[0])


def test_statistics_of_a_library_are_those_of_its_cells(stores):
    head = ready_head(stores[1].spec, stores[0]).head
    spans = [Span(name, 0, stores[0].num_clips(name)) for name in "ab"]
    cells = [stores[0].read(span, endpoint="Mixed_5c").double().mean(3).flatten(0, 2) for span in spans]
    mean = sum(each.mean(0) for each in cells) / 2
    square = sum(each.square().mean(0) for each in cells) / 2
    standard = head.where.standard("Mixed_5c")
    torch.testing.assert_close(standard.mean.double(), mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(standard.deviation.double(), (square - mean**2).sqrt(), rtol=1e-4, atol=1e-4)


def test_what_ships_says_what_it_was_measured_on():
    ready = ready_head()
    assert ready.spec.weights == "i3d-kinetics-400"
    assert ready.spec.clip.context == "video"
    assert set(ready.spec.endpoints) >= {"Mixed_4c", "Mixed_5c"}
    for endpoint in ready.spec.endpoints:
        standard = ready.head.where.standard(endpoint)
        assert len(standard.mean) == ready.spec.only([endpoint]).map.channels
        assert bool((standard.deviation > 0).all())
