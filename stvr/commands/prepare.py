"""stvr prepare: annotations -> linked tubelets -> pairs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stvr.commands import Seed, done, video_files

app = typer.Typer(no_args_is_help=True, help="Annotations -> linked tubelets -> pairs.")

Protocol = Annotated[
    str,
    typer.Option(
        help="released: as the authors' program built pairs. paper: as their paper says, never with the query as its "
        "own reference. debiased: without their shortcuts."
    ),
]
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
Fps = Annotated[float | None, typer.Option(help="Frames a second of the videos, if there is no --videos.")]
Attribute = Annotated[
    str | None, typer.Option(help="CVAT: the attribute that says the action, if the label only says who.")
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
    from stvr.tasks.pairs.prepare import prepare_ava

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
    from stvr.tasks.pairs.prepare import prepare_ucf101_24

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
    from stvr.tasks.pairs.prepare import prepare_table

    if pixels and videos is None:
        raise ValueError("boxes in pixels need the pictures' sizes. Give --videos, or columns width and height.")
    found = probe_folder(videos) if videos else None
    summary = prepare_table(
        table, out, sizes=found.sizes if found and pixels else None, video_clips=found.clips if found else None,
        held_out=held_out, options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    say_summary(out, summary)


@app.command("multisports")
def prepare_multisports_command(
    files: Annotated[list[Path], typer.Argument(help="CSV: video,frame,x1,y1,x2,y2,action,entity; or the ground truth "
                                                     "as JSON.", show_default=False)],
    out: PairsOut,
    train: Annotated[list[Path] | None, typer.Option(help="Files whose videos only train.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The label map (.pbtxt) of a CSV.")] = None,
    videos: VideosDir = None,
    held_out: HeldOut = None,
    protocol: Protocol = "debiased",
    absent_share: AbsentShare = 0.2,
    seed: Seed = 0,
) -> None:
    """MultiSports, 25 frames a second. Without --held-out, labels are drawn if all 60 are there, else none."""
    from stvr.tasks.pairs.prepare import prepare_multisports

    found = probe_folder(videos) if videos else None
    summary = prepare_multisports(
        files, out, train_files=train or (), label_map=labels, frame_rates=found.rates if found else None,
        video_clips=found.clips if found else None, held_out=held_out,
        options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    say_summary(out, summary)


@app.command("jhmdb")
def prepare_jhmdb_command(
    masks: Annotated[Path, typer.Argument(help="The folder puppet_mask: class/video/puppet_mask.mat.",
                                          show_default=False)],
    out: PairsOut,
    videos: Annotated[Path, typer.Option(help="The folder of the video files, or of a folder a class.",
                                         show_default=False)],
    splits: Annotated[Path | None, typer.Option(help="The folder splits: its videos to train only train.")] = None,
    split: Annotated[int, typer.Option(min=1, max=3, help="Which of the three splits.")] = 1,
    held_out: HeldOut = None,
    protocol: Protocol = "debiased",
    absent_share: AbsentShare = 0.2,
    seed: Seed = 0,
) -> None:
    """JHMDB, the boxes around its puppet masks. Without --held-out, 4 + 4 classes if all 21 are there, else none."""
    from stvr.tasks.pairs.prepare import prepare_jhmdb

    found = probe_folder(videos)
    summary = prepare_jhmdb(
        masks, out, frame_rates=found.rates, splits=splits, split_number=split, video_clips=found.clips,
        held_out=held_out, options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    say_summary(out, summary)


@app.command("cvat")
def prepare_cvat_command(
    xmls: Annotated[list[Path], typer.Argument(help="`CVAT for video 1.1`, one file a video.", show_default=False)],
    out: PairsOut,
    videos: VideosDir = None,
    fps: Fps = None,
    attribute: Attribute = None,
    held_out: HeldOut = None,
    protocol: Protocol = "debiased",
    absent_share: AbsentShare = 0.2,
    seed: Seed = 0,
) -> None:
    """Your own tracks of CVAT; --videos or --fps tells their frame rate. Without --held-out, nothing is held out."""
    from stvr.tasks.pairs.prepare import prepare_cvat

    found = probe_folder(videos) if videos else None
    summary = prepare_cvat(
        xmls, out, frame_rates=rates_of(found, fps), attribute=attribute, video_clips=found.clips if found else None,
        held_out=held_out, options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    say_summary(out, summary)


@app.command("check")
def check_command(
    files: Annotated[list[Path], typer.Argument(help="What `prepare` takes.", show_default=False)],
    kind: Annotated[
        str | None, typer.Option(help="ava, ucf101-24, multisports, jhmdb, table or cvat; the file tells if not given.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="The label map (.pbtxt).")] = None,
    excluded: Annotated[Path | None, typer.Option(help="Excluded timestamps (.csv).")] = None,
    videos: VideosDir = None,
    decode: Annotated[bool, typer.Option("--decode", help="Decode every frame of the videos too: slow.")] = False,
    pairs: Annotated[Path | None, typer.Option(help="Hold this pairs file against the annotations.")] = None,
    offset_seconds: Annotated[int, typer.Option(help="900 if the videos were cut to AVA's fifteen minutes.")] = 0,
    pixels: Annotated[bool, typer.Option("--pixels", help="A table's boxes are in pixels of the files.")] = False,
    fps: Fps = None,
    attribute: Attribute = None,
    protocol: Protocol = "debiased",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Find faults before any training: boxes, labels, times, videos, pairs. Exit status 1 when there are some."""
    import json

    from stvr.annotations.readers import Given, read_rows
    from stvr.tasks.pairs.build import read_pairs
    from stvr.tasks.pairs.faults import check

    if decode and videos is None:
        raise ValueError("--decode needs the videos. Give --videos.")
    found = probe_folder(videos, decode=decode) if videos else None
    parts = read_rows(files, kind, Given(
        labels=labels, excluded=excluded, seconds_offset=offset_seconds, attribute=attribute,
        frame_rates=found.rates if found else fps, sizes=found.sizes if found and pixels else None,
    ))  # fmt: skip
    made = read_pairs(pairs)[0] if pairs else None
    report = check(parts, checked_videos(found), pair_options(protocol=protocol), made)
    print(json.dumps(report.to_json(), indent=1, ensure_ascii=False) if as_json else "\n".join(report.lines()))
    sys.exit(1 if report.faults else 0)


def rates_of(found: Any, fps: float | None) -> Any:
    if found is None and fps is None:
        raise ValueError("CVAT's files count frames and do not say how many a second. Give --videos, or --fps.")
    return found.rates if found else fps


def checked_videos(found: Any) -> Any:
    from stvr.tasks.pairs.faults import Videos

    return None if found is None else Videos(found.clips, found.failed)


def probe_folder(folder: Path, *, decode: bool = False) -> Any:
    """Rates, sizes and lengths of the videos in a folder; one that cannot be read is told of and left out."""
    from stvr.video.probing import decode_videos, probe_videos

    files = video_files([folder, *sorted(below for below in folder.glob("*/"))])
    found = probe_videos(files)
    if decode:
        decode_videos(found, files)
    for name, reason in found.failed.items():
        print(f"stvr: {name}: {reason}", file=sys.stderr)
    return found


def pair_options(**flags: Any) -> Any:
    from stvr.config import fill
    from stvr.tasks.pairs.prepare import PairOptions

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
    from stvr.tasks.pairs.audit import headline

    for split, found in summary["audit"].items():
        print(f"stvr: {headline(split, found)}", file=sys.stderr)
    total = sum(int(numbers["pairs"]) for numbers in summary["splits"].values())
    done(out, f"{total} pairs of {summary['tubelets']} tubelets, {summary['labels']} labels")
