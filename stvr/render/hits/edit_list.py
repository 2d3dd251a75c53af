"""EDL, CMX 3600: the hits of a video one after another, with time codes, for an editor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stvr.files import write_text
from stvr.render.hits.counting import counting
from stvr.render.hits.hit import Hit, Wishes, by_file
from stvr.render.hits.timecode import frame_at_clock, timecode

MOST_EVENTS = 999  # that the form can number
BEGIN_HOUR = 1  # of the programme, as usual
REEL = "AX"  # auxiliary: not from a tape


def write_edit_lists(hits: Sequence[Hit], out: Path, wishes: Wishes) -> list[Path]:
    """A file for each video, since each has its own rate."""
    paths = []
    for place, own in by_file(hits, out, ".edl"):
        kept = sorted(sorted(own, key=lambda hit: hit.number)[:MOST_EVENTS], key=own.index)
        if len(kept) < len(own):
            wishes.account.leave_out("tubelets", f"an EDL numbers {MOST_EVENTS} events; give --best", own[0].name,
                                     len(own) - len(kept))
        write_text(place, edit_list(kept, wishes))
        paths.append(place)
    return paths


def edit_list(hits: Sequence[Hit], wishes: Wishes) -> str:
    """Of the hits of one video: source in and out, record in and out, ends exclusive; the clip's name and a marker."""
    count, file = counting(hits[0].found.reference, wishes), Path(hits[0].found.reference).name
    lines = [f"TITLE: {on_one_line(hits[0].name)}", f"FCM: {'DROP FRAME' if count.drop else 'NON-DROP FRAME'}", ""]
    at = frame_at_clock(BEGIN_HOUR, count.rate, count.drop)
    for event, hit in enumerate(hits, start=1):
        start, stop = count.frames(hit)
        codes = [timecode(frame, count.rate, count.drop) for frame in (start, stop, at, at + stop - start)]
        note = on_one_line(f"{hit.title}, {box_words(hit)}")
        lines += [f"{event:03d}  {REEL:<8} V     C        {' '.join(codes)}", f"* FROM CLIP NAME: {on_one_line(file)}",
                  f"* LOC: {codes[2]} GREEN   {hit.number}: {note}", ""]  # fmt: skip
        at += stop - start
    return "\n".join(lines)


def on_one_line(text: str) -> str:
    """What a line of an edit list may hold: a file's name with a line break in it would be an event of its own."""
    return " ".join(text.split())


def box_words(hit: Hit) -> str:
    box = hit.found.boxes[len(hit.found.boxes) // 2]
    return f"box {' '.join(f'{edge:.0f}' for edge in box)}"
