"""Weights for I3D computed by code: a pyramid of motion and edge energy, for use without trained weights.

Half of the first layer takes time differences of blurred blobs, half takes differences between neighbouring places of
one frame, each plus and minus; the second layer adds the two signs, which leaves |dI/dt| and |dI/dx|; every later layer
passes one input on, shifted by a cell or averaged over nine. Batch norm is the identity and the logits are zero. The
bytes are the same on every machine and every version of torch and numpy.

Motion tells actions apart; edges show the outline of a body that stands still. Measured on the action world: the same
proposal network found 76 % of unseen actors with its first 8 boxes (IoU 0.5), and 37 % when it saw motion alone.

Half of the motion detectors compare frames 2t and 2t + 1, half 2t + 1 and 2t + 2. The latter see the padding after a
clip's last frame, so a still scene is not quite dark there. Features without them were no better.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from stvr.backbones.i3d import EPSILON, I3D

MOTION = [  # position and sigma of a blob in pixels, and the first of the two frames, among the kernel's seven
    (x, y, sigma, frame) for frame in (2, 3) for sigma in (0.7, 1.3) for y in (-0.8, 0.8) for x in (-0.8, 0.8)
]
EDGES = [  # direction across the edge, half the distance between the two blobs in pixels, their sigma in pixels
    (x, y, reach, sigma)
    for reach in (1.0, 1.8)
    for sigma in (0.7, 1.3)
    for x, y in ((1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7))
]
MOTION_GAIN, EDGE_GAIN = 6.0, 2.0
GRID = 2.0**16  # weights are rounded to it: exp() may differ in the last bit between machines, a digest must not
ZEROS = {0: "-+---+-", 2: "-+---+-", 6: "-------"}  # by edge and row: the signs exp() gave on the first machine


def analytic_state(model: I3D) -> dict[str, Tensor]:
    """A state for `model`, under the names of its own. RGB only: all three colours count alike."""
    return {name: analytic_value(name, tuple(value.shape)) for name, value in model.state_dict().items()}


def analytic_value(name: str, shape: tuple[int, ...]) -> Tensor:
    layer, _, leaf = name.rpartition(".conv3d.")
    if leaf == "weight" and layer != "logits":
        return torch.from_numpy(unit_weight(layer, shape))
    if name.endswith("bn.weight"):
        return torch.ones(shape)
    if name.endswith("bn.running_var"):
        return torch.full(shape, 1 - EPSILON)
    return torch.zeros(shape)


def unit_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weight [out, in, kT, kH, kW] of the layer `name`, float32."""
    if name == "Conv3d_1a_7x7":
        return differences(shape)
    if name == "Conv3d_2b_1x1":
        return sums_of_signs(shape)
    return selections(name, shape)


def differences(shape: tuple[int, ...]) -> np.ndarray:
    """Even outputs answer to one sign and odd ones to the other; the first half to motion, the second to edges."""
    weight = np.zeros(shape, np.float32)
    for output in range(shape[0]):
        number, sign = output // 2, 1 if output % 2 else -1
        if number < len(MOTION):
            x, y, sigma, frame = MOTION[number]
            part = sign * MOTION_GAIN * blob(x, y, sigma)
            weight[output, :, frame], weight[output, :, frame + 1] = -part, part
        else:
            weight[output, :, shape[2] // 2] = sign * EDGE_GAIN * ends(number - len(MOTION))
    return np.round(weight * GRID) / GRID


def ends(number: int) -> np.ndarray:
    """The blob at one end of an edge minus the blob at the other, (7, 7).

    On the axis between them they cancel. exp() leaves tiny remainders there, which round to zeros with a sign that
    depends on the machine; here the sign is fixed.
    """
    x, y, reach, sigma = EDGES[number]
    values = blob(reach * x, reach * y, sigma) - blob(-reach * x, -reach * y, sigma)
    rows, columns = np.mgrid[-3:4, -3:4]
    signs = [float(f"{sign}1") for sign in ZEROS.get(number, "+++++++")]
    zeros = np.copysign(0.0, signs)[:, None]  # one for each row
    return np.where(x * columns + y * rows == 0, zeros, values)


def blob(x: float, y: float, sigma: float) -> np.ndarray:
    """A Gaussian around (x, y) pixels off the middle, (7, 7), summing to one."""
    rows, columns = np.mgrid[-3:4, -3:4]
    values = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return values / values.sum()


def sums_of_signs(shape: tuple[int, ...]) -> np.ndarray:
    """relu(d) + relu(-d) = |d|: outputs 2k and 2k + 1 both read inputs 2k and 2k + 1."""
    outputs, inputs = np.indices(shape[:2])
    return (outputs // 2 == inputs // 2).astype(np.float32).reshape(shape)


def selections(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Each output passes on one input, in an order drawn from the layer's name.

    A 3 x 3 x 3 kernel shifts it, and every third one averages it. From Mixed_4b on, where a cell is 16 pixels wide,
    nothing is shifted or averaged any more.
    """
    draw = np.random.RandomState(zlib.crc32(name.encode()))  # a frozen stream, unlike default_rng
    order = draw.permutation(shape[1])
    weight = np.zeros(shape, np.float32)
    for output in range(shape[0]):
        row, column = draw.randint(3, size=2)
        kernel = weight[output, order[output % shape[1]], shape[2] // 2]  # (kH, kW), a view
        if shape[-1] == 1 or name.startswith(("Mixed_4", "Mixed_5")):
            kernel[shape[-2] // 2, shape[-1] // 2] = 1
        elif output % 3 == 2:
            kernel[:] = 1 / 9
        else:
            kernel[row, column] = 1
    return weight
