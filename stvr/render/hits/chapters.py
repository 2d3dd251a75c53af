"""WebVTT chapters for a player: hits that overlap in time are one chapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stvr.files import write_text
from stvr.render.exporters.webvtt import stamp
from stvr.render.hits.hit import Hit, Wishes, by_file


def write_chapters(hits: Sequence[Hit], out: Path, wishes: Wishes) -> list[Path]:
    """A file for each video, for <track kind="chapters"> and for players that read it beside the video."""
    paths = []
    for place, own in by_file(hits, out, ".vtt"):
        write_text(place, chapters(own))
        paths.append(place)
    return paths


def chapters(hits: Sequence[Hit]) -> str:
    """Of the hits of one video in time. A chapter is called after its best hit; how many more it holds is said."""
    cues = []
    for number, group in enumerate(together(hits), start=1):
        best, stop = min(group, key=lambda hit: hit.number), max(hit.stop for hit in group)
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        cues.append(f"{number}\n{stamp(group[0].start)} --> {stamp(stop)}\n{escaped(best.title)}{more}\n")
    return "\n".join(["WEBVTT\n", *cues])


def together(hits: Sequence[Hit]) -> list[list[Hit]]:
    """Groups of hits that overlap, from hits in order of their starts: chapters must not cross."""
    groups: list[list[Hit]] = []
    for hit in hits:
        if groups and hit.start < max(each.stop for each in groups[-1]) - 1e-6:
            groups[-1].append(hit)
        else:
            groups.append([hit])
    return groups


def escaped(text: str) -> str:
    """On one line, without markup or an arrow, as a cue's text must be."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
