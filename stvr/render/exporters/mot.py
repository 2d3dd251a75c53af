"""MOT challenge text: frame, id, left, top, width, height, score; frames and pixels count from 1."""

from __future__ import annotations

from collections.abc import Sequence
from configparser import Error as IniError
from configparser import RawConfigParser
from io import StringIO
from pathlib import Path

import numpy as np

from stvr.render.exporters.records import Found
from stvr.render.exporters.tracks import found_of, frames_of, known_rate

SECTION = "Sequence"


def export_mot(found: Sequence[Found], label: str, fps: float) -> str:
    """The lines of one video, by frame; the last three columns are world coordinates, which are unknown: -1."""
    lines = []
    for number, each in enumerate(found, start=1):
        for frame, (x1, y1, x2, y2) in zip(*frames_of(each, fps), strict=True):
            box = f"{x1 + 1:.2f},{y1 + 1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
            lines.append((int(frame) + 1, number, f"{box},{each.score!r}"))
    return "".join(f"{frame},{number},{rest},-1,-1,-1\n" for frame, number, rest in sorted(lines))


def sequence_ini(found: Sequence[Found], fps: float) -> str:
    """MOT's seqinfo.ini: name, frameRate, imWidth, imHeight; and source, the path of the video."""
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # MOT's keys have capitals
    last = max(int(frames_of(each, fps)[0][-1]) for each in found) + 1
    parser[SECTION] = {"name": Path(found[0].reference).stem, "imDir": "img1", "frameRate": repr(fps),
                       "seqLength": str(last), "imWidth": str(found[0].width), "imHeight": str(found[0].height),
                       "imExt": ".jpg", "source": found[0].reference}  # fmt: skip
    text = StringIO()
    parser.write(text, space_around_delimiters=False)
    return text.getvalue()


def import_mot(path: Path, fps: float | None, size: tuple[int, int] | None) -> list[Found]:
    """The tracks of one video; rate and size as given, else from the .ini beside it, which also names the video."""
    reference, fps, size = sequence_of(path, fps, size)
    if size is None:
        raise ValueError("MOT's lines do not give the size of the picture. Give --size WIDTHxHEIGHT, or put the "
                         "seqinfo.ini beside the file.")
    tracks: dict[str, list[list[float]]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.split(",")
        if not line.strip():
            continue
        try:
            tracks.setdefault(cells[1].strip(), []).append([float(cells[place]) for place in (0, 2, 3, 4, 5, 6)])
        except (IndexError, ValueError):
            raise ValueError(f"line {number}: wanted frame,id,left,top,width,height,score as numbers, got {line!r}.") \
                from None
    found = []
    for rows in tracks.values():
        table = np.array(rows)
        boxes = table[:, 1:5] - [1, 1, 0, 0]
        boxes[:, 2:] += boxes[:, :2]
        found += found_of(reference, float(table[0, 5]), size, (table[:, 0].astype(int) - 1).tolist(), boxes,
                          known_rate(fps))
    return found


def sequence_of(path: Path, fps: float | None, size: tuple[int, int] | None,
                ) -> tuple[str, float | None, tuple[int, int] | None]:
    """Name, rate and size of the video; those given win over the .ini's."""
    for ini in (path.with_suffix(".ini"), path.with_name("seqinfo.ini"), path.parent.parent / "seqinfo.ini"):
        if ini.is_file():
            parser = RawConfigParser()
            try:
                parser.read_string(ini.read_text(encoding="utf-8"))
                values = parser[SECTION]
                return (values.get("source") or values.get("name") or path.stem, fps or float(values["frameRate"]),
                        size or (int(values["imWidth"]), int(values["imHeight"])))
            except (IniError, KeyError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise ValueError(f"{ini.name} needs [{SECTION}], frameRate, imWidth and imHeight: {reason}") from None
    return path.stem, fps, size
