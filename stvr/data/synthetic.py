"""Write the synthetic action world: real video files with AVA-format annotations, the same bytes for one seed."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import av  # the one place beside extract/decode.py and render/: the world writes its own video files
import numpy as np
from av.codec.context import Flags
from numpy.typing import NDArray

from stvr.config import fill
from stvr.data.actions import ACTION_IDS, HELD_OUT
from stvr.data.scenes import SPLITS, WorldOptions, render_scene
from stvr.data.table import TABLE_COLUMNS

TRACK_RATE = 3  # boxes a second in tracks.csv: one a clip

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"num_train_videos": 4, "num_test_videos": 2, "image_size": 96, "seconds": (4, 4)},
    "small": {},
}
X264 = {"crf": "18", "preset": "veryfast", "threads": "1",
        "x264-params": "cpu-independent=1"}  # without it x264's rate control differs from run to run


def write_world(out: Path, *, size: str = "small", workers: int | None = None, **dials: Any) -> WorldOptions:
    """Writes OUT/videos/*.mp4, train.csv, test.csv (AVA format), tracks.csv, actions.pbtxt, held_out.txt, world.json.

    AVA has one box a second; tracks.csv has one for every third of a second, in the format of `stvr prepare table`.

    Args:
        out: a new or empty folder; one that already holds this very world is left as it is.
        size: a name of PRESETS. dials: fields of WorldOptions that win over the preset; None is not given.
        workers: processes; None takes every core. The bytes do not depend on it.
    """
    if size not in PRESETS:
        raise ValueError(f"the size of a world is one of {', '.join(PRESETS)}, not {size!r}.")
    options = fill(WorldOptions, PRESETS[size], flags=dials)
    record = json.dumps({"stvr_world": 1, "options": options.model_dump(), "versions": _versions()}, indent=1) + "\n"
    if _already_written(out, record):
        return options
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True) as draft:
        world = Path(draft) / out.name
        _write_files(world, options, workers or os.cpu_count() or 1)
        (world / "world.json").write_text(record)
        os.replace(world, out)  # the world appears whole or not at all
    return options


def _write_files(world: Path, options: WorldOptions, workers: int) -> None:
    (world / "videos").mkdir(parents=True)
    names = [f"{split}_{index:04d}" for split, count in zip(SPLITS, _counts(options), strict=True)
             for index in range(count)]
    with _mapper(workers) as mapper:
        rows = list(mapper(partial(_write_video, world / "videos", options), names))
    for split in SPLITS:
        table = "".join(row for name, (row, _) in zip(names, rows, strict=True) if name.startswith(split))
        (world / f"{split}.csv").write_text(table)
    (world / "tracks.csv").write_text(f"{','.join(TABLE_COLUMNS)}\n" + "".join(track for _, track in rows))
    (world / "actions.pbtxt").write_text(
        "".join(f'item {{\n  name: "{name}"\n  id: {index}\n}}\n' for name, index in ACTION_IDS.items()))
    (world / "held_out.txt").write_text("".join(f"{ACTION_IDS[name]}\n" for name in HELD_OUT))


def write_video(path: Path, frames: NDArray[np.uint8], fps: int) -> None:
    """Encodes RGB frames (T, H, W, 3) as H.264, the same bytes on each run: one thread, nothing of the day in it."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options=X264)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = fps
        stream.codec_context.flags |= Flags.bitexact
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_video(folder: Path, options: WorldOptions, name: str) -> tuple[str, str]:
    """Renders and encodes one video; returns its rows of the AVA table and of tracks.csv."""
    split, index = name.split("_")
    scene = render_scene(options, split, int(index))
    write_video(folder / f"{name}.mp4", scene.frames, options.fps)
    rows, tracks = [], []
    for person, (boxes, timeline) in enumerate(zip(scene.boxes, scene.timelines, strict=True)):
        for segment in timeline:
            for second in range(segment.start, segment.stop):
                box = _text(boxes[second * options.fps + options.fps // 2])
                rows.append(f"{name},{second:04d},{box},{ACTION_IDS[segment.action]},{person}\n")
            for third in range(TRACK_RATE * segment.start, TRACK_RATE * segment.stop):
                box = _text(boxes[(2 * third + 1) * options.fps // (2 * TRACK_RATE)])
                tracks.append(f"{name},{third / TRACK_RATE:.4f},{box},{person},{segment.action}\n")
    return "".join(rows), "".join(tracks)


def _text(box: NDArray[np.float64]) -> str:
    return ",".join(f"{edge:.4f}" for edge in box)


def _counts(options: WorldOptions) -> tuple[int, int]:
    return options.num_train_videos, options.num_test_videos


def _versions() -> dict[str, str]:
    return {"numpy": np.__version__, "av": av.__version__,
            "libavcodec": ".".join(map(str, av.library_versions["libavcodec"]))}


def _already_written(out: Path, record: str) -> bool:
    """True where this very world lies; raises where anything else does."""
    if not out.exists() or not any(out.iterdir()):
        return False
    if (out / "world.json").is_file() and (out / "world.json").read_text() == record:
        return True
    raise FileExistsError(f"{out} is not empty and holds another world or none. Name a new folder, or empty this one.")


@contextmanager
def _mapper(workers: int) -> Iterator[Any]:
    """`map` in this process, or over several."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=4)
