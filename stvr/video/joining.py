"""Pictures in a folder, or in an HDF5 file, become a video file: the same compressed pictures, bit for bit.

So every program that reads videos reads them, and nothing is decoded. Forms of 3D-ResNets-PyTorch, TSN and TRN:
`image_00001.jpg`, `img_00001.jpg`, `00001.jpg`; HDF5 files whose dataset `video` holds a JPEG in each element.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from stvr.files import whole
from stvr.video.packets import VideoError

CODECS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png"}
HDF5 = (".h5", ".hdf5")
DATASET = "video"
NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)")
FRAMES = ("image_", "img_", "frame_", "frame", "")  # prefixes of pictures, where there is flow beside them
ENDING = ".mov"  # its clock counts the rate exactly


@dataclass(frozen=True, slots=True)
class PictureSource:
    """A video in pictures. name: its path below what was given, without an ending; pictures: files, in order.

    others: how many numbered pictures of the folder are of another kind, such as flow.
    """

    name: str
    path: Path
    numbers: Sequence[int] = ()
    pictures: Sequence[str] = ()
    others: int = 0


@dataclass(frozen=True, slots=True)
class Joined:
    """num_pictures: that are in the video. missing: numbers in between that are not there. empty: that hold nothing."""

    num_pictures: int
    missing: int
    empty: int


def picture_sources(root: Path) -> list[PictureSource]:
    """All in a folder and the folders in it, by name; or the one file. FileNotFoundError where there is none."""
    if root.is_file() and root.suffix.lower() in HDF5:
        return [PictureSource(root.stem, root)]
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder of pictures and no HDF5 file. Name one, or a folder of them.")
    found = []
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folder = Path(place)
        below = folder.relative_to(root)
        if numbered := numbered_pictures(folder, files):
            name = below.as_posix() if below.parts else folder.resolve().name
            numbers, pictures = zip(*numbered, strict=True)
            numbered_in_all = sum(is_numbered(file) for file in files)
            found.append(PictureSource(name, folder, numbers, pictures, numbered_in_all - len(pictures)))
        found += [PictureSource((below / Path(file).stem).as_posix(), folder / file) for file in sorted(files)
                  if Path(file).suffix.lower() in HDF5]  # fmt: skip
    if not found:
        raise FileNotFoundError(f"there are no numbered pictures (.jpg, .png) and no HDF5 files in {root}.")
    return found


def is_numbered(file: str) -> bool:
    stem, suffix = os.path.splitext(file)
    return suffix.lower() in CODECS and not file.startswith(".") and NUMBERED.fullmatch(stem) is not None


def numbered_pictures(folder: Path, files: Sequence[str]) -> list[tuple[int, str]]:
    """(number, file) of a folder's frames in order. ValueError where it can't be told which pictures are the frames."""
    by_prefix: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for file in files:
        stem, suffix = os.path.splitext(file)
        if suffix.lower() in CODECS and not file.startswith(".") and (match := NUMBERED.fullmatch(stem)):
            by_prefix[match["prefix"]].append((int(match["number"]), file))
    if not by_prefix:
        return []
    known = [prefix for prefix in FRAMES if prefix in by_prefix]
    if len(by_prefix) > 1 and len(known) != 1:
        raise ValueError(f"{folder} holds pictures of several kinds ({', '.join(sorted(by_prefix))}...), and which are "
                         "the frames can't be told. Leave one kind there.")
    chosen = sorted(by_prefix[known[0]] if known else next(iter(by_prefix.values())))
    kinds = {CODECS[os.path.splitext(file)[1].lower()] for _, file in chosen}
    if len(kinds) > 1:
        raise ValueError(f"{folder} holds frames as JPEG and as PNG. Leave one kind there.")
    if len({number for number, _ in chosen}) < len(chosen):
        raise ValueError(f"{folder} holds two pictures of one number. Leave one of them.")
    return chosen


def join(source: PictureSource, rate: Fraction, out: Path) -> Joined:
    """Writes `out` (.mov) with a picture every 1/rate seconds; of a number that is missing, the one before stays.

    The file appears whole or not at all. VideoError where no picture holds anything, or the first is not readable.
    """
    codec = CODECS[Path(source.pictures[0]).suffix.lower()] if source.pictures else "mjpeg"
    first: int | None = None
    count = empty = last = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out) as partial, av.open(str(partial), "w", format="mov") as target:
        stream: Any = target.add_stream(codec, rate=rate)
        for number, content in contents(source):
            if not content:
                empty += 1
                continue
            if first is None:
                first = number
                stream.width, stream.height, stream.pix_fmt = form_of(content, codec, source.path)
                stream.time_base = 1 / rate
            packet = av.Packet(content)
            packet.stream, packet.time_base, packet.duration, packet.is_keyframe = stream, 1 / rate, 1, True
            packet.pts = packet.dts = number - first
            target.mux(packet)
            count, last = count + 1, number
        if first is None:
            raise VideoError(f"{source.path} holds no picture that is not empty.")
    return Joined(count, last - first + 1 - count - empty, empty)


def contents(source: PictureSource) -> Iterator[tuple[int, bytes]]:
    if source.pictures:
        for number, picture in zip(source.numbers, source.pictures, strict=True):
            yield number, (source.path / picture).read_bytes()
        return
    import h5py

    try:
        with h5py.File(source.path, "r") as file:
            if DATASET not in file:
                raise VideoError(f"{source.path} has no dataset {DATASET!r} of JPEGs. It has "
                                 f"{', '.join(file) or 'nothing'}.")
            if not isinstance(file[DATASET], h5py.Dataset) or file[DATASET].ndim != 1:
                raise VideoError(f"{source.path}: {DATASET!r} is no list of JPEGs, an element each. "
                                 "Write the bytes of every picture into one element.")
            for number, content in enumerate(file[DATASET]):
                yield number, content if isinstance(content, bytes) else bytes(content)
    except OSError as error:
        raise VideoError(f"{source.path} cannot be read as HDF5: {error}.") from None


def form_of(content: bytes, codec: str, path: Path) -> tuple[int, int, str]:
    """Width, height and pixel format of a compressed picture."""
    decoder: Any = av.VideoCodecContext.create(codec, "r")
    try:
        frames = [*decoder.decode(av.Packet(content)), *decoder.decode(None)]
    except av.FFmpegError as error:
        raise VideoError(f"{path}: its first picture cannot be read: {error.strerror}.") from error
    if not frames:
        raise VideoError(f"{path}: its first picture cannot be read as {codec}.")
    return frames[0].width, frames[0].height, frames[0].format.name
