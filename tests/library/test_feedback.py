"""Answers that become examples."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from made_index import write_made
from patterned import ACTOR, OTHER

from stvr.library.feedback import finds_back, middle_of
from stvr.structures import Features, Span, Tubelet


def flat(hits):
    return [(hit.video, hit.tubelet.span, hit.tubelet.boxes.tolist(), hit.score) for hit in hits]


def asked(library):
    return library.query("q", box=ACTOR, at=1.0)


@pytest.mark.parametrize(("start", "stop", "first", "last"), [(4, 5, 4, 5), (4, 7, 4, 7), (4, 11, 6, 9), (0, 8, 2, 5)])
def test_an_example_is_the_middle_of_an_answer(start, stop, first, last):
    boxes = torch.rand(stop - start, 4)
    found = middle_of(Tubelet(Span("v", start, stop), boxes, 0.5))
    assert found.span == Span("v", first, last)
    assert torch.equal(found.boxes, boxes[first - start : last - start])


def test_an_answer_finds_the_query_only_before_all_else(tmp_path):
    """In the plane: the answer at 0 degrees, the query at 20, rows of the others at 60 and at 30, or at 10."""
    def at(*degrees):
        return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], 1)

    def tensor(*degrees):
        return torch.tensor(at(*degrees), dtype=torch.float32)

    far = write_made(tmp_path / "far", [at(0, 5), at(60), at(30)])  # of video 0 the answer is
    near = write_made(tmp_path / "near", [at(0, 5), at(60), at(10)])
    for index, expected in ((far, True), (near, False)):
        assert finds_back(index, tensor(0)[0], tensor(20), ["video00000"]) is expected
    assert finds_back(near, tensor(0)[0], tensor(20), ["video00000", "video00002"])  # the query's own video
    assert finds_back(near, tensor(0)[0], tensor(90, 5), ["video00000"])  # the nearest of several examples


def test_an_answer_as_an_example_is_what_is_in_it(library):
    (hit, *_) = library.search(asked(library), without=["q"])
    query = library.example(hit)
    tubelet = middle_of(hit.tubelet)
    maps = library.session.store.read_features(tubelet.span, library.session.spec.endpoints).maps
    expected = library.session.pooled(tubelet, Features(maps))
    assert query.tubelets[0].span == tubelet.span
    assert all(torch.equal(query.regions[name], each) for name, each in expected.regions.items())


def test_what_a_user_says_of_answers_makes_a_better_query(library):
    query = asked(library)
    hits = library.search(query, windows=None)
    same = next(hit for hit in hits if hit.video == "same")
    wrong = next(hit for hit in hits if hit.video == "none")
    better = library.refined(query, [same], [wrong])
    assert [tubelet.span.video for tubelet in better.tubelets] == ["q", "same"]
    assert [negative.tubelets[0].span.video for negative in better.negatives] == ["none"]
    expected = library.session.together(query, library.example(same)).minus(library.example(wrong))
    found = library.search(better, windows=None)
    assert flat(found) == flat(library.search(expected, windows=None))
    scores = {hit.video: hit.score for hit in reversed(found)}
    assert scores["same"] > 0.9
    assert scores.get("none", 0) < wrong.score or wrong.score < 0.05


def test_the_answers_that_find_the_query_back_are_those_that_do_the_same(library):
    query = asked(library)
    hits = library.search(query, windows=None, top=None)
    first = list({hit.video: hit for hit in reversed(hits)}.values())  # the best of each video
    confirmed = {hit.video for hit in library.confirmed(query, first, best=len(first))}
    assert confirmed
    assert confirmed <= {"same", "twice", "long"}  # never the query itself, nor what does something else


def test_searching_again_is_searching_with_those_as_examples(library, stvr, patterned_index):
    query = asked(library)
    hits = library.search(query)
    confirmed = library.confirmed(query, hits)
    assert confirmed
    again = library.search(query, again=True)
    assert flat(again) == flat(library.search(library.refined(query, confirmed)))
    assert flat(again) != flat(hits)
    ended = stvr("search", patterned_index, "--query", "q", "--box", "0.2,0.3,0.5,0.8", "--at", 1, "--again")
    assert ended.status == 0, ended.err
    scores = [json.loads(line)["score"] for line in ended.out.splitlines()]
    assert scores == [round(hit.score, 6) for hit in again]


def test_a_query_that_nothing_confirms_is_asked_once(library):
    query = library.query("none", box=OTHER, at=1.0)  # pattern 5, which `long` has as well: not in these videos
    told = []
    without = ["none", "long"]
    hits = library.search(query, again=True, without=without, report=lambda *step: told.append(step))
    if not library.confirmed(query, hits):
        assert told[-1][0] == told[-1][1] == len(told)
        assert flat(hits) == flat(library.search(query, without=without))


def test_videos_may_be_left_out(library):
    query = asked(library)
    hits = library.search(query, windows=None, top=None)
    left = library.search(query, windows=None, top=None, without=["q", "same"])
    assert flat(left) == flat([hit for hit in hits if hit.video not in ("q", "same")])
