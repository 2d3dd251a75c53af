"""Locating from files: seconds, pixels, the same answer as from cached features, and every fault in one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import pytest
import torch
from tiny import HEAD, spec_of

from stvr.extract.flow import load_flow
from stvr.extract.job import extract
from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import load_head, save_head
from stvr.heads.matching import MatchingHead
from stvr.jobs.locate import locate, locate_files
from stvr.session import Session
from stvr.session.examples import Facts, query_span, shares_of
from stvr.store import FeatureStore
from stvr.structures import LABEL_SAME, ClipSpec, Detections, Query, Span
from stvr.tasks.pairs.judge import features_of
from stvr.tubelets import link

SIZE = 96
BOX, AT = (20, 10, 80, 90), 1.5
FACTS = Facts(Path("a.mp4"), "a", SIZE, SIZE, 4.0, 12)  # of a video of four seconds
OPTIONS = MatchingOptions(**HEAD)


def test_every_tubelet_is_a_line_in_seconds_and_pixels(stvr, untrained, films, tmp_path):
    ended = stvr("locate", "--checkpoint", untrained, "--query", films[0], "--box", "20,10,80,90", "--at", AT,
                 *films[1:], "--out", tmp_path / "out", "--render")
    assert ended.status == 0, ended.err
    lines = [json.loads(line) for line in (tmp_path / "out" / "tubelets.jsonl").read_text().splitlines()]
    assert lines
    assert ended.out == f"{tmp_path}/out/tubelets.jsonl: {len(lines)} tubelets in 2 references\n"
    assert [line["score"] for line in lines] == sorted((line["score"] for line in lines), reverse=True)
    for line in lines:
        assert line["reference"] in map(str, films[1:])
        assert (line["width"], line["height"]) == (SIZE, SIZE)
        assert 0 <= line["score"] <= 1
        assert 0 <= line["start_seconds"] < line["stop_seconds"] <= 4
        seconds = [entry["seconds"] for entry in line["boxes"]]
        assert seconds[0] == line["start_seconds"]
        assert len(seconds) == round(3 * (line["stop_seconds"] - line["start_seconds"]))
        assert all(later - earlier == pytest.approx(1 / 3, abs=2e-4) for earlier, later in pairwise(seconds))
        for x1, y1, x2, y2 in (entry["box"] for entry in line["boxes"]):
            assert 0 <= x1 < x2 <= SIZE
            assert 0 <= y1 < y2 <= SIZE
    for reference in films[1:]:
        ranks = [line["rank"] for line in lines if line["reference"] == str(reference)]
        assert ranks == list(range(1, len(ranks) + 1))
        with av.open(str(tmp_path / "out" / f"{reference.stem}_tubelets.mp4")) as rendered:
            assert sum(1 for _ in rendered.decode(video=0)) == 4 * 24


def test_a_file_and_its_cached_features_give_one_answer(untrained, backbone, films_spec, films, tmp_path):
    extract(films[:2], tmp_path / "store", backbone, films_spec.clip, report=lambda step: None)
    store, loaded = FeatureStore.open(tmp_path / "store"), load_head(untrained)
    found = next(iter(locate(untrained, films[0], BOX, AT, films[1:2], span=(1, 2)))).tubelets
    head, asked = loaded.head, Span(films[0].stem, 3, 6)
    box = torch.tensor([BOX]) / SIZE
    with torch.no_grad():
        query = Query((), head.pool(features_of(store, asked), box.expand(3, 4)))
        look = head.look(features_of(store, Span(films[1].stem, 0, 12)))
        wanted = link(head.ask(look, query), films[1].stem, 0)
    assert [each.span for each in found] == [each.span for each in wanted]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes, atol=1e-5, rtol=0)
        assert one.score == pytest.approx(other.score, abs=1e-5)


def test_with_flow_a_file_and_its_cache_give_one_answer_too(backbone, films_spec, films, tmp_path):
    """The head's spec says which flow; what is cached is not looked at. BGR, so that this is asked for as well."""
    flow = load_flow("ilk", SIZE)
    extract(films[:2], tmp_path / "store", backbone, films_spec.clip, flow=flow, colour_order="BGR",
            report=lambda step: None)
    store, options = FeatureStore.open(tmp_path / "store"), MatchingOptions(**{**HEAD, "propagation": "flow"})
    torch.manual_seed(1)
    save_head(tmp_path / "head.safetensors", build_head(options, spec_of(1024)), options, store.spec, {})
    found = next(iter(locate(tmp_path / "head.safetensors", films[0], BOX, AT, films[1:2], span=(1, 2)))).tubelets
    head, asked, reference = load_head(tmp_path / "head.safetensors").head, Span(films[0].stem, 3, 6), films[1].stem
    span, box = Span(reference, 0, 12), torch.tensor([BOX]) / SIZE
    with torch.no_grad():
        query = Query((), head.pool(features_of(store, asked), box.expand(3, 4)))
        flows = store.read_flow(span).float()
        looks = [head.look(replace(features_of(store, span), flow=flow)) for flow in (flows, torch.zeros_like(flows))]
        answers = [link(head.ask(look, query), reference, 0) for look in looks]
    wanted, without = answers
    assert [each.span for each in found] == [each.span for each in wanted]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes, atol=1e-5, rtol=0)
        assert one.score == pytest.approx(other.score, abs=1e-5)
    assert [each.score for each in found] != pytest.approx([each.score for each in without], abs=1e-5)


def test_flow_that_cannot_be_computed_as_it_was_is_refused(films_spec, films, tmp_path):
    options = MatchingOptions(**{**HEAD, "propagation": "flow"})
    head, path = build_head(options, spec_of(1024)), tmp_path / "head.safetensors"
    for flow, says in (("raft:sha256:00 at 320 px", "raft needs its trained weights"),
                       ("ilk at 50 px", "wanted the flow 'ilk at 50 px', got 'ilk at 80 px'")):
        save_head(path, head, options, replace(films_spec, flow=flow), {})
        with pytest.raises(ValueError, match=says):
            next(locate(path, films[0], BOX, AT, films[1:2]))


def test_pixels_and_shares_ask_the_same(films):
    torch.testing.assert_close(shares_of([(24, 48, 72, 96)], FACTS)[0], torch.tensor([0.25, 0.5, 0.75, 1.0]))
    torch.testing.assert_close(shares_of([(0.25, 0.5, 0.75, 1.0)], FACTS)[0], torch.tensor([0.25, 0.5, 0.75, 1.0]))
    cut = shares_of([(-9, 0, 200, 48)], FACTS)[0]  # to the picture
    torch.testing.assert_close(cut, torch.tensor([0, 0, 1, 0.5]))


# A video of four seconds has twelve clips.
@pytest.mark.parametrize(("at", "span", "clips"), [
    (1.5, None, (3, 6)), (0, None, (0, 2)), (4, None, (10, 12)), (1.5, (1, 2), (3, 6)), (0.1, (0, 9), (0, 12)),
    (3.999, (3.999, 4.5), (11, 12)), (1, (1, 1.01), (3, 4)),
])
def test_a_query_is_cut_to_its_video(at, span, clips, films):
    found = query_span(ClipSpec(image_size=SIZE), FACTS, at, span)
    assert (found.start, found.stop) == clips


@pytest.mark.parametrize(("at", "span", "says"), [
    (-1, None, "outside"), (4.5, None, "lasts 4.00 s"), (float("nan"), None, "outside"),
    (1, (2, 3), "--span START,STOP that holds --at"), (1, (1, 1), "--span"), (3.9, (-1, 4), "--span"),
    (1, (float("nan"), 2), "--span"),
])
def test_a_query_outside_its_video_is_refused(at, span, says, films):
    with pytest.raises(ValueError, match=says):
        query_span(ClipSpec(image_size=SIZE), FACTS, at, span)


# The same video, whose pictures begin two seconds after its sound: a player shows them from 2 s to 6 s.
@pytest.mark.parametrize(("at", "span", "clips"), [
    (3.5, None, (3, 6)), (2, None, (0, 2)), (6, None, (10, 12)), (3.5, (3, 4), (3, 6)), (3, (0, 4), (0, 6)),
])
def test_a_query_is_asked_in_seconds_of_the_videos_clock(at, span, clips):
    found = query_span(ClipSpec(image_size=SIZE), FACTS._replace(offset_seconds=2.0), at, span)
    assert (found.start, found.stop) == clips


@pytest.mark.parametrize("at", [1.9, 6.1])
def test_a_time_without_a_picture_is_refused_with_the_times_that_have_one(at):
    with pytest.raises(ValueError, match=r"outside a.mp4, which shows pictures from 2.00 to 6.00 s"):
        query_span(ClipSpec(image_size=SIZE), FACTS._replace(offset_seconds=2.0), at, None)


@pytest.mark.parametrize("box", [(10, 10, 5, 20), (200, 0, 300, 50), (0.5, 0.5, 0.5, 0.9), (1, 2, 3), (0, 0, 1, "nan")])
def test_a_box_without_area_in_the_picture_is_refused(box, films):
    with pytest.raises(ValueError, match="box"):
        shares_of([box], FACTS)


def test_a_reference_that_cannot_be_read_does_not_stop_the_others(stvr, untrained, films, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    ended = stvr("locate", "--checkpoint", untrained, "--query", films[0], "--box", "0.2,0.1,0.8,0.9", "--at", AT,
                 tmp_path / "broken.mp4", films[1], "--out", tmp_path / "out")
    assert ended.status == 1
    assert f"stvr: {tmp_path}/broken.mp4" in ended.err
    assert "in 1 references" in ended.out


def test_no_readable_reference_at_all_is_a_fault(untrained, films, tmp_path):
    with pytest.raises(ValueError, match=r"no reference could be read: .*nowhere.mp4"):
        locate_files(untrained, films[0], BOX, AT, [tmp_path / "nowhere.mp4"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_head_that_answers_nonsense_is_blamed_not_the_video(stvr, untrained, films, tmp_path, monkeypatch):
    found = Detections(torch.tensor([[0.1, 0.2, 0.5, 0.6]]), torch.tensor([float("nan")]), torch.tensor([LABEL_SAME]))
    monkeypatch.setattr(MatchingHead, "ask", lambda head, look, query: [found] * len(look))
    ended = stvr("locate", "--checkpoint", untrained, "--query", films[0], "--box", "20,10,80,90", "--at", AT,
                 *films[1:], "--out", tmp_path / "out")
    assert ended.status == 2
    assert "the head MatchingHead breaks its promise in ask(): wanted finite scores, got NaN" in ended.err
    assert not (tmp_path / "out" / "tubelets.jsonl").exists()


def test_rendering_never_writes_over_a_video_that_is_read(stvr, untrained, films, tmp_path):
    for name in ("x.mp4", "x_tubelets.mp4"):
        shutil.copy(films[1], tmp_path / name)
    asked = ["locate", "--checkpoint", untrained, "--query", films[0], "--box", "20,10,80,90", "--at", AT, "--render"]
    ended = stvr(*asked, tmp_path, "--out", tmp_path)
    assert ended.status == 2
    assert "over another video" in ended.err
    (tmp_path / "other").mkdir()
    shutil.copy(films[1], tmp_path / "other" / "x.mp4")  # the same name in another folder
    ended = stvr(*asked, tmp_path / "x.mp4", tmp_path / "other" / "x.mp4", "--out", tmp_path / "out")
    assert ended.status == 0, ended.err
    assert {path.name for path in (tmp_path / "out").glob("*.mp4")} == {"x_tubelets.mp4", "other_x_tubelets.mp4"}
    assert films[1].read_bytes() == (tmp_path / "x.mp4").read_bytes() == (tmp_path / "x_tubelets.mp4").read_bytes()


def test_other_weights_than_the_heads_are_refused(untrained, films_spec, films, tmp_path):
    loaded = load_head(untrained)
    for changes, says in (({"weights": "rgb.pt"}, "Give the file 'rgb.pt' with --weights"),
                          ({"weights_digest": "sha256:00"}, "but 'analytic' are others")):
        save_head(tmp_path / "head.safetensors", loaded.head, loaded.options, replace(films_spec, **changes), {})
        with pytest.raises(ValueError, match=says):
            next(locate(tmp_path / "head.safetensors", films[0], BOX, AT, films[1:2]))


def test_a_query_asks_as_many_clips_as_its_span(untrained, films, monkeypatch):
    asked: list[Query] = []
    monkeypatch.setattr(Session, "ask", lambda session, query, *others: asked.append(query))
    list(locate(untrained, films[0], BOX, AT, films[1:2], span=(0, 4)))
    assert [tubelet.span for tubelet in asked[0].tubelets] == [Span(films[0].stem, 0, 12)]
    assert asked[0].regions.shape == (12, 7, 7, HEAD["width"])


def test_further_examples_and_negatives_are_asked_on_the_command_line(stvr, untrained, films, tmp_path):
    """As a session asks with all of them."""
    asked = ["locate", "--checkpoint", untrained, films[1], "--query", films[0], "--box", "20,10,80,90", "--at", AT]
    more = ["--query", films[2], "--box", "0.2,0.2,0.7,0.9", "--at", 2.0]
    other = ["--negative", films[1], "--negative-box", "10,10,50,60", "--negative-at", 1.0]
    ended = stvr(*asked, *more, *other, "--out", tmp_path)
    assert ended.status == 0, ended.err
    session = Session.open(untrained)
    examples = [session.query(films[0], BOX, AT), session.query(films[2], (0.2, 0.2, 0.7, 0.9), 2.0)]
    query = session.together(*examples).minus(session.query(films[1], (10, 10, 50, 60), 1.0))
    lines = (tmp_path / "tubelets.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == list(session.ask(query, films[1]).to_json())
    for words, says in ((["--query", films[2]], "got 2 --query, 1 --box, 1 --at and 0 --span"),
                        (["--span", "1,2", "--span", "1,2"], "1 --at and 2 --span"),
                        (other[:4], "got 1 --negative, 1 --negative-box, 0 --negative-at")):  # fmt: skip
        ended = stvr(*asked, *words, "--out", tmp_path / "none")
        assert (ended.status, says in ended.err) == (2, True), ended.err
