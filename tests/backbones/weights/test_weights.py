"""Weights: the same network from any form of file, and a fault reported in one line."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct

import numpy as np
import pytest
import torch

from stvr.backbones.i3d import I3D
from stvr.backbones.weights.load import digest, from_tensorflow, load_state, load_weights, read_config, save_weights


@pytest.fixture(scope="module")
def whole() -> I3D:
    torch.manual_seed(0)
    return I3D("Logits")


@pytest.fixture
def port(whole, tmp_path):
    """All of I3D in the layout of rgb_imagenet.pt, its batch counters not at zero."""
    counted = {name: value + 7 if name.endswith("tracked") else value for name, value in whole.state_dict().items()}
    torch.save(counted, tmp_path / "rgb_imagenet.pt")
    return tmp_path / "rgb_imagenet.pt"


def test_the_same_weights_have_one_digest_in_any_file(whole, port, tmp_path):
    cut = I3D("Mixed_3b")
    load_weights(cut, port)
    save_weights(cut, tmp_path / "cut.safetensors")
    save_weights(whole, tmp_path / "whole.safetensors")
    digests = {digest(cut.state_dict())}
    for name in ("cut.safetensors", "whole.safetensors"):
        other = I3D("Mixed_3b")
        load_weights(other, tmp_path / name)
        digests.add(digest(other.state_dict()))
    assert len(digests) == 1
    assert torch.equal(cut.Mixed_3b.b1b.conv3d.weight, whole.Mixed_3b.b1b.conv3d.weight)
    assert digest(whole.state_dict()) not in digests


def test_a_digest_covers_names_types_shapes_and_bytes():
    state = {"b": torch.tensor(3, dtype=torch.int64), "a": torch.tensor([1.0, 2.0])}
    written = b"a torch.float32 (2,)\n" + struct.pack("<2f", 1, 2) + b"b torch.int64 ()\n" + struct.pack("<q", 3)
    assert digest(state) == "sha256:" + hashlib.sha256(written).hexdigest()


def test_a_digest_does_not_see_the_memory_layout():
    weight = torch.rand(2, 3, 4, 5, 6)
    assert digest({"w": weight}) == digest({"w": weight.contiguous(memory_format=torch.channels_last_3d)})


def test_our_file_describes_itself(tmp_path):
    model = I3D("Conv3d_2b_1x1", num_classes=7)
    save_weights(model, tmp_path / "w.safetensors")
    assert read_config(tmp_path / "w.safetensors") == {
        "backbone": "i3d", "endpoint": "Conv3d_2b_1x1", "in_channels": 3, "num_classes": 7,
        "digest": digest(model.state_dict()),
    }


def test_the_missing_names_of_weights_that_stop_too_early_are_given(tmp_path):
    save_weights(I3D("Conv3d_2b_1x1"), tmp_path / "short.safetensors")
    with pytest.raises(ValueError, match=r"short.*to Conv3d_2c_3x3.*5 missing: Conv3d_2c_3x3.conv3d.weight,") as error:
        load_weights(I3D("Conv3d_2c_3x3"), tmp_path / "short.safetensors")
    assert "\n" not in str(error.value)


def test_foreign_names_and_other_shapes_are_named():
    state = I3D("Conv3d_1a_7x7", in_channels=2).state_dict() | {"fc.weight": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"1 left over: fc.weight; 1 of another shape: Conv3d_1a_7x7.conv3d.weight "
                                         r"\(64, 2, 7, 7, 7\) instead of \(64, 3, 7, 7, 7\)"):
        load_state(I3D("Conv3d_1a_7x7"), state)


def test_batch_counters_may_be_absent():
    model = I3D("Conv3d_1a_7x7")
    load_state(model, {name: value for name, value in model.state_dict().items() if not name.endswith("tracked")})


class Trap:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize(("name", "content"), [
    ("trap.pt", pickle.dumps(Trap(), protocol=2)), ("text.pt", b"hello"), ("empty.pt", b""),
    ("text.safetensors", b"hello, you"),
])
def test_a_file_of_anything_else_is_refused_and_never_unpickled(tmp_path, capsys, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: wanted") as error:
        load_weights(I3D("Conv3d_1a_7x7"), tmp_path / name)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        load_weights(I3D("Conv3d_1a_7x7"), tmp_path / "nowhere.pt")


@pytest.mark.parametrize(("checkpoint", "in_channels", "num_classes"), [
    ("rgb_imagenet", 3, 400), ("flow_imagenet", 2, 400), ("rgb_scratch", 3, 400), ("flow_scratch", 2, 400),
    ("rgb_scratch_kin600", 3, 600),
])
def test_every_variable_of_deepminds_checkpoints_finds_its_place(shared, checkpoint, in_channels, num_classes):
    listed = json.loads((shared / "data/reference_values/i3d/deepmind_checkpoint_variables.json").read_text())
    variables = {name: np.broadcast_to(np.float32(0), entry["shape"]) for name, entry in listed[checkpoint].items()}
    assert sum(not name.endswith("/Momentum") for name in variables) == 230
    state = from_tensorflow(variables)
    with torch.device("meta"):
        expected = I3D("Logits", in_channels, num_classes).state_dict()
    assert {name: value.shape for name, value in state.items()} == {n: value.shape for n, value in expected.items()}


def test_a_convolution_is_permuted_from_tensorflows_order():
    values = np.arange(2 * 3 * 4 * 5 * 6, dtype=np.float32).reshape(2, 3, 4, 5, 6)  # [kT, kH, kW, in, out]
    state = from_tensorflow({"RGB/inception_i3d/Mixed_5b/Branch_2/Conv3d_0a_3x3/conv_3d/w": values})
    weight = state["Mixed_5b.b2b.conv3d.weight"]
    assert weight.shape == (6, 5, 2, 3, 4)
    assert weight[5, 4, 1, 0, 2] == values[1, 0, 2, 4, 5]


def test_batch_norm_without_a_gain_gets_a_gain_of_one():
    shifts = np.array([0.5, -1.0], np.float32).reshape(1, 1, 1, 1, 2)
    state = from_tensorflow({"Mixed_3b/Branch_0/Conv3d_0a_1x1/batch_norm/beta": shifts,
                             "Mixed_3b/Branch_0/Conv3d_0a_1x1/batch_norm/beta/Momentum": shifts})
    assert state["Mixed_3b.b0.bn.bias"].tolist() == [0.5, -1.0]
    assert state["Mixed_3b.b0.bn.weight"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", [
    "rnn/conv_lstm_cell/Conv/weights", "global_step", "RGB/inception_i3d/Mixed_3b/Branch_7/Conv3d_0a_1x1/conv_3d/w",
    "RGB/inception_i3d/Conv3d_1a_7x7/batch_norm/gamma",
])
def test_a_variable_of_another_network_is_named(name):
    with pytest.raises(ValueError, match=name):
        from_tensorflow({name: np.zeros(3)})


def test_two_networks_at_once_are_refused():
    name = "inception_i3d/Conv3d_1a_7x7/batch_norm/beta"
    with pytest.raises(ValueError, match="is there twice"):
        from_tensorflow({f"RGB/{name}": np.zeros(64), f"Flow/{name}": np.zeros(64)})
