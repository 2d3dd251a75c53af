"""MOT challenge text: frame, id, left, top, width, height, score; frames and pixels count from 1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from configparser import Error as IniError
from configparser import RawConfigParser
from io import StringIO
from pathlib import Path

from stvr.render.exporters.account import Account
from stvr.render.exporters.at_hand import Size, Videos
from stvr.render.exporters.marked import Mark, found_in
from stvr.render.exporters.objects import LARGEST
from stvr.render.exporters.records import Found, instances
from stvr.render.exporters.tracks import frames_of
from stvr.texts import read_text
from stvr.video.frame_times import FrameTimes

SECTION = "Sequence"
PEOPLE = {1, 2, 7}  # of MOT16's classes: pedestrian, person on a vehicle, static person
COLUMNS = "frame,id,left,top,width,height,score"


def export_mot(found: Sequence[Found], times: FrameTimes) -> str:
    """The lines of one video, by frame; the last three columns are world coordinates, which are unknown: -1.

    MOT has no labels.
    """
    lines = []
    for number, each in zip(instances(found, labelled=False), found, strict=True):
        for frame, (x1, y1, x2, y2) in zip(*frames_of(each, times), strict=True):
            box = f"{x1 + 1:.2f},{y1 + 1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
            lines.append((int(frame) + 1, number, f"{box},{each.score!r}"))
    return "".join(f"{frame},{number},{rest},-1,-1,-1\n" for frame, number, rest in sorted(lines))


def sequence_ini(found: Sequence[Found], name: str, times: FrameTimes) -> str:
    """MOT's seqinfo.ini: name, frameRate, imWidth, imHeight; and source, the path of the video."""
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # MOT's keys have capitals
    last = max(int(frames_of(each, times)[0][-1]) for each in found) + 1
    parser[SECTION] = {"name": name, "imDir": "img1", "frameRate": repr(times.rate),
                       "seqLength": str(last), "imWidth": str(found[0].width), "imHeight": str(found[0].height),
                       "imExt": ".jpg", "source": found[0].reference}  # fmt: skip
    text = StringIO()
    parser.write(text, space_around_delimiters=False)
    return text.getvalue()


def import_mot(path: Path, fps: float | None, size: Size | None, videos: Videos,
               account: Account) -> list[Found]:
    """The tracks of one video; rate and size as given, else from the .ini beside it, which also names the video."""
    reference, fps, size = sequence_of(path, fps, size)
    marks = read_marks(path, account)
    if not marks:
        raise ValueError(f"it holds no line {COLUMNS}.")
    return found_in(reference, marks, size, fps, videos, account, path.name)


def read_marks(path: Path, account: Account) -> list[Mark]:
    """Every box of a person, frames from 0. Left out and counted: what the ground truth says not to look at."""
    lines = lines_of(path)
    rows = [(number, numbers_of(line, number)) for number, line in lines]
    truth = path.stem == "gt" or (bool(rows) and all(len(row) in (8, 9) and row[7] >= 1 for _, row in rows))
    first = 1
    if any(row[0] == 0 for _, row in rows):
        account.say(path.name, "frames are counted from 0, not from 1 as in MOT")
        first = 0
    marks = []
    for number, (frame, person, left, top, width, height, *rest) in rows:
        place, score = f"line {number}", rest[0] if rest else 1.0
        if truth and score == 0:
            account.leave_out("boxes", "MOT's ground truth flags them as not to be looked at", f"{path.name}, {place}")
        elif truth and len(rest) > 1 and rest[1] >= 1 and rest[1] not in PEOPLE:
            account.leave_out("boxes", "their class in MOT's ground truth is no person", f"{path.name}, {place}")
        else:
            name = f"{person:g}" if person >= 0 else ""
            box = (left - 1, top - 1, left - 1 + width, top - 1 + height)
            marks.append(Mark(int(frame) - first, box, name, "", 1.0 if truth else score, place))
    return marks


def lines_of(path: Path) -> list[tuple[int, str]]:
    """The lines that hold something, with their numbers; not a header, nor what follows a #."""
    lines = [(number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    headed = bool(lines) and lines[0][1].lower().startswith(("frame", '"frame'))
    if headed and not re.match(r"\W*frame\w*\W+\w*id\b", lines[0][1].lower()):
        raise ValueError(f"line {lines[0][0]}: wanted the columns {COLUMNS}, in this order, got {lines[0][1]!r}.")
    return lines[headed:]


def numbers_of(line: str, number: int) -> list[float]:
    """The cells of a line, between commas, semicolons, tabs or spaces: at least six, frame and id whole numbers."""
    try:
        cells = [float(cell) for cell in re.split(r"\s*[,;\t]\s*|\s+", line.rstrip(" ,;"))]
    except ValueError:
        cells = []
    if len(cells) < 6 or not all(cell.is_integer() and abs(cell) <= LARGEST for cell in cells[:2]) or cells[0] < 0:
        raise ValueError(f"line {number}: wanted {COLUMNS} as numbers, got {line!r}.")
    return cells


def sequence_of(path: Path, fps: float | None, size: Size | None) -> tuple[str, float | None, Size | None]:
    """Name, rate and size of the video; those given win over the .ini's."""
    for ini in (path.with_suffix(".ini"), path.with_name("seqinfo.ini"), path.parent.parent / "seqinfo.ini"):
        if ini.is_file():
            parser = RawConfigParser()
            try:
                parser.read_string(read_text(ini))
                values = parser[SECTION]
                return (values.get("source") or values.get("name") or path.stem, fps or float(values["frameRate"]),
                        size or (int(values["imWidth"]), int(values["imHeight"])))
            except (IniError, KeyError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise ValueError(f"{ini.name} needs [{SECTION}], frameRate, imWidth and imHeight: {reason}") from None
    return path.stem, fps, size
