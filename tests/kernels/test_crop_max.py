"""Crop and maximum: its meaning, the way it is computed on a CPU, as an operator; its kernels interpreted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import assert_fake_is_real, layouts

from stvr.kernels import crop_max
from stvr.kernels.crop_max import cpu, ops, reference

INTERPRETED = Path(__file__).with_name("interpreted_crop_max.py")
TOLERANCE = {torch.float32: 3e-6, torch.bfloat16: 5e-3, torch.float16: 1e-3}  # of the norm
BOXES = torch.tensor([
    [0.1, 0.2, 0.8, 0.7], [0.0, 0.0, 0.999, 0.999], [-0.3, 0.1, 0.6, 1.3], [0.8, 0.7, 0.2, 0.1], [0.3, 0.3, 0.3, 0.3],
    [0.0, 0.0, 0.0, 0.0], [1.2, 1.2, 1.9, 1.9], [0.47, 0.5, 0.53, 0.52],
])  # fmt: skip
OWNERS = torch.tensor([2, 0, 2, 2, 0, 3, 3, 0])


def made(num_maps=4, height=6, width=9, channels=5, dtype=torch.float32):
    return torch.randn(num_maps, height, width, channels, generator=torch.Generator().manual_seed(0)).to(dtype)


def answers(function, maps, boxes, owners, slopes):
    maps = maps.detach().requires_grad_()
    regions = function(maps, boxes, owners)
    return [regions, *torch.autograd.grad(regions, maps, slopes.to(regions.dtype))]


def assert_equals_twin(maps, boxes, owners, tolerance):
    slopes = torch.randn(len(boxes), 7, 7, maps.shape[-1], generator=torch.Generator().manual_seed(1)).to(maps.dtype)
    ours = answers(crop_max, maps, boxes, owners, slopes)
    theirs = answers(crop_max, maps.double(), boxes.double(), owners, slopes)  # float64 goes to the twin
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == maps.dtype
        assert (one.double() - other).norm() <= tolerance * other.norm()


def by_numpy(maps, boxes, owners):
    """TensorFlow's crop_and_resize, bilinear, a sample at a time, and its 2 x 2 maximum."""
    height, width, channels = maps.shape[1:]
    samples = np.zeros((len(boxes), 14, 14, channels))
    for box, ((left, top, right, bottom), owner) in enumerate(zip(boxes, owners, strict=True)):
        for row, column in np.ndindex(14, 14):
            y = top * (height - 1) + row * (bottom - top) * (height - 1) / 13
            x = left * (width - 1) + column * (right - left) * (width - 1) / 13
            if 0 <= y <= height - 1 and 0 <= x <= width - 1:
                above, below, before, after = int(np.floor(y)), int(np.ceil(y)), int(np.floor(x)), int(np.ceil(x))
                upper = maps[owner, above, before] * (1 - (x - before)) + maps[owner, above, after] * (x - before)
                lower = maps[owner, below, before] * (1 - (x - before)) + maps[owner, below, after] * (x - before)
                samples[box, row, column] = upper * (1 - (y - above)) + lower * (y - above)
    return samples.reshape(len(boxes), 7, 2, 7, 2, channels).max((2, 4))


@pytest.mark.parametrize("size", [(4, 6, 9, 5), (4, 20, 20, 3), (4, 1, 7, 2), (4, 1, 1, 1)], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_it_is_tensorflows_crop_and_resize_and_a_maximum(size, dtype, tolerance):
    maps = made(*size, dtype=torch.float64)
    expected = by_numpy(maps.numpy(), BOXES.double().numpy(), OWNERS.numpy())
    found = crop_max(maps.to(dtype), BOXES.to(dtype), OWNERS)
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("owners", [None, OWNERS, OWNERS.int()], ids=["None", "int64", "int32"])
def test_the_gradients_are_those_of_differences(owners):
    """Of the twin and of what a CPU computes, both in float64."""
    maps, boxes = made(4, 3, 4, 2, dtype=torch.float64).requires_grad_(), BOXES.double()
    assert torch.autograd.gradcheck(lambda each: crop_max(each, boxes, owners), maps)
    assert torch.autograd.gradcheck(lambda each: ops.crop_max(each, boxes, owners, True)[0], maps)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("owners", [None, OWNERS], ids=["None", "owners"])
def test_forward_and_backward_equal_the_twin(dtype, owners):
    assert_equals_twin(made(dtype=dtype), BOXES, owners, TOLERANCE[dtype])


@pytest.mark.parametrize("size", [(1, 20, 20, 1), (2, 7, 33, 70), (8, 2, 2, 3), (4, 1, 5, 3), (1, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("numbers", [1, 1 << 14, 1 << 19])
def test_any_size_in_any_number_of_parts_equals_the_twin(size, numbers, monkeypatch):
    monkeypatch.setattr(cpu, "NUMBERS", numbers)
    assert_equals_twin(made(*size), BOXES, None, TOLERANCE[torch.float32])


def test_maps_without_boxes_have_no_gradient():
    _, grad = answers(crop_max, made(), BOXES, OWNERS, torch.ones(8, 7, 7, 5))
    assert (grad[1] == 0).all()
    assert (grad[[0, 2, 3]].flatten(1) != 0).any(1).all()


def test_of_equal_samples_the_first_has_the_gradient():
    """A box without area has 196 samples in one cell; in a map of twos, each is 2 to the bit there."""
    maps = torch.full((1, 3, 3, 2), 2.0)
    regions, which = ops.crop_max(maps, torch.full((1, 4), 0.5), None, True)
    assert (regions == 2).all()
    assert (which == 0).all()
    _, beyond = ops.crop_max(-maps, torch.tensor([[0.5, 0.5, 1.5, 0.5]]), None, True)
    assert beyond[0, 0, 3:, 0].tolist() == [1, 0, 0, 0]  # samples to the sixth are on the map, -2; beyond it is 0


def test_a_box_that_is_not_a_number_sees_nothing():
    boxes = torch.tensor([[torch.nan, 0.1, 0.9, 0.9], [0.1, torch.inf, 0.9, -torch.inf]])
    for dtype in (torch.float32, torch.float64):
        for each in answers(crop_max, made(1, dtype=dtype), boxes, None, torch.ones(2, 7, 7, 5)):
            assert (each == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_stands_outside_is_not_read(dtype):
    """Not even with a weight of zero: a NaN there would stay one."""
    maps = made(1, 5, 5, dtype=dtype)
    maps[:, :, [0, 4]] = torch.nan
    boxes = torch.tensor([[0.3, 0.1, 0.7, 0.9], [1.1, 0.1, 1.5, 0.2], [-0.9, 0.1, -0.1, 0.4]])
    assert crop_max(maps, boxes).isfinite().all()


def test_no_boxes_give_no_regions_and_no_gradient():
    for num_maps in (0, 2):
        regions, grad = answers(crop_max, made(num_maps), torch.zeros(0, 4), None, torch.zeros(0, 7, 7, 5))
        assert regions.shape == (0, 7, 7, 5)
        assert (grad == 0).all()


def test_twice_gives_the_same_bits():
    maps, slopes = made(channels=64), torch.randn(8, 7, 7, 64)
    for one, two in zip(*(answers(crop_max, maps, BOXES, OWNERS, slopes) for _ in range(2)), strict=True):
        assert torch.equal(one, two)


def test_without_a_gradient_to_come_nothing_is_kept(monkeypatch):
    kept = []
    real = cpu.crop_max
    monkeypatch.setattr(cpu, "crop_max", lambda *args: kept.append(args[-1]) or real(*args))
    maps = made()
    crop_max(maps, BOXES)
    crop_max(maps.requires_grad_(), BOXES)
    with torch.no_grad():
        crop_max(maps, BOXES)
    assert kept == [False, True, False]


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "every other"])
def test_the_operators_pass_opcheck(layout):
    maps, boxes = layouts(made())[layout].detach().requires_grad_(), layouts(BOXES[None, None])[layout][0, 0]
    for owners in (None, OWNERS):
        torch.library.opcheck(ops.crop_max, (maps, boxes, owners, True))
        regions, which = ops.crop_max(maps.detach(), boxes, owners, True)
        torch.library.opcheck(ops.crop_max_backward, (regions, which, boxes, owners, 4, 6, 9))


@pytest.mark.parametrize("size", [(4, 6, 9, 5), (1, 1, 1, 1), (2, 1, 2, 1)], ids=str)
def test_the_fakes_know_every_stride(size):
    for maps in layouts(made(*size)).values():
        for owners, keep in ((None, True), (OWNERS.clamp_max(size[0] - 1), False)):
            assert_fake_is_real(ops.crop_max, maps, BOXES, owners, keep)
    which = torch.zeros(8, 7, 7, size[-1], dtype=torch.uint8)
    for grad in layouts(torch.randn(8, 7, 7, size[-1])).values():
        assert_fake_is_real(ops.crop_max_backward, grad, which, BOXES, None, *size[:3])


class Step(torch.nn.Module):
    """What a head does with regions."""

    def forward(self, maps, boxes):
        return crop_max(maps.tanh(), boxes * 0.9).mean((1, 2)).sigmoid()


@pytest.mark.parametrize("dynamic", [None, True], ids=["one size", "any size"])
def test_compile_sees_one_graph_with_the_same_gradients(dynamic):
    compiled = torch.compile(Step(), fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for size, count in (((2, 6, 9, 5), 4), ((4, 5, 7, 3), 8)):
        maps = made(*size).requires_grad_()
        for run in (compiled, Step()):
            torch.testing.assert_close(run(maps, BOXES[:count]), Step()(maps, BOXES[:count]))
        (ours,) = torch.autograd.grad(compiled(maps, BOXES[:count]).sum(), maps)
        (theirs,) = torch.autograd.grad(Step()(maps, BOXES[:count]).sum(), maps)
        torch.testing.assert_close(ours, theirs)


def test_export_sees_through():
    maps = made()
    exported = torch.export.export(Step(), (maps, BOXES))
    assert "stvr.crop_max.default" in {str(node.target) for node in exported.graph.nodes}
    torch.testing.assert_close(exported.module()(-maps, BOXES), Step()(-maps, BOXES))


def test_meta_tensors_have_sizes():
    maps = torch.empty(3, 5, 5, 8, device="meta", requires_grad=True)
    regions = crop_max(maps, torch.empty(6, 4, device="meta"))
    assert regions.shape == (6, 7, 7, 8)
    assert torch.autograd.grad(regions.sum(), maps)[0].shape == maps.shape


def test_vmap_is_refused_with_the_way_out():
    with pytest.raises(NotImplementedError, match="Fold the mapped dimension"):
        torch.func.vmap(lambda maps: crop_max(maps, BOXES))(made()[None])


def test_forward_mode_is_refused_in_words_and_not_answered_with_zeros():
    maps = made()
    with pytest.raises(NotImplementedError, match="forward-mode"):
        torch.func.jvp(lambda each: crop_max(each, BOXES), (maps,), (torch.ones_like(maps),))


def test_float64_has_forward_mode_from_the_twin():
    """Regions are linear in the maps while the same samples are the largest."""
    maps = made(dtype=torch.float64)
    found, tangent = torch.func.jvp(lambda each: crop_max(each, BOXES), (maps,), (maps,))
    torch.testing.assert_close(found, tangent)


def test_boxes_that_want_a_gradient_are_refused():
    boxes = BOXES.clone().requires_grad_()
    with pytest.raises(ValueError, match=r"boxes.detach\(\)"):
        crop_max(made(), boxes)
    with torch.no_grad():
        torch.testing.assert_close(crop_max(made(), boxes), crop_max(made(), BOXES))


@pytest.mark.parametrize("maps", [torch.rand(6, 9, 5), torch.zeros(1, 6, 9, 5, dtype=torch.long),
                                  torch.rand(1, 0, 9, 5), torch.rand(1, 6, 9, 0)])  # fmt: skip
def test_maps_that_are_none_are_refused(maps):
    with pytest.raises(ValueError, match="maps must be"):
        crop_max(maps, BOXES[:1])


def test_boxes_and_owners_that_do_not_fit_are_refused():
    maps = made()
    for boxes in (BOXES[None], BOXES[:, :3]):
        with pytest.raises(ValueError, match="boxes must be"):
            crop_max(maps, boxes)
    for num_maps, boxes in ((4, BOXES[:3]), (0, BOXES)):
        with pytest.raises(ValueError, match="not equally many"):
            crop_max(maps[:num_maps], boxes)
    for owners in (OWNERS[:3], OWNERS.float()):
        with pytest.raises(ValueError, match="8 integers"):
            crop_max(maps, BOXES, owners)
    for dtype in (torch.float32, torch.float64):
        for wrong in (-1, 4):
            with pytest.raises(ValueError, match="below 4"):
                crop_max(maps.to(dtype), BOXES, OWNERS.clone().index_fill_(0, torch.tensor([3]), wrong))


def test_the_samples_lie_on_the_map_or_nowhere():
    samples = reference.samples_along(torch.tensor([-0.5, 0.2]), torch.tensor([0.5, 1.0000004]), 20)
    assert samples.inside.tolist() == [[False] * 7 + [True] * 7, [True] * 14]
    for cells in (samples.before, samples.after):
        assert ((cells >= 0) & (cells < 20)).all()


def test_the_kernels_keep_their_promises_in_tritons_interpreter():
    """In a process of its own: TRITON_INTERPRET is read when the kernels are imported."""
    pytest.importorskip("triton", reason="needs triton, which this machine has no build of")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", "-p", "no:cacheprovider", str(INTERPRETED)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
