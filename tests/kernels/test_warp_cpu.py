"""The fast warp on a CPU against its plain twin, SciPy, and TensorFlow Addons' numbers; and as an operator."""

import itertools

import numpy as np
import pytest
import torch
from fakes import ODD_SIZES, assert_fake_is_real, layouts
from scipy.interpolate import RBFInterpolator

from stvr.kernels import spline_flow, spline_warp
from stvr.kernels.warp import cpu, dense_warp, ops, reference
from stvr.kernels.warp.reduced import can_reduce

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float16: 1e-3}  # of the norm


def made(batch=2, channels=5, height=7, width=11, num_points=3, dtype=torch.float32, spread=0.5):
    random = torch.Generator().manual_seed(0)
    states = torch.randn(2, batch, channels, height, width, generator=random).to(dtype).unbind()
    points = torch.rand(num_points, 2, generator=random) * 0.6 + 0.2
    points = points * torch.tensor([height - 1.0, width - 1.0])
    return list(states), points, spread * torch.randn(batch, num_points, 2, generator=random)


def answers(states, points, displacement, slopes, **options):
    """The warped states, and what flows back to states and displacement."""
    states, displacement = [state.detach().requires_grad_() for state in states], displacement.detach().requires_grad_()
    warped = spline_warp(states, points, displacement, **options)
    slopes = [slope.to(each.dtype) for slope, each in zip(slopes, warped, strict=True)]
    return [*warped, *torch.autograd.grad(warped, [*states, displacement], slopes)]


def assert_equals_twin(states, points, displacement, tolerance, **options):
    slopes = [torch.randn(state.shape) for state in states]
    ours = answers(states, points, displacement, slopes, **options)
    exact = answers([state.double() for state in states], points.double(), displacement.double(), slopes, **options)
    for one, other in zip(ours, exact, strict=True):
        assert (one.double() - other).norm() <= tolerance * other.norm()
    return ours


@pytest.fixture
def never_the_twin(monkeypatch):
    """Fails when the twin is asked where the fast path should answer."""
    real = reference.dense_warp

    def refuse(image, flow):
        assert image.dtype == torch.float64
        return real(image, flow)

    monkeypatch.setattr(reference, "dense_warp", refuse)


@pytest.mark.usefixtures("never_the_twin")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("destinations", ["moving", "fixed"])
def test_forward_and_backward_equal_the_twin(dtype, order, destinations):
    ours = assert_equals_twin(*made(dtype=dtype), TOLERANCE[dtype], order=order, destinations=destinations)
    assert [each.dtype for each in ours] == [dtype] * 4 + [torch.float32]


@pytest.mark.parametrize(
    "sizes",
    [dict(batch=1, height=7, width=33, num_points=9), dict(height=20, width=20, num_points=1),
     dict(height=3, width=4, num_points=1, spread=0.1), dict(channels=1, height=2, width=9, spread=0.1),
     dict(batch=3, height=16, width=5, num_points=20, spread=0.05)],
)  # fmt: skip
@pytest.mark.parametrize("num_boundary_points", [1, 2, 4, 9])
def test_any_size_and_any_number_of_points_equal_the_twin(sizes, num_boundary_points):
    assert_equals_twin(*made(**sizes), 1e-4, num_boundary_points=num_boundary_points)


def test_any_memory_format_is_read_alike():
    states, points, displacement = made()
    expected = spline_warp(states, points, displacement)
    last = [state.contiguous(memory_format=torch.channels_last) for state in states]
    strided = torch.stack(states).permute(3, 0, 4, 1, 2).contiguous().permute(1, 3, 4, 0, 2).unbind()
    for variant in (last, strided):
        for ours, theirs in zip(spline_warp(variant, points, displacement), expected, strict=True):
            assert torch.equal(ours, theirs)
            assert ours.is_contiguous(memory_format=torch.channels_last)


def test_channels_last_is_not_copied():
    rows = torch.randn(2, 7, 11, 5)
    assert cpu.rows_of(rows.permute(0, 3, 1, 2)).data_ptr() == rows.data_ptr()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("num_boundary", [1, 2, 4])
def test_the_reduced_system_in_float64_equals_tensorflow(shared, order, num_boundary):
    values = np.load(shared / "data/reference_values/warp_reference_values.npz")
    names = ("control", "offset", "image", "cotangent")
    points, offset, image, cotangent = (torch.from_numpy(values[name]) for name in names)
    image, cotangent = image.permute(0, 3, 1, 2), cotangent.permute(0, 3, 1, 2)
    fixed = cpu.constants(20, 20, order, num_boundary, torch.device("cpu"))
    flow, *solved = cpu.spline_flow(points[0], offset, fixed, 20, 20, order, num_boundary, True)
    case = f"float64_o{order}_b{num_boundary}"
    np.testing.assert_allclose(flow, values[f"{case}_flow"], atol=1e-9, rtol=0)
    (warped,) = cpu.warp([image], flow)
    np.testing.assert_allclose(warped.permute(0, 2, 3, 1), values[f"{case}_warped"], atol=1e-9, rtol=0)
    if num_boundary == 4:
        (grad_image,) = cpu.warp_backward_states([cotangent], flow)
        np.testing.assert_allclose(grad_image.permute(0, 2, 3, 1), values[f"{case}_grad_image"], atol=1e-6)
        grad_flow = cpu.warp_backward_flow([cotangent], [image], flow)
        grad = cpu.spline_flow_backward(grad_flow, points[0], offset, fixed, *solved, order, num_boundary, True)
        np.testing.assert_allclose(grad, values[f"{case}_grad_offset"], atol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_float32_stays_within_tensorflows_own_error(shared, order):
    values = np.load(shared / "data/reference_values/warp_reference_values.npz")
    points, offset = (torch.from_numpy(values[name]).float() for name in ("control", "offset"))
    flow = spline_flow(points[0], offset, 20, 20, order=order)
    np.testing.assert_allclose(flow, values[f"float32_o{order}_b4_flow"], atol=2e-3, rtol=0)


def test_the_flow_is_scipys_thin_plate_spline():
    _, points, displacement = made(num_points=9, height=20, width=20, spread=1.0)
    border = [(y, x) for y, x in itertools.product(np.linspace(0, 19, 5), repeat=2) if {y, x} & {0, 19}]
    cells = list(itertools.product(range(20), repeat=2))
    for sample, flow in zip(displacement.double(), spline_flow(points, displacement, 20, 20), strict=True):
        centres = np.concatenate([points.double() + sample, border])
        values = np.concatenate([sample, np.zeros((16, 2))])
        expected = RBFInterpolator(centres, values, kernel="thin_plate_spline", degree=1)(cells)
        np.testing.assert_allclose(flow.reshape(400, 2), expected, atol=1e-5)


def test_fixed_destinations_move_a_point_where_it_starts_and_moving_ones_where_it_lands():
    point, displacement = torch.tensor([[4.0, 5.0]]), torch.tensor([[[1.0, -2.0]]])
    moving, fixed = (spline_flow(point, displacement, 9, 12, destinations=each)[0] for each in ("moving", "fixed"))
    torch.testing.assert_close(moving[5, 3], displacement[0, 0])
    torch.testing.assert_close(fixed[4, 5], displacement[0, 0])
    doubled = spline_flow(point, 2 * displacement, 9, 12, destinations="fixed")[0]
    torch.testing.assert_close(doubled, 2 * fixed)


def test_at_rest_the_gradient_is_the_step_to_the_next_cell():
    image = torch.tensor([[[[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]]])
    for dtype in (torch.float32, torch.float64):
        flow = torch.zeros(1, 2, 3, 2, dtype=dtype, requires_grad=True)
        dense_warp(image.to(dtype), flow).sum().backward()
        down = [[-7.0, -14.0, -28.0]] * 2  # a flow of +1 reads the cell above: minus the step down
        right = [[-1.0, -2.0, -2.0], [-8.0, -16.0, -16.0]]
        assert flow.grad[0].tolist() == torch.tensor([down, right]).movedim(0, -1).tolist()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("case", ["two meet", "two nearly meet", "all meet", "on a border point", "far off"])
def test_a_system_without_a_solution_stays_finite(case, order):
    states, points, _ = made(num_points=3)
    target = {"two meet": points[1], "two nearly meet": points[1] + 1e-6, "all meet": points[1],
              "on a border point": torch.zeros(2), "far off": torch.tensor([1e5, -1e5])}[case]  # fmt: skip
    displacement = torch.zeros(2, 3, 2)
    displacement[:, : 3 if case == "all meet" else 1] = (target - points)[: 3 if case == "all meet" else 1]
    for answer in answers(states, points, displacement, [torch.ones_like(states[0])] * 2, order=order):
        assert answer.isfinite().all()
        assert answer.abs().max() < 1e18  # its square is finite, and so is a gradient norm


@pytest.mark.parametrize("order", [1, 2])
def test_where_two_points_meet_the_flow_is_their_mean(order):
    points, displacement = torch.tensor([[10.0, 5.0], [10.0, 10.0]]), torch.tensor([[[0.0, 4.0], [0.0, -1.0]]])
    flow = spline_flow(points, displacement, 20, 20, order=order)
    torch.testing.assert_close(flow[0, 10, 9], torch.tensor([0.0, 1.5]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_rest_an_infinity_is_in_one_cell_before_and_after_and_so_is_its_gradient(dtype):
    """Three cells read it with a weight of zero. In float64 it is the plain twin that answers."""
    for infinite in ("state", "gradient"):
        image, slope = torch.randn(1, 3, 5, 6).to(dtype), torch.randn(1, 3, 5, 6).to(dtype)
        (image if infinite == "state" else slope)[0, 1, 2, 3] = torch.inf
        image.requires_grad_()
        warped = dense_warp(image, torch.zeros(1, 5, 6, 2, dtype=dtype))
        (back,) = torch.autograd.grad(warped, image, slope)
        assert torch.equal(warped, image)
        assert torch.equal(back, slope)


def test_a_moved_infinity_is_where_it_is_read_and_its_gradient_where_it_was_read():
    """Half a cell to the right and a quarter down: four cells, by hand."""
    flow = torch.tensor([0.25, 0.5]).expand(1, 5, 6, 2)
    image, slope = torch.randn(1, 3, 5, 6), torch.randn(1, 3, 5, 6)
    there, back = image.clone(), slope.clone()
    there[0, 1, 2, 3] = back[0, 1, 2, 3] = torch.inf
    warped = dense_warp(there.requires_grad_(), flow)
    (gradient,) = torch.autograd.grad(warped, there, back)
    assert (~warped.isfinite()).nonzero().tolist() == [[0, 1, 2, 3], [0, 1, 2, 4], [0, 1, 3, 3], [0, 1, 3, 4]]
    assert (~gradient.isfinite()).nonzero().tolist() == [[0, 1, 1, 2], [0, 1, 1, 3], [0, 1, 2, 2], [0, 1, 2, 3]]


def test_a_displacement_that_is_not_a_number_goes_on_as_one():
    states, points, displacement = made()
    displacement[0, 0, 0] = torch.nan
    (warped,) = spline_warp(states[:1], points, displacement)
    assert warped[0].isnan().all()
    assert warped[1].isfinite().all()


def test_twice_gives_the_same_bits():
    states, points, displacement = made(channels=64)
    runs = [answers(states, points, displacement, [torch.ones_like(states[0])] * 2) for _ in range(2)]
    assert all(torch.equal(one, two) for one, two in zip(*runs, strict=True))


@pytest.mark.parametrize("order", [3, 4])
def test_orders_that_have_no_definite_system_go_to_the_twin(order):
    assert not can_reduce(order, 4)
    _, points, displacement = made()
    expected = reference.spline_flow(points, displacement, 7, 11, order=order)
    assert torch.equal(spline_flow(points, displacement, 7, 11, order=order), expected)


def test_no_border_points_go_to_the_twin():
    assert not can_reduce(2, 0)
    _, points, displacement = made(num_points=5)
    expected = reference.spline_flow(points, displacement, 7, 11, num_boundary_points=0)
    assert torch.equal(spline_flow(points, displacement, 7, 11, num_boundary_points=0), expected)


def test_autocast_does_not_reach_the_solve():
    states, points, displacement = made(num_points=9, height=20, width=20)
    expected = spline_warp(states, points, displacement.bfloat16().float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        warped = spline_warp(states, points, displacement.bfloat16())
        twin = spline_flow(points, displacement, 20, 20, order=3)
    assert torch.equal(warped[0], expected[0])
    torch.testing.assert_close(twin, spline_flow(points, displacement, 20, 20, order=3), rtol=0, atol=0)


@pytest.mark.parametrize(("size", "layout"), [
    ((2, 5, 7, 11), "contiguous"), ((1, 4, 7, 33), "channels last"), ((3, 1, 9, 2), "transposed"),
    ((2, 3, 7, 5), "expanded"), ((1, 1, 2, 2), "every other"),
])  # fmt: skip
def test_the_operators_pass_opcheck(size, layout):
    states, points, displacement = made(*size)
    flow = spline_flow(points, displacement, *size[2:])
    fixed = ops.constants(len(points), *size[2:], 2, 4, flow.device)
    solved = ops.spline_flow(points, displacement, fixed, *size[2:], 2, 4, True)[1:]
    first, second, flow, displacement = (layouts(each)[layout] for each in (*states, flow, displacement))
    grads, options = [torch.randn_like(first), second], (2, 4, True)
    for operator, inputs in [
        (ops.spline_flow, (points, leaf(displacement), fixed, *size[2:], *options)),
        (ops.spline_flow_backward, (flow, points, displacement, fixed, *solved, *options)),
        (ops.warp, ([leaf(first), leaf(second)], leaf(flow))),
        (ops.warp_backward_states, (grads, flow)),
        (ops.warp_backward_flow, (grads, [first, second], flow)),
    ]:
        torch.library.opcheck(operator, inputs)


def leaf(values):
    """The same in the same memory order, to be differentiated."""
    return values.detach().requires_grad_()


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_the_fakes_of_the_warps_know_every_stride(size):
    batch, _, height, width = size
    states, flows = layouts(torch.randn(size)), layouts(torch.randn(batch, height, width, 2))
    for state, flow in itertools.product(states.values(), flows.values()):
        mixed = [state, states["contiguous"].bfloat16()]
        assert_fake_is_real(ops.warp, mixed, flow)
        assert_fake_is_real(ops.warp_backward_states, mixed, flow)
        assert_fake_is_real(ops.warp_backward_flow, [state], [states["channels last"]], flow)
        assert_fake_is_real(ops.warp_backward_flow, mixed, mixed, flow)


@pytest.mark.parametrize("num_points", [1, 20])
@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_the_fakes_of_the_spline_know_every_stride(size, num_points):
    _, points, still = made(*size, num_points=num_points, spread=0.0)
    for displacement, (order, moving) in itertools.product(layouts(still).values(), [(1, False), (2, True)]):
        fixed, options = ops.constants(num_points, *size[2:], order, 4, still.device), (order, 4, moving)
        inputs = (points, displacement, fixed)
        assert_fake_is_real(ops.spline_flow, *inputs, *size[2:], *options)
        flow, *solved = ops.spline_flow(*inputs, *size[2:], *options)
        for grad in layouts(torch.randn(flow.shape)).values():
            assert_fake_is_real(ops.spline_flow_backward, grad, *inputs, *solved, *options)


class Step(torch.nn.Module):
    """What a cell does with the warp."""

    def forward(self, hidden, memory, points, displacement):
        hidden, memory = spline_warp([hidden, memory], points, displacement.tanh())
        return hidden.sigmoid() * memory


def test_compile_sees_one_graph_with_the_same_gradients():
    states, points, displacement = made()
    inputs = [*(state.requires_grad_() for state in states), points, displacement.requires_grad_()]
    wanted = [inputs[0], inputs[1], inputs[3]]
    compiled = torch.compile(Step(), fullgraph=True, backend="aot_eager")
    for ours, theirs in zip(torch.autograd.grad(compiled(*inputs).sum(), wanted),
                            torch.autograd.grad(Step()(*inputs).sum(), wanted), strict=True):  # fmt: skip
        torch.testing.assert_close(ours, theirs)


def test_export_sees_through():
    states, points, displacement = made()
    exported = torch.export.export(Step(), (*states, points, displacement))
    targets = {str(node.target) for node in exported.graph.nodes}
    assert {"stvr.spline_flow.default", "stvr.warp.default"} <= targets
    other = [-state for state in states]
    torch.testing.assert_close(exported.module()(*other, points, -displacement), Step()(*other, points, -displacement))


def test_vmap_is_refused_with_the_way_out():
    states, points, displacement = made()
    with pytest.raises(NotImplementedError, match="Fold the mapped dimension into B"):
        torch.func.vmap(lambda each: spline_warp(states, points, each)[0])(displacement[None])
    flow = spline_flow(points, displacement, 7, 11)
    with pytest.raises(NotImplementedError, match="Fold the mapped dimension into B"):
        torch.func.vmap(dense_warp, in_dims=(0, None))(states[0][None], flow)


def test_points_are_constants():
    states, points, displacement = made()
    warped = spline_warp(states, points.requires_grad_(), displacement.requires_grad_())
    assert torch.autograd.grad(warped[0].sum(), points, allow_unused=True) == (None,)


def test_constants_made_in_inference_mode_serve_training_too():
    states, points, displacement = made(height=9, width=13)
    with torch.inference_mode():
        spline_warp(states, points, displacement)
    assert_equals_twin(states, points, displacement, 2e-6)


def test_destinations_off_the_menu_are_refused():
    states, points, displacement = made()
    with pytest.raises(ValueError, match="moving"):
        spline_warp(states, points, displacement, destinations="still")


@pytest.mark.parametrize("dynamic", [None, True], ids=["one size", "any size"])
def test_a_compiled_graph_has_the_constants_as_they_are(dynamic):
    """Nothing of the system is made within the graph: that would copy from the host while a CUDA graph is captured."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    compiled = torch.compile(spline_warp, backend=backend, fullgraph=True, dynamic=dynamic)
    for size in ((2, 3, 7, 11), (3, 3, 8, 9)):
        states, points, displacement = made(*size)
        for one, two in zip(compiled(states, points, displacement), spline_warp(states, points, displacement),
                            strict=True):  # fmt: skip
            torch.testing.assert_close(one, two)
    for graph in graphs:
        called = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
        assert not [name for name in called if "linalg" in name or "cartesian" in name or "arange" in name]
        (solved,) = (node for node in graph.graph.nodes if "spline_flow" in str(node.target))
        assert solved.args[2].op == "get_attr"
    assert len(graphs) >= 2


@pytest.mark.parametrize("moved", ["displacement", "state"])
def test_forward_mode_is_refused_in_words_and_not_answered_with_zeros(moved):
    (first, second), points, displacement = made(1, 2, 5, 6)

    def warped(value):
        given = ([first, second], value) if moved == "displacement" else ([value, second], displacement)
        return spline_warp(given[0], points, given[1])[0]

    start = displacement if moved == "displacement" else first
    with pytest.raises(NotImplementedError, match="forward-mode"):
        torch.func.jvp(warped, (start,), (torch.ones_like(start),))


def test_float64_has_forward_mode_from_the_twin():
    """Against a central difference."""
    (first, second), points, displacement = made(1, 2, 5, 6)
    states, start = [first.double(), second.double()], displacement.double()
    along = torch.randn_like(start)

    def warped(value):
        return spline_warp(states, points.double(), value)[0]

    _, tangent = torch.func.jvp(warped, (start,), (along,))
    step = 1e-6
    difference = (warped(start + step * along) - warped(start - step * along)) / (2 * step)
    torch.testing.assert_close(tangent, difference, atol=1e-4, rtol=1e-4)
