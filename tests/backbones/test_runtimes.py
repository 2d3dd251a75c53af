"""The features are the same whatever runs the network."""

from __future__ import annotations

import pickle
import platform
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch.nn import functional as F

from stvr.backbones import has_bfloat16, load_backbone
from stvr.backbones.i3d import I3D, scale
from stvr.backbones.onednn import AlwaysOneDNN
from stvr.backbones.runtimes import instruction_set
from stvr.backbones.weights.load import load_weights

ENDPOINT = "Conv3d_2b_1x1"


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    """Three clips (3, 8, 24, 40, 3)."""
    return torch.randint(0, 256, (3, 8, 24, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def plain(made_i3d, frames, endpoint=ENDPOINT):
    """The network as it was trained, run by torch: (B, time, row, column, channel)."""
    model = I3D(endpoint).eval()
    load_weights(model, made_i3d)
    with torch.no_grad():
        return model(scale(frames).contiguous()).permute(0, 2, 3, 4, 1)


def relative_error(result, expected):
    return float((result.float() - expected).norm() / expected.norm())


@pytest.mark.slow
def test_compiled_features_equal_the_plain_networks(made_i3d, frames):
    backbone = load_backbone(weights=made_i3d, endpoint=ENDPOINT, precision="float32", runtime="compile")
    assert backbone.precision == "float32 by compile"
    features = backbone(frames)
    torch.testing.assert_close(features, plain(made_i3d, frames), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat([backbone(clip) for clip in frames.split(1)]), features, rtol=0, atol=0)


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_openvinos_features_equal_the_plain_networks(made_i3d, frames, precision, bound):
    pytest.importorskip("openvino", reason="needs the extra [openvino]")
    if precision == "bfloat16" and not has_bfloat16(torch.device("cpu")):
        pytest.skip("needs a CPU that multiplies bfloat16")
    backbone = load_backbone(weights=made_i3d, endpoint="Mixed_3b", precision=precision, runtime="openvino")
    assert backbone.precision == f"{precision} by openvino"
    expected = plain(made_i3d, frames, "Mixed_3b")
    for count in (1, 3, 2):  # new shapes, then one that is part of an earlier one
        features = backbone(frames[:count])
        assert features.shape == expected[:count].shape
        assert relative_error(features, expected[:count]) < bound


def test_openvinos_answers_do_not_share_memory(made_i3d, frames):
    pytest.importorskip("openvino", reason="needs the extra [openvino]")
    backbone = load_backbone(weights=made_i3d, endpoint=ENDPOINT, runtime="openvino")
    first = backbone(frames[:2])
    copy = first.clone()
    backbone(frames[1:])
    torch.testing.assert_close(first, copy, rtol=0, atol=0)


@pytest.mark.parametrize(("runtime", "precision"), [
    ("torch", "float32"), ("winograd", "float32"), ("openvino", "float32"),
    *[("torch", "bfloat16")] * has_bfloat16(torch.device("cpu")),
])  # fmt: skip
def test_the_bits_are_the_same_for_every_batch_and_number_of_threads(made_i3d, frames, threads, runtime, precision):
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="needs the extra [openvino]")
    maps = []
    for count, size in ((1, 3), (2, 1)):
        threads(count)
        backbone = load_backbone(weights=made_i3d, endpoint="Mixed_3b", precision=precision, runtime=runtime)
        maps.append(torch.cat([backbone(clips) for clips in frames.split(size)]))
    torch.testing.assert_close(*maps, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(3, 5, 6, 9, 7), (1, 5, 6, 9, 7), (5, 6, 9, 7), (2, 5, 9, 7), (1, 5, 9, 7)])
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"padding": "same"}, {"dilation": (2,)}])
def test_a_convolution_is_the_same_by_onednn(shape, options):
    """Of clips and of pictures, of a batch and of none, with and without a bias; against float64, which is torch's."""
    chance, axes = torch.Generator().manual_seed(2), 3 if len(shape) == 5 or shape[0] == 5 else 2
    convolution = F.conv3d if axes == 3 else F.conv2d
    options = {name: value * axes if isinstance(value, tuple) else value for name, value in options.items()}
    x, bias = torch.randn(*shape, generator=chance), torch.randn(4, generator=chance)
    for kernel in (1, 3):
        weight = torch.randn(4, 5, *[kernel] * axes, generator=chance)
        for each in (None, bias):
            with AlwaysOneDNN():
                came = convolution(x, weight, each, **options)
            wanted = convolution(x.double(), weight.double(), None if each is None else each.double(), **options)
            torch.testing.assert_close(came.double(), wanted, rtol=1e-5, atol=1e-5)


def test_a_processor_is_named_by_what_rounds():
    assert instruction_set("cpu").split()[0] == platform.machine()
    assert torch.backends.cpu.get_cpu_capability() in instruction_set(torch.device("cpu"))


@pytest.mark.parametrize("runtime", ["torch", "winograd", "openvino"])
def test_a_backbone_can_be_sent_to_another_process(made_i3d, frames, runtime):
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="needs the extra [openvino]")
    backbone = load_backbone(weights=made_i3d, endpoint=ENDPOINT, precision="float32", runtime=runtime)
    features = backbone(frames[:2])  # what is compiled here is not sent
    torch.testing.assert_close(pickle.loads(pickle.dumps(backbone))(frames[:2]), features, rtol=0, atol=0)


def test_an_unknown_runtime_is_answered_with_the_menu():
    with pytest.raises(LookupError, match=r"'tensorrt'.*Choose one of auto, torch, winograd, compile, openvino"):
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
