"""Converting weights: every form of I3D becomes the same safetensors, and whatever does not fit is named."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import torch
from bundle import write_bundle
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from stvr.backbones import load_backbone
from stvr.backbones.i3d import I3D
from stvr.backbones.weights.forms import convert, describe_weights
from stvr.backbones.weights.load import digest, read_config, save_weights

REACHED = ["Mixed_4c", "Mixed_4f", "Mixed_5c", "Logits"]


@pytest.fixture(scope="module")
def made(shared, tmp_path_factory):
    """A function that makes a checkpoint, with names and shapes of one of DeepMind's: (prefix, variables)."""
    listed = json.loads((shared / "data/reference_values/i3d/deepmind_checkpoint_variables.json").read_text())
    folder = tmp_path_factory.mktemp("made")

    def make(checkpoint: str):
        draw = np.random.default_rng(7).standard_normal
        variables = {name: draw(entry["shape"], np.float32) if not name.endswith("/Momentum")
                     else np.full(1, np.nan, np.float32) for name, entry in listed[checkpoint].items()}
        (folder / checkpoint).mkdir(exist_ok=True)
        write_bundle(folder / checkpoint / "model.ckpt", variables, rows_a_block=40, restart=16)
        return folder / checkpoint / "model.ckpt", variables

    yield make
    shutil.rmtree(folder)  # 50 MB each


@pytest.mark.parametrize(("checkpoint", "prefix", "in_channels", "classes", "count"), [
    ("rgb_imagenet", "RGB/inception_i3d/", 3, 400, 230), ("flow_imagenet", "Flow/inception_i3d/", 2, 400, 230),
    ("rgb_scratch_kin600", "", 3, 600, 346),
])
def test_each_of_deepminds_forms_becomes_ours_with_nothing_left_over(
        made, checkpoint, prefix, in_channels, classes, count):
    source, variables = made(checkpoint)
    out = source.parent / "new/ours.safetensors"
    before = describe_weights(source)
    after = convert(source, out)
    learned = sum(value.size for name, value in variables.items() if name.endswith(("/w", "/b", "/beta")))
    for held, form, number in ((before, "tensorflow", count), (after, "safetensors", 230 + 57 * 2)):  # gain, counter
        assert (held["form"], held["variables"], held["misfits"]) == (form, number, {})
        assert (held["parameters"], held["classes"], held["in_channels"]) == (learned, classes, in_channels)
    assert before["digests"] == after["digests"]
    assert list(after["digests"]) == REACHED
    config = read_config(out)
    assert config == {"backbone": "i3d", "endpoint": "Logits", "in_channels": in_channels, "num_classes": classes,
                      "digest": after["digests"]["Logits"]}
    with safe_open(out, framework="np") as file:
        for ours, theirs in (("Mixed_5b.b2b", "Mixed_5b/Branch_2/Conv3d_0a_3x3"), ("Conv3d_1a_7x7", "Conv3d_1a_7x7")):
            weight, variable = file.get_tensor(f"{ours}.conv3d.weight"), variables[f"{prefix}{theirs}/conv_3d/w"]
            np.testing.assert_array_equal(np.einsum("oithw->thwio", weight), variable)
            mean = variables[f"{prefix}{theirs}/batch_norm/moving_mean"]
            np.testing.assert_array_equal(file.get_tensor(f"{ours}.bn.running_mean"), mean.reshape(-1))
        bias = variables[f"{prefix}Logits/Conv3d_0c_1x1/conv_3d/b"]
        np.testing.assert_array_equal(file.get_tensor("logits.conv3d.bias"), bias)


def test_a_backbone_takes_a_tensorflow_checkpoint_as_it_is(made):
    source, _ = made("rgb_imagenet")
    backbone = load_backbone(weights=source, endpoint="Mixed_4c", precision="float32")
    assert backbone.weights_digest == describe_weights(source.parent)["digests"]["Mixed_4c"]
    assert backbone.weights == "model.ckpt"


def test_flow_weights_do_not_fit_a_backbone_that_reads_colour(made):
    with pytest.raises(ValueError, match=r"weight \(64, 2, 7, 7, 7\) instead of \(64, 3, 7, 7, 7\)"):
        load_backbone(weights=made("flow_imagenet")[0])


def test_the_published_pytorch_layout_converts_whole(shared, tmp_path):
    shapes = json.loads((shared / "data/reference_values/i3d/pytorch_i3d_state_dict_shapes.json").read_text())
    assert len(shapes) == 344
    state = {name: torch.full(shape, 0.5) if shape else torch.tensor(9) for name, shape in shapes.items()}
    torch.save(state, tmp_path / "rgb_imagenet.pt")
    before, after = describe_weights(tmp_path / "rgb_imagenet.pt"), convert(
        tmp_path / "rgb_imagenet.pt", tmp_path / "ours.safetensors")
    assert (before["form"], before["variables"], before["misfits"], list(before["digests"])) == (
        "pytorch", 344, {}, REACHED)
    assert before["digests"] == after["digests"]
    written = load_file(tmp_path / "ours.safetensors")
    assert {name: list(value.shape) for name, value in written.items()} == shapes
    assert all(torch.equal(written[name], value) for name, value in state.items())
    shutil.rmtree(tmp_path)


def test_safetensors_of_another_program_can_be_cut_at_an_endpoint(tmp_path):
    model = I3D("Mixed_3b")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, tmp_path / "theirs.safetensors")
    convert(tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors", "conv3d_2c_3x3")
    config = read_config(tmp_path / "ours.safetensors")
    cut = I3D("Conv3d_2c_3x3")
    cut.load_state_dict(model.state_dict(), strict=False)
    assert (config["endpoint"], config["digest"]) == ("Conv3d_2c_3x3", digest(cut.state_dict()))


def test_weights_in_half_precision_have_the_digest_of_what_is_loaded(tmp_path):
    model = I3D("Mixed_4c").half()
    torch.save(model.state_dict(), tmp_path / "half.pt")
    assert describe_weights(tmp_path / "half.pt")["digests"] == {"Mixed_4c": digest(model.float().state_dict())}


def test_info_lists_every_name_that_is_missing(tmp_path):
    save_weights(I3D("Mixed_3b"), tmp_path / "short.safetensors")
    held = describe_weights(tmp_path / "short.safetensors")
    missing = held["misfits"]["missing"]
    assert len(missing) == 287 - 9 * 5  # all but: three layers and a Mixed of six units, five tensors each
    assert "Mixed_3c.b0.bn.bias" in missing
    assert (held["digests"], held["classes"]) == ({}, None)
    assert held["parameters"] == sum(math.prod(value.shape) for name, value in I3D("Mixed_3b").state_dict().items()
                                     if name.endswith(("conv3d.weight", "bn.bias")))


def test_missing_and_surplus_variables_of_a_checkpoint_are_named(tmp_path):
    unit = {"conv_3d/w": np.zeros((7, 7, 7, 3, 64), np.float32)} | {
        f"batch_norm/{leaf}": np.zeros(64, np.float32) for leaf in ("beta", "moving_mean", "moving_variance")}
    first = {f"Conv3d_1a_7x7/{leaf}": value for leaf, value in unit.items()}
    write_bundle(tmp_path / "ok", first)
    convert(tmp_path / "ok", tmp_path / "ok.safetensors", "Conv3d_1a_7x7")
    with pytest.raises(ValueError, match=r"ok: wanted .* up to Conv3d_2b_1x1, got 5 missing: Conv3d_2b_1x1"):
        convert(tmp_path / "ok", tmp_path / "no.safetensors", "Conv3d_2b_1x1")
    write_bundle(tmp_path / "flat", first | {"Conv3d_1a_7x7/conv_3d/w": np.zeros((3, 64), np.float32)})
    with pytest.raises(ValueError, match=r"1 of another shape: Conv3d_1a_7x7.conv3d.weight \(192,\) instead of"):
        convert(tmp_path / "flat", tmp_path / "no.safetensors", "Conv3d_1a_7x7")
    write_bundle(tmp_path / "more", first | {"rnn/kernel": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match=r"more: 'rnn/kernel' is not a variable of I3D"):
        convert(tmp_path / "more", tmp_path / "no.safetensors")
    assert not (tmp_path / "no.safetensors").exists()


def test_the_commands_show_what_a_file_holds(stvr, tmp_path):
    save_weights(I3D("Mixed_4c"), tmp_path / "a.safetensors")
    result = stvr("weights", "convert", tmp_path / "a.safetensors", "--out", tmp_path / "b.safetensors", "--endpoint",
                  "Mixed_4c")
    assert result.status == 0, result.err
    info = json.loads(stvr("weights", "info", tmp_path / "b.safetensors").out)
    assert result.out.splitlines()[0] == f"Mixed_4c {info['digests']['Mixed_4c']}"
    assert info["digests"]["Mixed_4c"] == read_config(tmp_path / "b.safetensors")["digest"]
    assert (info["form"], info["in_channels"], info["classes"]) == ("safetensors", 3, None)


@pytest.mark.parametrize(("command", "message"), [
    ("info {p}/nowhere.pt", "there is none"), ("info {p}/text.pt", "got something else"),
    ("info {p}/text.index", "does not end in 0xdb4775248b80fb57"), ("info {p}/head.safetensors", "another network"),
    ("info {p}/no.index", "found no such file"), ("info {p}/folder", "with 0 .index files"),
    ("info {p}/bare", "bare.data-00000-of-00001: wanted the data"),
    ("convert {p}/short.safetensors --out {p}/new.safetensors", "missing: Conv3d_2b_1x1.conv3d.weight"),
    ("convert {p}/short.safetensors --out {p}/new.safetensors --endpoint Mixed_9", "no endpoint 'Mixed_9'"),
    ("convert {p}/short.safetensors --out {p}/new.pt", "ends in .safetensors"),
    ("convert {p}/short.safetensors --out {p}/short.safetensors", "short.safetensors is the source itself"),
    ("convert {p}/short.safetensors", "Missing option '--out'"),
])
def test_a_fault_is_one_line_and_status_2(stvr, tmp_path, command, message):
    for name in ("text.pt", "text.index"):
        (tmp_path / name).write_text("not weights, but longer than the forty-eight bytes of a footer")
    (tmp_path / "folder").mkdir()
    save_file({"scale": torch.zeros(2)}, tmp_path / "head.safetensors")
    save_weights(I3D("Conv3d_1a_7x7"), tmp_path / "short.safetensors")
    write_bundle(tmp_path / "bare", {"w": np.zeros(2, np.float32)})
    (tmp_path / "bare.data-00000-of-00001").unlink()
    result = stvr("weights", *command.format(p=tmp_path).split())
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert message in result.err
    assert result.err.startswith("stvr: ")
    assert not list(tmp_path.glob("new*"))
