"""The authors' whole detector from its TensorFlow checkpoint: every number arrives, every fault is told."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle import write_bundle

from stvr.backbones import I3D, load_backbone
from stvr.backbones.weights.load import load_weights
from stvr.heads.authors import from_tensorflow
from stvr.heads.checkpoint import load_head


@pytest.fixture(scope="module")
def variables(shared):
    """The 187 names and shapes of their detector, with numbers that tell themselves apart."""
    listed = np.load(shared / "data/reference_values/end_to_end/infer.npz")["variables"]
    draw = np.random.default_rng(0)
    named = (str(entry).split(" ", 1) for entry in listed)
    return {name: draw.random(ast.literal_eval(shape), np.float32) for name, shape in named}


@pytest.fixture(scope="module")
def checkpoint(variables, tmp_path_factory):
    """As training leaves it: with momentum and the step counted."""
    besides = {"global_step": np.array(30000, np.int64), "att/fc_g/weights/Momentum": variables["att/fc_g/weights"]}
    prefix = tmp_path_factory.mktemp("authors") / "model.ckpt-30000"
    write_bundle(prefix, {**variables, **besides}, rows_a_block=40, restart=16)
    yield prefix
    for file in prefix.parent.iterdir():
        file.unlink()


def test_the_authors_checkpoint_becomes_a_backbone_and_a_head(stvr, checkpoint, variables, tmp_path):
    ended = stvr("weights", "convert", checkpoint, "--out", tmp_path / "authors")
    assert (ended.status, ended.err) == (0, "")
    whole, loaded = from_tensorflow(variables), load_head(tmp_path / "authors")
    backbone = filled(tmp_path / "authors/backbone.safetensors")
    for ours, wanted in ((loaded.head, whole.head), (backbone, whole.backbone)):
        assert set(ours.state_dict()) == set(wanted.state_dict())
        assert all(torch.equal(value, wanted.state_dict()[name]) for name, value in ours.state_dict().items())
    read = load_backbone(weights=tmp_path / "authors/backbone.safetensors")
    assert loaded.spec.weights_digest == read.weights_digest
    assert (loaded.spec.colour_order, loaded.spec.resize, loaded.spec.endpoint) == ("BGR", "tf1", "Mixed_4c")


def filled(path: Path) -> I3D:
    model = I3D("Mixed_4c")
    load_weights(model, path)
    return model


@pytest.mark.parametrize(("lacks", "out", "says"), [
    ("att/fc_g/weights", "new", "1 of the detector's variables are missing, first att/fc_g/weights"),
    ("Conv3d_1a_7x7/conv_3d/w", "new", "1 missing: Conv3d_1a_7x7.conv3d.weight"),
    ("nothing", "one.safetensors", "wanted a folder for both"),
])  # fmt: skip
def test_what_is_no_whole_detector_is_refused_in_one_line(stvr, variables, tmp_path, lacks, out, says):
    kept = {name: value for name, value in variables.items()
            if not name.endswith(lacks) and not name.startswith("SecondStageFeatureExtractor")}  # fmt: skip
    tail = {name: np.zeros(1, np.float32) for name in variables if name.startswith("SecondStageFeatureExtractor")}
    write_bundle(tmp_path / "short", kept | tail, rows_a_block=40)
    ended = stvr("weights", "convert", tmp_path / "short", "--out", tmp_path / out)
    assert (ended.status, len(ended.err.splitlines())) == (2, 1)
    assert says in ended.err
    assert not (tmp_path / out).exists()


def test_a_damaged_detector_is_refused_in_one_line(stvr, checkpoint, tmp_path):
    """One byte of the last variable turned, then put back."""
    data = Path(f"{checkpoint}.data-00000-of-00001")
    with data.open("r+b") as file:
        file.seek(-9, 2)
        byte = file.read(1)
        file.seek(-9, 2)
        file.write(bytes([byte[0] ^ 1]))
    ended = stvr("weights", "convert", checkpoint, "--out", tmp_path / "new")
    with data.open("r+b") as file:
        file.seek(-9, 2)
        file.write(byte)
    assert (ended.status, len(ended.err.splitlines())) == (2, 1)
    assert "the file is damaged" in ended.err
    assert not (tmp_path / "new").exists()
