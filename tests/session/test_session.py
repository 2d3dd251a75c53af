"""A session looks at a reference once, whatever it comes from, and answers as one that looks anew."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import stvr
from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.session import FileClips, LiveClips, Session, StoredClips
from stvr.session.looks import KeptLooks, bytes_of
from stvr.structures import ClipSpec, Span
from stvr.video.decode import decode_clips, probe

SIZE = 96
ASKED = {"box": (20, 10, 80, 90), "at": 1.5}


def assert_same(one, other):
    """Bit for bit."""
    assert [each.span for each in one] == [each.span for each in other]
    for ours, theirs in zip(one, other, strict=True):
        assert torch.equal(ours.boxes, theirs.boxes)
        assert ours.score == theirs.score


def test_a_second_query_begins_at_matching_and_answers_as_a_fresh_session_bit_for_bit(untrained, store, films,
                                                                                     monkeypatch):
    session, fresh = (Session.open(untrained, store=store) for _ in range(2))
    looked = []
    stream = type(session.head).stream
    monkeypatch.setattr(type(session.head), "stream",
                        lambda head, state, features: (looked.append(len(features)), stream(head, state, features))[1])
    first, second = session.query(films[0], **ASKED), session.query(films[2], (0.2, 0.2, 0.7, 0.9), at=2.0)
    session.ask(first, films[1])
    assert looked == [8, 4]
    again = session.ask(second, films[1])
    assert looked == [8, 4]  # the reference was not looked at once more
    assert len(again) > 0
    assert_same(again, fresh.ask(fresh.query(films[2], (0.2, 0.2, 0.7, 0.9), at=2.0), films[1]))
    session.forget()
    session.ask(first, films[1])
    assert looked == [8, 4, 8, 4, 8, 4]


def test_what_is_kept_is_bounded_and_shown(untrained, store, films):
    session = Session.open(untrained, store=store)
    query = session.query(films[0], **ASKED)
    session.ask(query, films[0])
    one = session.kept_bytes
    clips = session.video(films[0]).clips(Span(films[0].stem, 0, 12))
    assert one == sum(bytes_of(look) for look in session.looks(clips))
    session.ask(query, films[1])
    assert session.kept_bytes == 2 * one
    tight = Session.open(untrained, store=store, kept_bytes=int(1.5 * one))
    for file in films:
        tight.ask(query, file)
        assert tight.kept_bytes == one  # the latest alone
    assert "1 references kept" in repr(tight)
    none = Session.open(untrained, store=store, kept_bytes=0)
    assert_same(none.ask(query, films[1]), session.ask(query, films[1]))
    assert none.kept_bytes == 0


def test_the_one_asked_for_longest_ago_goes_first():
    kept = KeptLooks(room=800)
    looks = {name: [torch.zeros(100)] for name in "abc"}  # 400 bytes each
    kept.keep("a", looks["a"])
    kept.keep("b", looks["b"])
    assert kept.get("a") is looks["a"]
    kept.keep("c", looks["c"])
    assert [kept.get(name) is not None for name in "abc"] == [True, False, True]
    assert (kept.bytes, len(kept)) == (800, 2)
    kept.keep("d", [torch.zeros(201)])  # 804 bytes: there is no room even for it alone
    assert (kept.bytes, len(kept)) == (800, 2)


def test_bytes_of_shared_memory_are_counted_once():
    tensor = torch.zeros(10, 10)
    assert bytes_of({"whole": tensor, "part": [tensor[:2], (tensor.T,)], "other": torch.zeros(5)}) == 420


def test_a_store_a_file_and_a_live_source_give_one_answer(untrained, store, films):
    cached, plain = Session.open(untrained, store=store), Session.open(untrained)
    query = plain.query(films[0], **ASKED)
    from_file = plain.ask(query, films[1])
    assert len(from_file) > 0
    assert_same(from_file, cached.ask(cached.query(films[0], **ASKED), films[1]))
    assert_same(from_file, cached.ask(query, films[1].stem))  # by its name in the store
    live = [frames for _, frames, _ in decode_clips(films[1], plain.spec.clip)]
    alike = plain.tubelets(query, LiveClips("camera", live, plain.eyes()))  # a batch of one clip rounds otherwise
    assert [(each.span.start, each.span.stop) for each in alike] == [(e.span.start, e.span.stop) for e in from_file]
    for one, other in zip(alike, from_file, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes, atol=2e-3, rtol=0)


def test_what_is_watched_ends_as_it_is_asked(untrained, films):
    """Every tubelet of the answer was told as it ended; those told beside it tell the same stories less well."""
    session = Session.open(untrained)
    query = session.query(films[0], **ASKED)
    clips = [frames for _, frames, _ in decode_clips(films[1], session.spec.clip)]
    answer = session.tubelets(query, LiveClips("camera", clips, session.eyes()))
    told = list(session.watch(query, "camera", iter(clips)))
    for tubelet in answer:
        assert any(each.span == tubelet.span and torch.equal(each.boxes, tubelet.boxes) for each in told)


def test_several_threads_may_ask_at_once(untrained, store, films):
    session = Session.open(untrained, store=store)
    queries = [session.query(file, **ASKED) for file in films]
    alone = [session.ask(query, file) for query in queries for file in films]
    shared = Session.open(untrained, store=store, kept_bytes=0)
    asked = [(query, file) for query in queries for file in films]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: shared.ask(*each), asked))
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)


def test_several_examples_make_one_query(untrained, store, films):
    session = Session.open(untrained, store=store)
    one, two = session.query(films[0], **ASKED), session.query(films[2], **ASKED)
    both = session.together(one, two)
    assert [tubelet.span.video for tubelet in both.tubelets] == [films[0].stem, films[2].stem]
    assert torch.equal(both.regions, torch.cat([one.regions, two.regions]))
    assert len(session.ask(both, films[1])) > 0


def test_a_source_is_known_by_what_it_holds(store, films, tmp_path):
    copy = tmp_path / films[0].name
    copy.write_bytes(films[0].read_bytes())
    span = Span(films[0].stem, 0, 12)
    before = FileClips(probe(copy), span, None).key
    assert FileClips(probe(copy), span, None).key == before
    copy.write_bytes(films[1].read_bytes())
    assert FileClips(probe(copy), span, None).key != before
    assert LiveClips("camera", [], None).key is None


def test_features_of_another_file_are_refused(untrained, store, films, tmp_path):
    other = tmp_path / films[0].name
    other.write_bytes(films[1].read_bytes())
    session = Session.open(untrained, store=store)
    with pytest.raises(ValueError, match="made from another file"):
        session.query(other, **ASKED)


def test_a_store_of_other_features_is_refused(untrained, backbone, films, tmp_path):
    extract(films[:1], tmp_path / "store", backbone, ClipSpec(image_size=64), report=lambda step: None)
    with pytest.raises(ValueError, match="trained on other features than the store holds"):
        Session.open(untrained, store=tmp_path / "store")


def test_locating_in_a_store_extracts_what_it_lacks(stvr, untrained, backbone, films, tmp_path):
    """The reference that is there is not computed again; one without a file is asked by its name."""
    place = tmp_path / "store"
    extract(films[1:2], place, backbone, ClipSpec(image_size=SIZE), report=lambda step: None)
    written = (place / films[1].stem / "zarr.json").stat().st_mtime_ns
    asked = ["locate", "--checkpoint", untrained, "--query", films[0], "--box", "20,10,80,90", "--at", 1.5]
    ended = stvr(*asked, *films[1:], "--store", place, "--out", tmp_path / "out")
    assert ended.status == 0, ended.err
    assert "2 complete videos" in stvr("verify", place).out
    assert (place / films[1].stem / "zarr.json").stat().st_mtime_ns == written
    plain = stvr(*asked, *films[1:], "--out", tmp_path / "plain")
    assert plain.status == 0, plain.err
    lines = [(tmp_path / folder / "tubelets.jsonl").read_text() for folder in ("out", "plain")]
    assert lines[0] == lines[1]
    ended = stvr(*asked, films[1].stem, "--store", place, "--out", tmp_path / "named")
    assert ended.status == 0, ended.err
    ended = stvr(*asked, "nowhere", "--store", place, "--out", tmp_path / "none")
    assert ended.status == 2
    assert "nowhere" in ended.err
    ended = stvr(*asked, films[1].stem, "--store", place, "--out", tmp_path / "drawn", "--render")
    assert (ended.status, "--render draws on a video file" in ended.err) == (2, True)


FACE = """
import importlib, stvr
{first}
{second}
import stvr.jobs.demo, stvr.jobs.locate, stvr.session, stvr.store, stvr.heads.checkpoint
assert callable(stvr.locate) and stvr.locate is importlib.import_module("stvr.jobs.locate").locate
assert isinstance(stvr.Session, type) and isinstance(stvr.FeatureStore, type) and callable(stvr.load_head)
assert all(getattr(stvr, name) is getattr(stvr, name) for name in stvr.__all__)
"""


@pytest.mark.parametrize(("first", "second"), [
    ("stvr.locate", "import stvr.jobs.locate"), ("import stvr.jobs.demo", "stvr.locate"),
])
def test_the_face_is_the_same_whatever_was_imported_first(first, second):
    code = FACE.format(first=first, second=second)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_no_module_has_the_name_of_something_on_the_face():
    """Importing such a module would put it in the name's place."""
    modules = {path.stem for path in Path(stvr.__file__).parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(stvr.__all__)


def test_two_calls_of_locate_in_one_process(untrained, films):
    answers = [list(stvr.locate(untrained, films[0], references=films[1:2], **ASKED)) for _ in range(2)]
    assert_same(answers[0][0], answers[1][0])


def test_clips_of_a_store_are_read_as_they_are_kept(store, films):
    opened = stvr.FeatureStore.open(store)
    parts = list(StoredClips(opened, Span(films[0].stem, 1, 12)).features(4))
    assert [len(part) for part in parts] == [4, 4, 3]
    kept = opened.read(Span(films[0].stem, 1, 12)).numpy()  # (T, row, column, time, channel)
    wanted = np.concatenate([kept[..., 0, :], kept[..., 1, :]], -1)  # time steps side by side
    np.testing.assert_array_equal(torch.cat([part.only for part in parts]).numpy(), wanted.astype(np.float32))


def test_what_is_asked_beside_a_store_is_seen_in_the_stores_arithmetic(untrained, films, tmp_path, monkeypatch):
    """Where there is no bfloat16, features by Winograd's way and by torch differ in their last bits."""
    monkeypatch.setattr(stvr.backbones, "has_bfloat16", lambda device: False)
    for runtime in ("torch", "auto"):
        extract(films[:1], tmp_path / runtime, load_backbone(precision="float32", runtime=runtime),
                ClipSpec(image_size=SIZE), report=lambda step: None)  # fmt: skip
    seen = {runtime: Session.open(untrained, store=tmp_path / runtime).eyes().backbone.precision
            for runtime in ("torch", "auto")}  # fmt: skip
    assert seen == {"torch": "float32", "auto": "float32 by winograd"}
    assert Session.open(untrained).eyes().backbone.precision == "float32 by winograd"
