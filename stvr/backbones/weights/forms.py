"""Recognise, check and describe weights of I3D in any form, and convert them to our safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stvr.backbones.i3d import I3D
from stvr.backbones.weights.load import COUNTER, compare, digest, listed, load_state, read_state, save_weights, sizes
from stvr.backbones.weights.named import weights_file
from stvr.backbones.weights.strangers import network_of, not_numbers
from stvr.backbones.weights.tensorflow import is_checkpoint, read_index

DIGESTED = ("Mixed_4c", "Mixed_4f", "Mixed_5c", "Logits")  # endpoints that features are usually taken from


def convert(source: Path | str, out: Path, endpoint: str = "Logits") -> dict[str, Any]:
    """Writes the weights of I3D up to `endpoint` in `source` to `out` (.safetensors); returns `describe_weights(out)`.

    source: a name of the table, or what `read_state` takes. Raises FileNotFoundError; LookupError for an unknown
    endpoint; ValueError that counts and names the variables that are missing, left over or of another shape.
    """
    source = given_file(source)
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: wanted a file name that ends in .safetensors. Rename --out.")
    if out.resolve() == source.resolve():
        raise ValueError(f"{out} is the source itself. Give another file with --out.")
    state = read_state(source)
    if broken := not_numbers(state):
        raise ValueError(f"{source}: {len(broken)} tensors hold values that are no numbers: {listed(broken)}. They "
                         "come from a training that failed; give other weights.")
    model = I3D(endpoint, *sizes(state))
    load_state(model, state, str(source))
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(model, out)
    return describe_weights(out)


def describe_weights(path: Path | str) -> dict[str, Any]:
    """What a file of weights holds, as JSON values.

    variables: tensors in the file. parameters: learned numbers among them (no statistics, no momentum).
    digests: of the network cut at each usual endpoint that the file reaches, as in a store made with it.
    misfits: every name that does not fit the whole of I3D, by kind. Raises ValueError for a file with nothing of I3D.
    """
    path = given_file(path)
    state = read_state(path)
    in_channels, num_classes = sizes(state)
    with torch.device("meta"):
        whole = I3D("Logits", in_channels, num_classes)
        cuts = [I3D(endpoint, in_channels, num_classes) for endpoint in DIGESTED]
    if not any(name in state for name in whole.state_dict()):
        whose = network_of(state) or "another network"
        raise ValueError(f"{path}: wanted weights of I3D, got {len(state)} tensors of {whose}. Give a file of I3D.")
    learned = [name for name, value in whole.named_parameters() if value.requires_grad]
    return {
        "kind": "weights",
        "form": form(path),
        "variables": len(read_index(path)) if is_checkpoint(path) else len(state),
        "parameters": sum(state[name].numel() for name in learned if name in state),
        "classes": num_classes if "logits.conv3d.bias" in state else None,
        "in_channels": in_channels,
        "digests": {cut.endpoint: digest_of(state, cut) for cut in cuts if fits(state, cut)},
        "misfits": {kind: names for kind, names in compare(state, whole).items() if names},
    }


def given_file(given: Path | str) -> Path:
    """The file that a name of the table or a path means. LookupError for the analytic ones, which have no file."""
    if (file := weights_file(given)) is None:
        raise LookupError("the analytic weights are made by code and lie in no file. Give a file, or a name of "
                          "`stvr weights list`.")
    return file


def form(path: Path) -> str:
    if is_checkpoint(path):
        return "tensorflow"
    return "safetensors" if path.suffix == ".safetensors" else "pytorch"


def fits(state: Mapping[str, Tensor], model: I3D) -> bool:
    misfits = compare(state, model)
    return not misfits["missing"] and not misfits["of another shape"]


def digest_of(state: Mapping[str, Tensor], model: I3D) -> str:
    """The digest that `model` has once it is filled, whatever the precision of the file."""
    return digest({name: state[name].to(value.dtype) for name, value in model.state_dict().items()
                   if not name.endswith(COUNTER)})  # fmt: skip
