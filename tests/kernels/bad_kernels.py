"""Kernels with one fault each, on which test_compiling.py tries scripts/compile_kernels.py."""

# mypy: disable-error-code="no-untyped-def"
import triton
import triton.language as tl

from stvr.kernels.compiling import CompileCase


@triton.jit
def sound(x_ptr, SIZE: tl.constexpr):
    place = tl.arange(0, SIZE)
    tl.store(x_ptr + place, 2.0 * tl.load(x_ptr + place))


@triton.jit
def spilling(x_ptr, SIZE: tl.constexpr):
    """Far more numbers alive at once than a thread has registers."""
    place = tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)[None, :]
    x = tl.load(x_ptr + place)
    total = x / tl.sum(tl.sum(x, axis=1), axis=0)
    tl.store(x_ptr + place, total + x * tl.max(tl.max(total, axis=1), axis=0))


@triton.jit
def racing(x_ptr, SIZE: tl.constexpr):
    tl.atomic_add(x_ptr + tl.arange(0, SIZE) % 7, 1.0)


@triton.jit
def broken(x_ptr, SIZE: tl.constexpr):
    tl.store(x_ptr + tl.arange(0, SIZE), tl.arange(0, 2 * SIZE))


@triton.jit
def forgotten(x_ptr):
    tl.store(x_ptr, 1.0)


def compile_cases(backend: str) -> list[CompileCase]:
    sizes = {sound: 1024, spilling: 256, racing: 1024, broken: 1024}
    return [CompileCase("", kernel, {"x_ptr": "*fp32"}, {"SIZE": size}) for kernel, size in sizes.items()]
