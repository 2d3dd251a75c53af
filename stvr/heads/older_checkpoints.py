"""Checkpoints of earlier releases, in today's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stvr.propagation import renamed as renamed_key
from stvr.store.older_stores import map_of_checkpoint

CELL_OPTIONS = {"bottleneck": "bottleneck", "lstm_form": "form", "lstm_norm": "norm"}  # of format 1 -> of a propagation
GONE = {"feature_channels", "spline_order", *CELL_OPTIONS}


def renewed(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a checkpoint of format 1 as format 2 has them."""
    spec = dict(header["spec"])
    kept = map_of_checkpoint(spec.pop("endpoint"), header["head"]["feature_channels"])
    spec["maps"] = {kept.endpoint: {"stride": kept.stride, "steps": kept.steps, "channels": kept.channels}}
    state = {renamed_key(name): tensor for name, tensor in tensors.items()}
    return state, {**header, "head": renewed_options(header["head"]), "spec": spec}


def renewed_options(head: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a checkpoint of format 1, where those of the propagation stood beside the head's own."""
    own = {name: value for name, value in head.items() if name not in GONE}
    propagation = {"name": head["propagation"]}
    if head["propagation"] != "none":
        propagation |= {name: head[old] for old, name in CELL_OPTIONS.items() if old in head}
    if head["propagation"] == "warp_lstm" and "spline_order" in head:
        propagation["order"] = head["spline_order"]
    return {**own, "propagation": propagation}
