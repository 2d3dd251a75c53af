"""stvr export: tubelets for other tools, and for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import AcceptMissing, Fps, VideosAtHand, done, tell, video_files


def export(
    tubelets: Annotated[
        Path, typer.Argument(help="tubelets.jsonl of `stvr locate` or `stvr search`.", show_default=False)
    ],
    form: Annotated[
        str,
        typer.Option("--format", help="For tools: ava, ava-detections, coco-video, cvat, mot, fiftyone or webvtt. For "
                     "people: csv, chapters, edl, otio, contact-sheet, html or clips.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option(help="A file; for cvat, mot, webvtt, chapters and edl of several videos, and for clips, a "
                                "folder.", show_default=False)
    ],
    label: Annotated[
        str | None, typer.Option(help="What all tubelets show; without it, what each says of itself, or 1.")
    ] = None,
    best: Annotated[int | None, typer.Option(min=1, help="Only so many, the best of all videos.")] = None,
    videos: VideosAtHand = None,
    fps: Fps = None,
    drop_frame: Annotated[
        bool | None, typer.Option("--drop-frame/--non-drop-frame", help="For edl: whether time codes of 29.97 and "
                                  "59.94 frames a second keep to the clock.", show_default="they do")
    ] = None,
    around: Annotated[
        float, typer.Option(min=0, help="For clips: seconds that are shown before and after each tubelet.")
    ] = 1.0,
    accept_missing: AcceptMissing = False,
) -> None:
    """Write tubelets for another tool, or for people to look at and to cut by.

    AVA keeps one box a second, MOT no labels; the other formats for tools lose nothing and can be imported again.
    """
    from stvr.render.exporters import Account, best_of, read_found
    from stvr.render.exporters.at_hand import by_name
    from stvr.render.hits import Wishes
    from stvr.render.taken_home import FORMATS, write_answers

    if form not in FORMATS:  # before anything is read
        raise ValueError(f"there is no format {form!r}. Choose one of {', '.join(FORMATS)}.")
    found, account = best_of(read_found(tubelets), best), Account()
    files = video_files([videos]) if videos else []
    wishes = Wishes(fps, by_name(files), drop_frame, around, account)
    paths = write_answers(found, form, out, wishes, label=label, videos=files)
    left_out = sum(each.count for each in account.left_out if each.what == "tubelets")
    done(paths[0] if len(paths) == 1 else out, f"{len(found) - left_out} tubelets as {form}")
    tell(account.lines(), account.gone, accept_missing)
