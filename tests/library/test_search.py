"""Asking a library: with everything let through as asking every video; else what the index finds most alike."""

from __future__ import annotations

import json
import shutil

import av
import pytest
import torch
from patterned import ACTOR, OTHER, SPEC, iou
from patterned_library import BEGIN, CLIPS, END

from stvr.extract.job import extract
from stvr.heads.checkpoint import save_head
from stvr.heads.region_graph import REGION_GRAPH, RegionGraphOptions
from stvr.library import Library, build_index
from stvr.library.stretches import MARGIN, WHOLE, WINDOW
from stvr.session import Session
from stvr.structures import Span

ASKED = {"box": ACTOR, "at": 1.0}


def query_of(library):
    return library.query("q", **ASKED)


def flat(hits):
    return [(hit.video, hit.tubelet.span, hit.tubelet.boxes.tolist(), hit.score) for hit in hits]


def test_with_everything_let_through_the_answer_is_that_of_every_video(library, patterned_index):
    session = Session.open(patterned_index / "head.safetensors", store=str(library.index.store), device="cpu")
    query = session.query("q", **ASKED)
    expected = {name: session.ask(query, name).tubelets for name in ("long", "none", "other", "q", "same", "twice")}
    hits = library.search(query_of(library), top=None, windows=None)
    assert len(hits) == sum(map(len, expected.values())) > 4
    for name, tubelets in expected.items():
        ours = [hit.tubelet for hit in hits if hit.video == name]
        assert [each.span for each in ours] == [each.span for each in tubelets]
        assert [each.score for each in ours] == [each.score for each in tubelets]
        assert all(torch.equal(one.boxes, other.boxes) for one, other in zip(ours, tubelets, strict=True))
    assert flat(hits) == flat(library.search(query_of(library), top=None, windows=1000))
    assert flat(hits[:3]) == flat(library.search(query_of(library), top=3, windows=None))


def test_the_command_writes_what_locate_writes(stvr, library, patterned_index, tmp_path):
    asked = ["--query", "q", "--box", "40,30,100,80", "--at", 1.0]
    names = [video.name for video in library.videos]
    ended = stvr("search", patterned_index, *asked, "--windows", "all", "--top", 1000, "--out", tmp_path / "searched")
    assert ended.status == 0, ended.err
    located = stvr("locate", *asked, *names, "--store", library.index.store, "--checkpoint",
                   patterned_index / "head.safetensors", "--out", tmp_path / "located")  # fmt: skip
    assert located.status == 0, located.err
    texts = [(tmp_path / folder / "tubelets.jsonl").read_text() for folder in ("searched", "located")]
    assert texts[0] == texts[1]
    printed = stvr("search", patterned_index, *asked, "--top", 2)
    assert json.loads(printed.out.splitlines()[0])["reference"] == "q"
    assert printed.out.splitlines() == texts[0].splitlines()[:2]


def test_the_best_windows_hold_who_does_the_same(library):
    looked = []
    hits = library.search(query_of(library), windows=4, report=lambda done, total, found: looked.append((done, total)))
    assert looked == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {hit.video for hit in hits if hit.score > 0.5} == {"q", "same", "twice", "long"}
    (long,) = (hit for hit in hits if hit.video == "long" and hit.score > 0.5)
    truth = Span("long", BEGIN, END)
    shared = long.tubelet.span.overlap(truth)
    assert shared is not None
    assert len(shared) > 0.7 * max(len(truth), len(long.tubelet.span))
    assert iou(long.tubelet.boxes[len(long.tubelet.boxes) // 2].tolist(), ACTOR) > 0.5
    (same,) = (hit for hit in hits if hit.video == "same" and hit.score > 0.5)
    assert iou(same.tubelet.boxes[3].tolist(), OTHER) > 0.5
    assert (same.begin, same.end) == (same.tubelet.span.start / 3, same.tubelet.span.stop / 3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_of_a_long_video_only_the_windows_chosen_are_looked_at(library, monkeypatch):
    spans = []
    tubelets = Session.tubelets
    monkeypatch.setattr(Session, "tubelets", lambda session, query, source: (
        spans.append(source.span), tubelets(session, query, source))[1])  # fmt: skip
    library.search(query_of(library), windows=4)
    (span,) = (span for span in spans if span.video == "long")
    clips = CLIPS
    assert clips > WHOLE
    first, last = BEGIN // WINDOW, clips // WINDOW - 1  # the windows of clips 70 to 80
    assert first == last == 2
    assert (span.start, span.stop) == (first * WINDOW - MARGIN, clips)
    assert {span.stop for span in spans if span.video in ("q", "same", "twice")} == {6, 12, 10}


def test_windows_that_touch_are_one_stretch(library, monkeypatch):
    spans = []
    monkeypatch.setattr(Session, "tubelets", lambda session, query, source: spans.append(source.span) or [])
    library.search(query_of(library), windows=8, between=(0, 1000))  # all: 5 short videos and 3 windows
    assert sorted(span for span in spans if span.video == "long") == [Span("long", 0, CLIPS)]


def test_what_is_asked_again_begins_at_matching(library, monkeypatch):
    seen, stream = [], type(library.session.head).stream
    monkeypatch.setattr(type(library.session.head), "stream",
                        lambda head, state, features: (seen.append(len(features)), stream(head, state, features))[1])
    library.session.forget()
    first = library.search(query_of(library), windows=4)
    assert seen
    seen.clear()
    assert flat(library.search(query_of(library), windows=4)) == flat(first)
    assert not seen


@pytest.mark.parametrize(("filters", "kept"), [
    ({"folder": "same"}, None),
    ({"between": (2.0, 3.0)}, lambda hit: hit.begin < 3 and hit.end > 2),
    ({"between": (23.0, 30.0)}, lambda hit: hit.video == "long" and hit.end > 23 and hit.begin < 30),
    ({"region": (0.5, 0.0, 1.0, 0.6)}, lambda hit: in_region(hit, (0.5, 0.0, 1.0, 0.6))),
    ({"region": (100, 0, 200, 60)}, lambda hit: in_region(hit, (0.5, 0.0, 1.0, 0.6))),  # the picture is 200 x 100
], ids=["folder", "early", "late", "shares", "pixels"])  # fmt: skip
def test_filters_leave_what_they_say(library, filters, kept):
    every = library.search(query_of(library), top=None, windows=None)
    if kept is None:
        with pytest.raises(LookupError, match="no video of the index lies in same"):
            library.search(query_of(library), **filters)
        return
    expected = [hit for hit in every if kept(hit)]
    assert 0 < len(expected) < len(every)
    assert flat(library.search(query_of(library), top=None, windows=None, **filters)) == flat(expected)
    assert all(map(kept, library.search(query_of(library), top=None, **filters)))


def in_region(hit, region):
    x1, y1, x2, y2 = hit.tubelet.boxes.mean(0).tolist()
    return region[0] <= (x1 + x2) / 2 <= region[2] and region[1] <= (y1 + y2) / 2 <= region[3]


def test_a_search_tells_how_far_it_is_and_may_be_cancelled(library):
    told, query = [], query_of(library)
    every = library.search(query, windows=None, report=lambda *step: told.append(step))
    assert [(done, total) for done, total, _ in told] == [(done, 6) for done in range(1, 7)]
    assert flat(told[-1][2]) == flat(every)
    stopped = library.search(query, windows=None, cancelled=iter([False, False, True]).__next__)
    assert flat(stopped) == flat(told[1][2])
    assert library.search(query, cancelled=lambda: True) == []


def test_negatives_are_asked_of_the_index_and_of_the_head(stvr, library, patterned_index):
    query = query_of(library)
    negative = library.query("q", box=OTHER, at=1.0)  # pattern 8
    hits, less = library.search(query, windows=None), library.search(query, negatives=[negative], windows=None)
    assert flat(less) == flat(library.search(query.minus(negative), windows=None))
    best, lower = ({hit.video: hit.score for hit in reversed(found)} for found in (hits, less))
    assert all(lower[name] <= best[name] for name in lower)
    assert sum(hit.score for hit in less) < sum(hit.score for hit in hits) - 0.05
    ended = stvr("search", patterned_index, "--query", "q", "--box", "0.2,0.3,0.5,0.8", "--at", 1, "--windows", "all",
                 "--negative", "q", "--negative-box", "0.6,0.1,0.9,0.5", "--negative-at", 1)  # fmt: skip
    assert list(map(json.loads, ended.out.splitlines())) == library.lines(less)


def test_several_examples_are_one_query(library):
    two = [query_of(library), library.query("twice", box=ACTOR, at=1.0)]
    together = library.session.together(*two)
    assert flat(library.search(two, windows=None)) == flat(library.search(together, windows=None))


def test_a_video_that_cannot_be_read_is_told_of(library, monkeypatch):
    tubelets, failed = Session.tubelets, {}

    def ask(session, query, source):
        if source.span.video == "same":
            raise ValueError("garbled")
        return tubelets(session, query, source)

    query = query_of(library)
    expected = [each for each in flat(library.search(query, windows=None)) if each[0] != "same"]
    monkeypatch.setattr(Session, "tubelets", ask)
    with pytest.raises(ValueError, match="garbled"):
        library.search(query, windows=None)
    hits = library.search(query, windows=None, on_failure=lambda name, error: failed.__setitem__(name, str(error)))
    assert (flat(hits), failed) == (expected, {"same": "garbled"})


FAULTS = [
    (["--windows", "0"], "wanted --windows N or --windows all, got '0'"),
    (["--windows", "some"], "Give a number of at least 1, or all"),
    (["--between", "3,1"], "between 3 and 1 s there is no time"),
    (["--between", "3"], "wanted --between T0,T1"),
    (["--region", "0.5,0,0.1,1"], "has no area"),
    (["--folder", "nowhere"], "no video of the index lies in nowhere"),
    (["--render"], "Name a folder with --out"),
    (["--negative", "q"], "got 1 --negative, 0 --negative-box"),
]


@pytest.mark.parametrize(("words", "says"), FAULTS, ids=lambda each: " ".join(each) if isinstance(each, list) else "")
def test_a_fault_is_one_line(stvr, patterned_index, words, says):
    ended = stvr("search", patterned_index, "--query", "q", "--box", "0.2,0.3,0.5,0.8", "--at", 1, *words)
    assert ended.status == 2
    assert says in ended.err.splitlines()[-1]
    assert ended.out == ""


def test_where_there_is_no_index_it_says_how_to_make_one(stvr, tmp_path):
    ended = stvr("search", tmp_path, "--query", "q", "--box", "0,0,1,1", "--at", 1)
    assert (ended.status, "Run `stvr index " in ended.err) == (2, True)


def test_videos_may_be_added_and_taken_out(stvr, films, backbone, films_spec, tmp_path):
    """A library that grew answers as one that was made at once."""
    silent = {"report": lambda step: None, "tell": lambda line: None}
    for place, files in (("grown", films[:2]), ("whole", films)):
        extract(files, tmp_path / place / "features.zarr", backbone, films_spec.clip, report=lambda step: None)
        if place == "whole":  # which must not measure anew what is usual
            shutil.copy(tmp_path / "grown" / "head.safetensors", tmp_path / place)
        build_index([str(each) for each in files], tmp_path / place, **silent)
    grown, whole = (Library.open(tmp_path / place, device="cpu") for place in ("grown", "whole"))
    built = grown.add(films[2], report=lambda step: None)
    assert built.added == [films[2].stem]
    assert [video.name for video in grown.videos] == [video.name for video in whole.videos]
    ours, theirs = (flat(each.search(each.query(films[1], (20, 10, 80, 90), 1.5))) for each in (grown, whole))
    assert ours == theirs
    grown.remove(films[0].stem)
    assert [video.name for video in grown.videos] == [each.stem for each in films[1:]]
    with pytest.raises(LookupError, match="'nothing' is not among the 2 videos"):
        grown.remove("nothing")
    assert {video for video, *_ in ours} == {each.stem for each in films}
    left = grown.search(grown.query(films[1], (20, 10, 80, 90), 1.5), windows=None)
    assert {hit.path for hit in left} == {str(each.resolve()) for each in films[1:]}
    drawn = stvr("search", tmp_path / "grown", "--query", films[1], "--box", "20,10,80,90", "--at", 1.5, "--out",
                 tmp_path / "drawn", "--render")  # fmt: skip
    assert drawn.status == 0, drawn.err
    assert "tubelets in 2 of 2 videos" in drawn.out
    assert {each.name for each in (tmp_path / "drawn").iterdir()} == {
        "tubelets.jsonl", *(f"{each.stem}_tubelets.mp4" for each in films[1:])}  # fmt: skip
    with av.open(str(tmp_path / "drawn" / f"{films[1].stem}_tubelets.mp4")) as rendered:
        assert sum(1 for _ in rendered.decode(video=0)) == 4 * 24


def test_another_head_is_asked_by_way_of_the_same_index(library, patterned_index, tmp_path):
    """The windows are those that `nearest` finds most alike, what is in them is what the head says."""
    options = RegionGraphOptions(width=8, layers=1, endpoint="Mixed_4c")
    torch.manual_seed(0)
    spec = SPEC.only(["Mixed_4c"])
    save_head(tmp_path / "head.safetensors", REGION_GRAPH.build(options, spec), options, spec, {"step": 0})
    other = Library.open(patterned_index, head=tmp_path / "head.safetensors", device="cpu")
    query, plain = other.query("q", **ASKED), query_of(library)
    torch.testing.assert_close(other.vectors(query).mean(0), library.index.describe(plain))
    looked = []
    hits = other.search(query.minus(other.query("other", **ASKED)), windows=4, top=None,
                        report=lambda *step: looked.append(step))  # fmt: skip
    assert len(looked) == 4
    session = Session.open(tmp_path / "head.safetensors", store=str(library.index.store), device="cpu")
    expected = session.ask(session.query("q", **ASKED).minus(session.query("other", **ASKED)), "q")
    assert [hit.score for hit in hits if hit.video == "q"] == [each.score for each in expected]
    with pytest.raises(ValueError, match="was not pooled by the head 'nearest'"):
        other.search(session.query("q", **ASKED))


def test_a_name_that_the_library_does_not_know_is_refused_with_those_that_it_does(stvr, patterned_index, tmp_path):
    asked = ["--box", "40,30,100,80", "--at", 1.0]
    told = stvr("search", patterned_index, "--query", "Q", *asked)
    assert (told.status, told.err.count("\n")) == (2, 1)
    assert "Q is neither a file nor in the index. Its names are long, none, other, q, same and 1 more" in told.err
    told = stvr("search", patterned_index, "--query", "q", *asked, "--without", "Q")
    assert (told.status, told.err.count("\n")) == (2, 1)
    assert "there is no Q in the index to leave out. Its names are long, none," in told.err


def test_a_video_is_left_out_by_its_name_or_by_its_path(library):
    paths = [video.path for video in library.videos if video.name == "q"]
    by_name, by_path = (library.search(query_of(library), top=None, without=each) for each in (["q"], paths))
    assert flat(by_name) == flat(by_path)
    assert by_name
    assert "q" not in {hit.video for hit in by_path}
