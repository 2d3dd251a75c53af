"""A name means fetched weights wherever a file is taken; what a store or head notes is found again by it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import pytest
import torch
from tiny import HEAD

from stvr.backbones import load_backbone, warn_of_analytic_weights
from stvr.backbones.i3d import I3D
from stvr.backbones.weights.load import digest, save_weights
from stvr.backbones.weights.named import as_noted, name_of, weights_file
from stvr.extract.default_weights import runtime_for, weights_for
from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import load_head, save_head, weights_beside
from stvr.jobs.finetune import trainable_backbone
from stvr.session import Session
from stvr.store import FeatureStore

NAME, CUT = "i3d-kinetics-400", "Conv3d_2b_1x1"


@pytest.fixture(scope="module")
def cut() -> I3D:
    torch.manual_seed(3)
    return I3D(CUT)


@pytest.fixture
def fetched(cut, tmp_path, monkeypatch) -> Path:
    """As if weights had been fetched: those of a network that ends early, in place of the real ones."""
    monkeypatch.setenv("STVR_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cache" / "weights" / f"{NAME}.safetensors"
    path.parent.mkdir(parents=True)
    save_weights(cut, path)
    return path


def test_a_name_means_the_fetched_file_and_a_file_of_that_name_wins(fetched, tmp_path, monkeypatch):
    assert weights_file(NAME) == weights_file(Path(NAME)) == fetched
    assert weights_file(None) is weights_file("analytic") is None
    assert weights_file("model.ckpt") == Path("model.ckpt")
    assert (name_of(fetched), name_of(None), name_of(Path("a/b.pt"))) == (NAME, "analytic", "b.pt")
    assert (as_noted(None, NAME), as_noted("a.pt", NAME), as_noted(None, "b.pt")) == (NAME, "a.pt", None)
    monkeypatch.chdir(tmp_path)
    for name in (NAME, "analytic"):
        copyfile(fetched, tmp_path / name)
        assert weights_file(name) == Path(name)
    assert name_of(Path(NAME)) == NAME
    assert name_of(tmp_path / f"{NAME}.safetensors") == f"{NAME}.safetensors"


@pytest.mark.parametrize("words", [
    ("weights", "info", NAME), ("weights", "convert", NAME, "--out", "w.safetensors"),
    ("extract", "a.mp4", "--store", "s", "--weights", NAME),
])  # fmt: skip
def test_a_name_that_was_not_fetched_says_how(stvr, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    result = stvr(*words)
    assert (result.status, result.err) == (
        2, f"stvr: the weights {NAME} have not been fetched. Run `stvr weights fetch {NAME}`.\n")  # fmt: skip


def test_a_fetched_file_that_was_cut_is_called_damaged(stvr, fetched, tmp_path):
    fetched.write_bytes(fetched.read_bytes()[:-1000])
    result = stvr("weights", "info", NAME)
    assert (result.status, result.err) == (2, f"stvr: the weights {NAME}, fetched to {fetched}, are damaged. Run "
                                              f"`stvr weights fetch {NAME}` again.\n")


def test_info_and_convert_take_a_name(stvr, fetched, cut, tmp_path):
    told = stvr("weights", "info", NAME)
    assert json.loads(told.out)["digests"] == {}  # it ends before the usual endpoints
    assert stvr("weights", "convert", NAME, "--out", tmp_path / "w.safetensors", "--endpoint", CUT).status == 0
    assert load_backbone(weights=tmp_path / "w.safetensors", endpoint=CUT).weights_digest == digest(cut.state_dict())
    assert "lie in no file" in stvr("weights", "info", "analytic").err


def extracted(stvr, films, store: Path, *options: object):
    result = stvr("extract", films[0], "--store", store, "--image-size", 96, *options)
    assert result.status == 0, result.err
    return FeatureStore.open(store).spec


def test_extract_takes_fetched_weights_by_default_and_a_store_keeps_what_it_was_begun_with(
    stvr, films, fetched, cut, tmp_path
):
    here, analytic = tmp_path / "here", tmp_path / "analytic"
    spec = extracted(stvr, films, here, "--endpoint", CUT)
    assert (spec.weights, spec.weights_digest) == (NAME, digest(cut.state_dict()))
    assert extracted(stvr, films, analytic, "--endpoint", CUT, "--weights", "analytic").weights == "analytic"
    assert extracted(stvr, films, analytic, "--endpoint", CUT).weights == "analytic"
    assert (weights_for(here, CUT), weights_for(analytic, CUT)) == (NAME, None)
    assert weights_for(tmp_path / "new", None) == NAME
    several = tmp_path / "several"
    result = stvr("extract", films[0], "--store", several, "--image-size", 96, "--weights", "analytic",
                  "--endpoint", f"Conv3d_1a_7x7,{CUT}")  # fmt: skip
    assert result.status == 0
    assert weights_for(several, f"conv3d_1a_7x7,{CUT}") is None
    fetched.unlink()
    assert weights_for(tmp_path / "new", None) is None


def test_a_store_begun_in_torchs_float32_goes_on_in_it(stvr, films, tmp_path):
    """Its last bits are not those of the default, and videos of two kinds are not mixed."""
    extracted(stvr, films, tmp_path / "old", "--endpoint", CUT, "--precision", "float32", "--runtime", "torch")
    extracted(stvr, films, tmp_path / "new", "--endpoint", CUT, "--precision", "float32")
    noted = [FeatureStore.open(tmp_path / name).info(films[0].stem)["precision"] for name in ("old", "new")]
    assert noted == ["float32", "float32 by winograd"]
    assert (runtime_for(tmp_path / "old", "clip"), runtime_for(tmp_path / "new", "clip")) == ("torch", "auto")
    assert runtime_for(tmp_path / "none", "video") == "torch"
    again = stvr("extract", films[0], "--store", tmp_path / "old", "--image-size", 96, "--endpoint", CUT,
                 "--precision", "float32")  # fmt: skip
    assert (again.status, "1 already there" in again.err + again.out) == (0, True)
    refused = stvr("extract", films[0], "--store", tmp_path / "old", "--image-size", 96, "--endpoint", CUT,
                   "--precision", "float32", "--runtime", "winograd")  # fmt: skip
    assert refused.status == 1
    assert "computed in float32, not in float32 by winograd" in refused.err


def test_whoever_gives_no_weights_is_told_once_how_to_get_them(caplog):
    warn_of_analytic_weights.cache_clear()
    with caplog.at_level(logging.WARNING, "stvr"):
        load_backbone(endpoint=CUT)
        load_backbone(endpoint=CUT)
    assert [f"stvr weights fetch {NAME}" in record.getMessage() for record in caplog.records] == [True]
    caplog.clear()
    warn_of_analytic_weights.cache_clear()
    load_backbone(weights="analytic", endpoint=CUT)
    assert caplog.records == []


def test_python_keeps_meaning_analytic_weights(fetched):
    assert load_backbone(endpoint=CUT).weights == "analytic"


def test_what_a_head_notes_is_found_by_name_and_its_digest_is_checked(fetched, films, films_spec, tmp_path):
    whole = I3D("Mixed_4c")
    save_weights(whole, fetched)
    trained = digest(whole.state_dict())
    spec = replace(films_spec, weights=NAME, weights_digest=trained)
    options = MatchingOptions(**HEAD)
    save_head(tmp_path / "head.safetensors", build_head(options, spec), options, spec, {"step": 0})
    assert weights_beside(load_head(tmp_path / "head.safetensors"), None) == NAME
    session = Session.open(tmp_path / "head.safetensors", device="cpu")
    assert session.eyes().backbone.weights == NAME
    assert digest(trainable_backbone(spec, NAME).state_dict()) == trained
    save_weights(I3D("Mixed_4c"), fetched)
    with pytest.raises(ValueError, match=rf"weights '{NAME}' .*, but '{NAME}' are others"):
        Session.open(tmp_path / "head.safetensors", device="cpu").eyes()
    fetched.unlink()
    session = Session.open(tmp_path / "head.safetensors", device="cpu")  # a store may do without weights
    with pytest.raises(FileNotFoundError, match=f"Run `stvr weights fetch {NAME}`"):
        session.eyes()


def test_repair_finds_the_weights_that_a_store_notes(stvr, films, fetched, cut, tmp_path):
    store = tmp_path / "store"
    extracted(stvr, films, store, "--endpoint", CUT)
    shard = next(path for path in store.rglob("c/*") if path.is_file() or path.is_dir())
    file = shard if shard.is_file() else next(path for path in shard.rglob("*") if path.is_file())
    before = file.read_bytes()
    file.write_bytes(before[:-9])
    result = stvr("repair", store, films[0])
    assert (result.status, "1 videos repaired" in result.out) == (0, True), result.err + result.out
    assert file.read_bytes() == before

