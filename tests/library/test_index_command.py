"""`stvr index` and `stvr info` of an index: what is said, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from shelf import lively, shelf_of, write_shelf

from stvr.library import Index


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """Two lively videos; one that stands still but for its last three seconds; one that is blank."""
    path = tmp_path_factory.mktemp("shelf") / "store"
    half = np.concatenate([np.repeat(lively(1, 7), 21, 0), lively(9, 8)])
    write_shelf(path, {**shelf_of(2), "half": half, "one colour": lively(12, 9)[:, :1, :1].repeat(8, 1).repeat(8, 2)})
    return path


def test_what_is_left_out_is_said_and_what_is_in_it_is_told(tmp_path, shelf, stvr):
    out = tmp_path / "index"
    first = stvr("index", shelf, "--out", out, "--composition", "windows,whiten,nnn,flat")
    assert first.status == 0
    # of `half`, steps 0 .. 19 change nothing: clips 0 .. 22 stand still, windows [21, 27) and [24, 30) are left
    assert "4 videos of 22 s in 8 rows (4 new, 0 dropped, 0 failed)" in first.out
    assert "8 s that stand still and 4 s that are blank left out" in first.out
    told = json.loads(stvr("info", out).out)
    assert (told["kind"], told["composition"], told["videos"]) == ("index", "windows,whiten,nnn,flat", 4)
    assert (told["rows"], told["rows_of"]) == (8, {"window": 8, "tube": 0})
    assert {each["name"]: each["num_rows"] for each in told["in_it"]} == {
        "half": 2, "one colour": 0, "video00": 3, "video01": 3}
    assert told["bytes_searched"] >= 8 * (12 * 2 + 4 * 4 + 4 * 4 + 1)
    assert told["still_seconds"] == pytest.approx(23 / 3, abs=1e-3)
    again = stvr("index", shelf, "--out", out)
    assert "(0 new, 0 dropped, 0 failed)" in again.out


@pytest.mark.parametrize(("words", "said"), [
    (["nothing"], "nothing does not exist. Name videos, folders, lists of files, or a store."),
    (["{shelf}", "--composition", "pictures,flat"], "a composition is one of windows, grid, tubes"),
    (["{shelf}", "--engine", "slurm"], "there is no engine 'slurm'. Choose one of local, ray."),
    (["{shelf}", "--store", "another.zarr"], "an index describes the videos of one store."),
    (["."], "there is no video in"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(tmp_path, shelf, stvr, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    result = stvr("index", *(word.format(shelf=shelf) for word in words), "--out", "index")
    assert result.status == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "index").exists()


def test_faiss_for_few_rows_is_said_to_wait(tmp_path, shelf, stvr):
    pytest.importorskip("faiss", reason="needs faiss, which is not installed")
    result = stvr("index", shelf, "--out", tmp_path / "index", "--composition", "windows,faiss")
    assert "8 rows are searched exactly: faiss is for 10000 and more" in result.err


def test_without_faiss_its_backend_is_refused_before_anything_is_done(tmp_path, shelf, stvr, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    result = stvr("index", shelf, "--out", tmp_path / "index", "--composition", "windows,faiss")
    assert (result.status, (tmp_path / "index").exists()) == (2, False)
    assert "pip install 'stvr[faiss]'" in result.err


def test_an_index_that_was_cut_off_is_told_from_one_that_is_not_there(tmp_path, shelf, stvr):
    stvr("index", shelf, "--out", tmp_path / "index")
    (tmp_path / "index" / "videos" / "half.safetensors").write_bytes(b"short")
    result = stvr("index", shelf, "--out", tmp_path / "index")
    assert result.status == 2
    assert "half.safetensors is damaged" in result.err
    (tmp_path / "index" / "videos" / "half.safetensors").unlink()
    assert "(1 new" in stvr("index", shelf, "--out", tmp_path / "index").out
    assert len(Index.open(tmp_path / "index").videos) == 4


@pytest.mark.parametrize("notes", [None, {"stvr": "{}"}, {"stvr": "[]"}, {"stvr": "{"}])
def test_described_videos_of_another_program_are_told_by_their_file(tmp_path, shelf, stvr, notes):
    stvr("index", shelf, "--out", tmp_path / "index")
    save_file({"a": np.zeros(3)}, tmp_path / "index" / "videos" / "half.safetensors", metadata=notes)
    result = stvr("index", shelf, "--out", tmp_path / "index")
    assert result.status == 2
    assert "half.safetensors is damaged: it does not say whose rows these are. Delete it" in result.err


def test_features_that_are_no_numbers_are_reported_and_the_rest_is_there(tmp_path, stvr):
    write_shelf(tmp_path / "store", shelf_of(3))
    words = ("index", tmp_path / "store", "--out", tmp_path / "index", "--composition", "windows,whiten,nnn,flat")
    assert stvr(*words).status == 0
    hole = lively(12, 7)
    hole[5, 3, 3, 2] = np.nan
    write_shelf(tmp_path / "store", {"hole": hole})
    result = stvr(*words)
    assert result.status == 1
    assert "features of hole are no numbers. Run `stvr verify`" in result.err
    assert np.isfinite(Index.open(tmp_path / "index").rows.vector).all()
    result = stvr(*words[:3], tmp_path / "another", *words[4:])  # whose statistics would be none
    assert (result.status, "features of hole are no numbers" in result.err) == (2, True)


def test_videos_of_a_bucket_are_indexed_where_they_lie(tmp_path, films, url, stvr):
    from stvr.backbones import load_backbone
    from stvr.extract.job import extract
    from stvr.structures import ClipSpec
    from stvr.video.source import objects

    root = url.rpartition("/")[0]
    objects(root).put("films/first.mp4", films[0].read_bytes())
    extract([films[1]], tmp_path / "store", load_backbone(), ClipSpec(image_size=64), report=lambda step: None)
    result = stvr("index", f"{root}/films", "--out", tmp_path / "index", "--store", tmp_path / "store")
    assert result.status == 0, result.err
    assert [(each.name, each.path) for each in Index.open(tmp_path / "index").videos] == [
        ("first", f"{root}/films/first.mp4")]
    assert "(0 new, 0 dropped" in stvr("index", f"{root}/films", "--out", tmp_path / "index").out


def test_a_command_that_tells_to_retry_has_that_option(stvr):
    assert "--retry" in stvr("index", "--help").out
