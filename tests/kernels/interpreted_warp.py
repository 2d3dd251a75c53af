"""The warp's Triton kernels against their plain twin in float64, run by Triton's interpreter on a CPU.

test_warp_triton.py starts it:  TRITON_INTERPRET=1 python -m pytest --noconftest tests/kernels/interpreted_warp.py
"""

import pytest
import torch
from fakes import assert_fake_is_real, layouts

from stvr.kernels import spline_flow, spline_warp
from stvr.kernels.warp import dense_warp, launch, ops, reference, warp_all

TOLERANCE = {torch.float32: 5e-4, torch.float16: 1e-3, torch.bfloat16: 6e-3}  # the interpreter's bfloat16 truncates
ODD = (1, 40, 7, 33)  # no side and no channel count fills its block
SMALL = (2, 3, 5, 4)


@pytest.fixture(autouse=True)
def poisoned_triton(monkeypatch):
    """CPU tensors take the Triton kernels, and whatever a kernel leaves unwritten is NaN."""
    monkeypatch.setitem(ops.BACKENDS, "cpu", ops.TRITON)
    torch.use_deterministic_algorithms(True)
    assert torch.empty(100).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def made(batch, channels, height, width, dtype=torch.float32, spread=0.3):
    """Two states, two points well inside, their displacement."""
    torch.manual_seed(0)
    hidden, memory = torch.randn(2, batch, channels, height, width).to(dtype).unbind()
    points = torch.tensor([[0.3, 0.25], [0.6, 0.7]]) * torch.tensor([height - 1.0, width - 1.0])
    return hidden, memory, points, spread * torch.randn(batch, 2, 2)


def answers(states, points, displacement, slopes, **options):
    """Both warped states, and what flows back to states and displacement."""
    states, displacement = [state.detach().requires_grad_() for state in states], displacement.detach().requires_grad_()
    warped = spline_warp(states, points, displacement, **options)
    slopes = [slope.to(each.dtype) for slope, each in zip(slopes, warped, strict=True)]
    return [*warped, *torch.autograd.grad(warped, [*states, displacement], slopes)]


def assert_equals_twin(hidden, memory, points, displacement, tolerance, **options):
    slopes = [torch.randn_like(hidden), torch.randn_like(memory)]
    ours = answers([hidden, memory], points, displacement, slopes, **options)
    exact = [part.double() for part in (hidden, memory)]
    theirs = answers(exact, points.double(), displacement.double(), slopes, **options)  # float64 goes to the twin
    for one, other in zip(ours, theirs, strict=True):
        assert one.isfinite().all()
        assert (one.double() - other).norm() <= tolerance * other.norm()
    assert [one.dtype for one in ours] == [hidden.dtype, memory.dtype, hidden.dtype, memory.dtype, torch.float32]


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float32, ODD), (torch.bfloat16, (1, 40, 3, 9)), (torch.float16, SMALL)]
)
def test_forward_and_backward_equal_the_twin(dtype, size):
    assert_equals_twin(*made(*size, dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("destinations", ["moving", "fixed"])
def test_both_orders_and_both_destinations_equal_the_twin(order, destinations):
    assert_equals_twin(*made(*SMALL), 1e-5, order=order, destinations=destinations)


@pytest.mark.parametrize("num_boundary_points", [1, 7])
def test_other_numbers_of_border_points_equal_the_twin(num_boundary_points):
    inputs = made(1, 3, 5, 6, spread=0.1)
    assert_equals_twin(*inputs, 1e-4, num_boundary_points=num_boundary_points)


def test_the_papers_nine_points_equal_the_twin():
    steps = torch.tensor([2.0, 4.0, 6.0])
    hidden, memory, _, _ = made(1, 2, 8, 8)
    assert_equals_twin(hidden, memory, torch.cartesian_prod(steps, steps), 0.3 * torch.randn(1, 9, 2), 2e-5)


def test_positions_off_the_map_are_clamped_as_the_twin_does():
    hidden, memory, inside, _ = made(*SMALL)
    outside = torch.tensor([[-1.0, -1.5], [5.5, 4.5]])  # what stands there moves onto the map
    displacement = (inside - outside).expand(2, 2, 2)
    positions = reference.cell_positions(5, 4).reshape(5, 4, 2) - spline_flow(outside, displacement, 5, 4)
    assert (positions < -0.1).all(-1).any()
    assert (positions > torch.tensor([4.1, 3.1])).all(-1).any()
    assert_equals_twin(hidden, memory, outside, displacement, 1e-4)


def test_nothing_moves_without_displacement():
    hidden, memory, points, displacement = made(*SMALL)
    warped = spline_warp([hidden, memory], points, torch.zeros_like(displacement))
    assert torch.equal(warped[0], hidden)
    assert torch.equal(warped[1], memory)


def test_gradients_at_rest_are_those_of_the_cells_right_and_below():
    hidden, memory, points, displacement = made(*SMALL)
    assert_equals_twin(hidden, memory, points, torch.zeros_like(displacement), 1e-5)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("case", ["two meet", "two nearly meet", "all meet", "on a border point", "far off"])
def test_a_system_without_a_solution_stays_finite(case, order):
    hidden, memory, points, displacement = made(*SMALL)
    target = {"two meet": points[1], "two nearly meet": points[1] + 1e-6, "all meet": points[1],
              "on a border point": torch.zeros(2), "far off": torch.tensor([1e4, -1e4])}[case]  # fmt: skip
    displacement = torch.zeros_like(displacement)
    displacement[:, :1] = target - points[:1]
    if case == "all meet":
        displacement[:] = target - points
    for answer in answers([hidden, memory], points, displacement, [torch.ones_like(hidden)] * 2, order=order):
        assert answer.isfinite().all()
        assert answer.abs().max() < 1e20  # its square is finite, and so is a gradient norm


def test_a_displacement_that_is_not_a_number_goes_on_as_one():
    hidden, memory, points, displacement = made(*SMALL)
    displacement[0, 0, 0] = torch.nan
    warped = spline_warp([hidden, memory], points, displacement)[0]
    assert warped[0].isnan().all()
    assert warped[1].isfinite().all()


def test_states_of_several_kinds_share_one_flow():
    hidden, memory, points, displacement = made(*SMALL)
    states = [hidden, memory[:, :1], memory.bfloat16(), memory.bfloat16(), hidden.contiguous()]
    flow = spline_flow(points, displacement, 5, 4)
    for state, warped in zip(states, spline_warp(states, points, displacement), strict=True):
        assert warped.dtype == state.dtype
        torch.testing.assert_close(warped, dense_warp(state, flow), rtol=0, atol=0)


def test_one_state_alone_and_a_gradient_for_one_of_two():
    hidden, memory, points, displacement = made(*SMALL)
    hidden.requires_grad_()
    both = spline_warp([hidden, memory], points, displacement.requires_grad_())
    (alone,) = spline_warp([hidden], points, displacement)
    for ours, theirs in zip(torch.autograd.grad(both[0].sum(), [hidden, displacement]),
                            torch.autograd.grad(alone.sum(), [hidden, displacement]), strict=True):  # fmt: skip
        torch.testing.assert_close(ours, theirs)


def test_one_launch_gives_the_bits_of_two():
    """Forward and backward: the spline solved inside the warp, and before it."""
    hidden, memory, points, displacement = made(2, 5, 4, 5)
    slopes = [torch.randn_like(hidden), torch.randn_like(memory)]
    together = answers([hidden, memory], points, displacement, slopes)
    leaves = [part.requires_grad_() for part in (hidden, memory, displacement)]
    warped = warp_all(leaves[:2], spline_flow(points, displacement, 4, 5))
    apart = [*warped, *torch.autograd.grad(warped, leaves, slopes)]
    assert all(torch.equal(one, two) for one, two in zip(together, apart, strict=True))


def test_what_can_be_one_launch_is_one():
    hidden, memory, points, displacement = made(*SMALL)
    with torch.profiler.profile() as profiled:
        spline_warp([hidden, memory], points, displacement)
        spline_warp([hidden, memory, hidden], points, displacement)
    calls = {event.key: event.count for event in profiled.key_averages()}
    assert [calls.get(f"stvr::{name}") for name in ("spline_warp", "spline_flow", "warp")] == [1, 1, 1]
    five, six = (2 * [torch.empty(count, 2, 20, 20)] for count in (5, 6))
    assert [ops.can_fuse(maps, 9, 4) for maps in (five, six)] == [True, False]


@pytest.mark.parametrize("spread", [0.0, 0.7])
def test_an_infinity_stays_where_it_is(spread):
    """In a state and in a gradient, as in the twin; at rest it is in one cell before and after."""
    image, flow, slope = torch.randn(1, 3, 5, 6), spread * torch.randn(1, 5, 6, 2), torch.randn(1, 3, 5, 6)
    for place in (image, slope):
        finite, place[0, 1, 2, 3] = place[0, 1, 2, 3].item(), torch.inf
        found = []
        for dtype in (torch.float32, torch.float64):
            leaves = [part.detach().to(dtype, copy=True).requires_grad_() for part in (image, flow)]
            warped = dense_warp(*leaves)
            found.append([warped, *torch.autograd.grad(warped, leaves, slope.to(dtype))])
        for each in found:  # the slope towards an infinity is none, whichever it is called
            each[2] = torch.where(each[2].isfinite(), each[2], torch.nan)
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5, equal_nan=True)
        if not spread:
            counts = [(~part.isfinite()).sum().item() for part in found[0][:2]]
            assert counts == ([1, 0] if place is image else [0, 1])
        place[0, 1, 2, 3] = finite


@pytest.mark.parametrize("size", [(1, 4, 3, 100), (1, 4, 90, 3)])
def test_the_gradient_of_a_map_larger_than_is_looked_at_at_once_equals_the_twin(size):
    """300 and 270 cells, of which 256 are looked at together; tiles of 64 that are less than a row, and many."""
    image, flow, slope = torch.randn(size), 2.5 * torch.randn(1, *size[2:], 2), torch.randn(size)
    found = []
    for dtype in (torch.float32, torch.float64):
        leaf = image.to(dtype, copy=True).requires_grad_()
        found.append(torch.autograd.grad(dense_warp(leaf, flow.to(dtype)), leaf, slope.to(dtype))[0])
    torch.testing.assert_close(found[0].double(), found[1], rtol=1e-4, atol=1e-5)


def test_any_memory_format_is_read_alike():
    hidden, memory, points, displacement = made(*SMALL)
    expected = spline_warp([hidden, memory], points, displacement)
    strided = torch.zeros(2, 5, 4, 2, 3).permute(3, 0, 4, 1, 2)  # (2, B, C, H, W)
    strided[0], strided[1] = hidden, memory
    for ours, theirs in zip(spline_warp(strided.unbind(), points, displacement), expected, strict=True):
        assert ours.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(ours, theirs)


def test_twice_gives_the_same_bits():
    hidden, memory, points, displacement = made(*SMALL)
    runs = [answers([hidden, memory], points, displacement, [torch.ones_like(hidden)] * 2) for _ in range(2)]
    assert all(torch.equal(one, two) for one, two in zip(*runs, strict=True))


def test_what_does_not_fit_a_program_is_solved_in_plain_torch():
    """Seventeen points are one more than a tile holds."""
    assert not launch.can_solve(17, 4)
    points = torch.cartesian_prod(torch.arange(1.3, 18, 3.4), torch.arange(1.3, 18, 3.4))[:17]
    displacement = 0.2 * torch.randn(1, 17, 2)
    expected = reference.spline_flow(points.double(), displacement.double(), 19, 19)
    torch.testing.assert_close(spline_flow(points, displacement, 19, 19).double(), expected, atol=1e-5, rtol=0)


def test_the_operators_pass_opcheck():
    hidden, memory, points, displacement = made(1, 2, 4, 5)
    states = [hidden.requires_grad_(), memory.requires_grad_()]
    flow = spline_flow(points, displacement, 4, 5)
    tests = ("test_schema", "test_faketensor", "test_autograd_registration")
    inputs = (points, displacement.requires_grad_(), ops.constants(len(points), 4, 5, 2, 4, flow.device))
    torch.library.opcheck(ops.spline_flow, (*inputs, 4, 5, 2, 4, True), test_utils=tests)
    torch.library.opcheck(ops.warp, (states, flow.requires_grad_()), test_utils=tests)
    torch.library.opcheck(ops.spline_warp, (states, *inputs, 2, 4, True), test_utils=tests)


@pytest.mark.parametrize("size", [(2, 2, 3, 2), (1, 1, 2, 3)])
def test_the_fakes_know_every_stride(size):
    hidden, _, points, displacement = made(*size)
    options, displacements = (2, 4, True), layouts(displacement)
    fixed = ops.constants(len(points), *size[2:], 2, 4, hidden.device)
    solved = ops.spline_flow(points, displacement, fixed, *size[2:], *options)
    for layout, state in layouts(hidden).items():
        flow, displacement = layouts(solved[0])[layout], displacements[layout]
        assert_fake_is_real(ops.spline_flow, points, displacement, fixed, *size[2:], *options)
        assert_fake_is_real(ops.spline_flow_backward, flow, points, displacement, fixed, *solved[1:], *options)
        assert_fake_is_real(ops.warp, [state, state.half()], flow)
        assert_fake_is_real(ops.spline_warp, [state, state], points, displacement, fixed, *options)
        assert_fake_is_real(ops.warp_backward_states, [state, hidden], flow)
        assert_fake_is_real(ops.warp_backward_flow, [state, hidden.half()], [hidden, state.half()], flow)
