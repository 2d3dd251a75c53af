"""Region boxes that a detector saw, beside the features of a video: a small file each, whole or not there."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvr.store.features import FeatureStore
from stvr.structures import Span

FOLDER = ".boxes"
COLUMNS = 6  # x1, y1, x2, y2 in [0, 1], score, label


def write_boxes(store: FeatureStore, video: str, boxes: NDArray[np.float32], detector: str) -> None:
    """boxes (clip, box, 6): as many clips as the features have, best score first; rows of zeros where there are fewer.

    detector: what made them, as `detector_of` tells it again.
    """
    if boxes.shape[::2] != (store.num_clips(video), COLUMNS):
        raise ValueError(f"{video!r} has {store.num_clips(video)} clips in {store}, so its boxes are "
                         f"({store.num_clips(video)}, boxes, {COLUMNS}), not {boxes.shape}. Is it another file?")
    content = io.BytesIO()
    np.savez_compressed(content, boxes=boxes.astype(np.float32), detector=np.array(detector))
    store.place.write(f"{FOLDER}/{video}.npz", content.getvalue())


def read_boxes(store: FeatureStore, span: Span) -> Tensor:
    """Of each clip of a span, (T, box, 6) float32: x1, y1, x2, y2 in [0, 1], score, the detector's label.

    LookupError when nobody has looked for boxes in that video.
    """
    held = _held(store, span.video)
    if held is None:
        raise LookupError(f"there are no boxes of {span.video!r} in {store}. Run `stvr extract --boxes` on its file.")
    return torch.from_numpy(held[0][span.start : span.stop])


def detector_of(store: FeatureStore, video: str) -> str | None:
    """What made the boxes of a video; None where there are none."""
    held = _held(store, video)
    return held and held[1]


def _held(store: FeatureStore, video: str) -> tuple[NDArray[np.float32], str] | None:
    content = store.place.read(f"{FOLDER}/{video}.npz")
    if content is None:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return file["boxes"], str(file["detector"])
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"the boxes of {video!r} in {store} are damaged ({error}). "
                         f"Remove {store}/{FOLDER}/{video}.npz.") from None
