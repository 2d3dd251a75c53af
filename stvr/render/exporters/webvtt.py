"""WebVTT: a cue for each clip with the box as JSON, for the metadata track of a video in a web page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stvr.render.exporters.records import DECIMALS, Found, on_grid, runs

CUE = re.compile(r"^((?:\d+:)?\d\d:\d\d\.\d{3})\s+-->\s+((?:\d+:)?\d\d:\d\d\.\d{3})")
HEADER = "NOTE stvr "


def export_webvtt(found: Sequence[Found], label: str) -> str:
    """The file of one video; cues by time. A cue's text: {"tubelet", "label", "score", "box": x1, y1, x2, y2}."""
    first = found[0]
    cues = []
    for number, each in enumerate(found, start=1):
        for clip, box in enumerate(each.boxes.tolist(), each.start):
            text = payload({"tubelet": number, "label": label, "score": each.score,
                            "box": [round(edge, DECIMALS) for edge in box]})
            start, stop = stamp(each.seconds_at(clip)), stamp(each.seconds_at(clip + 1))
            cues.append((clip, number, f"{number}.{clip}\n{start} --> {stop}\n{text}\n"))
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
    blocks = re.split(r"\n[ \t]*\n", path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").strip())
    notes = [block for block in blocks if block.startswith(HEADER)]
    if not blocks[0].startswith("WEBVTT") or not notes:
        raise ValueError("wanted WEBVTT with a note that starts with 'NOTE stvr', as `stvr export` writes it.")
    head = json.loads(notes[0].removeprefix(HEADER))
    tracks: dict[int, list[tuple[float, dict[str, Any]]]] = {}
    for block in blocks:
        lines = block.splitlines()
        for number, line in enumerate(lines, start=1):
            if cue := CUE.match(line):
                content = json.loads("\n".join(lines[number:]))
                tracks.setdefault(int(content["tubelet"]), []).append((seconds_of(cue[1]), content))
                break
    found = []
    for track in tracks.values():
        track.sort(key=lambda each: each[0])
        places, offset = on_grid([seconds for seconds, _ in track])
        clips, boxes = np.array(places), np.array([text["box"] for _, text in track], np.float64)
        for run in runs(clips):
            found.append(Found(head["reference"], float(track[0][1]["score"]), int(head["width"]), int(head["height"]),
                               int(clips[run[0]]), boxes[run], offset))
    return found
