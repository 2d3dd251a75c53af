"""WebVTT: a cue for each clip with the box as JSON, for the metadata track of a video in a web page."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stvr.render.exporters.objects import number, wanted, whole_number
from stvr.render.exporters.records import DECIMALS, Found, on_grid, runs, text_of
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
            start, stop = stamp(each.seconds_at(clip)), stamp(each.seconds_at(clip + 1))
            cues.append((clip, tubelet, f"{tubelet}.{clip}\n{start} --> {stop}\n{text}\n"))
    head = payload({"reference": first.reference, "width": first.width, "height": first.height})
    return "\n".join(["WEBVTT\n", f"{HEADER}{head}\n", *(cue for _, _, cue in sorted(cues))])


def payload(content: dict[str, Any]) -> str:
    """JSON with <, > and & escaped, because a cue cannot hold --> or markup."""
    text = json.dumps(content, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def stamp(seconds: float) -> str:
    whole, rest = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{rest:03d}"


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
    tracks: defaultdict[int, list[Cue]] = defaultdict(list)
    for cue in cues_of(lines):
        tracks[whole_number(wanted(cue.content, "tubelet", cue.where), f"the tubelet of {cue.where}")].append(cue)
    found = []
    for cues in tracks.values():
        cues.sort(key=lambda each: each.seconds)
        clips, offset = on_grid([cue.seconds for cue in cues])
        twice = [cue for cue, one, other in zip(cues[1:], clips[1:], clips, strict=False) if one == other]
        if twice:
            raise ValueError(f"{twice[0].where} is the second of its tubelet in one clip.")
        boxes, first = np.array([box_of(cue) for cue in cues]), cues[0].content
        score = number(first.get("score", 1.0), f"the score of {cues[0].where}")
        for run in runs(np.array(clips)):
            found.append(Found(str(wanted(head, "reference", note)), score, *size, clips[run[0]], boxes[run], offset,
                               text_of(first.get("label")), text_of(first.get("person"))))
    return found


class Cue(NamedTuple):
    """where: as messages call it; seconds: when it begins; content: the object in its text."""

    where: str
    seconds: float
    content: dict[str, Any]


def cues_of(lines: Sequence[str]) -> Iterator[Cue]:
    for index, line in enumerate(lines):
        if match := CUE.match(line):
            text = "\n".join(takewhile(str.strip, lines[index + 1 :]))
            yield Cue(f"the cue in line {index + 1}", seconds_of(match[1]), json_at(text, index + 2))


def box_of(cue: Cue) -> list[float]:
    box = wanted(cue.content, "box", cue.where)
    edges = [number(edge, f"an edge in {cue.where}") for edge in box] if isinstance(box, list) else []
    if len(edges) != 4 or not np.isfinite(edges).all():
        raise ValueError(f"{cue.where} has the box {box}, wanted four numbers.")
    return edges


def json_at(text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {line}: wanted JSON as `stvr export` writes it, got {text[:60]!r} ({error.msg}).") \
            from None
