"""The spline warp against TensorFlow Addons' numbers, SciPy and a hand count."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.interpolate import RBFInterpolator

from stvr.kernels import spline_warp
from stvr.kernels.warp.reference import dense_warp, interpolate_spline, spline_flow

CENTRE = torch.tensor([[3.0, 3.0]], dtype=torch.float64)
RIGHT = torch.tensor([[[0.0, 1.0]]], dtype=torch.float64)


@pytest.fixture(scope="module")
def values(shared):
    return np.load(shared / "data/reference_values/warp_reference_values.npz")


def inputs(values, dtype=torch.float64):
    image = torch.from_numpy(values["image"]).permute(0, 3, 1, 2).to(dtype)
    points, offset = (torch.from_numpy(values[name]).to(dtype) for name in ("control", "offset"))
    return image, points[0], offset


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("num_boundary", [0, 1, 2, 4])
def test_float64_equals_tensorflow(values, order, num_boundary):
    image, points, offset = inputs(values)
    flow = spline_flow(points, offset, 20, 20, order=order, num_boundary_points=num_boundary)
    case = f"float64_o{order}_b{num_boundary}"
    np.testing.assert_allclose(flow, values[f"{case}_flow"], atol=1e-9, rtol=0)
    warped = dense_warp(image, flow).permute(0, 2, 3, 1)
    np.testing.assert_allclose(warped, values[f"{case}_warped"], atol=1e-9, rtol=0)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_float32_stays_within_tensorflows_own_error(values, order):
    _, points, offset = inputs(values, torch.float32)
    flow = spline_flow(points, offset, 20, 20, order=order)
    np.testing.assert_allclose(flow, values[f"float32_o{order}_b4_flow"], atol=2e-3, rtol=0)


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_equal_tensorflows(values, order):
    image, points, offset = inputs(values)
    image.requires_grad_()
    offset.requires_grad_()
    (warped,) = spline_warp([image], points, offset, order=order)
    warped.backward(torch.from_numpy(values["cotangent"]).permute(0, 3, 1, 2))
    np.testing.assert_allclose(image.grad.permute(0, 2, 3, 1), values[f"float64_o{order}_b4_grad_image"], atol=1e-6)
    np.testing.assert_allclose(offset.grad, values[f"float64_o{order}_b4_grad_offset"], atol=1e-6)


@pytest.mark.parametrize("dims", ["1d", "3d"])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("regularization", [0.0, 0.01])
def test_the_spline_equals_tensorflow_in_any_dimension(values, dims, order, regularization):
    train, truth, query = (torch.from_numpy(values[f"spline_{dims}_{n}"]) for n in ("train", "values", "query"))
    answer = interpolate_spline(train, truth, query, order=order, regularization=regularization)
    name = f"spline_{dims}_o{order}_reg{'0.01' if regularization else '0'}"
    np.testing.assert_allclose(answer.flatten(), values[name], rtol=1e-7)


def test_order_two_is_scipys_thin_plate_spline():
    random = np.random.default_rng(0)
    centres, truth, query = random.random((12, 2)) * 19, random.random((12, 2)), random.random((50, 2)) * 19
    expected = RBFInterpolator(centres, truth, kernel="thin_plate_spline", degree=1)(query)
    answer = interpolate_spline(*(torch.from_numpy(a)[None] for a in (centres, truth, query)), order=2)
    np.testing.assert_allclose(answer[0], expected, atol=1e-10)


@pytest.mark.parametrize("num_boundary", [1, 2])
@pytest.mark.parametrize("order", [1, 2])
def test_a_control_point_carries_its_pixel(num_boundary, order):
    image = torch.zeros(1, 1, 7, 7, dtype=torch.float64)
    image[0, 0, 3, 3] = 1.0
    (warped,) = spline_warp([image], CENTRE, RIGHT, order=order, num_boundary_points=num_boundary)
    assert warped[0, 0, 3, 4].item() == pytest.approx(1.0, abs=1e-9)
    flow = spline_flow(CENTRE, RIGHT, 7, 7, order=order, num_boundary_points=num_boundary)
    assert flow[0, [0, 0, -1, -1], [0, -1, 0, -1]].abs().max() < 1e-9  # the corners stay


def test_nothing_moves_without_displacement():
    image = torch.rand(2, 3, 7, 33)
    points = torch.tensor([[2.0, 8.0], [4.0, 20.0]])
    (warped,) = spline_warp([image], points, torch.zeros(2, 2, 2))
    torch.testing.assert_close(warped, image, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("order", "destinations"), [(1, "moving"), (2, "moving"), (2, "fixed")])
def test_gradcheck_in_float64(order, destinations):
    image = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    displacement = (torch.rand(1, 1, 2, dtype=torch.float64) + 0.2).requires_grad_()
    points = torch.tensor([[2.0, 2.0]], dtype=torch.float64)

    def warp(image, displacement):
        return spline_warp([image], points, displacement, order=order, destinations=destinations)[0]

    assert torch.autograd.gradcheck(warp, (image, displacement))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # the twin, and the fast path
def test_the_nine_pictures_of_tensorflow_addons(shared, dtype):
    folder = shared / "data/reference_values/sparse_image_warp_smiley"
    image = read_rgb(folder / "Yellow_Smiley_Face.png")[None].to(dtype)
    xy = [(64, 59), (116, 59), (39, 111), (141, 111), (90, 143), (58, 134), (122, 134)]
    shifts = [(-10.5, 10.5), (10.5, 10.5), (0, 0), (0, 0), (0, -10), (-20, 10.25), (10, 10.75)]
    points, shift = (torch.tensor([(y, x) for x, y in each]).to(dtype) for each in (xy, shifts))
    for order in (1, 2, 3):
        for clamp in (0, 1, 4):
            (warped,) = spline_warp([image], points, shift[None], order=order, num_boundary_points=clamp)
            expected = read_rgb(folder / f"Yellow_Smiley_Face_Warp-interp-{order}-clamp-{clamp}.png")
            assert (warped[0].clamp(0, 255) - expected).abs().max() <= 2


def read_rgb(path):
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("shapes", "points", "displacement"),
    [([(1, 2, 7, 7), (1, 2, 8, 7)], (1, 2), (1, 1, 2)), ([(2, 2, 7, 7)], (1, 2), (1, 1, 2)),
     ([(1, 2, 7, 7)], (2, 2), (1, 1, 2)), ([(1, 2, 1, 7)], (1, 2), (1, 1, 2))],
)  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(shapes, points, displacement):
    with pytest.raises(ValueError, match=r"must|wanted|need"):
        spline_warp([torch.zeros(shape) for shape in shapes], torch.ones(points), torch.zeros(displacement))
