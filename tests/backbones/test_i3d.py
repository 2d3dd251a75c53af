"""I3D against the released program, the published lists of names, and the definition of SAME padding."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.backbones.fold import fold
from stvr.backbones.i3d import ENDPOINTS, I3D, Mixed, Pool, Unit, same_padding, scale
from stvr.backbones.weights.load import from_tensorflow, load_state


def load_made_inputs(folder: Path) -> ModuleType:
    """The module weights_and_clips.py, which makes the inputs of the reference values beside it."""
    spec = importlib.util.spec_from_file_location("weights_and_clips", folder / "weights_and_clips.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def end_to_end(shared: Path) -> tuple[ModuleType, dict[str, np.ndarray], I3D]:
    """A run of the released detector on generated weights: its inputs, its values, and our I3D with its weights."""
    folder = shared / "data/reference_values/end_to_end"
    made, values = load_made_inputs(folder), dict(np.load(folder / "infer.npz"))
    variables = {}
    for line in values["variables"]:
        name, shape = str(line).split(" ", 1)
        if "inception_i3d" in name:
            variables[name] = made.weight(name, ast.literal_eval(shape))
    model = I3D("Mixed_4c").eval()
    load_state(model, from_tensorflow(variables))
    return made, values, model


@torch.inference_mode()
def maps_of(network: nn.Module, frames: np.ndarray) -> np.ndarray:
    """Frames (8 B, 320, 320, 3) in [-1, 1] -> features (B, 20, 20, 1024), channel = time * 512 + c."""
    clips = torch.from_numpy(np.ascontiguousarray(frames)).unflatten(0, (-1, 8)).movedim(-1, 1)
    maps = torch.cat([network(pair) for pair in clips.split(2)])  # (B, 512, 2, 20, 20)
    return maps.permute(0, 3, 4, 2, 1).flatten(3).numpy()


def made_query(made: ModuleType) -> np.ndarray:
    """The frames of the query, built as the README beside the values says."""
    second = made.clip(24, phase=2.4, vx=6.0, vy=-4.0)[:, ::-1] * 0.8
    return np.concatenate([made.clip(24, phase=0.7, vx=-2.0, vy=2.5), second])


def test_mixed_4c_equals_the_released_program(end_to_end):
    made, values, model = end_to_end
    features = maps_of(model, made.clip(48))
    mean, deviation, least, most = values["cap|i3d_ref|stats"]
    assert np.abs(features[..., ::37] - values["cap|i3d_ref|c0::37"]).max() < 1e-5 * most
    np.testing.assert_allclose([features.mean(), features.std(), features.min(), features.max()],
                               [mean, deviation, least, most], rtol=1e-5)


def test_the_folded_form_equals_the_released_program(end_to_end):
    made, values, model = end_to_end
    for name, frames in (("ref", made.clip(48)), ("query", made_query(made))):
        features = maps_of(fold(model), frames[16:32])  # clips 2 and 3: in the query, one from each scene
        expected = values[f"cap|i3d_{name}|c0::37"][2:4]
        assert np.abs(features[..., ::37] - expected).max() < 1e-5 * expected.max()


def test_state_names_and_shapes_are_those_of_the_published_port(shared):
    listed = json.loads((shared / "data/reference_values/i3d/pytorch_i3d_state_dict_shapes.json").read_text())
    assert len(listed) == 344
    assert {name: list(value.shape) for name, value in I3D("Logits").state_dict().items()} == listed


@pytest.mark.parametrize(("in_channels", "numbers"), [(3, 12_704_544), (2, 12_682_592)])
def test_it_holds_as_many_numbers_as_deepminds_checkpoint(in_channels, numbers):
    with torch.device("meta"):
        state = I3D("Logits", in_channels).state_dict()
    without_source = ("bn.weight", "num_batches_tracked")
    assert sum(value.numel() for name, value in state.items() if not name.endswith(without_source)) == numbers


PAPER = {  # 64 x 224 x 224, Carreira and Zisserman 2017, figure 3
    "Conv3d_1a_7x7": (64, 32, 112, 112),
    "MaxPool3d_2a_3x3": (64, 32, 56, 56),
    "MaxPool3d_3a_3x3": (192, 32, 28, 28),
    "Mixed_3c": (480, 32, 28, 28),
    "MaxPool3d_4a_3x3": (480, 16, 14, 14),
    "Mixed_4f": (832, 16, 14, 14),
    "MaxPool3d_5a_2x2": (832, 8, 7, 7),
    "Mixed_5c": (1024, 8, 7, 7),
    "Logits": (400, 7, 1, 1),
}


@pytest.mark.parametrize("endpoint", PAPER)
def test_an_endpoint_has_the_papers_shape(endpoint):
    with torch.device("meta"):
        assert I3D(endpoint)(torch.empty(1, 3, 64, 224, 224)).shape[1:] == PAPER[endpoint]


def test_only_layers_up_to_the_endpoint_are_built():
    with torch.device("meta"):
        assert [name for name, _ in I3D("mixed_3b").named_children()] == list(ENDPOINTS[:6])


def test_an_unknown_endpoint_is_answered_with_a_list_of_endpoints():
    with pytest.raises(LookupError, match=r"'Mixed_9z'.*Mixed_4c.*Logits"):
        I3D("Mixed_9z")


@pytest.mark.parametrize(("size", "kernel", "stride", "pads"), [
    (320, 7, 2, (2, 3)), (7, 7, 2, (3, 3)), (80, 3, 2, (0, 1)), (5, 3, 2, (1, 1)), (4, 2, 2, (0, 0)), (5, 2, 2, (0, 1)),
    (9, 3, 1, (1, 1)), (1, 3, 2, (1, 1)), (1, 2, 2, (0, 1)), (3, 1, 1, (0, 0)),
])
def test_the_odd_pixel_is_padded_on_the_far_side(size, kernel, stride, pads):
    assert same_padding(size, kernel, stride) == pads


def pooled_by_definition(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """The largest cell inside each SAME window, without its padding, one axis after another."""
    for axis, (width, step) in enumerate(zip(kernel, stride, strict=True), start=2):
        size = x.shape[axis]
        outputs = -(-size // step)
        near = max((outputs - 1) * step + width - size, 0) // 2
        starts = [index * step - near for index in range(outputs)]
        x = torch.stack([x.narrow(axis, max(start, 0), min(start + width, size) - max(start, 0)).amax(axis)
                         for start in starts], axis)
    return x


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 4, 7), (3, 5, 6), (4, 7, 9), (8, 10, 12)])
@pytest.mark.parametrize(("kernel", "stride"), [
    ((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (1, 1, 1)), ((2, 2, 2), (2, 2, 2)),
])
def test_a_pool_never_picks_its_padding(size, kernel, stride):
    x = -1 - torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))  # padding of zeros would be larger
    assert torch.equal(Pool(kernel, stride)(x), pooled_by_definition(x, kernel, stride))


@pytest.mark.parametrize("size", [(8, 10, 12), (7, 9, 11), (1, 8, 5)])
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 1), (1, 1)])
@pytest.mark.parametrize("gradients", [False, True])
def test_a_convolution_of_any_size_is_padded_as_tensorflow_pads(size, kernel, stride, gradients):
    unit = Unit(3, 4, kernel, stride).eval()
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    pads = [same_padding(cells, kernel, stride) for cells in size]
    padded = F.pad(x, [cells for pad in reversed(pads) for cells in pad])
    with torch.set_grad_enabled(gradients):
        expected = F.relu(F.conv3d(padded, unit.conv3d.weight, None, stride) / (1 + 1e-3) ** 0.5)
        torch.testing.assert_close(unit(x), expected)


def gradients_of(mixed: Mixed, x: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    mixed.zero_grad()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        maps = mixed(x)
    maps.float().backward(torch.randn(maps.shape, generator=torch.Generator().manual_seed(1)))
    return {name: value.grad.clone() for name, value in mixed.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("time", [1, 2, 3])
def test_bfloat16_weight_gradients_are_right_on_two_time_steps(time, layout):
    """Left to itself, torch 2.15 is silently off by 100 % or NaN there."""
    torch.manual_seed(0)
    mixed = Mixed(16, (8, 16, 16, 16, 16, 8)).eval().to(memory_format=layout)
    x = torch.randn(4, 16, time, 7, 7).contiguous(memory_format=layout)
    exact, rounded = gradients_of(mixed, x, torch.float32), gradients_of(mixed, x, torch.bfloat16)
    for name in ("b1b.conv3d.weight", "b2b.conv3d.weight", "b0.conv3d.weight"):
        assert (rounded[name] - exact[name]).norm() < 0.1 * exact[name].norm(), name


def test_convolutions_and_offsets_are_trained_but_the_gain_is_not():
    trained = {name for name, value in Unit(3, 4, 3).named_parameters() if value.requires_grad}
    assert trained == {"conv3d.weight", "bn.bias"}


def test_black_is_minus_one_and_white_is_one():
    frames = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 1, 3)
    torch.testing.assert_close(scale(frames).flatten(), torch.tensor([-1.0, -0.6, 1.0]))
