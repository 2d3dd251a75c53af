"""A short cut of video for each hit, its box drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from stvr.render.draw import colour_of, draw_box
from stvr.render.exporters.records import CLIP
from stvr.render.hits.hit import Hit, Wishes, at_hand, clock
from stvr.render.video import box_at
from stvr.structures import Span, Tubelet
from stvr.video.decode import VideoError, probe
from stvr.video.encode import like
from stvr.video.pictures import frames, upright


def write_short_cuts(hits: Sequence[Hit], out: Path, wishes: Wishes) -> list[Path]:
    """OUT/NUMBER_VIDEO_TIME.mp4, each whole or not at all."""
    paths = []
    for hit, file in at_hand(hits, wishes):
        name = f"{hit.number:03d}_{hit.name}_{clock(hit.start).replace(':', '-')}.mp4"
        place = out / name.replace("/", "_")
        try:
            write_cut(hit, file, place, wishes.around)
        except (VideoError, OSError) as error:
            wishes.account.leave_out("tubelets", "their videos cannot be decoded there", f"{file}: {error}")
            continue
        paths.append(place)
    if not paths:
        raise ValueError(f"no cut could be written; {wishes.account.left_out[-1]}.")
    return paths


def write_cut(hit: Hit, file: Path, out: Path, around: float) -> None:
    """Frames at their own times and size from `around` seconds before the hit to as long after it, without sound."""
    info, tubelet = probe(file), tubelet_of(hit)
    offset = float(info.offset)
    start, stop = max(0.0, hit.start - around - offset), hit.stop + around - offset
    out.parent.mkdir(parents=True, exist_ok=True)
    first = None
    with like(info, out) as writer:
        for tick, frame in frames(info, start):
            seconds = float(tick * info.time_base)
            if seconds >= stop - 1e-6:
                break
            if seconds < start - 1e-6:
                continue
            first = tick if first is None else first
            picture = upright(frame, info)
            box = box_at(tubelet, offset + seconds - hit.found.offset, CLIP)
            if box is not None:
                draw_box(picture, box, colour_of(hit.number - 1), title=hit.title)
            writer.add(picture, tick - first)
        if first is None:
            raise VideoError(f"{file}: no frame between {start:g} and {stop:g} s")


def tubelet_of(hit: Hit) -> Tubelet:
    found = hit.found
    shares = torch.from_numpy(found.boxes / (found.width, found.height, found.width, found.height)).float()
    return Tubelet(Span(found.reference, found.start, found.stop), shares, found.score)
