"""WebVTT: a cue for each clip with the box as JSON, for the metadata track of a video in a web page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from stvr.render.exporters.objects import number, wanted, whole_number
from stvr.render.exporters.records import CLIP, DECIMALS, Found, runs, text_of
from stvr.texts import read_text

CUE = re.compile(r"^((?:\d+:)?\d\d:\d\d\.\d{3})\s+-->\s+((?:\d+:)?\d\d:\d\d\.\d{3})")
HEADER = "NOTE stvr "


def export_webvtt(found: Sequence[Found]) -> str:
    """The file of one video; cues by time. A cue's text: {"tubelet", "label", "score", "box": x1, y1, x2, y2}, and
    "person" where somebody is known."""
    first = found[0]
    cues = []
    for tubelet, each in enumerate(found, start=1):
        known = {"person": each.person} if each.person else {}
        for clip, box in enumerate(each.boxes.tolist(), each.start):
            text = payload({"tubelet": tubelet, "label": each.label, "score": each.score, **known,
                            "box": [round(edge, DECIMALS) for edge in box]})
            cues.append((clip, tubelet, f"{tubelet}.{clip}\n{stamp(clip)} --> {stamp(clip + 1)}\n{text}\n"))
    head = payload({"reference": first.reference, "width": first.width, "height": first.height})
    return "\n".join(["WEBVTT\n", f"{HEADER}{head}\n", *(cue for _, _, cue in sorted(cues))])


def payload(content: dict[str, Any]) -> str:
    """JSON with <, > and & escaped, because a cue cannot hold --> or markup."""
    text = json.dumps(content, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def stamp(clip: int) -> str:
    milliseconds = round(CLIP.seconds_at(clip) * 1000)
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"


def seconds_of(text: str) -> float:
    parts = [float(part) for part in text.split(":")]
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))


def import_webvtt(path: Path) -> list[Found]:
    """The tubelets of one video; ValueError for a file without the note that gives the picture's size."""
    lines = read_text(path).split("\n")
    notes = [(at, line) for at, line in enumerate(lines, start=1) if line.startswith(HEADER)]
    if not lines[0].startswith("WEBVTT") or not notes:
        raise ValueError("wanted WEBVTT with a note that starts with 'NOTE stvr', as `stvr export` writes it.")
    head = json_at(notes[0][1].removeprefix(HEADER), notes[0][0])
    note = f"line {notes[0][0]}: the note"
    size = (whole_number(wanted(head, "width", note), "width"), whole_number(wanted(head, "height", note), "height"))
    tracks: dict[int, dict[int, dict[str, Any]]] = {}
    for at, clip, content in cues_of(lines):
        where = f"line {at}: the cue"
        track = tracks.setdefault(whole_number(wanted(content, "tubelet", where), f"{where}'s tubelet"), {})
        if clip in track:
            raise ValueError(f"{where} is the second of its tubelet in one clip.")
        box = [float(edge) for edge in wanted(content, "box", where)]
        if len(box) != 4 or not np.isfinite(box).all():
            raise ValueError(f"{where} has the box {box}, wanted four numbers.")
        track[clip] = {**content, "box": box}
    found = []
    for track in tracks.values():
        clips = np.array(sorted(track))
        first = track[int(clips[0])]
        for run in runs(clips):
            boxes = np.array([track[int(clips[place])]["box"] for place in run], np.float64)
            found.append(Found(str(wanted(head, "reference", note)), number(first.get("score", 1.0), "a score"), *size,
                               int(clips[run[0]]), boxes, text_of(first.get("label")), text_of(first.get("person"))))
    return found


def cues_of(lines: Sequence[str]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Of each cue: the line of its times, the clip in its middle, and what its text holds."""
    for index, line in enumerate(lines):
        if cue := CUE.match(line):
            text = "\n".join(takewhile(str.strip, lines[index + 1 :]))
            yield index + 1, CLIP.index_at((seconds_of(cue[1]) + seconds_of(cue[2])) / 2), json_at(text, index + 2)


def json_at(text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {line}: wanted JSON as `stvr export` writes it, got {text[:60]!r} ({error.msg}).") \
            from None
