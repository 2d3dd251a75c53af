"""stvr export: tubelets for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import Fps, done


def export(
    tubelets: Annotated[Path, typer.Argument(help="tubelets.jsonl of `stvr locate`.", show_default=False)],
    form: Annotated[
        str,
        typer.Option("--format", help="ava, ava-detections, coco-video, cvat, mot, fiftyone or webvtt.",
                     show_default=False),
    ],
    out: Annotated[
        Path, typer.Option(help="A file; for cvat, mot and webvtt of several videos a folder.", show_default=False)
    ],
    label: Annotated[str, typer.Option(help="What the tubelets show; for AVA the id of an action.")] = "1",
    fps: Fps = None,
) -> None:
    """Write tubelets for another tool. AVA keeps one box a second; the other formats lose nothing."""
    from stvr.render.exporters import export_file, read_found

    found = read_found(tubelets)
    paths = export_file(found, form, out, label=label, fps=fps)
    done(paths[0] if len(paths) == 1 else out, f"{len(found)} tubelets as {form}")
