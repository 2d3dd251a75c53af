"""I3D's variables as Flax keeps them: a pickle of nested dicts of numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from stvr.backbones.weights.load import State, from_tensorflow
from stvr.plain_pickle import load_plain

LEAVES = {  # collection, the end of a name there: TensorFlow's
    ("params", "Conv_0/kernel"): "conv_3d/w",
    ("params", "Conv_0/bias"): "conv_3d/b",
    ("params", "BatchNorm_0/bias"): "batch_norm/beta",
    ("batch_stats", "BatchNorm_0/mean"): "batch_norm/moving_mean",
    ("batch_stats", "BatchNorm_0/var"): "batch_norm/moving_variance",
}


def read_flax(file: BinaryIO) -> State:
    """{"params": {layer: {"Conv_0": {"kernel": [kT, kH, kW, in, out]}}}, "batch_stats": ...} -> a state for I3D.

    Raises ValueError in one line for a file of anything else.
    """
    try:
        variables = load_plain(file)
    except OSError:
        raise
    except Exception as error:  # on a broken file pickle may raise anything
        raise ValueError(f"wanted a pickle of numpy arrays, got something else ({error}).") from None
    return from_tensorflow({in_tensorflow(name): value for name, value in arrays(variables)})


def arrays(values: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array in nested dicts, by the keys on the way to it, joined by "/"."""
    if isinstance(values, np.ndarray):
        yield name, values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            yield from arrays(value, f"{name}/{key}" if name else str(key))
    else:
        raise ValueError(f"wanted arrays alone, got {type(values).__name__} at {name!r}.")


def in_tensorflow(name: str) -> str:
    """`params/Mixed_3b/Branch_1/Conv3d_0b_3x3/Conv_0/kernel` -> `Mixed_3b/Branch_1/Conv3d_0b_3x3/conv_3d/w`."""
    collection, _, rest = name.partition("/")
    layer, *leaf = rest.rsplit("/", 2)
    ours = LEAVES.get((collection, "/".join(leaf)))
    if ours is None:
        raise ValueError(f"{name!r} is not a variable of I3D.")
    return f"{layer}/{ours}"
