"""The flow of a clip says where things were at the end of the clip before, in cells."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from torchvision.models.optical_flow import raft_large, raft_small

from stvr.extract.flow import accumulated, flow_of, load_flow
from stvr.kernels.warp import dense_warp
from stvr.store import FeatureSpec
from stvr.structures import ClipSpec, MapSpec

SIDE, GRID = 320, (20, 20)  # the paper's; a cell is 16 pixels
WITHOUT_WEIGHTS = ("ilk", "tvl1")


def painted(down: int, right: int, num_frames: int = 9) -> np.ndarray:
    """(F, 320, 320, 3) uint8: a blotchy picture that moves by whole pixels a frame."""
    noise = np.random.default_rng(5).standard_normal((SIDE, SIDE, 3))
    blotches = sum(gaussian_filter(noise, (sigma, sigma, 0), mode="wrap") * sigma for sigma in (4, 12, 30))
    picture = np.clip(128 + 90 * blotches, 0, 255).astype(np.uint8)
    return np.stack([np.roll(picture, (n * down, n * right), (0, 1)) for n in range(num_frames)])


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
@pytest.mark.parametrize(("down", "right", "cells"), [
    (0, 2, (0, 1)),  # by hand: 2 pixels a frame, 8 frames, 16 pixels a cell
    (-4, 0, (-2, 0)), (1, -3, (0.5, -1.5)), (0, 0, (0, 0)),
])
def test_a_known_motion_is_measured_in_cells(name, down, right, cells):
    frames = painted(down, right)
    flow = load_flow(name, SIDE)(frames[0], frames[1:], GRID)
    assert (flow.shape, flow.dtype) == ((20, 20, 2), np.float16)
    inside = flow[3:-3, 3:-3].astype(np.float64)  # what enters at the border was not in the picture before
    assert np.abs(inside - cells).mean() < 0.05  # of a cell: a tenth of a pixel a frame
    assert np.abs(inside - cells).max() < 0.2


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_the_flow_of_a_first_clip_covers_its_own_seven_steps(name):
    flow = load_flow(name, SIDE)(None, painted(0, 2, num_frames=8), GRID)
    assert np.abs(flow[3:-3, 3:-3].astype(np.float64) - (0, 7 * 2 / 16)).mean() < 0.05


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_the_flow_warps_the_map_of_the_clip_before_onto_this_one(name):
    """Two halves move apart; block means of the pictures stand for feature maps."""
    frames = np.concatenate([painted(2, 3)[:, :160], painted(-1, -2)[:, 160:]], 1)
    flow = torch.from_numpy(load_flow(name, SIDE)(frames[0], frames[1:], GRID)).float()
    before, now = (torch.from_numpy(frames[n].reshape(20, 16, 20, 16, 3).mean((1, 3))) for n in (0, -1))
    before, now = (each.permute(2, 0, 1)[None].float() for each in (before, now))
    moved = dense_warp(before, flow[None])
    inside = (..., slice(2, -2), slice(2, -2))
    assert (moved - now)[inside].square().mean() < 0.1 * (before - now)[inside].square().mean()


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_pictures_without_anything_to_follow_give_no_flow(name):
    grey = np.full((9, 64, 64, 3), 128, np.uint8)
    assert not load_flow(name, 64)(grey[0], grey[1:], (4, 4)).any()


def test_steps_are_followed_from_place_to_place():
    """Eight turns of 2 degrees are one of 16: a turn is linear in place, so bilinear look-ups of it are exact."""

    def turn(degrees: float) -> torch.Tensor:
        """(61, 61, 2): p - P, where P is p turned back about the centre."""
        angle = np.deg2rad(degrees)
        back = torch.tensor([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        places = torch.cartesian_prod(*[torch.arange(-30.0, 31, dtype=torch.float64)] * 2).reshape(61, 61, 2)
        return places - places @ back.T

    total = accumulated(turn(2).expand(8, 61, 61, 2))
    centre = slice(10, -10)  # the paths from here never leave the picture
    torch.testing.assert_close(total[centre, centre], turn(16)[centre, centre], rtol=0, atol=1e-9)


def test_steps_are_followed_in_order():
    """One pixel moves right in the last step; in the step before, only the place it was at then moves, by three."""
    steps = torch.zeros(2, 1 + 1, 8, 2, dtype=torch.float64)  # two frames' steps on 2 x 8 pixels
    steps[1, :, 5, 1] = 1.0  # last: what is at column 5 was at 4
    steps[0, :, 4, 1] = 3.0  # before: what was at 4 had been at 1
    assert accumulated(steps)[0, :, 1].tolist() == [0, 0, 0, 0, 3, 4, 0, 0]


@pytest.mark.parametrize(("size", "spec"), [(320, "ilk at 80 px"), (160, "ilk at 80 px"), (64, "ilk at 64 px")])
def test_the_spec_names_the_method_and_the_size_it_looked_at(size, spec):
    assert load_flow("ilk", size).spec == spec


@pytest.fixture(scope="module")
def raft(tmp_path_factory):
    """RAFT's small form with random weights, as torchvision's file and as safetensors."""
    torch.manual_seed(0)
    network, folder = raft_small(weights=None).eval(), tmp_path_factory.mktemp("raft")
    torch.save(network.state_dict(), folder / "small.pth")
    save_file(network.state_dict(), folder / "small.safetensors")
    return network, folder


def test_raft_runs_from_the_later_picture_to_the_earlier(raft):
    """Of one pair of frames: RAFT's own flow (x, y), negated, as (y, x), in block means, eight pixels a cell."""
    network, folder = raft
    frames = painted(1, 2, 2)[:, :128, :128]
    flow = load_flow("raft", 128, folder / "small.pth")(frames[0], frames[1:], (16, 16))
    earlier, later = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        origins = network(later[None], earlier[None])[-1][0].flip(0)
    expected = -origins.reshape(2, 16, 8, 16, 8).mean((2, 4)).permute(1, 2, 0) / 8
    np.testing.assert_allclose(flow, expected.numpy(), atol=2e-2, rtol=2e-3)
    assert np.abs(flow).max() > 0.1


def test_rafts_bits_are_the_same_on_two_threads(raft, threads):
    frames, flow, flows = painted(1, 2)[:, :128, :128], load_flow("raft", 128, raft[1] / "small.pth"), []
    for count in (1, 2):
        threads(count)
        flows.append(flow(frames[0], frames[1:], (16, 16)))
    np.testing.assert_array_equal(*flows)


def test_raft_is_identified_by_its_weights(raft, tmp_path):
    _, folder = raft
    specs = {load_flow("raft", 320, folder / f"small.{ending}").spec for ending in ("pth", "safetensors")}
    (spec,) = specs
    assert spec.startswith("raft:sha256:")
    assert spec.endswith(" at 320 px")
    torch.save(raft_large(weights=None).state_dict(), tmp_path / "large.pth")
    large = load_flow("raft", 320, tmp_path / "large.pth").spec
    assert large != spec
    of_a_store = FeatureSpec("i3d", "analytic", "00", (MapSpec("Mixed_4c", 16, 2, 512),), ClipSpec(), flow=spec)
    assert flow_of(of_a_store, folder / "small.pth").spec == spec
    with pytest.raises(ValueError, match=r"got 'raft:.*Give the weights that made the first with --flow-weights"):
        flow_of(of_a_store, tmp_path / "large.pth")
    with pytest.raises(ValueError, match="raft needs its trained weights"):
        flow_of(of_a_store)


def test_names_and_weights_that_do_not_fit_are_refused(raft, tmp_path):
    state = raft[0].state_dict()
    state.pop(next(iter(state)))
    save_file(state, tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match="wanted the weights of torchvision's raft_small or raft_large"):
        load_flow("raft", 320, tmp_path / "cut.safetensors")
    for name in WITHOUT_WEIGHTS:
        with pytest.raises(ValueError, match=f"--flow {name} takes no weights"):
            load_flow(name, 320, tmp_path / "cut.safetensors")
    with pytest.raises(LookupError, match=r"no optical flow 'wind'\. Choose one of none, ilk, tvl1, raft"):
        load_flow("wind", 320)
    with pytest.raises(ValueError, match="--flow-weights is for --flow raft"):
        load_flow("none", 320, tmp_path / "cut.safetensors")
    assert load_flow("none", 320) is None


def test_without_scikit_image_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    reason = r"needs scikit-image, which is not installed. Run `pip install 'stvr\[flow\]'`"
    with pytest.raises(LookupError, match=reason):
        load_flow("ilk", 320)
