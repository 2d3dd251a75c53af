"""Weights of I3D: read from any form, checked by name and shape, saved, digested."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from stvr.backbones.analytic import analytic_value
from stvr.backbones.i3d import I3D, NUM_CLASSES
from stvr.backbones.weights.strangers import asked_for, network_of, state_in, stranger, without_prefix
from stvr.backbones.weights.tensorflow import is_checkpoint, read_checkpoint, read_index
from stvr.files import write_bytes

State = dict[str, Tensor]

COUNTER = "num_batches_tracked"  # for training only: may be absent, and is not part of a digest
SLOT = "/Momentum"  # for TensorFlow's training only
SHOWN = 4  # how many names of each kind an error shows

BRANCHES = {  # the part of a name between layer and leaf: TensorFlow's, ours
    None: (),
    "Conv3d_0c_1x1": (),  # in Logits
    "Branch_0/Conv3d_0a_1x1": ("b0",),
    "Branch_1/Conv3d_0a_1x1": ("b1a",),
    "Branch_1/Conv3d_0b_3x3": ("b1b",),
    "Branch_2/Conv3d_0a_1x1": ("b2a",),
    "Branch_2/Conv3d_0b_3x3": ("b2b",),
    "Branch_2/Conv3d_0a_3x3": ("b2b",),  # its name in Mixed_5b only
    "Branch_3/Conv3d_0b_1x1": ("b3b",),
}
LEAVES = {
    "conv_3d/w": "conv3d.weight",
    "conv_3d/b": "conv3d.bias",
    "batch_norm/beta": "bn.bias",
    "batch_norm/moving_mean": "bn.running_mean",
    "batch_norm/moving_variance": "bn.running_var",
}
TENSORFLOW_NAME = re.compile(
    r"(?:.*?/)?(?P<layer>Conv3d_[12]\w_\dx\d|Mixed_\w+|Logits)"
    r"(?:/(?P<branch>(?:Branch_\d/)?Conv3d_0\w_\dx\d))?/(?P<leaf>\w+/\w+)"
)


def load_weights(model: I3D, path: Path) -> None:
    """Fills `model` from any form that `read_state` takes. Code in a file is never run.

    The file may hold more of I3D than `model` does, and batch counters may be absent. Raises FileNotFoundError, or
    ValueError in one line: that it is not such a file, or which names are missing, left over or of another shape.
    """
    load_state(model, read_state(path), str(path))


def load_state(model: I3D, state: Mapping[str, Tensor], source: str = "the given state") -> None:
    """Fills `model`, after the check that `load_weights` promises; `source` is named in its error."""
    misfits = compare(state, model)
    if misfits["left over"] and (whose := network_of(misfits["left over"])):
        raise ValueError(f"{source}: wanted the weights of I3D up to {model.endpoint}, got those of {whose}.")
    if any(misfits.values()):
        details = "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in misfits.items() if names)
        raise ValueError(f"{source}: wanted the weights of I3D up to {model.endpoint}, got {details}. "
                         "Give weights of that network, or an endpoint that they reach.")
    model.load_state_dict({name: state.get(name, value) for name, value in model.state_dict().items()})


def compare(state: Mapping[str, Tensor], model: I3D) -> dict[str, list[str]]:
    """Names of `state` that do not fit `model`: "missing", "left over" (in no layer of I3D), "of another shape"."""
    needed = model.state_dict()
    with torch.device("meta"):
        whole = I3D("Logits", model.in_channels, model.num_classes).state_dict()
    return {
        "missing": [name for name in needed if name not in state and not name.endswith(COUNTER)],
        "left over": [name for name in state if name not in whole],
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(needed[name].shape)}"
            for name in needed
            if name in state and state[name].shape != needed[name].shape
        ],
    }


def sizes(state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Input channels of the first layer in `state`, classes of its last; the published numbers for an absent layer."""
    first, last = state.get("Conv3d_1a_7x7.conv3d.weight"), state.get("logits.conv3d.bias")
    return (first.shape[1] if first is not None and first.ndim == 5 else 3,
            len(last) if last is not None and last.ndim == 1 else NUM_CLASSES)


def read_state(path: Path) -> State:
    """Every tensor of a weights file, by our names (those of the PyTorch layout, rgb_imagenet.pt).

    path: our safetensors, a PyTorch state dict, alone or in a training checkpoint, or a checkpoint of TensorFlow (its
    prefix, its .index, its folder). What wrappers put before every name ("module.") is dropped.
    """
    path = Path(path)
    if is_checkpoint(path):
        return read_tensorflow(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: wanted a file of weights, but there is none. Check the path.")
    if what := stranger(path):
        raise ValueError(f"{path}: wanted a file of weights, but this one is {what}.")
    try:
        if path.suffix == ".safetensors":
            return without_prefix(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # on a broken file the readers may raise anything
        if name := asked_for(error):
            raise ValueError(f"{path}: wanted a PyTorch file with nothing but tensors, but it asks for {name}, which "
                             "would run a program. Save `model.state_dict()` alone and give that file.") from None
        raise ValueError(f"{path}: wanted .safetensors or a PyTorch file with nothing but tensors, got something else "
                         f"({type(error).__name__}). Give such a file, or TensorFlow's .index.") from None
    state = state_in(content)
    if state is None:
        raise ValueError(f"{path}: wanted a state dict, a flat dict of names and tensors, got something else. "
                         "Save `model.state_dict()` and give that file.")
    return state


def read_tensorflow(path: Path) -> State:
    """A TensorFlow checkpoint under our names; its momentum is not read."""
    try:
        return from_tensorflow(read_checkpoint(path, [name for name in read_index(path) if not name.endswith(SLOT)]))
    except NotOurs as error:
        raise ValueError(f"{path}: {error}") from None


class NotOurs(ValueError):
    """Variables that do not belong to one I3D."""


def read_config(path: Path) -> dict[str, str | int]:
    """What our safetensors file says about itself: backbone, endpoint, in_channels, num_classes, digest."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except SafetensorError:
        raise ValueError(f"{path}: wanted a .safetensors file, got something else.") from None
    if "stvr" not in header:
        raise ValueError(f"{path}: wanted weights saved by stvr, got safetensors of another program. "
                         "Run `stvr weights convert` on it.")
    config: dict[str, str | int] = json.loads(header["stvr"])
    return config


def save_weights(model: I3D, path: Path) -> None:
    """Writes safetensors whose header carries what `read_config` gives; the file appears whole or not at all."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    config = {"backbone": "i3d", "endpoint": model.endpoint, "in_channels": model.in_channels,
              "num_classes": model.num_classes, "digest": digest(state)}
    write_bytes(path, save(state, metadata={"stvr": json.dumps(config)}))


def digest(state: Mapping[str, Tensor]) -> str:
    """"sha256:..." over name, dtype, shape and values of each tensor in sorted order, batch counters aside.

    Give it a model's state: then only tensors used up to its endpoint count, whatever file they came from. Zeros count
    alike, whatever their sign, which does not change what a network computes and may depend on the machine.
    """
    total = hashlib.sha256()
    for name in sorted(state):
        if not name.endswith(COUNTER):
            value = with_settled_zeros(name, state[name].detach().cpu()).contiguous()
            total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            total.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return f"sha256:{total.hexdigest()}"


def with_settled_zeros(name: str, value: Tensor) -> Tensor:
    """`value` with a fixed sign for every zero: plus, except in the first layer of the analytic weights.

    Digests were once of bytes, and that layer has always had zeros of both signs. Its zeros keep the signs they had
    then, so that the digests in older stores and checkpoints still hold, also after finetuning behind that layer.
    """
    if name == "Conv3d_1a_7x7.conv3d.weight":
        analytic = analytic_value(name, tuple(value.shape)).to(value.dtype)
        if torch.equal(value, analytic):
            return analytic
    return value + 0 if value.is_floating_point() else value


def from_tensorflow(variables: Mapping[str, np.ndarray]) -> State:
    """I3D's variables under the names TensorFlow gave them -> a state for `load_state`.

    Any prefix is dropped (`RGB/inception_i3d/`, none, or the released detector's). Convolutions are
    [kT, kH, kW, in, out], batch norms [C] or [1, 1, 1, 1, C] without a gain; momentum slots are skipped.
    Raises ValueError when a name is not part of I3D or two names mean the same tensor.
    """
    state: State = {}
    for name, value in variables.items():
        if name.endswith(SLOT):
            continue
        ours = translated(name)
        if ours in state:
            raise NotOurs(f"{name!r}: {ours} is there twice. Give the variables of one network, RGB or Flow.")
        tensor = torch.from_numpy(np.ascontiguousarray(value, np.float32))
        is_filter = ours.endswith("conv3d.weight") and tensor.ndim == 5  # else it is left for the check of shapes
        state[ours] = tensor.permute(4, 3, 0, 1, 2).contiguous() if is_filter else tensor.flatten()
        if ours.endswith("bn.bias"):
            state[ours.replace("bn.bias", "bn.weight")] = torch.ones(tensor.numel())
            state[ours.replace("bn.bias", f"bn.{COUNTER}")] = torch.tensor(0)
    return state


def translated(name: str) -> str:
    """`RGB/inception_i3d/Mixed_3b/Branch_1/Conv3d_0b_3x3/conv_3d/w` -> `Mixed_3b.b1b.conv3d.weight`."""
    match = TENSORFLOW_NAME.fullmatch(name)
    if match is None or match["branch"] not in BRANCHES or match["leaf"] not in LEAVES:
        raise NotOurs(f"{name!r} is not a variable of I3D. Leave out what belongs to other networks.")
    layer = "logits" if match["layer"] == "Logits" else match["layer"]
    return ".".join((layer, *BRANCHES[match["branch"]], LEAVES[match["leaf"]]))


def listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
