"""Save a head with all that rebuilds it; load it back; read the authors' variables. Nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stvr.config import fill
from stvr.files import whole
from stvr.heads import HeadOptions, MatchingHead, build_head
from stvr.heads.authors import EndToEnd, from_tensorflow
from stvr.store import FeatureSpec
from stvr.version import __version__

__all__ = ["Checkpoint", "EndToEnd", "from_tensorflow", "load_head", "read_tensors", "save_head", "weights_beside",
           "write_tensors"]

FORMAT = 1
HEAD_FILE, BACKBONE_FILE = "head.safetensors", "backbone.safetensors"  # in the folder of a run; the latter finetuned


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A head in eval mode, its parts, the features it reads, and what made it (config, versions, digests)."""

    head: MatchingHead
    options: HeadOptions
    spec: FeatureSpec
    provenance: Mapping[str, Any]


def save_head(
    path: Path, head: MatchingHead, options: HeadOptions, spec: FeatureSpec, provenance: Mapping[str, Any]
) -> None:
    """Writes all at once or not at all."""
    header = {"format": FORMAT, "head": options.model_dump(), "spec": spec.to_json(), "provenance": dict(provenance)}
    write_tensors(path, head.state_dict(), header)


def load_head(path: Path | str, device: str | torch.device = "cpu") -> Checkpoint:
    """Reads a checkpoint, or the newest head of a run's folder. Raises ValueError when it is none."""
    path = Path(path)
    tensors, header = read_tensors(path / HEAD_FILE if path.is_dir() else path)
    if header.get("format") != FORMAT or "head" not in header:
        raise ValueError(f"{path} holds no head of format {FORMAT}. Make one with `stvr train`.")
    try:
        options, spec = fill(HeadOptions, header["head"]), FeatureSpec.from_json(header["spec"])
        head = build_head(options)
        head.load_state_dict(tensors)
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{path} holds no head that stvr {__version__} can build: {error}") from None
    return Checkpoint(head.eval().to(device), options, spec, header.get("provenance", {}))


def weights_beside(path: Path | str, spec: FeatureSpec, given: Path | None) -> Path | None:
    """The backbone's weights that were given, or else those that a finetuned run keeps beside its head."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    own = folder / BACKBONE_FILE
    return own if given is None and spec.weights == BACKBONE_FILE and own.is_file() else given


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Tensors and a JSON header in one safetensors file, put in place by a rename."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole(path) as partial:
        save_file(ready, partial, metadata={"stvr": json.dumps(header)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the JSON header of a file of `write_tensors`."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such checkpoint. Make one with `stvr train`.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("stvr", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, dict(header)  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: wanted a safetensors file of stvr; {error}") from None
