"""Weights of other programs become ours: a backbone's file, or the authors' whole detector as backbone and head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stvr.backbones.weights.forms import convert, describe_weights, given_file
from stvr.backbones.weights.load import SLOT, listed, save_weights
from stvr.backbones.weights.strangers import not_numbers
from stvr.backbones.weights.tensorflow import is_checkpoint, read_checkpoint, read_index
from stvr.heads.assembly import MatchingOptions
from stvr.heads.authors import BACKBONE_SCOPE, authors_spec, from_tensorflow
from stvr.heads.checkpoint import BACKBONE_FILE, HEAD_FILE, save_head

STEP = "global_step"  # of TensorFlow's training alone


def convert_any(source: Path | str, out: Path, endpoint: str = "Logits") -> dict[str, Any]:
    """What `convert_detector` does with a checkpoint of the authors' detector, else what `convert` does."""
    source = given_file(source)
    return convert_detector(source, out) if is_detector(source) else convert(source, out, endpoint)


def is_detector(source: Path) -> bool:
    return is_checkpoint(source) and any(name.startswith(BACKBONE_SCOPE) for name in read_index(source))


def convert_detector(source: Path, out: Path) -> dict[str, Any]:
    """Writes backbone.safetensors and head.safetensors into the folder `out`; gives `describe_weights` of the first.

    source: a TensorFlow checkpoint with the 187 variables of the authors' detector; what their training kept besides
    is not read. The head asks for features as their program made them: of frames as BGR, resized as TensorFlow 1 does.
    Raises ValueError that names the variables that are missing, left over or of another shape.
    """
    if out.suffix == ".safetensors" or out.is_file():
        raise ValueError(f"{source} holds a backbone and a head: wanted a folder for both, came {out}. "
                         "Give a folder with --out.")
    names = [name for name in read_index(source) if not name.endswith(SLOT) and name != STEP]
    try:
        detector = from_tensorflow(read_checkpoint(source, names))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    if broken := [name for part in (detector.backbone, detector.head) for name in not_numbers(part.state_dict())]:
        raise ValueError(f"{source}: {len(broken)} tensors hold values that are no numbers: {listed(broken)}.")
    out.mkdir(parents=True, exist_ok=True)
    save_weights(detector.backbone, out / BACKBONE_FILE)
    spec = authors_spec(detector.backbone)
    save_head(out / HEAD_FILE, detector.head, MatchingOptions(), spec, {"source": source.name})
    return describe_weights(out / BACKBONE_FILE)
