"""Hand-written operations, each defined by a plain twin; imports torch and triton alone."""

from .lstm_gates import lstm_gates
from .warp import spline_flow, spline_warp

__all__ = ["lstm_gates", "spline_flow", "spline_warp"]
