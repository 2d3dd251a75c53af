"""Read MultiSports (Li et al., ICCV 2021): a CSV with a box a frame, or its ground truth as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stvr.annotations.ava import LabelOptions, plain_names, read_boxes, read_number, read_whole
from stvr.annotations.frame_counts import FrameOptions, FrameRates, kept_rates, named_as_given, seconds_of
from stvr.annotations.held_out import draw_if_whole
from stvr.annotations.reader import Reader
from stvr.annotations.rows import EDGES, Rows
from stvr.annotations.tubes_json import FIRST_FRAME, read_tube_truth, refuse_pickle

RATE = 25.0  # frames a second of every MultiSports video
NUM_CLASSES = 60  # the actions that are evaluated


class MultiSportsOptions(LabelOptions, FrameOptions):
    fps: float | None = RATE


def read_multisports(path: Path, *, names: Mapping[int, str] | None = None, frame_rates: FrameRates = RATE) -> Rows:
    """Reads `video,frame,x1,y1,x2,y2,action_id,entity_id` (shares, mmaction2's form) or the ground truth as JSON.

    Ids are the file's, from 0. Entities are counted anew for each action, so a person is "action.entity" here and
    does only one action. A box stands while its frame is on screen.

    Args:
        names: of the actions; the JSON form has them in the file.
        frame_rates: frames a second, of all videos or by video name; then only these videos are kept.
    Raises: ValueError for a cell that is wrong and for a pickle, LookupError where no video is to be kept.
    """
    import pandas as pd

    if path.suffix.lower() == ".json":
        return read_tube_truth(path, frame_rates)
    refuse_pickle(path)
    table = read_boxes(path)
    videos = plain_names(table["video"])
    label = read_whole(table, "label", path)
    frames = read_whole(table, "second", path) - FIRST_FRAME
    if (frames < 0).any():
        raise ValueError(f"{path.name}, line {frames.index[frames < 0][0]}: frames are counted from {FIRST_FRAME}.")
    rates, left_out = kept_rates(videos, frame_rates, path.name)
    rows = pd.DataFrame({
        "line": table.index, "video": videos, "label": label,
        "person": label.astype(str) + "." + table["person"],
        "start": seconds_of(videos, frames, rates), "stop": seconds_of(videos, frames + 1, rates),
        **{edge: read_number(table, edge, path) for edge in EDGES},
    })  # fmt: skip
    found = Rows(path.name, rows[rows["start"].notna()], dict(names or {}), left_out=left_out)
    return named_as_given(found, frame_rates)


def read(path: Path, options: MultiSportsOptions) -> Rows:
    return read_multisports(path, names=options.names(), frame_rates=options.rates())


def recognises(path: Path, first_line: str) -> bool:
    return path.suffix.lower() == ".json" or first_line.split(",")[0].strip('" ').endswith((".mp4", ".avi", ".mkv"))


MULTISPORTS = Reader(
    read, options=MultiSportsOptions, several=True, train_files=True,
    argument_help="CSV: video,frame,x1,y1,x2,y2,action,entity; or the ground truth as JSON.",
    help=f"MultiSports, {RATE:g} frames a second. Without --held-out, labels are drawn if all {NUM_CLASSES} are there, "
         "else none.",
    recognises=recognises, held_out=draw_if_whole(NUM_CLASSES),
)  # fmt: skip
