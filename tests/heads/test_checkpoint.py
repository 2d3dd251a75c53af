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

# Names of a cell's weights in format 1, which had them in one module -> in an aligner and gates.
GATES = {
    "depthwise.weight": "gates.depthwise.weight", "pointwise.weight": "gates.pointwise.weight",
    "pointwise.bias": "gates.pointwise.bias",
    "expand.weight": "gates.expand.weight", "expand.bias": "gates.expand.bias",
    "gate_norm.weight": "gates.gate_norm.weight", "gate_norm.bias": "gates.gate_norm.bias",
    "memory_norm.weight": "gates.memory_norm.weight", "memory_norm.bias": "gates.memory_norm.bias",
}  # fmt: skip
PLAIN = {"plain.gates.weight": "gates.convolution.weight", "plain.gates.bias": "gates.convolution.bias"}
SPLINE = {
    "offsets.depthwise": "aligner.offsets.depthwise", "offsets.pointwise.weight": "aligner.offsets.pointwise.weight",
    "offsets.pointwise.bias": "aligner.offsets.pointwise.bias",
}  # fmt: skip
TRAJECTORY = {
    "structure.from_input.weight": "aligner.structure.from_input.weight",
    "structure.from_input.bias": "aligner.structure.from_input.bias",
    "structure.from_hidden.weight": "aligner.structure.from_hidden.weight",
    "structure.from_hidden.bias": "aligner.structure.from_hidden.bias",
    "structure.flows.weight": "aligner.structure.flows.weight", "structure.flows.bias": "aligner.structure.flows.bias",
    "join.weight": "aligner.join.weight",
}  # fmt: skip

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


@pytest.mark.parametrize(("options", "names"), [
    ({"propagation": "conv_lstm"}, GATES),
    ({"propagation": "flow", "lstm_form": "plain"}, PLAIN),
    ({"propagation": "traj_lstm"}, TRAJECTORY | GATES),
    ({"propagation": "warp_lstm"}, SPLINE | GATES),
    ({"propagation": "warp_lstm", "lstm_form": "plain"}, SPLINE | PLAIN),
])  # fmt: skip
def test_a_cell_that_was_saved_as_one_module_is_loaded(tmp_path: Path, options: dict, names: dict):
    form = options.get("lstm_form", "program")
    own = MatchingOptions(**{**HEAD, "propagation": {"name": options["propagation"], "form": form}})
    state = build_head(own, SPEC).state_dict()
    before = {f"propagation.cell.{new}": f"propagation.cell.{old}" for old, new in names.items()}
    assert set(before) == {name for name in state if name.startswith("propagation.")}
    flat = {**HEAD, "name": "matching", "feature_channels": 16, "bottleneck": 8, "spline_order": 2,
            "lstm_norm": "layer"}  # fmt: skip
    spec = {name: value for name, value in SPEC.to_json().items() if name != "maps"} | {"endpoint": "Mixed_4c"}
    header = {"format": 1, "head": {**flat, **options}, "spec": spec}
    write_tensors(tmp_path / "old.safetensors", {before.get(name, name): state[name] for name in state}, header)
    opened = load_head(tmp_path / "old.safetensors")
    assert opened.spec == SPEC
    loaded = opened.head.state_dict()
    assert loaded.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(loaded[name], value), name


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
