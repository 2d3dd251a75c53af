"""A head comes back as it was saved, and a file that holds none is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import HEAD, SPEC

from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import load_head, read_tensors, save_head, write_tensors

OPTIONS = MatchingOptions(**HEAD)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    save_head(tmp_path / "head.safetensors", build_head(OPTIONS, SPEC), OPTIONS, SPEC, {"step": 7})
    return tmp_path / "head.safetensors"


@pytest.mark.parametrize("folder", [True, False])
def test_what_was_saved_is_loaded(saved: Path, folder: bool):
    torch.manual_seed(3)
    head, loaded = build_head(OPTIONS, SPEC), load_head(saved.parent if folder else saved)
    assert (loaded.options, loaded.spec, dict(loaded.provenance)) == (OPTIONS, SPEC, {"step": 7})
    assert not loaded.head.training
    for name, value in head.state_dict().items():
        assert torch.equal(loaded.head.state_dict()[name], value), name


def test_equal_heads_make_equal_files(saved: Path, tmp_path: Path):
    torch.manual_seed(3)
    save_head(tmp_path / "again.safetensors", build_head(OPTIONS, SPEC), OPTIONS, SPEC, {"step": 7})
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_a_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch):
    before = saved.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("stvr.files.os.replace", fail)
    with pytest.raises(OSError, match="full"):
        write_tensors(saved, {"x": torch.zeros(1)}, {})
    assert saved.read_bytes() == before


def change(path: Path, **values: object) -> Path:
    tensors, header = read_tensors(path)
    write_tensors(path, tensors, {**header, **values})
    return path


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02}q\x00.", b"\xff" * 64])
def test_another_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "head.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"head.pt: wanted a safetensors file of stvr"):
        load_head(tmp_path / "head.pt")


@pytest.mark.parametrize("header", [None, {"stvr": "{}"}, {"stvr": "[]"}, {"stvr": "{"}, {"stvr": '{"format": 9}'}])
def test_tensors_of_something_else_are_refused(tmp_path: Path, header: dict | None):
    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors", metadata=header)
    with pytest.raises(ValueError, match=r"x.safetensors") as refusal:
        load_head(tmp_path / "x.safetensors")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("change_of", [
    {"head": {"name": "hydra"}}, {"head": {"colour": "red"}}, {"head": {"width": -1}}, {"head": "small"},
    {"head": OPTIONS.model_dump() | {"width": 16}}, {"spec": {}}, {"spec": {**SPEC.to_json(), "clip": {"fps": 0}}},
])
def test_a_head_that_cannot_be_built_is_refused(saved: Path, change_of: dict):
    with pytest.raises(ValueError, match=r"no head that stvr .* can build"):
        load_head(change(saved, **change_of))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path):
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(FileNotFoundError, match="stvr train"):
            load_head(path)


def test_nothing_in_the_header_is_more_than_json(saved: Path):
    _, header = read_tensors(saved)
    assert json.loads(json.dumps(header)) == header
