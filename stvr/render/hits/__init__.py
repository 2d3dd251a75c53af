"""Answers for people: to look at, to read in a spreadsheet, to cut by. The menu."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stvr.render.hits.chapters import write_chapters
from stvr.render.hits.contact_sheet import write_contact_sheet
from stvr.render.hits.edit_list import write_edit_lists
from stvr.render.hits.hit import Hit, Wishes, hits_of
from stvr.render.hits.hits_page import write_hits_page
from stvr.render.hits.short_cuts import write_short_cuts
from stvr.render.hits.spreadsheet import write_spreadsheet
from stvr.render.hits.timeline import write_timeline

__all__ = ["HITS", "Hit", "Wishes", "hits_of"]

Writer = Callable[[Sequence[Hit], Path, Wishes], list[Path]]  # hits, best first -> OUT; returns what was written

HITS: Mapping[str, Writer] = {
    "csv": write_spreadsheet,
    "chapters": write_chapters,
    "edl": write_edit_lists,
    "otio": write_timeline,
    "contact-sheet": write_contact_sheet,
    "html": write_hits_page,
    "clips": write_short_cuts,
}
