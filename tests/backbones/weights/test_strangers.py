"""Files that are no weights, or weights of something else, are told what they are; wrapped ones are read."""

from __future__ import annotations

import argparse
import gzip

import pytest
import torch
from safetensors.torch import save_file

from stvr.backbones.i3d import I3D
from stvr.backbones.weights.forms import convert, describe_weights
from stvr.backbones.weights.load import read_state

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 50\n"


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
@pytest.mark.parametrize(("content", "says"), [
    (POINTER, "a git-lfs pointer"),
    (b"\n<!DOCTYPE html><html><head>", "an HTML page"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied', "an XML page"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (gzip.compress(b"weights", mtime=0), "packed by gzip"),
    (b"", "empty"),
])
def test_a_file_that_cannot_be_weights_is_told_what_it_is(tmp_path, ending, content, says):
    path = tmp_path / f"w.{ending}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says) as refusal:
        read_state(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


TENSORS = {"a.weight": torch.arange(3.0), "b": torch.ones(2)}


@pytest.mark.parametrize("wrapped", [
    TENSORS,
    {"state_dict": TENSORS, "epoch": 3},
    {"model": {"state_dict": TENSORS}, "optimizer": {"lr": 0.1}},
    {"model_state_dict": {f"module.{name}": value for name, value in TENSORS.items()}},
    {f"module._orig_mod.{name}": value for name, value in TENSORS.items()},
])
def test_a_wrapped_state_dict_is_read_without_its_wrapping(tmp_path, wrapped):
    torch.save(wrapped, tmp_path / "w.pt")
    state = read_state(tmp_path / "w.pt")
    assert {name: value.tolist() for name, value in state.items()} == {"a.weight": [0, 1, 2], "b": [1, 1]}


def test_a_name_that_only_some_share_is_no_wrapping(tmp_path):
    save_file({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "w.safetensors")
    assert set(read_state(tmp_path / "w.safetensors")) == {"module.a", "b"}


def test_a_checkpoint_with_objects_of_a_program_names_them(tmp_path):
    torch.save({"state_dict": TENSORS, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"it asks for argparse\.Namespace, which would run a program"):
        read_state(tmp_path / "w.pt")


def test_a_program_of_torchscript_is_told_so(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "w.pt")
    with pytest.raises(ValueError, match="a TorchScript program"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize(("names", "whose"), [
    (["backbone.body.conv1.weight", "rpn.head.cls_logits.weight"], "one of torchvision's detectors"),
    (["conv1.weight", "layer1.0.conv1.weight", "fc.weight"], "a ResNet"),
    (["conv3d_1a_7x7.conv3d.weight", "mixed_3b.branch_0.conv3d.weight"], "I3D in another PyTorch layout"),
    (["feature_encoder.convnormrelu.0.weight"], "torchvision's RAFT"),
    (["encoder.layers.encoder_layer_0.ln_1.weight", "blocks.0.norm1.weight"], "a transformer"),
])
def test_weights_of_another_network_are_told_whose_they_are(tmp_path, names, whose):
    torch.save({name: torch.ones(1) for name in names}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=whose):
        describe_weights(tmp_path / "w.pt")
    with pytest.raises(ValueError, match=whose):
        convert(tmp_path / "w.pt", tmp_path / "out.safetensors")


def test_weights_that_are_no_numbers_are_refused_at_conversion(tmp_path):
    state = I3D("Conv3d_1a_7x7").state_dict()
    state["Conv3d_1a_7x7.bn.running_var"][3] = torch.nan
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"1 tensors hold values that are no numbers: Conv3d_1a_7x7\.bn\.running_var"):
        convert(tmp_path / "w.pt", tmp_path / "out.safetensors", "Conv3d_1a_7x7")
    assert not (tmp_path / "out.safetensors").exists()
