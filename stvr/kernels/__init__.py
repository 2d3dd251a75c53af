"""Hand-written operations, each defined by a plain twin; imports torch and triton alone."""

from stvr.kernels.warp import spline_flow, spline_warp

__all__ = ["spline_flow", "spline_warp"]
