"""Answers in any format, for other tools or for people: both menus as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stvr.render.exporters import EXPORTS, Found, export_file
from stvr.render.hits import HITS, Wishes, hits_of

FORMATS = (*EXPORTS, *HITS)


def write_answers(
    found: Sequence[Found], form: str, out: Path, wishes: Wishes, *, label: str | None = None,
    videos: Sequence[Path] = (),
) -> list[Path]:  # fmt: skip
    """Writes tubelets in one of FORMATS and returns the files: OUT, or several in it where the format wants a folder.

    label: what all tubelets show, whatever they are labelled. videos: as in `wishes`, by their files.
    ValueError, one line, for no tubelets, an unknown format, or what the format cannot hold.
    """
    if form not in FORMATS:
        raise ValueError(f"there is no format {form!r}. Choose one of {', '.join(FORMATS)}.")
    if form not in HITS:
        return export_file(found, form, out, label=label, fps=wishes.fps, videos=videos, account=wishes.account)
    if not found:
        raise ValueError("there are no tubelets to export.")
    return HITS[form](hits_of(found, label), out, wishes)
