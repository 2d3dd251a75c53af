"""A head that ships is asked for by its name, and is the file that its record says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from tiny import HEAD, SPEC

import stvr
from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import save_head
from stvr.heads.shipped import SHIPPED, ShippedHead
from stvr.session import Session


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    """The menu with one head on it, as a package would bring it."""
    torch.manual_seed(0)
    options, file = MatchingOptions(**HEAD), tmp_path / "shipped.safetensors"
    save_head(file, build_head(options, SPEC), options, SPEC, {"step": 1})
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    record = ShippedHead(file, sha256, SPEC.to_json(), {"made-up set, frame-mAP at IoU 0.5": 0.25})
    monkeypatch.setattr(SHIPPED, "_own", {"matching.made_up": record})
    monkeypatch.setattr(SHIPPED, "_loaded", {})
    return file


def test_a_head_that_ships_is_opened_by_its_name(shipped):
    loaded = stvr.load_head("matching.made_up")
    assert (loaded.spec, loaded.path) == (SPEC, shipped)
    assert Session.open("matching.made_up").loaded.options == loaded.options


def test_a_file_of_that_name_comes_first(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "matching.made_up").write_bytes(b"a file of the user's")
    with pytest.raises(ValueError, match="wanted a safetensors file"):
        stvr.load_head("matching.made_up")


def test_a_file_that_was_changed_is_refused(shipped):
    content = bytearray(shipped.read_bytes())
    content[-1] ^= 1
    shipped.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"was changed or cut short. Install the package that brings it again"):
        stvr.load_head("matching.made_up")
    shipped.unlink()
    with pytest.raises(FileNotFoundError, match=r"is missing. Install the package"):
        stvr.load_head("matching.made_up")


def test_a_name_that_is_neither_file_nor_head_is_one_line(shipped):
    with pytest.raises(FileNotFoundError, match="there is no such checkpoint"):
        stvr.load_head("matching.nowhere")
