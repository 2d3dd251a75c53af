"""The recurrent entries of the menu: their options, and which aligner and gates make each cell."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stvr.config import Options
from stvr.propagation.aligners import NUM_LINKS, FlowAligner, SplineAligner, TrajectoryAligner
from stvr.propagation.cell import Cell, Gates
from stvr.propagation.gates import BottleneckGates, PlainGates
from stvr.propagation.propagation import PropagationEntry
from stvr.propagation.recurrent import Recurrent

BOTTLENECK = 128  # the program's, of 1024 channels


class LSTMOptions(Options):
    """Options of the gates: the program's "program", or "plain", the paper's equation 1, which has none of the others.

    bottleneck: None is 128, or the number of channels where that is smaller.
    """

    form: Literal["program", "plain"] = "program"
    bottleneck: int | None = Field(default=None, ge=1)
    norm: Literal["layer", "none"] = "layer"
    forget_bias: float = 1.0


class WarpLSTMOptions(LSTMOptions):
    """order: of the polyharmonic spline; the paper tries 1 and 2."""

    order: int = Field(default=2, ge=1)


class TrajLSTMOptions(LSTMOptions):
    """num_links: the flows that the state is read along."""

    num_links: int = Field(default=NUM_LINKS, ge=1)


def conv_lstm(channels: int, options: LSTMOptions) -> Recurrent:
    return Recurrent(Cell(None, build_gates(channels, options)))


def flow_lstm(channels: int, options: LSTMOptions) -> Recurrent:
    return Recurrent(Cell(FlowAligner(), build_gates(channels, options)))


def traj_lstm(channels: int, options: TrajLSTMOptions) -> Recurrent:
    gates = build_gates(channels, options)  # drawn first, so that a seed gives the weights that it always gave
    return Recurrent(Cell(TrajectoryAligner(channels, num_links=options.num_links), gates))


def warp_lstm(channels: int, options: WarpLSTMOptions) -> Recurrent:
    return Recurrent(Cell(SplineAligner(channels, order=options.order), build_gates(channels, options)))


def build_gates(channels: int, options: LSTMOptions) -> Gates:
    if options.form == "plain":
        return PlainGates(channels, channels)
    bottleneck = options.bottleneck or min(BOTTLENECK, channels)
    return BottleneckGates(channels, bottleneck=bottleneck, norm=options.norm, forget_bias=options.forget_bias)


CONV_LSTM = PropagationEntry(LSTMOptions, conv_lstm)
FLOW = PropagationEntry(LSTMOptions, flow_lstm, needs_flow=True)
TRAJ_LSTM = PropagationEntry(TrajLSTMOptions, traj_lstm)
WARP_LSTM = PropagationEntry(WarpLSTMOptions, warp_lstm)
