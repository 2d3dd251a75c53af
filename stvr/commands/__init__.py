"""What the commands share: their common options, how results and faults are printed, which files a name means."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stvr.structures import ClipSpec
    from stvr.video.source import Source

Videos = Annotated[
    list[str], typer.Argument(help="Video files, folders of them, s3://BUCKET/PREFIX/.", show_default=False)
]
Store = Annotated[Path, typer.Option(help="The feature store: a folder, or s3://BUCKET/PREFIX.", show_default=False)]
Pairs = Annotated[Path, typer.Option(help="A pairs file of `stvr prepare`.", show_default=False)]
Examples = Annotated[
    Path, typer.Option("--pairs", help="A pairs file of `stvr prepare`; for a classifier its labels, for the head step "
                                       "its people (.csv).", show_default=False)
]  # fmt: skip
CheckpointFile = Annotated[Path, typer.Option(help="A head.safetensors, or a run's folder.", show_default=False)]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")]
Weights = Annotated[
    str | None,
    typer.Option(help="A name of `stvr weights list`, .safetensors, rgb_imagenet.pt, model.ckpt, or analytic."),
]
FlowWeights = Annotated[
    Path | None, typer.Option(help="torchvision's raft_small or raft_large, .safetensors or .pth, for the flow raft.")
]
Fps = Annotated[float | None, typer.Option(help="Frames a second of the video, if neither it nor the file says so.")]
VideosAtHand = Annotated[
    Path | None,
    typer.Option("--videos", help="A video, or the folder of them, whose own time stamps are to be used."),
]
AcceptMissing = Annotated[
    bool, typer.Option("--accept-missing", help="Exit status 0, not 1, though whole videos were left out.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]

StorePath = Annotated[str, typer.Argument(help="The folder of the store, or s3://BUCKET/PREFIX.", show_default=False)]


def done(path: Path | str, what: str) -> None:
    print(f"{path}: {what}")


def video_files(paths: list[Path]) -> list[Path]:
    """The files themselves; of a folder, every file in it, and in the folders in it, that is named like a video.

    FileNotFoundError for a path that is not there, or when there is no video.
    """
    files = [file for path in paths for file in _files_at(path)]
    if not files:
        raise _none_in(list(map(str, paths)))
    return files


def sources(names: list[str]) -> list[Source]:
    """Like `video_files`, but in buckets too: an object, or all below a prefix that are named like videos."""
    from stvr.video.folders import SUFFIXES
    from stvr.video.source import files_at, is_in_bucket

    found: list[Source] = []
    for name in names:
        found += files_at(name, SUFFIXES) if is_in_bucket(name) else _files_at(Path(name))
    if not found:
        raise _none_in(names)
    return found


def _none_in(names: list[str]) -> FileNotFoundError:
    return FileNotFoundError(f"there is no video file in {', '.join(names)}. Name video files, or a folder of them.")


def _files_at(path: Path) -> list[Path]:
    from stvr.video.folders import videos_in

    if path.is_dir():
        return videos_in(path, lambda line: print(f"stvr: {line}", file=sys.stderr))
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Name video files, or a folder of them.")
    return [path]


def named_in(pairs: Path, files: Mapping[str, Source], image_size: int) -> tuple[dict[str, Source], ClipSpec]:
    """The files, by name, of the videos of the pairs, and how the pairs cut them; says which videos have no file."""
    from stvr.tasks.pairs.file import clip_spec, read_pairs

    read, header = read_pairs(pairs)
    needed = {span.video for pair in read for span in (pair.query.span, pair.reference)}
    chosen = {video: file for video, file in files.items() if video in needed}
    if not chosen:
        raise LookupError(f"none of the {len(files)} files is named in {pairs}. Give the files of its videos.")
    if missing := sorted(needed - set(chosen)):
        print(f"stvr: {len(missing)} videos of {pairs} are not among the files, {missing[0]!r} first", file=sys.stderr)
    return chosen, clip_spec(header, image_size)


def usable(device: str) -> str:
    """The device itself; ValueError when this machine or this build of torch does not have it."""
    import torch

    try:
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        if reason.startswith("Expected one of"):  # and all the devices that torch has ever heard of
            reason = "there is none of that name"
        raise ValueError(f"the device {device!r} cannot be used here: {reason}. Give --device cpu.") from None
    return device


@contextmanager
def shown_videos(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """A function to call after each video, which shows how many of all are done."""
    from stvr.progress import shown_steps

    with shown_steps(what) as show:
        number = count(1)
        yield lambda video: show(next(number), total, {})


def exit_telling(failed: Mapping[str, str]) -> None:
    """Prints a line for each video that could not be read; exits with status 1 if there is any."""
    for name, reason in failed.items():
        print(f"stvr: {reason if name in reason else f'{name}: {reason}'}", file=sys.stderr)
    if failed:
        sys.exit(1)


def tell(lines: Sequence[str], gone: Sequence[str], accept_missing: bool) -> None:
    """The last lines of a command that reads: what it assumed and left out. Exits with 1 if whole videos are gone."""
    from stvr.annotations.held_out import listed

    for line in lines:
        print(f"stvr: {line}", file=sys.stderr)
    if not gone:
        return
    may = "" if accept_missing else "; give --accept-missing if they may"
    print(f"stvr: {len(gone)} videos fell away as a whole: {listed(gone)}{may}", file=sys.stderr)
    if not accept_missing:
        sys.exit(1)


def tell_doubts(doubtful: Mapping[str, str]) -> None:
    """Prints a line for each video that was read, but is not as its file promises."""
    for name, doubt in doubtful.items():
        print(f"stvr: {name} is doubtful: {doubt}", file=sys.stderr)


def edges(text: str, count: int, example: str) -> list[float]:
    """The `count` numbers of a text like "1,2". ValueError, which shows `example`, for any other text."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(isfinite, numbers)):
        raise ValueError(f"wanted {example}, got {text!r}. Give {count} numbers separated by commas.")
    return numbers


def seconds_pair(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    start, stop = edges(text, 2, "--span START,STOP in seconds")
    return start, stop


def options_of(**flags: Any) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}
