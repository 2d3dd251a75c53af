"""The kernels on a CUDA device, against their plain twins in float64. Needs torch, triton and pytest alone:

    python -m pytest --noconftest -m gpu tests/kernels/test_cuda.py
"""

import subprocess
import sys
from functools import cache

import pytest
import torch

from stvr.kernels import crop_max, lstm_gates, spline_flow, spline_warp
from stvr.kernels.crop_max import reference as crop_reference
from stvr.kernels.lstm_gates import reference as gates_reference
from stvr.kernels.warp import dense_warp, warp_all
from stvr.kernels.warp import reference as warp_reference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none"),
]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SIZES = [(1, 40, 7, 33), (3, 24, 20, 20), (8, 1024, 20, 20)]
POINTS = torch.tensor([[0.25, 0.25], [0.25, 0.75], [0.5, 0.5], [0.75, 0.25], [0.75, 0.75]])
WARP = {torch.float32: 5e-4, torch.float16: 1e-3, torch.bfloat16: 5e-3}
CROP = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 5e-3}
GATES = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.2e-2}


@pytest.fixture(autouse=True)
def exact_products():
    """The twins are in float64, but nothing else may round on the way."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def poison():
    """Fresh memory is NaN, as far as torch can fill it."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


def last(*size):
    return torch.randn(size, device="cuda").contiguous(memory_format=torch.channels_last)


def warp_inputs(batch, channels, height, width, dtype=torch.float32, spread=0.3):
    """Two states, and a displacement for each of POINTS."""
    torch.manual_seed(0)
    states = [last(batch, channels, height, width).to(dtype) for _ in range(2)]
    return [*states, spread * torch.randn(batch, len(POINTS), 2, device="cuda")]


@cache
def points_on(height, width):
    """POINTS in cells, made once: a CUDA graph can copy nothing from the host."""
    return (POINTS * torch.tensor([height - 1.0, width - 1.0])).cuda()


def warp_ours(hidden, memory, displacement):
    return spline_warp([hidden, memory], points_on(*hidden.shape[2:]), displacement)


def warp_twin(hidden, memory, displacement):
    height, width = hidden.shape[2:]
    points = points_on(height, width).to(displacement)
    flow = warp_reference.spline_flow(points, displacement, height, width)
    return [warp_reference.dense_warp(state, flow) for state in (hidden, memory)]


def gates_inputs(batch, channels, height, width, dtype=torch.float32):
    torch.manual_seed(0)
    maps = [2 * last(batch, 4 * channels, height, width) + 0.5]
    maps += [last(batch, channels, height, width) for _ in range(2)]
    affine = [1 + 0.2 * torch.randn(4 * channels), 0.2 * torch.randn(4 * channels),
              1 + 0.2 * torch.randn(channels), 0.2 * torch.randn(channels)]  # fmt: skip
    return [part.to(dtype) for part in maps] + [part.cuda() for part in affine]


def gates_twin(*inputs):
    return gates_reference.lstm_gates(*inputs, 1.0, 1e-12)


OPERATIONS = {"warp": (warp_ours, warp_twin, warp_inputs, WARP), "gates": (lstm_gates, gates_twin, gates_inputs, GATES)}


def answers(function, inputs):
    """What comes out, and what flows back to every input from fixed slopes."""
    inputs = [part.detach().requires_grad_() for part in inputs]
    outputs = function(*inputs)
    random = torch.Generator(device="cuda").manual_seed(1)
    slopes = [torch.randn(each.shape, generator=random, device="cuda").to(each.dtype) for each in outputs]
    return [*outputs, *torch.autograd.grad(outputs, inputs, slopes)]


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_forward_and_backward_equal_the_twin(operation, dtype, size):
    ours, twin, made, tolerance = OPERATIONS[operation]
    inputs = made(*size, dtype=dtype)
    for one, two in zip(answers(ours, inputs), answers(twin, [part.double() for part in inputs]), strict=True):
        assert one.isfinite().all()
        assert (one.double() - two).norm() <= tolerance[dtype] * two.norm()


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("spread", [0.0, 30.0])
def test_displacements_of_nothing_and_off_the_map_are_finite(spread):
    for each in answers(warp_ours, warp_inputs(2, 24, 20, 20, spread=spread)):
        assert each.isfinite().all()


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_launch_gives_what_two_give(dtype):
    hidden, memory, moves = warp_inputs(3, 256, 20, 20, dtype)
    points = POINTS.cuda() * moves.new_tensor([19.0, 19.0])

    def in_two(hidden, memory, moves):
        return warp_all([hidden, memory], spline_flow(points, moves, 20, 20))

    for one, two in zip(answers(warp_ours, [hidden, memory, moves]), answers(in_two, [hidden, memory, moves]),
                        strict=True):  # fmt: skip
        assert (one.double() - two.double()).norm() <= WARP[dtype] / 10 * two.double().norm()


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("dtype", DTYPES[:2])
@pytest.mark.parametrize("size", [(1, 40, 3, 100), (1, 40, 90, 3), (2, 256, 40, 40)])
def test_maps_larger_than_are_looked_at_at_once_equal_the_twin(size, dtype):
    torch.manual_seed(0)
    image, flow = last(*size).to(dtype), 2.5 * torch.randn(size[0], *size[2:], 2, device="cuda")
    found = [answers(lambda *parts: [dense_warp(*parts)], parts)
             for parts in ([image, flow], [image.double(), flow.double()])]  # fmt: skip
    for one, two in zip(*found, strict=True):
        assert (one.double() - two).norm() <= WARP[dtype] * two.norm()


@pytest.mark.parametrize("dtype", DTYPES)
def test_at_rest_an_infinity_is_in_one_cell_before_and_after_and_so_is_its_gradient(dtype):
    """The gradient's matrix product multiplies it with zeros: 0 times infinity must not reach other cells."""
    for infinite in ("state", "gradient"):
        image, slope = last(2, 40, 7, 33).to(dtype), last(2, 40, 7, 33).to(dtype)
        (image if infinite == "state" else slope)[1, 3, 2, 30] = torch.inf
        image.requires_grad_()
        warped = dense_warp(image, torch.zeros(2, 7, 33, 2, device="cuda"))
        (back,) = torch.autograd.grad(warped, image, slope)
        assert torch.equal(warped, image)
        near = 2**-20 if dtype == torch.float32 else 0  # its matrix product is of three in TF32: 1 x is x but for a bit
        torch.testing.assert_close(back, slope, rtol=near, atol=0)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_another_batch_size_compiles_nothing_new(operation):
    """Batches below and above one border of the gates' strips; the first of each may compile."""
    from stvr.kernels.lstm_gates import kernel as gates_kernel
    from stvr.kernels.warp import kernel, spline_kernel

    def compiled():
        return sum(len(cached[0]) for module in (gates_kernel, kernel, spline_kernel)
                   for function in vars(module).values() if hasattr(function, "device_caches")
                   for cached in function.device_caches.values())  # fmt: skip

    ours, _, made, _ = OPERATIONS[operation]
    for first, more in ((2, (1, 3, 5)), (8, (7, 9))):
        answers(ours, made(first, 64, 20, 20))
        before = compiled()
        assert before > 0
        for batch in more:
            answers(ours, made(batch, 64, 20, 20))
        assert compiled() == before


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", DTYPES[:2])
def test_twice_gives_the_same_bits(operation, dtype):
    ours, _, made, _ = OPERATIONS[operation]
    inputs = made(8, 256, 20, 20, dtype=dtype)
    for one, two in zip(answers(ours, inputs), answers(ours, inputs), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_cuda_graph_replays_what_was_computed_eagerly(operation):
    ours, _, made, _ = OPERATIONS[operation]
    static = made(2, 64, 20, 20)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(side):
        ours(*static)  # compiles
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        outputs = ours(*static)
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            for part in static:
                part.add_(0.1 * torch.randn_like(part))
            expected = ours(*static)
        graph.replay()
        for one, two in zip(outputs, expected, strict=True):
            assert torch.equal(one, two)


@pytest.mark.usefixtures("poison")
def test_gates_in_bfloat16_beside_a_state_in_float32_equal_the_twin():
    """As autocast mixes them."""
    gates, *rest = gates_inputs(3, 64, 20, 20)
    inputs = [gates.bfloat16(), *rest]
    for one, two in zip(answers(lstm_gates, inputs), answers(gates_twin, [part.double() for part in inputs]),
                        strict=True):  # fmt: skip
        assert one.isfinite().all()
        assert (one.double() - two).norm() <= GATES[torch.bfloat16] * two.norm()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_cuda_graph_holds_the_backward_too(operation):
    """As benchmarks/bench_kernels.py times it."""
    ours, _, made, _ = OPERATIONS[operation]
    leaves = [part.requires_grad_() for part in made(2, 64, 20, 20)]

    def there_and_back():
        outputs = ours(*leaves)
        return torch.autograd.grad(outputs, leaves, [torch.ones_like(each) for each in outputs])

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        there_and_back()
    torch.cuda.current_stream().wait_stream(side)
    expected, graph = there_and_back(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = there_and_back()
    graph.replay()
    assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))


FRESH = """
import torch
from stvr.kernels import spline_warp
points = torch.tensor([[5.0, 5.0], [5.0, 15.0], [15.0, 10.0]], device="cuda")
states = [torch.randn(2, 64, 20, 20, device="cuda") for _ in range(2)]
compiled = torch.compile(spline_warp, mode="reduce-overhead", fullgraph=True)
with torch.no_grad():
    for seed in range(4):
        moves = 0.3 * torch.randn(2, 3, 2, device="cuda", generator=torch.Generator("cuda").manual_seed(seed))
        found = [each.clone() for each in compiled(states, points, moves)]
        for one, two in zip(found, spline_warp(states, points, moves), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
"""


def test_the_first_call_of_a_fresh_process_may_be_compiled_with_cuda_graphs():
    run = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("operation", OPERATIONS)
def test_torch_compile_sees_one_graph(operation):
    ours, _, made, _ = OPERATIONS[operation]
    inputs = made(2, 64, 20, 20)
    compiled = torch.compile(ours, fullgraph=True)
    for one, two in zip(answers(compiled, inputs), answers(ours, inputs), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def crop_inputs(num_maps, channels, height, width, dtype=torch.float32, owned=False):
    """Maps, 16 boxes for each, and which map each belongs to: None, or any order, and the last map without a box."""
    torch.manual_seed(0)
    maps = torch.randn(num_maps, height, width, channels, device="cuda").to(dtype)
    low = torch.rand(16 * num_maps, 2, device="cuda") - 0.2
    boxes = torch.cat([low, low + 0.6 * torch.rand_like(low)], -1)
    boxes[0], boxes[1] = boxes[1].flip(0), 0.0
    return maps, boxes, torch.randint(0, max(1, num_maps - 1), (len(boxes),), device="cuda") if owned else None


def crop_answers(function, maps, boxes, owners):
    maps = maps.detach().requires_grad_()
    regions = function(maps, boxes, owners)
    random = torch.Generator(device="cuda").manual_seed(1)
    slopes = torch.randn(regions.shape, generator=random, device="cuda").to(maps.dtype).to(regions.dtype)
    return [regions, *torch.autograd.grad(regions, maps, slopes)]


def crop_twin(maps, boxes, owners):
    if owners is None:
        owners = torch.arange(len(maps), device="cuda").repeat_interleave(16)
    return crop_reference.crop_max(maps, boxes, owners)


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*SIZES, (2, 1030, 1, 5), (5, 7, 9, 1)])
def test_regions_and_their_gradient_equal_the_twin(size, dtype, owned):
    maps, boxes, owners = crop_inputs(*size, dtype=dtype, owned=owned)
    ours = crop_answers(crop_max, maps, boxes, owners)
    exact = crop_answers(crop_twin, maps.double(), boxes.double(), owners)
    rounded = max(CROP[dtype], 1e-3)  # the gradient of a few bins, whose samples are all but equal, goes elsewhere
    for one, two, tolerance in zip(ours, exact, (CROP[dtype], rounded), strict=True):
        assert one.isfinite().all()
        assert one.dtype == dtype
        assert (one.double() - two).norm() <= tolerance * two.norm()


@pytest.mark.parametrize("owned", [False, True])
def test_regions_twice_give_the_same_bits_and_compile_to_one_graph(owned):
    inputs = crop_inputs(8, 256, 20, 20, owned=owned)
    first = crop_answers(crop_max, *inputs)
    for again in (crop_max, torch.compile(crop_max, fullgraph=True)):
        for one, two in zip(first, crop_answers(again, *inputs), strict=True):
            assert torch.equal(one, two)


@pytest.mark.usefixtures("poison")
def test_no_boxes_give_no_regions_and_owners_off_the_maps_zeros():
    maps, boxes, _ = crop_inputs(2, 24, 20, 20)
    assert crop_answers(crop_max, maps, boxes[:0], None)[1].abs().max() == 0
    owners = torch.full((len(boxes),), 2, device="cuda")
    owners[0] = -1
    for each in crop_answers(crop_max, maps, boxes, owners):
        assert (each == 0).all()
