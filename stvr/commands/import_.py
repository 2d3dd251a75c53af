"""stvr import: tubelets of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import Fps, done


def import_(
    files: Annotated[list[Path], typer.Argument(help="Files of one format.", show_default=False)],
    form: Annotated[
        str, typer.Option("--format", help="ava, coco-video, cvat, mot, fiftyone or webvtt.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(help="tubelets.jsonl; or a .csv, which `stvr prepare table` reads.", show_default=False)
    ],
    label: Annotated[str, typer.Option(help="What the tubelets show, in a .csv.")] = "match",
    fps: Fps = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels, where the file does not say.")] = None,
) -> None:
    """Tubelets of another tool."""
    from stvr.render.exporters import import_file, write_found, write_table

    found = [each for path in files for each in import_file(path, form, fps=fps, size=size_of(size))]
    count = write_table(out, found, label) if out.suffix.lower() == ".csv" else write_found(out, found)
    done(out, f"{count} tubelets")


def size_of(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, by, height = text.lower().partition("x")
    if not by or not width.isdecimal() or not height.isdecimal() or not int(width) * int(height):
        raise ValueError(f"wanted --size WIDTHxHEIGHT in pixels, as 640x360, not {text!r}.")
    return int(width), int(height)
