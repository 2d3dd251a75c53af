"""stvr export: tubelets for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import AcceptMissing, Fps, VideosAtHand, done, tell, video_files


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
    label: Annotated[
        str | None, typer.Option(help="What all tubelets show; without it, what each says of itself, or 1.")
    ] = None,
    videos: VideosAtHand = None,
    fps: Fps = None,
    accept_missing: AcceptMissing = False,
) -> None:
    """Write tubelets for another tool. AVA keeps one box a second, MOT no labels; the other formats lose nothing."""
    from stvr.render.exporters import Account, export_file, read_found

    found, account = read_found(tubelets), Account()
    paths = export_file(found, form, out, label=label, fps=fps, videos=video_files([videos]) if videos else (),
                        account=account)
    left_out = sum(each.count for each in account.left_out if each.what == "tubelets")
    done(paths[0] if len(paths) == 1 else out, f"{len(found) - left_out} tubelets as {form}")
    tell(account.lines(), account.gone, accept_missing)
