"""The rows of one video as they are kept: which clips, which box, and what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stvr.files import write_bytes

WINDOW, TUBE = 0, 1
KINDS = ("window", "tube")
NOTED = {"name": str, "path": str, "made_by": str, "num_rows": int}
FIELDS = ("start", "stop", "box", "kind", "vector")


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """N rows of one video, in the order of their starts.

    start, stop (N,) int32: clips [start, stop). box (N, 4) float32 xyxy in [0, 1], its mean over them. kind (N,) uint8:
    WINDOW or TUBE. vector (N, D) float16: the mean of the features there, as the backbone gave them.
    notes: JSON values: whose rows these are, what made them, how many clips were left out.
    """

    start: NDArray[np.int32]
    stop: NDArray[np.int32]
    box: NDArray[np.float32]
    kind: NDArray[np.uint8]
    vector: NDArray[np.float16]
    notes: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.start)


def write_described(path: Path, rows: Described) -> None:
    """Writes all at once or not at all."""
    tensors = {name: np.ascontiguousarray(getattr(rows, name)) for name in FIELDS}
    write_bytes(path, save(tensors, metadata={"stvr": json.dumps(dict(rows.notes), sort_keys=True)}))


def read_described(path: Path) -> Described:
    """ValueError for a file that is not one."""
    with _opened(path) as file:
        if not {*FIELDS} <= {*file.keys()}:
            raise damaged(path, f"it lacks {', '.join(sorted({*FIELDS} - {*file.keys()}))}")
        return Described(**{name: file.get_tensor(name) for name in FIELDS}, notes=_notes(path, file))


def notes_of(path: Path) -> dict[str, Any]:
    """The notes alone."""
    with _opened(path) as file:
        return _notes(path, file)


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise damaged(path, str(error)) from None


def _notes(path: Path, file: Any) -> dict[str, Any]:
    try:
        notes = json.loads((file.metadata() or {}).get("stvr", ""))
    except ValueError:
        notes = None
    if not isinstance(notes, dict) or not all(isinstance(notes.get(name), kind) for name, kind in NOTED.items()):
        raise damaged(path, "it does not say whose rows these are")
    return notes


def damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} is damaged: {why}. Delete it, and run `stvr index` again.")
