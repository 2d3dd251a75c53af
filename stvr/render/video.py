"""Writes a video with its tubelets drawn in, and stills of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stvr.render.draw import TRUTH, Picture, colour_of, draw_box, with_time_bar
from stvr.structures import ClipSpec, Tubelet
from stvr.video.decode import probe
from stvr.video.encode import like
from stvr.video.pictures import frame_at, frames, upright


def render_tubelets(
    video: Path, tubelets: Sequence[Tubelet], out: Path, clips: ClipSpec, *, titles: Sequence[str] | None = None
) -> Path:
    """Writes `out` (mp4, H.264): every frame of `video` at its own time and size, boxes drawn, a bar of time below.

    Between the centres of two clips a box moves on a straight line. `titles`: one a tubelet; else rank and score.
    Times count from the first frame; the sound is left out. Raises ValueError when `video` cannot be read.
    """
    names = [f"{i + 1}: {each.score:.2f}" for i, each in enumerate(tubelets)] if titles is None else list(titles)
    if len(names) != len(tubelets):
        raise ValueError(f"wanted one title for each of {len(tubelets)} tubelets, not {len(names)}.")
    info = probe(video)
    lanes = [(clips.seconds_at(each.span.start), clips.seconds_at(each.span.stop)) for each in tubelets]
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with like(info, out) as writer:
        for tick, frame in frames(info):
            seconds, picture = float(tick * info.time_base), upright(frame, info)
            for index, (tubelet, name) in enumerate(zip(tubelets, names, strict=True)):
                box = box_at(tubelet, seconds, clips)
                if box is not None:
                    draw_box(picture, box, colour_of(index), title=name)
            writer.add(with_time_bar(picture, lanes, seconds, float(info.duration)), tick)
    return out


def still(
    video: Path, seconds: float, boxes: ArrayLike = (), *, truth: ArrayLike = (), titles: Sequence[str] = ()
) -> Picture:
    """The frame on screen at `seconds`, RGB uint8 (H, W, 3) at source size; past the end, the last one.

    boxes (N, 4) xyxy in [0, 1], arrays or tensors, are drawn solid, each with its title if there are any; truth (M, 4)
    is drawn dashed and white. Raises ValueError when `video` cannot be read.
    """
    picture = frame_at(video, seconds)
    for box in np.asarray(truth, float).reshape(-1, 4):
        draw_box(picture, box, TRUTH, dashed=True)
    for index, box in enumerate(np.asarray(boxes, float).reshape(-1, 4)):
        draw_box(picture, box, colour_of(index), title=titles[index] if index < len(titles) else "")
    return picture


def box_at(tubelet: Tubelet, seconds: float, clips: ClipSpec) -> NDArray[np.float64] | None:
    """Where the tubelet is at `seconds`, (4,) xyxy in [0, 1]; None before it begins and after it ends."""
    span = tubelet.span
    edges = np.array([clips.seconds_at(clip) for clip in range(span.start, span.stop + 1)])
    if not edges[0] - 1e-6 <= seconds < edges[-1] - 1e-6:
        return None
    centres = (edges[1:] + edges[:-1]) / 2
    return np.array([np.interp(seconds, centres, column) for column in tubelet.boxes.double().numpy().T])
