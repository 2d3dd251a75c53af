"""A backbone from the menu: what it says about itself, what it takes, what it gives."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from bfloat16 import BFLOAT16

from stvr.backbones import Backbone, load_backbone, warn_of_analytic_weights
from stvr.backbones.i3d import I3D, scale
from stvr.backbones.weights.load import digest, load_weights, save_weights


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_weights(I3D("Mixed_4b", num_classes=5), path)
    return path


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    """Five clips (5, 8, 32, 32, 3)."""
    return torch.randint(0, 256, (5, 8, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_features_equal_the_plain_networks_for_any_number_of_clips(saved, frames, count):
    model = I3D("Mixed_3c").eval()
    load_weights(model, saved)
    features = load_backbone(weights=saved, endpoint="Mixed_3c", precision="float32")(frames[:count])
    assert features.shape == (count, 4, 4, 4, 480)
    with torch.no_grad():
        torch.testing.assert_close(features, model(scale(frames[:count])).permute(0, 2, 3, 4, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("count", "batches"), [(1, [1]), (2, [2]), (3, [3]), (5, [3, 2]), (6, [2, 2, 2])])
def test_on_a_cpu_clips_go_in_pairs_and_none_alone(shallow, count, batches):
    sizes = []
    recorder = torch.nn.Identity()
    recorder.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    replace(shallow, network=recorder)(torch.zeros(count, 8, 4, 4, 3, dtype=torch.uint8))
    assert sizes == batches


def test_it_says_what_a_store_must_note(saved):
    backbone = load_backbone(weights=saved, endpoint="mixed_3b", precision="float32")
    model = I3D("Mixed_3b")
    load_weights(model, saved)
    assert (backbone.name, backbone.weights, backbone.endpoint) == ("i3d", "mine.safetensors", "Mixed_3b")
    assert backbone.weights_digest == digest(model.state_dict())
    assert backbone.precision == "float32"


@pytest.mark.parametrize("precision", ["float32", BFLOAT16])
def test_features_have_the_precision_that_was_asked_for(frames, precision):
    features = load_backbone(endpoint="Conv3d_1a_7x7", precision=precision)(frames[:1])
    assert features.dtype == getattr(torch, precision)


@pytest.mark.parametrize("runtime", ["auto", "torch", "openvino"])
def test_bfloat16_that_would_be_imitated_is_refused(monkeypatch, runtime):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(ValueError, match=r"does not multiply bfloat16.*78 core seconds.*--precision float32"):
        load_backbone(endpoint="Conv3d_1a_7x7", precision="bfloat16", runtime=runtime)


def test_auto_runs_by_winograd_only_what_gains_by_it():
    chosen = {endpoint: load_backbone(endpoint=endpoint, precision="float32", runtime="auto").precision
              for endpoint in ("Conv3d_1a_7x7", "Mixed_3b,Mixed_3c.mean")}  # fmt: skip
    assert set(chosen.values()) == {"float32 by winograd"}
    assert load_backbone(endpoint="Conv3d_1a_7x7", precision="float32").precision == "float32"  # as a store noted it


def test_auto_takes_bfloat16_only_where_it_is_native(monkeypatch):
    for native, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
        assert load_backbone(endpoint="Conv3d_1a_7x7").precision == precision


def test_auto_takes_float32_where_onednn_is_held_to_avx2():
    code = ("from stvr.backbones import load_backbone\n"
            "print(load_backbone(endpoint='Conv3d_1a_7x7').precision)")
    held = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    ended = subprocess.run([sys.executable, "-c", code], env=held, capture_output=True, text=True, check=True)
    assert ended.stdout == "float32\n"


def test_without_weights_it_is_analytic_and_warns_once(caplog):
    warn_of_analytic_weights.cache_clear()
    with caplog.at_level(logging.WARNING, "stvr"):
        names = {load_backbone(endpoint="Conv3d_1a_7x7").weights for _ in range(3)}
    assert names == {"analytic"}
    assert len(caplog.messages) == 1
    assert "--weights" in caplog.messages[0]
    assert "\n" not in caplog.messages[0]


def test_with_weights_there_is_no_warning(saved, caplog):
    warn_of_analytic_weights.cache_clear()
    load_backbone(weights=saved, endpoint="Conv3d_1a_7x7")
    assert not caplog.messages


@pytest.mark.parametrize("precision", ["float32", BFLOAT16])
def test_logits_have_the_classes_of_the_file(tmp_path, frames, precision):
    save_weights(I3D("Logits", num_classes=600), tmp_path / "kinetics600.safetensors")
    backbone = load_backbone(weights=tmp_path / "kinetics600.safetensors", endpoint="logits", precision=precision)
    assert backbone(frames[:2]).shape == (2, 1, 1, 1, 600)


def test_weights_that_do_not_reach_the_endpoint_are_refused(saved):
    with pytest.raises(ValueError, match=r"mine.safetensors: wanted .* up to Mixed_4c, got 30 missing"):
        load_backbone(weights=saved)


@pytest.mark.parametrize("options", [{"name": "c3d"}, {"endpoint": "fc7"}, {"precision": "int8"}])
def test_an_unknown_name_is_answered_with_the_menu(options):
    with pytest.raises(LookupError, match=rf"{next(iter(options.values()))}.*Choose one of"):
        load_backbone(**options)


@pytest.fixture(scope="module")
def shallow() -> Backbone:
    return load_backbone(endpoint="Conv3d_1a_7x7")


@pytest.mark.parametrize("frames", [
    torch.zeros(8, 32, 32, 3, dtype=torch.uint8), torch.zeros(1, 8, 32, 32, 3), torch.zeros(1, 3, 8, 32, 32).byte(),
    torch.zeros(0, 8, 32, 32, 3, dtype=torch.uint8),
])
def test_frames_of_another_shape_or_type_are_refused(shallow, frames):
    with pytest.raises(ValueError, match=r"wanted clips \(B, T, H, W, 3\) of uint8, got "):
        shallow(frames)
