"""CSV that a spreadsheet opens: a row for each hit, best first."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from stvr.files import write_text
from stvr.render.exporters.records import DECIMALS
from stvr.render.hits.hit import Hit, Wishes, clock

COLUMNS = ("number", "video", "label", "person", "score", "start", "stop", "start_seconds", "stop_seconds",
           "length_seconds", "x1", "y1", "x2", "y2", "width", "height", "file")  # fmt: skip
MARK = "\ufeff"  # by which Excel knows UTF-8
FORMULA = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")  # a cell that is computed begins so; the last are full-width


def write_spreadsheet(hits: Sequence[Hit], out: Path, wishes: Wishes) -> list[Path]:
    """Times as h:mm:ss.mmm and as seconds; the box in the middle of the hit in pixels of a picture width x height."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(row(hit) for hit in hits)
    write_text(out, MARK + table.getvalue())
    return [out]


def row(hit: Hit) -> list[object]:
    found = hit.found
    box = found.boxes[len(found.boxes) // 2].round(DECIMALS).tolist()
    seconds = [round(each, 3) for each in (hit.start, hit.stop, hit.stop - hit.start)]
    return [hit.number, words(hit.name), words(found.label), words(found.person), found.score, clock(hit.start),
            clock(hit.stop), *seconds, *box, found.width, found.height, words(found.reference)]  # fmt: skip


def words(text: str) -> str:
    """With a ' before what a spreadsheet would compute."""
    return f"'{text}" if text.startswith(FORMULA) else text
