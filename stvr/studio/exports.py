"""The answers as a file of any format of the project, to take home."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from stvr.library import Hit
from stvr.render.exporters import Account
from stvr.render.exporters.at_hand import by_name
from stvr.render.exporters.records import from_json
from stvr.render.hits import Wishes
from stvr.render.taken_home import FORMATS as WRITTEN
from stvr.render.taken_home import write_answers
from stvr.render.video import render_tubelets
from stvr.session import Answer as Located
from stvr.structures import ClipSpec
from stvr.studio.stills import Stills

LINKED = {"html"}  # its links to the videos hold where it was written, which is nowhere that stays
FORMATS = ("tubelets", *(form for form in WRITTEN if form not in LINKED), "video")
SUFFIXES = {"ava": ".csv", "ava-detections": ".csv", "coco-video": ".json", "cvat": ".xml", "mot": ".txt",
            "fiftyone": ".json", "webvtt": ".vtt", "csv": ".csv", "chapters": ".vtt", "edl": ".edl", "otio": ".otio",
            "contact-sheet": ".png", "clips": ".mp4"}  # fmt: skip
A_FILE_EACH = {"cvat", "mot", "webvtt", "chapters", "edl"}  # of several videos; the others are one file, or clips


class Exported(NamedTuple):
    """name: of the file. notes: what was left out, a line each."""

    name: str
    content: bytes
    notes: Sequence[str] = ()


def export_answers(
    answers: Sequence[Hit], form: str, clip: ClipSpec, stills: Stills, label: str | None = None
) -> Exported:
    """The answers in one of FORMATS: "tubelets" is what `stvr locate` writes, "video" has them drawn in, an mp4 each.

    Several files come as one zip. ValueError, one line, for no answers, an unknown format, or videos not at hand.
    """
    if form not in FORMATS:
        raise ValueError(f"there is no format {form!r}. Choose one of {', '.join(FORMATS)}.")
    if not answers:
        raise ValueError("there are no answers to export. Search first.")
    lines = [line | {"rank": rank} | ({"label": label} if label else {})
             for rank, answer in enumerate(answers, 1) for line in located(answer, clip, stills).to_json()]
    if form == "tubelets":
        return Exported("tubelets.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    with TemporaryDirectory() as folder:
        if form == "video":
            return as_one(rendered(answers, clip, Path(folder)), "answers")
        account = Account()
        videos = sorted({Path(answer.path) for answer in answers})
        in_folder = form == "clips" or (form in A_FILE_EACH and len(videos) > 1)
        out = Path(folder) / (f"answers-{form}" if in_folder else f"answers{SUFFIXES[form]}")
        paths = write_answers([from_json(line) for line in lines], form, out,
                              Wishes(videos=by_name(videos), account=account), label=label or None, videos=videos)
        return as_one(paths, f"answers-{form}", SUFFIXES[form])._replace(notes=account.lines())


def located(answer: Hit, clip: ClipSpec, stills: Stills) -> Located:
    """The answer as `stvr locate` has it."""
    path = Path(answer.path)
    info = stills.film(path).info
    return Located(path, clip, info.width, info.height, float(info.duration),
                   [answer.tubelet], float(info.offset), info.doubt())  # fmt: skip


def rendered(answers: Sequence[Hit], clip: ClipSpec, folder: Path) -> list[Path]:
    """An mp4 for each video, with its answers drawn in."""
    paths = []
    for number, (video, path) in enumerate(dict.fromkeys((each.video, each.path) for each in answers), 1):
        tubelets = [each.tubelet for each in answers if each.path == path]
        drawn = folder / f"{number:02d}_{video.replace('/', '_')}.mp4"
        paths.append(render_tubelets(Path(path), tubelets, drawn, clip))
    return paths


def as_one(paths: Sequence[Path], name: str, suffix: str = "") -> Exported:
    """The only file, or all of them in a zip."""
    if len(paths) == 1:
        return Exported(f"{name}{suffix or paths[0].suffix}", paths[0].read_bytes())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.name)
    return Exported(f"{name}.zip", packed.getvalue())
