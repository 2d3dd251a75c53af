"""Videos and stills with their tubelets drawn in."""

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


def render_tubelets(video: Path, tubelets: Sequence[Tubelet], out: Path, clips: ClipSpec) -> Path:
    """Writes `out` (mp4, H.264): every frame of `video` at its own time and size, boxes drawn in, a bar of time below.

    Each box is titled with its rank and score and moves on straight lines between the centres of clips. The bar is in
    seconds of the video's clock; the file written begins with the first frame, and has no sound. Raises ValueError when
    `video` cannot be read.
    """
    info = probe(video)
    offset = float(info.offset)
    lanes = [(offset + clips.seconds_at(each.span.start), offset + clips.seconds_at(each.span.stop))
             for each in tubelets]
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with like(info, out) as writer:
        for tick, frame in frames(info):
            seconds, picture = float(tick * info.time_base), upright(frame, info)
            for index, tubelet in enumerate(tubelets):
                box = box_at(tubelet, seconds, clips)
                if box is not None:
                    draw_box(picture, box, colour_of(index), title=f"{index + 1}: {tubelet.score:.2f}")
            writer.add(with_time_bar(picture, lanes, offset + seconds, offset + float(info.duration)), tick)
    return out


def still(
    video: Path, seconds: float, boxes: ArrayLike = (), *, truth: ArrayLike = (), titles: Sequence[str] = ()
) -> Picture:
    """The frame on screen at `seconds`, RGB uint8 (H, W, 3) at the video's size; the last frame for a later time.

    boxes (N, 4) xyxy in [0, 1], arrays or tensors, are drawn solid, with `titles` if there are any; truth (M, 4) is
    drawn dashed and white. Raises ValueError when `video` cannot be read.
    """
    picture = frame_at(video, seconds)
    for box in np.asarray(truth, float).reshape(-1, 4):
        draw_box(picture, box, TRUTH, dashed=True)
    for index, box in enumerate(np.asarray(boxes, float).reshape(-1, 4)):
        draw_box(picture, box, colour_of(index), title=titles[index] if index < len(titles) else "")
    return picture


def box_at(tubelet: Tubelet, seconds: float, clips: ClipSpec) -> NDArray[np.float64] | None:
    """The tubelet's box at `seconds`, (4,) xyxy in [0, 1]; None before it begins and after it ends."""
    span = tubelet.span
    edges = np.array([clips.seconds_at(clip) for clip in range(span.start, span.stop + 1)])
    if not edges[0] - 1e-6 <= seconds < edges[-1] - 1e-6:
        return None
    centres = (edges[1:] + edges[:-1]) / 2
    return np.array([np.interp(seconds, centres, column) for column in tubelet.boxes.double().numpy().T])
