"""Analytic weights: the same everywhere, and they see motion and edges."""

from __future__ import annotations

import pytest
import torch

from stvr.backbones.analytic import analytic_state
from stvr.backbones.fold import fold
from stvr.backbones.i3d import I3D
from stvr.backbones.weights.load import digest, load_state


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
def test_in_a_still_scene_only_edges_are_seen_until_the_clip_ends(network):
    motion, edges = network[:3](square(16, [24] * 8))[:, :, :-1].chunk(2, 1)  # (1, 32, T, 16, 16)
    assert motion.abs().max() < 1e-6
    assert edges.amax((0, 2, 3, 4)).min() > 0.5
    assert edges[..., 7, 7].abs().max() < 1e-6  # the middle of the square has no edge


@torch.inference_mode()
def test_in_a_moving_scene_every_detector_sees_something(network):
    assert network[:3](square(16, list(range(16, 32, 2))))[:, :, :-1].amax((0, 3, 4)).min() > 0.5


@torch.inference_mode()
def test_motion_is_seen_where_it_happens(network):
    energy = network(square(8, [2, 4, 6, 8, 2, 4, 6, 8])).mean((0, 1, 2, 3))  # of 4 columns, 16 pixels each
    assert energy[0] > 10 * energy[3]


@torch.inference_mode()
def test_a_flash_and_its_negative_look_alike(network):
    """|dI/dt| and |dI/dx| have lost the sign."""
    clip = square(16, list(range(16, 32, 2)))
    torch.testing.assert_close(network(clip), network(-clip))


def test_every_channel_carries_something(network):
    noise = torch.rand(1, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert (network(noise).amax((0, 2, 3, 4)) > 0).all()


def test_the_weights_are_the_same_on_every_machine():
    with torch.device("meta"):
        model = I3D("Logits")
    assert digest(analytic_state(model)) == "sha256:15dd0bfe6e755e73ae21957141e7c9ca7fde9a644c37eb6b9dc2d6e87f8d193a"


def test_a_shorter_network_has_the_same_weights():
    short, long = analytic_state(I3D("Mixed_3b")), analytic_state(I3D("Mixed_4b"))
    assert all(torch.equal(value, long[name]) for name, value in short.items())
