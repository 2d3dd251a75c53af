"""The inference form is the plain I3D, faster."""

from __future__ import annotations

import pytest
import torch
from lively import lively_i3d
from torch import nn

from stvr.backbones.fold import FoldedUnit, fold
from stvr.backbones.i3d import I3D


@pytest.fixture(scope="module")
def model() -> I3D:
    return lively_i3d()


def relative_error(result: torch.Tensor, expected: torch.Tensor) -> float:
    return float((result - expected).norm() / expected.norm())


@pytest.mark.parametrize("size", [(8, 48, 48), (7, 35, 50), (3, 33, 31)])
@torch.inference_mode()
def test_the_folded_network_computes_the_same_at_every_endpoint(model, size):
    folded = fold(model)
    x = plain = torch.rand(2, 3, *size) * 2 - 1
    x = x.contiguous(memory_format=torch.channels_last_3d)
    for (name, layer), twin in zip(model.named_children(), folded.children(), strict=True):
        plain, x = layer(plain), twin(x)
        assert plain.abs().max() > 0, name
        assert relative_error(x, plain) < 1e-5, name


@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="needs a CPU with native bfloat16")
@torch.inference_mode()
def test_bfloat16_features_are_within_a_hundredth_of_float32(model):
    x = torch.rand(2, 3, 8, 64, 64) * 2 - 1
    cut = nn.Sequential(*list(fold(model).children())[:10])  # to Mixed_4c
    exact = cut(x)
    assert relative_error(cut.bfloat16()(x.bfloat16()).float(), exact) < 1e-2


def test_folding_leaves_the_model_as_it_was(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fold(model).bfloat16()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.logits.conv3d.weight.requires_grad


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_two_clips_at_a_time_never_take_the_slow_convolution(model):
    """Torch sends a single float32 clip to im2col, and loses channels_last_3d on the way."""
    chosen = []

    def ask(unit, inputs):
        conv = unit.conv3d
        if conv.kernel_size == (3, 3, 3):
            x = inputs[0]
            chosen.append(str(torch._C._select_conv_backend(
                x, conv.weight, conv.bias, [1, 1, 1], [1, 1, 1], [1, 1, 1], False, [0, 0, 0], 1)))

    folded = fold(model)
    for module in folded.modules():
        if isinstance(module, FoldedUnit):
            module.register_forward_pre_hook(ask)
    with torch.inference_mode():
        folded(torch.rand(2, 3, 8, 32, 32).contiguous(memory_format=torch.channels_last_3d))
    assert len(chosen) == 19
    assert set(chosen) == {"_ConvBackend.Mkldnn"}
