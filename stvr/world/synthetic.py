"""Write the synthetic action world: real video files with AVA-format annotations, the same bytes for one seed."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stvr import processes
from stvr.video.encode import encoder_versions, png, write_video
from stvr.world.actions import ACTION_IDS, ACTIONS, Deed, action_names, deeds
from stvr.world.dials import FILE, VideoDials, measure, write_dials
from stvr.world.options import CLIPS_A_SECOND, SPLITS, WorldOptions, world_options
from stvr.world.painting import Floats, Masks
from stvr.world.scenes import Scene, build_scene
from stvr.world.sheet import contact_sheet

FORMAT = 2  # of world.json
TABLE_COLUMNS = "video,seconds,x1,y1,x2,y2,person,label"  # of tracks.csv: what `stvr prepare table` reads


def write_world(out: Path, *, size: str = "small", workers: int | None = None, masks: bool = False, **dials: Any,
                ) -> WorldOptions:
    """Writes OUT/videos/*.mp4, train.csv, test.csv, val.csv if it has videos (AVA format), tracks.csv, scenes.csv,
    actions.pbtxt, held_out.txt, held_out_names.txt, contact.png, world.json.

    AVA has one box a second; tracks.csv has one for every third of a second, in the format of `stvr prepare table`.
    held_out.txt has the ids of all actions kept out of training; held_out_names.txt, for tracks.csv, has the names of
    those that some actor does.

    Args:
        out: a new or empty folder; one that already holds this very world is left as it is.
        size: a name in PRESETS. dials: fields of WorldOptions that override the preset; None means not given.
        workers: processes; None takes every core. The bytes do not depend on it.
        masks: also write which pixels each actor has, masks/NAME.npz (see `read_masks`). Boxes are exact then.
    """
    options = world_options(size, {**dials, **({"exact_boxes": True} if masks else {})})
    values = {"stvr_world": FORMAT, "options": options.to_json(), "masks": masks, "versions": _versions()}
    record = json.dumps(values, indent=1) + "\n"
    if _already_written(out, record):
        return options
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with _draft(out) as draft:
        world = draft / out.name
        _write_files(world, options, masks, workers or os.cpu_count() or 1)
        (world / "world.json").write_text(record)
        os.replace(world, out)  # the world appears whole or not at all
    return options


def read_masks(path: Path) -> tuple[Masks, Masks]:
    """The pixels of each actor of a video, (actors, T, H, W) bool twice: the visible ones, and all of them."""
    with np.load(path) as packed:
        visible, amodal = (np.unpackbits(packed[name], -1, packed["width"]).astype(bool)
                           for name in ("visible", "amodal"))
        return visible, amodal


@dataclass(frozen=True, slots=True)
class _Written:
    """What one video adds to the tables."""

    rows: str
    tracks: str
    dials: VideoDials
    deeds: set[Deed]


def _write_files(world: Path, options: WorldOptions, masks: bool, workers: int) -> None:
    for folder in ("videos", *(["masks"] if masks else [])):
        (world / folder).mkdir(parents=True)
    names = options.names()
    with _mapper(workers) as mapper:
        written = list(mapper(partial(_write_video, world, options, masks), names))
    for split in SPLITS:
        if options.num_videos(split):
            table = "".join(each.rows for each in written if each.dials.video.startswith(split))
            (world / f"{split}.csv").write_text(table)
    (world / "tracks.csv").write_text(f"{TABLE_COLUMNS}\n" + "".join(each.tracks for each in written))
    write_dials(world / FILE, [each.dials for each in written])
    known = ACTION_IDS if options.combined else {name: ACTION_IDS[name] for name in ACTIONS}
    (world / "actions.pbtxt").write_text(
        "".join(f'item {{\n  name: "{name}"\n  id: {index}\n}}\n' for name, index in known.items()))
    held_out, performed = _held_out(options), set().union(*(each.deeds for each in written))
    (world / "held_out.txt").write_text("".join(
        f"{prefix}{','.join(str(ACTION_IDS[name]) for name in action_names(deed))}\n" for prefix, deed in held_out))
    (world / "held_out_names.txt").write_text("".join(
        f"{prefix}{' + '.join(action_names(deed))}\n" for prefix, deed in held_out if deed in performed))
    (world / "contact.png").write_bytes(png(contact_sheet(options)))


def _held_out(options: WorldOptions) -> list[tuple[str, Deed]]:
    """What is kept out of training, each with the prefix of its line: the split, where that is not test."""
    validation = options.num_val_videos > 0
    splits = [("", "test"), *([("val: ", "val")] if validation else [])]
    return [(prefix, deed) for prefix, split in splits
            for deed in deeds(split, combined=options.combined, validation=validation)]


def _write_video(world: Path, options: WorldOptions, masks: bool, name: str) -> _Written:
    """Renders and encodes one video; returns its rows of the AVA table and of tracks.csv, and its dials."""
    scene = build_scene(options, name)
    starts = range(0, scene.num_frames, options.fps)
    parts = (scene.frames(start, min(start + options.fps, scene.num_frames)) for start in starts)
    write_video(world / "videos" / f"{name}.mp4", parts, options.fps, options.image_size)
    if masks:
        _write_masks(world / "masks" / f"{name}.npz", scene, starts)
    moments = scene.clip_moments()
    boxes, shares = scene.observe(moments)
    if not options.exact_boxes:
        boxes = scene.outlines()[:, moments]
    rows, tracks = _tables(name, scene, boxes)
    done = {segment.deed for actor in scene.actors for segment in actor.timeline}
    return _Written(rows, tracks, measure(name, scene, shares), done)


def _tables(name: str, scene: Scene, boxes: Floats) -> tuple[str, str]:
    """Rows of the AVA table and of tracks.csv. boxes (actors, clips, 4)."""
    rows, tracks = [], []
    for person, (actor, track) in enumerate(zip(scene.actors, boxes, strict=True)):
        for segment in actor.timeline:
            for second in range(segment.start, segment.stop):
                box = _text(track[second * CLIPS_A_SECOND + CLIPS_A_SECOND // 2])
                rows += [f"{name},{second:04d},{box},{ACTION_IDS[label]},{person}\n" for label in segment.labels]
            for third in range(CLIPS_A_SECOND * segment.start, CLIPS_A_SECOND * segment.stop):
                moment = f"{name},{third / CLIPS_A_SECOND:.4f},{_text(track[third])},{person}"
                tracks += [f"{moment},{label}\n" for label in segment.labels]
    return "".join(rows), "".join(tracks)


def _write_masks(path: Path, scene: Scene, starts: Sequence[int]) -> None:
    """Packs eight columns into a byte, because a mask for every frame and actor is large."""
    step = scene.options.fps
    parts = [[np.packbits(masks, -1) for masks in scene.masks(start, min(start + step, scene.num_frames))]
             for start in starts]
    visible, amodal = (np.concatenate(kind, 1) for kind in zip(*parts, strict=True))
    np.savez_compressed(path, visible=visible, amodal=amodal, width=np.int64(scene.options.image_size))


def _text(box: Floats) -> str:
    return ",".join(f"{edge:.4f}" for edge in box)


def _versions() -> dict[str, str]:
    return {"numpy": np.__version__, **encoder_versions()}


def _already_written(out: Path, record: str) -> bool:
    """Whether this very world is there already; FileExistsError when anything else is."""
    if not out.exists() or not any(out.iterdir()):
        return False
    if (out / "world.json").is_file() and (out / "world.json").read_text() == record:
        return True
    raise FileExistsError(f"{out} is not empty, and what it holds is not this world. Name a new folder, or empty it.")


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """An empty folder beside `out`, of this process alone; what a killed one left there is removed."""
    folder = out.with_name(f".{out.name}.partial")
    folder.mkdir(exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        _hold(lock, out)
        try:
            for left in folder.iterdir():
                shutil.rmtree(left)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _hold(lock: int, out: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileExistsError(f"{out} is just being written by another process. Wait for it, or name another "
                              "folder.") from None
    except OSError:  # a file system without locks
        return


@contextmanager
def _mapper(workers: int) -> Iterator[Any]:
    """`map` in this process, or spread over several."""
    if workers == 1:
        yield map
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, initializer=processes.end_with_parent) as pool:
        yield partial(pool.map, chunksize=4)
