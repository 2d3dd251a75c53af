"""One HTML page of the hits: a picture and the times of each, and a link that opens its video there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from stvr.files import write_text
from stvr.render.draw import Picture
from stvr.render.exporters.at_hand import file_of
from stvr.render.hits.contact_sheet import thumbnails
from stvr.render.hits.hit import Hit, Wishes, clock
from stvr.render.report import figure, page_html, section, table_html
from stvr.render.tables import Cell, Table

CARDS = ".cards figure img { width: 100%; height: auto; } .cards figure { margin: 0 0 .5rem; } a { color: var(--c0); }"


def write_hits_page(hits: Sequence[Hit], out: Path, wishes: Wishes) -> list[Path]:
    """No script, nothing fetched, pictures inside: it opens without a server. Links lead to the videos as they lie."""
    cards = [card(hit, picture, out, wishes) for hit, picture in thumbnails(hits, wishes)]
    videos = len({hit.name for hit in hits})
    summary = f"{len(hits)} answers in {videos} video{'s' if videos > 1 else ''}, the best first."
    answers, rows = section("Answers", cards, grid="grid cards"), section("As a table", [table(hits)])
    write_text(out, page_html("What was found", summary, f"<style>{CARDS}</style>{answers}{rows}"))
    return [out]


def card(hit: Hit, picture: Picture, out: Path, wishes: Wishes) -> str:
    file = file_of(hit.found.reference, wishes.videos)
    assert file is not None
    place = quote(os.path.relpath(file.absolute(), out.absolute().parent).replace(os.sep, "/"))
    link = f"{place}#t={hit.start:.3f},{hit.stop:.3f}"
    times = f"{clock(hit.start)} to {clock(hit.stop)}"
    return (f"<article>{figure(picture, f'{hit.number}: {hit.title}')}"
            f'<a href="{escape(link, quote=True)}">{escape(hit.name)}, {times}</a></article>\n')


def table(hits: Sequence[Hit]) -> str:
    rows: list[list[Cell]] = [[str(hit.number), hit.name, hit.found.label, f"{hit.found.score:.3f}", clock(hit.start),
                               clock(hit.stop)] for hit in hits]  # fmt: skip
    return table_html(Table("", ["number", "video", "label", "score", "from", "to"], rows))
