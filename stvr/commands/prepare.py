"""stvr prepare: annotations -> linked tubelets -> pairs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stvr.commands import Seed, done, video_files

app = typer.Typer(no_args_is_help=True, help="Annotations -> linked tubelets -> pairs.")

Protocol = Annotated[str, typer.Option(help="released: as the authors built pairs. debiased: without its shortcuts.")]
AbsentShare = Annotated[float, typer.Option(help="Share of the debiased pairs whose reference holds no target.")]
HeldOut = Annotated[
    str | None,
    typer.Option(
        help="Labels kept for testing: names or ids with ; between them, where 12,79 or 'stand + walk' is one label of "
        "two actions; or a file with one label a line; or none.",
        show_default=False,
    ),
]
PairsOut = Annotated[Path, typer.Option("--out", help="The pairs file to write.", show_default=False)]
VideosDir = Annotated[
    Path | None, typer.Option("--videos", help="The folder of the video files: their lengths are read.")
]


@app.command("ava")
def prepare_ava_command(
    csvs: Annotated[list[Path], typer.Argument(help="AVA-format CSV files.", show_default=False)],
    out: PairsOut,
    train: Annotated[list[Path] | None, typer.Option(help="CSV files whose videos only train.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The label map (.pbtxt).")] = None,
    excluded: Annotated[Path | None, typer.Option(help="Excluded timestamps (.csv).")] = None,
    held_out: HeldOut = None,
    videos: VideosDir = None,
    offset_seconds: Annotated[int, typer.Option(help="900 if the videos were cut to AVA's fifteen minutes.")] = 0,
    protocol: Protocol = "debiased",
    absent_share: AbsentShare = 0.2,
    seed: Seed = 0,
) -> None:
    """AVA-format annotations. Without --held-out, the authors' 27 + 27 labels are kept for val and test."""
    from stvr.data.prepare import prepare_ava

    summary = prepare_ava(
        csvs, out, train_csvs=train or (), label_map=labels, excluded=excluded, held_out=held_out,
        seconds_offset=offset_seconds, video_clips=probe_folder(videos).clips if videos else None,
        options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    say_summary(out, summary)


@app.command("ucf101-24")
def prepare_ucf_command(
    annotations: Annotated[Path, typer.Argument(help="pyannot.pkl, read as data alone.", show_default=False)],
    out: PairsOut,
    videos: Annotated[Path, typer.Option(help="The folder of the video files.", show_default=False)],
    held_out: HeldOut = None,
    protocol: Protocol = "debiased",
    absent_share: AbsentShare = 0.2,
    seed: Seed = 0,
) -> None:
    """UCF101-24, for the videos in the folder. Without --held-out, 5 + 5 classes if all 24 are there, else none."""
    from stvr.data.prepare import prepare_ucf101_24

    found = probe_folder(videos)
    summary = prepare_ucf101_24(
        annotations, out, frame_rates=found.rates, video_clips=found.clips, held_out=held_out,
        options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    say_summary(out, summary)


@app.command("table")
def prepare_table_command(
    table: Annotated[Path, typer.Argument(help="CSV: video,seconds,x1,y1,x2,y2,person,label.", show_default=False)],
    out: PairsOut,
    videos: VideosDir = None,
    pixels: Annotated[bool, typer.Option("--pixels", help="Boxes are in pixels of the files in --videos.")] = False,
    held_out: HeldOut = None,
    protocol: Protocol = "debiased",
    absent_share: AbsentShare = 0.2,
    seed: Seed = 0,
) -> None:
    """Your own annotations; boxes in [0, 1], or --pixels. Without --held-out, nothing is held out."""
    from stvr.data.prepare import prepare_table

    if pixels and videos is None:
        raise ValueError("boxes in pixels need the pictures' sizes. Give --videos, or columns width and height.")
    found = probe_folder(videos) if videos else None
    summary = prepare_table(
        table, out, sizes=found.sizes if found and pixels else None, video_clips=found.clips if found else None,
        held_out=held_out, options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    say_summary(out, summary)


def probe_folder(folder: Path) -> Any:
    """Rates, sizes and lengths of the videos in a folder; one that cannot be read is told of and left out."""
    from stvr.extract.probing import probe_videos

    found = probe_videos(video_files([folder]))
    for name, reason in found.failed.items():
        print(f"stvr: {name}: {reason}", file=sys.stderr)
    return found


def pair_options(**flags: Any) -> Any:
    from stvr.config import fill
    from stvr.data.prepare import PairOptions

    return fill(PairOptions, flags=flags)


def say_summary(out: Path, summary: dict[str, Any]) -> None:
    """Counts and place on standard output; what was decided for the user on standard error."""
    for split, numbers in summary["splits"].items():
        print(f"{split}: " + ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in numbers.items()))
    for split, labels in summary["held_out"].items():
        print(f"stvr: held out for {split} ({len(labels)}): {'; '.join(labels) or 'none that occurs'}", file=sys.stderr)
    if summary["unseen"]:
        print(f"stvr: to be held out, but nobody does it: {'; '.join(summary['unseen'])}", file=sys.stderr)
    if not any(summary["held_out"].values()):
        print("stvr: nothing is held out; name labels with --held-out to test on actions that were not trained on",
              file=sys.stderr)  # fmt: skip
    if summary["extent_seconds"]:
        start, stop = summary["extent_seconds"]
        print(f"stvr: references lie between {start:g} and {stop:g} s, as AVA's; --videos would read the true lengths",
              file=sys.stderr)  # fmt: skip
    total = sum(int(numbers["pairs"]) for numbers in summary["splits"].values())
    done(out, f"{total} pairs of {summary['tubelets']} tubelets, {summary['labels']} labels")
