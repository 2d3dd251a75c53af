"""OpenTimelineIO: a timeline of the hits, each a clip of its video with a marker that has score and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stvr.files import write_text
from stvr.render.exporters.at_hand import file_of
from stvr.render.hits.counting import Counting, counting
from stvr.render.hits.hit import Hit, Wishes, in_time


def write_timeline(hits: Sequence[Hit], out: Path, wishes: Wishes) -> list[Path]:
    """One .otio with all videos; a clip's frames are counted at its video's rate. ValueError without the library."""
    otio = library()
    timeline = otio.schema.Timeline(name=out.stem)
    track = otio.schema.Track(name="hits", kind=otio.schema.TrackKind.Video)
    counts = {hit.name: counting(hit.found.reference, wishes) for hit in in_time(hits)}
    track.extend([clip_of(otio, hit, counts[hit.name], wishes) for hit in in_time(hits)])
    timeline.tracks.append(track)
    write_text(out, otio.adapters.write_to_string(timeline, "otio_json"))
    return [out]


def clip_of(otio: Any, hit: Hit, count: Counting, wishes: Wishes) -> Any:
    start, stop = count.frames(hit)
    found, frames = hit.found, (otio.opentime.RationalTime(each, float(count.rate)) for each in (start, stop - start))
    span = otio.opentime.TimeRange(*frames)
    file = file_of(found.reference, wishes.videos)
    place = found.reference if file is None else file.absolute().as_uri()
    clip = otio.schema.Clip(name=f"{hit.number}: {hit.title}", source_range=span,
                            media_reference=otio.schema.ExternalReference(target_url=place))
    boxes = [{"seconds": found.seconds_at(at), "box": box} for at, box in enumerate(found.boxes.tolist(), found.start)]
    clip.markers.append(otio.schema.Marker(
        name=hit.title, marked_range=span, color=otio.schema.MarkerColor.GREEN,
        metadata={"stvr": {"number": hit.number, "score": found.score, "label": found.label, "person": found.person,
                           "width": found.width, "height": found.height, "boxes": boxes}},
    ))  # fmt: skip
    return clip


def library() -> Any:
    try:
        import opentimelineio
    except ImportError:
        raise ValueError("the format otio needs OpenTimelineIO. Install stvr[otio].") from None
    return opentimelineio
