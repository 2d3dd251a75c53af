"""Hand-written operations, each defined by a plain twin; imports torch and triton alone."""

from .crop_max import crop_max
from .lstm_gates import lstm_gates
from .warp import spline_flow, spline_warp

__all__ = ["crop_max", "lstm_gates", "spline_flow", "spline_warp"]
