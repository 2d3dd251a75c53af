"""The features are the same whatever runs the network."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from stvr.backbones import load_backbone
from stvr.backbones.i3d import I3D, scale
from stvr.backbones.weights.load import load_weights, save_weights

ENDPOINT = "Conv3d_2b_1x1"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_weights(I3D("Mixed_3b", num_classes=5), path)
    return path


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    """Three clips (3, 8, 24, 40, 3)."""
    return torch.randint(0, 256, (3, 8, 24, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def plain(saved, frames, endpoint=ENDPOINT):
    """The network as it was trained, run by torch: (B, time, row, column, channel)."""
    model = I3D(endpoint).eval()
    load_weights(model, saved)
    with torch.no_grad():
        return model(scale(frames).contiguous()).permute(0, 2, 3, 4, 1)


def relative_error(result, expected):
    return float((result.float() - expected).norm() / expected.norm())


@pytest.mark.slow
def test_compiled_features_equal_the_plain_networks(saved, frames):
    backbone = load_backbone(weights=saved, endpoint=ENDPOINT, precision="float32", runtime="compile")
    assert backbone.precision == "float32 by compile"
    torch.testing.assert_close(backbone(frames), plain(saved, frames), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_openvinos_features_equal_the_plain_networks(saved, frames, precision, bound):
    pytest.importorskip("openvino", reason="needs the extra [openvino]")
    backbone = load_backbone(weights=saved, endpoint="Mixed_3b", precision=precision, runtime="openvino")
    assert backbone.precision == f"{precision} by openvino"
    expected = plain(saved, frames, "Mixed_3b")
    for count in (1, 3, 2):  # new shapes, then one that is part of an earlier one
        features = backbone(frames[:count])
        assert features.shape == expected[:count].shape
        assert relative_error(features, expected[:count]) < bound


def test_openvinos_answers_do_not_share_memory(saved, frames):
    pytest.importorskip("openvino", reason="needs the extra [openvino]")
    backbone = load_backbone(weights=saved, endpoint=ENDPOINT, runtime="openvino")
    first = backbone(frames[:2])
    copy = first.clone()
    backbone(frames[1:])
    torch.testing.assert_close(first, copy, rtol=0, atol=0)


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_a_backbone_can_be_sent_to_another_process(saved, frames, runtime):
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="needs the extra [openvino]")
    backbone = load_backbone(weights=saved, endpoint=ENDPOINT, runtime=runtime)
    features = backbone(frames[:2])  # what is compiled here is not sent
    torch.testing.assert_close(pickle.loads(pickle.dumps(backbone))(frames[:2]), features, rtol=0, atol=0)


def test_an_unknown_runtime_is_answered_with_the_menu():
    with pytest.raises(LookupError, match=r"'tensorrt'.*Choose one of torch, compile, openvino"):
        load_backbone(runtime="tensorrt")


def test_a_missing_openvino_is_answered_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(LookupError, match=r"pip install 'stvr\[openvino\]'"):
        load_backbone(endpoint=ENDPOINT, runtime="openvino")


def test_openvinos_telemetry_is_off():
    """Its converter uses a stub when the telemetry package is missing. In a process of its own: imports last."""
    if find_spec("openvino") is None:
        pytest.skip("needs the extra [openvino]")
    code = ("import stvr.backbones.runtimes as runtimes; runtimes.import_openvino()\n"
            "import openvino.tools.ovc.telemetry_utils as utils; print(utils.tm.__name__)")  # fmt: skip
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "openvino.tools.ovc.telemetry_stub"
