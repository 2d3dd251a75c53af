"""stvr join: pictures in folders or HDF5 files -> video files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import done, exit_telling, shown_videos


def join(
    sources: Annotated[
        list[Path], typer.Argument(help="Folders of numbered pictures, HDF5 files of JPEGs, or folders of either.",
                                   show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The folder of the videos to write.", show_default=False)],
    rate: Annotated[
        str, typer.Option(help="Pictures a second, such as 25, 12 or 30000/1001: files do not say.", show_default=False)
    ],
) -> None:
    """Pictures in folders or HDF5 files -> video files (.mov) of the same compressed pictures, for every other command.

    Nothing is decoded, so nothing is lost. What is there already is not written again. Exit status 1 where one failed.
    """
    from fractions import Fraction

    from stvr.video.joining import ENDING, picture_sources
    from stvr.video.joining import join as run_join

    try:
        frame_rate = Fraction(rate)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"--rate is {rate!r}, wanted pictures a second, such as 25 or 30000/1001.") from None
    if not 0 < frame_rate <= 1000:
        raise ValueError(f"--rate is {rate}, wanted more than 0 and at most 1000 pictures a second.")
    found = [source for root in sources for source in picture_sources(root)]
    failed: dict[str, str] = {}
    written = skipped = 0
    with shown_videos("joining pictures", len(found)) as show:
        for source in found:
            target = out / f"{source.name}{ENDING}"
            if target.exists():
                skipped += 1
            else:
                try:
                    joined = run_join(source, frame_rate, target)
                    written += 1
                    for count, what in ((joined.missing, "missing: the picture before stays"),
                                        (joined.empty, "empty: the picture before stays"),
                                        (source.others, "of another kind, and left out")):
                        if count:
                            print(f"stvr: {source.name}: pictures {what} ({count})", file=sys.stderr)
                except ValueError as error:
                    failed[source.name] = str(error)
            show(source.name)
    done(out, f"{written} videos written, {skipped} already there, {len(failed)} failed")
    exit_telling(failed)
