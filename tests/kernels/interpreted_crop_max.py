"""The Triton kernels of crop and maximum against their plain twin in float64, run by Triton's interpreter on a CPU.

test_crop_max.py starts it:  TRITON_INTERPRET=1 python -m pytest --noconftest tests/kernels/interpreted_crop_max.py
"""

import pytest
import torch
from fakes import assert_fake_is_real, layouts

from stvr.kernels import crop_max
from stvr.kernels.crop_max import launch, ops

TOLERANCE = {torch.float32: 3e-6, torch.float16: 1e-3, torch.bfloat16: 6e-3}  # the interpreter's bfloat16 truncates
BOXES = torch.tensor([[0.1, 0.2, 0.8, 0.7], [-0.3, 0.1, 0.6, 1.3], [0.8, 0.7, 0.2, 0.1], [0.3, 0.3, 0.3, 0.3]])


@pytest.fixture(autouse=True)
def poisoned_triton(monkeypatch):
    """CPU tensors take the Triton kernels, and whatever a kernel leaves unwritten is NaN or 255."""
    monkeypatch.setitem(ops.BACKENDS, "cpu", ops.TRITON)
    torch.use_deterministic_algorithms(True)
    assert torch.empty(100).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def made(num_maps, height, width, channels, dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(num_maps, height, width, channels).to(dtype)


def answers(function, maps, boxes, owners, slopes):
    maps = maps.detach().requires_grad_()
    regions = function(maps, boxes, owners)
    return [regions, *torch.autograd.grad(regions, maps, slopes.to(regions.dtype))]


def assert_equals_twin(maps, boxes, owners, tolerance):
    """The twin gets the boxes as the kernel does, in float32: a sample on a border is there for both or neither."""
    slopes = torch.randn(len(boxes), 7, 7, maps.shape[-1]).to(maps.dtype)
    ours = answers(crop_max, maps, boxes, owners, slopes)
    theirs = answers(crop_max, maps.double(), boxes.double(), owners, slopes)  # float64 goes to the twin
    for one, other in zip(ours, theirs, strict=True):
        assert one.isfinite().all()
        assert one.dtype == maps.dtype
        assert (one.double() - other).norm() <= tolerance * other.norm()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_forward_and_backward_equal_the_twin(dtype):
    assert_equals_twin(made(2, 3, 4, 20, dtype), BOXES[:2], None, TOLERANCE[dtype])


@pytest.mark.parametrize("size", [(2, 1, 5, 3), (1, 3, 1, 1), (1, 1, 1, 2), (2, 2, 2, 40)], ids=str)
def test_sizes_may_be_odd(size):
    assert_equals_twin(made(*size), BOXES, None, TOLERANCE[torch.float32])


@pytest.mark.parametrize("owners", [[2, 0, 2, 0], [1] * 4])
def test_boxes_may_come_in_any_order_and_maps_without_boxes_are_zeros(owners):
    assert_equals_twin(made(3, 2, 3, 3), BOXES, torch.tensor(owners), TOLERANCE[torch.float32])


def test_channels_beyond_a_block_are_blocks(monkeypatch):
    monkeypatch.setattr(launch, "TILES", {name: launch.Tiles(channels=8) for name in launch.TILES})
    assert_equals_twin(made(1, 2, 3, 19), BOXES[:1], None, TOLERANCE[torch.float32])


def test_of_equal_samples_the_first_has_the_gradient():
    """A box without area has 196 samples in one cell; in a map of twos, each is 2 to the bit there."""
    maps = torch.full((1, 3, 3, 2), 2.0)
    regions, which = ops.crop_max(maps, torch.full((1, 4), 0.5), None, True)
    assert (regions == 2).all()
    assert (which == 0).all()
    _, beyond = ops.crop_max(-maps, torch.tensor([[0.5, 0.5, 1.5, 0.5]]), None, True)
    assert beyond[0, 0, 3:, 0].tolist() == [1, 0, 0, 0]  # samples to the sixth are on the map, -2; beyond it is 0


def test_a_box_that_is_not_a_number_sees_nothing():
    maps = made(1, 4, 4, 2)
    boxes = torch.tensor([[torch.nan, 0.1, 0.9, 0.9], [0.1, torch.inf, 0.9, -torch.inf]])
    for each in answers(crop_max, maps, boxes, None, torch.ones(2, 7, 7, 2)):
        assert (each == 0).all()


def test_what_stands_outside_is_not_read():
    """Not even with a weight of zero: a NaN there would stay one."""
    maps = made(1, 5, 5, 2)
    maps[:, :, 4] = torch.nan
    assert crop_max(maps, torch.tensor([[0.05, 0.1, 0.7, 0.9], [1.1, 0.1, 1.5, 0.2]])).isfinite().all()


def test_owners_off_the_maps_are_zeros_and_nothing_is_read_there():
    maps = made(2, 3, 4, 2)
    boxes, owners = BOXES[[2, 0, 1]], torch.tensor([-1, 1, 2])
    regions, which = ops.crop_max(maps, boxes, owners, True)
    assert (regions[[0, 2]] == 0).all()
    assert (regions[1] != 0).any()
    grad = ops.crop_max_backward(torch.ones_like(regions), which, boxes, owners, 2, 3, 4)
    assert (grad[0] == 0).all()
    torch.testing.assert_close(grad[1].sum(), torch.tensor(49.0 * 2), rtol=1e-5, atol=0)


def test_no_boxes_give_no_regions_and_no_gradient():
    maps = made(2, 3, 4, 2).requires_grad_()
    regions = crop_max(maps, torch.zeros(0, 4))
    assert regions.shape == (0, 7, 7, 2)
    assert (torch.autograd.grad(regions.sum(), maps)[0] == 0).all()


def test_twice_gives_the_same_bits():
    maps, slopes = made(1, 2, 2, 5), torch.randn(1, 7, 7, 5)
    for one, two in zip(*(answers(crop_max, maps, BOXES[:1], None, slopes) for _ in range(2)), strict=True):
        assert torch.equal(one, two)


def test_any_memory_format_is_read_alike_and_the_fakes_know_every_stride():
    maps, boxes, owners = made(2, 2, 2, 5), BOXES[:1], torch.tensor([1])
    expected, which = ops.crop_max(maps, boxes, owners, True)
    for name in ("transposed", "every other"):
        each, slopes = layouts(maps)[name], layouts(torch.randn(1, 7, 7, 5))[name]
        assert_fake_is_real(ops.crop_max, each, boxes, owners, name == "transposed")
        assert torch.equal(crop_max(each, layouts(boxes[None, None])[name][0, 0], owners), expected)
        assert_fake_is_real(ops.crop_max_backward, slopes, which, boxes, owners, 2, 2, 2)
