"""Analytic weights: the same everywhere, and they see motion."""

from __future__ import annotations

import pytest
import torch

from stvr.backbones.analytic import analytic_state
from stvr.backbones.fold import fold
from stvr.backbones.i3d import I3D
from stvr.backbones.weights import digest, load_state


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    model = I3D("Mixed_4c")
    load_state(model, analytic_state(model))
    return fold(model)


def square(side: int, columns: list[int]) -> torch.Tensor:
    """A bright square on mid-grey (1, 3, 8, 64, 64), its left edge at one column a frame."""
    clip = torch.zeros(1, 3, 8, 64, 64)
    for frame, column in enumerate(columns):
        clip[:, :, frame, 24 : 24 + side, column : column + side] = 1
    return clip


@torch.inference_mode()
def test_a_still_scene_is_dark_until_the_clip_ends_and_a_moving_one_is_not(network):
    second_layer = network[:3]
    assert second_layer(square(16, [24] * 8))[:, :, :-1].abs().max() < 1e-6
    assert second_layer(square(16, list(range(16, 32, 2))))[:, :, :-1].amax((0, 3, 4)).min() > 1


@torch.inference_mode()
def test_motion_is_seen_where_it_is(network):
    energy = network(square(8, [2, 4, 6, 8, 2, 4, 6, 8])).mean((0, 1, 2, 3))  # of 4 columns, 16 pixels each
    assert energy[0] > 10 * energy[3]


@torch.inference_mode()
def test_a_flash_and_its_negative_look_alike(network):
    """|dI/dt| has lost the sign."""
    clip = square(16, list(range(16, 32, 2)))
    torch.testing.assert_close(network(clip), network(-clip))


def test_every_channel_carries_something(network):
    noise = torch.rand(1, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert (network(noise).amax((0, 2, 3, 4)) > 0).all()


def test_the_weights_are_the_same_on_every_machine():
    with torch.device("meta"):
        model = I3D("Logits")
    assert digest(analytic_state(model)) == "sha256:e2b7d8217a4c174bf0f05130feac24a6f211e731a6882a165411187838d61b35"


def test_a_shorter_network_has_the_same_weights():
    short, long = analytic_state(I3D("Mixed_3b")), analytic_state(I3D("Mixed_4b"))
    assert all(torch.equal(value, long[name]) for name, value in short.items())
