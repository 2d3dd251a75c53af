"""Whatever runs a network, the features are the same."""

from __future__ import annotations

import pickle
import platform
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch.nn import functional as F

from stvr.backbones import load_backbone
from stvr.backbones.i3d import I3D, scale
from stvr.backbones.onednn import AlwaysOneDNN
from stvr.backbones.runtimes import processor
from stvr.backbones.weights import load_weights, save_weights

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
    """The network as it was trained, by torch: (B, time, row, column, channel)."""
    model = I3D(endpoint).eval()
    load_weights(model, saved)
    with torch.no_grad():
        return model(scale(frames).contiguous()).permute(0, 2, 3, 4, 1)


def relative_error(came, wanted):
    return float((came.float() - wanted).norm() / wanted.norm())


@pytest.mark.slow
def test_compiled_features_are_the_plain_networks(saved, frames):
    backbone = load_backbone(weights=saved, endpoint=ENDPOINT, precision="float32", runtime="compile")
    assert backbone.precision == "float32 by compile"
    came = backbone(frames)
    torch.testing.assert_close(came, plain(saved, frames), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat([backbone(clip) for clip in frames.split(1)]), came, rtol=0, atol=0)


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_openvinos_features_are_the_plain_networks(saved, frames, precision, bound):
    pytest.importorskip("openvino", reason="needs the extra [openvino]")
    backbone = load_backbone(weights=saved, endpoint="Mixed_3b", precision=precision, runtime="openvino")
    assert backbone.precision == f"{precision} by openvino"
    wanted = plain(saved, frames, "Mixed_3b")
    for count in (1, 3, 2):  # shapes that it has not seen, and seen
        came = backbone(frames[:count])
        assert came.shape == wanted[:count].shape
        assert relative_error(came, wanted[:count]) < bound


def test_openvinos_answers_do_not_share_memory(saved, frames):
    pytest.importorskip("openvino", reason="needs the extra [openvino]")
    backbone = load_backbone(weights=saved, endpoint=ENDPOINT, runtime="openvino")
    first = backbone(frames[:2])
    kept = first.clone()
    backbone(frames[1:])
    torch.testing.assert_close(first, kept, rtol=0, atol=0)


@pytest.mark.parametrize(("runtime", "precision"), [
    ("torch", "float32"), ("torch", "bfloat16"), ("openvino", "float32"),
])  # fmt: skip
def test_the_bits_are_the_same_for_every_batch_and_number_of_threads(saved, frames, threads, runtime, precision):
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="needs the extra [openvino]")
    maps = []
    for count, size in ((1, 3), (2, 1)):
        threads(count)
        backbone = load_backbone(weights=saved, endpoint="Mixed_3b", precision=precision, runtime=runtime)
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
    assert processor("cpu").split()[0] == platform.machine()
    assert torch.backends.cpu.get_cpu_capability() in processor(torch.device("cpu"))


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_a_backbone_goes_to_another_process(saved, frames, runtime):
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="needs the extra [openvino]")
    backbone = load_backbone(weights=saved, endpoint=ENDPOINT, runtime=runtime)
    wanted = backbone(frames[:2])  # what was compiled here does not travel
    torch.testing.assert_close(pickle.loads(pickle.dumps(backbone))(frames[:2]), wanted, rtol=0, atol=0)


def test_a_runtime_on_no_menu_is_answered_with_the_menu():
    with pytest.raises(LookupError, match=r"'tensorrt'.*Choose one of torch, compile, openvino"):
        load_backbone(runtime="tensorrt")


def test_openvino_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(LookupError, match=r"pip install 'stvr\[openvino\]'"):
        load_backbone(endpoint=ENDPOINT, runtime="openvino")


def test_openvino_tells_its_makers_nothing():
    """Its converter falls back to a stub where its telemetry is not there; in a process of its own, as imports stay."""
    if find_spec("openvino") is None:
        pytest.skip("needs the extra [openvino]")
    code = ("import stvr.backbones.runtimes as runtimes; runtimes.import_openvino()\n"
            "import openvino.tools.ovc.telemetry_utils as told; print(told.tm.__name__)")  # fmt: skip
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "openvino.tools.ovc.telemetry_stub"
