"""The file of labels: a CSV with a stretch of video and its class in a row, or a table of boxes as `prepare` reads."""

from __future__ import annotations

import csv
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from math import inf
from pathlib import Path

from stvr.annotations.cells import Cells, read_headed
from stvr.annotations.label_lists import LabelRow
from stvr.annotations.labelled import link_annotations
from stvr.annotations.table import read_table, recognises
from stvr.files import write_text
from stvr.labels import label_name
from stvr.specs import ClipSpec
from stvr.store import FeatureStore
from stvr.structures import Span
from stvr.texts import read_text
from stvr.video_names import plain_name

SPLITS = ("train", "val", "test")
TESTED = 4  # where nothing says which videos test: one of so many


@dataclass(frozen=True, slots=True)
class Stretch:
    """Of one video, from start to stop in seconds of its own clock (all of it: 0 to inf), and the class it shows."""

    video: str
    label: str
    split: str
    start: float = 0.0
    stop: float = inf

    def span(self, store: FeatureStore) -> Span:
        """Its clips. LookupError where the store does not have them."""
        num_clips, offset = store.num_clips(self.video), store.offset_seconds(self.video)
        seconds = num_clips / float(store.spec.clip.clips_per_second)
        start, stop = max(self.start - offset, 0.0), min(self.stop - offset, seconds)
        if start >= stop:
            raise LookupError(f"{self.video!r} has {seconds:.2f} s in {store}, which do not reach the stretch from "
                              f"{self.start:g} s on.")
        span = store.spec.clip.span(self.video, start, stop)
        return Span(self.video, min(span.start, num_clips - 1), min(span.stop, num_clips))


def read_labels(path: Path, clip: ClipSpec) -> list[Stretch]:
    """The stretches of a file, in its order.

    A header names video and label, and may name split (train, val or test), start and stop (seconds); a table of boxes
    (video, seconds, x1, y1, x2, y2, person, label) gives every stretch through which a person keeps a label. Without
    splits, a quarter of the videos tests, chosen by their names. ValueError, with the line, for what is wrong.
    """
    first_line = read_text(path).lstrip("\n").partition("\n")[0]
    found = of_persons(path, clip) if recognises(path, first_line) else of_rows(path)
    if not found:
        raise ValueError(f"{path.name} holds a header and no row.")
    if any(each.split for each in found):
        return found
    logging.getLogger("stvr").warning("%s does not say which videos test: a quarter of them does, by their names.",
                                      path.name)
    return [Stretch(each.video, each.label, split_of(each.video), each.start, each.stop) for each in found]


def write_labels(path: Path, rows: Sequence[LabelRow]) -> None:
    """As `read_labels` reads it; a column that no row needs is left out."""
    columns = ["video", "label"] + ["split"] * any(row.split for row in rows)
    columns += ["start", "stop"] * any(row.start > 0 or row.stop < inf for row in rows)
    if "split" in columns and not all(row.split for row in rows):
        raise ValueError("some lists say what trains and tests and others do not. Give those with --train and --test.")
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = {"video": row.video, "label": row.label, "split": row.split, "start": f"{row.start:g}",
                  "stop": "" if row.stop == inf else f"{row.stop:g}"}  # fmt: skip
        writer.writerow([values[column] for column in columns])
    write_text(path, text.getvalue())


def of_persons(path: Path, clip: ClipSpec) -> list[Stretch]:
    annotations = read_table(path).checked()
    return [Stretch(each.video, label_name(each.label, annotations.names), "", clip.seconds_at(each.span.start),
                    clip.seconds_at(each.span.stop)) for each in link_annotations(annotations, clip)]


def of_rows(path: Path) -> list[Stretch]:
    cells, places = read_headed(path, ["video", "label"], ", and split,start,stop where you have them")
    return [read_row({name: row[place] for name, place in places.items()}, cells, cells.where(index))
            for index, row in enumerate(cells.rows)]


def read_row(row: dict[str, str], cells: Cells, where: str) -> Stretch:
    for column in ("video", "label"):
        if not row[column]:
            raise ValueError(f"{where}: {column} is empty.")
    split = row.get("split", "").lower()
    if split not in SPLITS and "split" in row:
        raise ValueError(f"{where}: split is {split!r}, wanted train, val or test.")
    start, stop = (cells.number(row[name], name, where) if row.get(name) else default
                   for name, default in (("start", 0.0), ("stop", inf)))
    if not start < stop:
        raise ValueError(f"{where}: it starts at {start:g} s and stops at {stop:g} s.")
    return Stretch(plain_name(row["video"]), row["label"], split, start, stop)


def split_of(video: str) -> str:
    return "test" if zlib.crc32(video.encode()) % TESTED == 0 else "train"


def found_in(stretches: Sequence[Stretch], store: FeatureStore) -> tuple[list[tuple[Stretch, Span]], list[str]]:
    """Those whose clips are in a store, with them; and why the others are not."""
    there: list[tuple[Stretch, Span]] = []
    reasons: list[str] = []
    for each in stretches:
        try:
            there.append((each, each.span(store)))
        except LookupError as error:
            reasons.append(str(error.args[0]))
    if not there:
        raise LookupError(f"none of the {len(stretches)} labelled stretches is in {store}: {reasons[0]} "
                          f"{store.how_to_add}.")
    return there, reasons
