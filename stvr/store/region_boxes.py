"""Region boxes that a detector found, beside the features of a video: one small file a video, whole or absent."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvr.store.features import FeatureStore
from stvr.store.names import folder_of
from stvr.structures import Span

FOLDER = ".boxes"
COLUMNS = 6  # x1, y1, x2, y2 in [0, 1], score, label


def write_boxes(store: FeatureStore, video: str, boxes: NDArray[np.float32], detector: str) -> None:
    """boxes (clip, box, 6): as many clips as the features have, best score first, filled up with rows of zeros.

    detector: what made them, as `detector_of` returns it.
    """
    num_clips = store.num_clips(video)
    if boxes.shape[::2] != (num_clips, COLUMNS):
        raise ValueError(f"wanted boxes ({num_clips}, N, {COLUMNS}) for the {num_clips} clips of {video!r} in {store}, "
                         f"got {boxes.shape}. Is this the same video file?")
    content = io.BytesIO()
    np.savez_compressed(content, boxes=boxes.astype(np.float32), detector=np.array(detector))
    store.place.write(f"{FOLDER}/{folder_of(video)}.npz", content.getvalue())


def read_boxes(store: FeatureStore, span: Span) -> Tensor:
    """The boxes of each clip of a span, (T, box, 6) float32: x1, y1, x2, y2 in [0, 1], score, the detector's label.

    LookupError when no detector has been run on that video.
    """
    content = _read(store, span.video)
    if content is None:
        raise LookupError(f"there are no boxes of {span.video!r} in {store}. Run `stvr extract --boxes` on its file.")
    return torch.from_numpy(content[0][span.start : span.stop])


def boxes_if_any(store: FeatureStore, span: Span) -> Tensor | None:
    """The first four columns of `read_boxes`; None when no detector has been run on that video.

    Nor on any of what is only read like a store, such as the rendered world.
    """
    if not isinstance(store, FeatureStore):
        return None
    content = _read(store, span.video)
    return None if content is None else torch.from_numpy(content[0][span.start : span.stop, :, :4])


def detector_of(store: FeatureStore, video: str) -> str | None:
    """What made the boxes of a video; None where there are none."""
    content = _read(store, video)
    return content and content[1]


def _read(store: FeatureStore, video: str) -> tuple[NDArray[np.float32], str] | None:
    """The boxes of a video and what made them; None where there are none."""
    content = store.place.read(f"{FOLDER}/{folder_of(video)}.npz")
    if content is None:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return file["boxes"], str(file["detector"])
    except (ValueError, KeyError, OSError) as error:
        place = f"{store}/{FOLDER}/{folder_of(video)}.npz"
        raise ValueError(f"the boxes of {video!r} in {store} are damaged ({error}). Remove {place} and run "
                         "`stvr extract --boxes` again.") from None
