"""The rivals: TensorFlow's warp and the authors' cell, ported line by line as a user would write them in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stvr.propagation.aligners import control_points
from stvr.propagation.cell import Cell, LSTMState

BOUNDARY = (0.0, 0.25, 0.5, 0.75, 1.0)


def sparse_image_warp(image: Tensor, points: Tensor, displacement: Tensor) -> Tensor:
    """tfa.image.sparse_image_warp, order 2, 4 boundary points an edge: image (B, H, W, C), displacement (B, 9, 2)."""
    batch, height, width, _ = image.shape
    edge = [(y * (height - 1), x * (width - 1)) for y in BOUNDARY for x in BOUNDARY if {y, x} & {0.0, 1.0}]
    border = displacement.new_tensor(edge).expand(batch, -1, 2)
    train = torch.cat([points + displacement, border], 1)
    values = torch.cat([displacement, torch.zeros_like(border)], 1)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=image.device), torch.arange(width, device=image.device), indexing="ij"
    )
    grid = torch.stack([rows, columns], -1).reshape(1, -1, 2).to(displacement).expand(batch, -1, 2)
    flow = interpolate_spline(train, values, grid).reshape(batch, height, width, 2)
    return dense_image_warp(image, flow)


def interpolate_spline(train: Tensor, values: Tensor, query: Tensor) -> Tensor:
    def phi(left: Tensor, right: Tensor) -> Tensor:
        squared = (left[:, :, None] - right[:, None]).square().sum(-1)
        return 0.5 * squared * squared.clamp_min(1e-10).log()

    with_one = torch.cat([train, torch.ones_like(train[..., :1])], -1)
    top = torch.cat([phi(train, train), with_one], 2)
    bottom = torch.cat([with_one.mT, train.new_zeros(len(train), 3, 3)], 2)
    right = torch.cat([values, values.new_zeros(len(values), 3, 2)], 1)
    solved = torch.linalg.solve(torch.cat([top, bottom], 1), right)
    terms = torch.cat([phi(query, train), query, torch.ones_like(query[..., :1])], -1)
    return (terms[..., None] * solved[:, None]).sum(2)  # a product on units that round to TF32 errs by whole cells


def dense_image_warp(image: Tensor, flow: Tensor) -> Tensor:
    batch, height, width, channels = image.shape
    rows = torch.arange(height, device=image.device).to(flow)[:, None] - flow[..., 0]
    columns = torch.arange(width, device=image.device).to(flow) - flow[..., 1]
    top, left = rows.floor().clamp(0, height - 2), columns.floor().clamp(0, width - 2)
    down, right = ((rows - top).clamp(0, 1)[..., None], (columns - left).clamp(0, 1)[..., None])
    down, right = down.to(image), right.to(image)
    flat = image.reshape(batch * height * width, channels)
    start = torch.arange(batch, device=image.device)[:, None, None] * height * width
    index = start + top.long() * width + left.long()
    corners = [flat[index + step] for step in (0, 1, width, width + 1)]
    above = corners[0] + right * (corners[1] - corners[0])
    below = corners[2] + right * (corners[3] - corners[2])
    return above + down * (below - above)


def layer_norm(values: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """tf.contrib.layers.layer_norm: over H, W and C, gain and bias for every channel."""
    mean = values.mean((1, 2, 3), keepdim=True)
    variance = (values - mean).square().mean((1, 2, 3), keepdim=True)
    return (values - mean) * torch.rsqrt(variance + 1e-12) * gain + bias


def gates_port(
    gates: Tensor, memory: Tensor, x: Tensor, gate_gain: Tensor, gate_bias: Tensor, memory_gain: Tensor,
    memory_bias: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """conv_lstm_cell.py after its convolutions; maps (B, C, H, W), computed as (B, H, W, C)."""
    parts = zip(*(each.chunk(4, -1) for each in (gates.permute(0, 2, 3, 1), gate_gain, gate_bias)), strict=True)
    input_gate, candidate, forget_gate, output_gate = (layer_norm(*part).to(x.dtype) for part in parts)
    new = torch.sigmoid(forget_gate + 1.0) * memory.permute(0, 2, 3, 1) + torch.sigmoid(input_gate) * candidate.tanh()
    new = layer_norm(new, memory_gain, memory_bias).to(x.dtype)
    hidden = torch.tanh(new) * torch.sigmoid(output_gate) + x.permute(0, 2, 3, 1)
    return hidden.permute(0, 3, 1, 2), new.permute(0, 3, 1, 2)


class PortedCell(nn.Module):
    """conv_lstm_cell.py, a step at a time, with the parameters of a Warp LSTM cell."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        offsets, gates = self.cell.aligner.offsets, self.cell.gates
        hidden, memory = state or (torch.zeros_like(x), torch.zeros_like(x))
        points = control_points(*x.shape[-2:]).to(x.device)
        both = torch.cat([x, hidden], 1)
        depthwise = F.conv2d(both, offsets.depthwise[:, None, None, None], groups=both.shape[1])
        moves = F.conv2d(depthwise, offsets.pointwise.weight[:, :, None, None], offsets.pointwise.bias)
        rows, columns = points.long().unbind(1)
        moves = moves[:, :, rows, columns].mT.float()
        hidden, memory = (
            sparse_image_warp(each.permute(0, 2, 3, 1), points, moves).permute(0, 3, 1, 2) for each in (hidden, memory)
        )
        opened = gates.expand(gates.pointwise(gates.depthwise(torch.cat([x, hidden], 1))))
        norms = (gates.gate_norm.weight, gates.gate_norm.bias, gates.memory_norm.weight, gates.memory_norm.bias)
        hidden, memory = gates_port(opened, memory, x, *norms)
        return hidden, LSTMState(hidden, memory)
