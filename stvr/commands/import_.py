"""stvr import: tubelets of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import AcceptMissing, Fps, VideosAtHand, done, tell, video_files


def import_(
    files: Annotated[list[Path], typer.Argument(help="Files, all of one format.", show_default=False)],
    form: Annotated[
        str, typer.Option("--format", help="ava, coco-video, cvat, mot, fiftyone or webvtt.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(help="tubelets.jsonl, or a .csv that `stvr prepare table` reads.", show_default=False)
    ],
    label: Annotated[
        str | None, typer.Option(help="What all tubelets show; without it, what the files say.")
    ] = None,
    videos: VideosAtHand = None,
    fps: Fps = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT of the video in pixels, if the file does not say so.")
    ] = None,
    accept_missing: AcceptMissing = False,
) -> None:
    """Read tubelets from another tool."""
    from dataclasses import replace

    from stvr.render.exporters import Account, import_files, write_found, write_table

    account = Account()
    found = import_files(files, form, fps=fps, size=size_of(size), account=account,
                         videos=video_files([videos]) if videos else ())
    found = [replace(each, label=label) for each in found] if label else found
    count = write_table(out, found) if out.suffix.lower() == ".csv" else write_found(out, found)
    done(out, f"{count} tubelets")
    tell(account.lines(), account.gone, accept_missing)


def size_of(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, by, height = text.lower().partition("x")
    if not by or not width.isdecimal() or not height.isdecimal() or not int(width) * int(height):
        raise ValueError(f"wanted --size WIDTHxHEIGHT in pixels, such as 640x360, got {text!r}.")
    return int(width), int(height)
