"""Save a head with all that rebuilds it; load it back. Nothing is pickled."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stvr.backbones.weights.named import as_noted
from stvr.config import fill
from stvr.files import write_bytes
from stvr.heads import HEADS, Head, HeadOptions, build_head
from stvr.heads.older_checkpoints import renewed
from stvr.heads.shipped import SHIPPED
from stvr.store import FeatureSpec, FeatureStore
from stvr.version import __version__

FORMAT = 2  # 1, of release 0.1.0, had the options of the propagation among the head's
HEAD_FILE, BACKBONE_FILE = "head.safetensors", "backbone.safetensors"  # in the folder of a run; the latter finetuned


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A head in eval mode, its options, the features it reads, what made it (config, versions, digests), its file."""

    head: Head
    options: HeadOptions
    spec: FeatureSpec
    provenance: Mapping[str, Any]
    path: Path


def save_head(
    path: Path, head: Head, options: HeadOptions, spec: FeatureSpec, provenance: Mapping[str, Any]
) -> None:
    """Writes all at once or not at all."""
    header = {"format": FORMAT, "head": options.model_dump(), "spec": spec.to_json(), "provenance": dict(provenance)}
    write_tensors(path, head.state_dict(), header)


def load_head(place: Path | str, device: str | torch.device = "cpu") -> Checkpoint:
    """Reads a checkpoint, the newest head of a run's folder, or a head that ships, by its name.

    Raises FileNotFoundError, or ValueError when it is no head that can be built here.
    """
    path = Path(place)
    if not path.exists() and str(place) in SHIPPED:
        path = SHIPPED[str(place)].checked_file()
    path = path / HEAD_FILE if path.is_dir() else path
    tensors, header = read_tensors(path)
    if header.get("format") not in (1, FORMAT) or "head" not in header:
        raise ValueError(f"{path} holds no head of format {FORMAT}. Make one with `stvr train`.")
    try:
        tensors, header = renewed(tensors, header) if header["format"] == 1 else (tensors, header)
        spec = FeatureSpec.from_json(header["spec"])
        options = fill(HEADS[header["head"]["name"]].options, header["head"])
        head = build_head(options, spec)
        head.load_state_dict(tensors)
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{path} holds no head that stvr {__version__} can build: {error}") from None
    return Checkpoint(head.eval().to(device), options, spec, header.get("provenance", {}), path)


def weights_beside(loaded: Checkpoint, given: Path | str | None) -> Path | str | None:
    """The backbone's weights that were given; else those that a finetuned run keeps beside its head, or fetched ones.

    None where the head notes others, such as the analytic ones.
    """
    own = loaded.path.parent / BACKBONE_FILE
    if given is None and loaded.spec.weights == BACKBONE_FILE and own.is_file():
        return own
    return as_noted(given, loaded.spec.weights)


def check_features(loaded: Checkpoint, store: FeatureStore) -> None:
    """ValueError where a head was trained on other features than a store holds; a warning where they are coarser."""
    name, wanted = loaded.options.name, loaded.spec.endpoints
    reads = HEADS[name].reads(loaded.options)
    reads = replace(reads, endpoints=wanted)
    if store.spec.backbone == loaded.spec.backbone:
        reads.check(store.spec, name)  # in its own words where an endpoint is missing
    if different := loaded.spec.unmet_by(store.spec, {"flipped", "compress"} | (set() if reads.flow else {"flow"})):
        raise ValueError(f"the head was trained on other features than the store holds: {'; '.join(different)}. "
                         "Extract again as the head wants them, or train on this store.")
    if (kept := store.spec.compress) != (learned := loaded.spec.compress):
        logging.getLogger("stvr").warning(
            f"{store} keeps features as {kept}, the head was trained on {learned} ones: scores may differ a little."
        )


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Tensors and a JSON header in one safetensors file, put in place by a rename."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(ready, metadata={"stvr": json.dumps(header)}))


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
