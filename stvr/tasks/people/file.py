"""The file of people: a CSV with a row for each person at a keyframe and each class that the person shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import groupby
from pathlib import Path

import numpy as np

from stvr.annotations.rows import EDGES
from stvr.files import write_text
from stvr.labels import number_and_name
from stvr.store import FeatureStore
from stvr.structures import Span
from stvr.texts import read_text
from stvr.video_names import ByVideo

COLUMNS = ["video", "second", "at", "split", "person", *EDGES, "class"]
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Person:
    """One person at a keyframe. box: xyxy in [0, 1]; classes: such as "12: stand"."""

    name: str
    box: tuple[float, float, float, float]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A moment of a video at which everybody is marked; nobody may be there.

    second: what the annotations call it. at: when it is, in seconds of the video's own clock.
    """

    video: str
    second: int
    at: float
    split: str
    people: tuple[Person, ...]


def write_people(path: Path, keyframes: Sequence[Keyframe]) -> None:
    """As `read_people` reads it. A keyframe without people has one row, its cells after the split are empty."""
    import pandas as pd

    rows = [(each.video, each.second, f"{each.at:g}", each.split, *cells)
            for each in keyframes for cells in cells_of(each)]  # fmt: skip
    text = StringIO()
    pd.DataFrame(rows, columns=COLUMNS).to_csv(text, index=False, lineterminator="\n")
    write_text(path, text.getvalue())


def cells_of(keyframe: Keyframe) -> list[tuple[str, ...]]:
    nobody = ("",) * (len(COLUMNS) - 4)
    return [(person.name, *(f"{edge:.6g}" for edge in person.box), name)
            for person in keyframe.people for name in person.classes] or [nobody]  # fmt: skip


def read_people(path: Path) -> list[Keyframe]:
    """The keyframes of a file, in its order. ValueError, with the line, for what is wrong."""
    import pandas as pd

    text = read_text(path)
    if text.partition("\n")[0].strip() != ",".join(COLUMNS):
        raise ValueError(f"{path.name} is no file of people: wanted the header {','.join(COLUMNS)}. Write it with "
                         "`stvr prepare people`.")
    table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False, skip_blank_lines=False)
    if table.empty:
        raise ValueError(f"{path.name} holds a header and no row.")
    check(table, path)
    rows = list(table.itertuples(index=False, name=None))
    return [keyframe_of(list(own)) for _, own in groupby(rows, key=lambda row: row[:2])]


def check(table: object, path: Path) -> None:
    """ValueError, with the line, for the first cell that is wrong."""
    import pandas as pd

    assert isinstance(table, pd.DataFrame)
    nobody = (table[COLUMNS[4:]] == "").all(axis=1)
    numbers = table[["second", "at", *EDGES]].apply(pd.to_numeric, errors="coerce")
    edges = numbers[EDGES].to_numpy()
    low, high = edges[:, :2], edges[:, 2:]
    wrong = {
        "video, second and at, wanted a name and two numbers":
            (table["video"] == "") | ~np.isfinite(numbers[["second", "at"]]).all(axis=1),
        f"split, wanted one of {', '.join(SPLITS)}": ~table["split"].isin(SPLITS),
        "the box, wanted shares of the picture with x1 < x2 and y1 < y2":
            ~nobody & ~((low >= 0) & (low < high) & (high <= 1)).all(axis=1),
        "the class, wanted a number and a name such as '12: stand'":
            ~nobody & ~table["class"].str.fullmatch(r"\d+: .+"),
    }  # fmt: skip
    for what, rows in wrong.items():
        if np.any(rows):
            raise ValueError(f"{path.name}, line {int(np.flatnonzero(rows)[0]) + 2}: look at {what}.")


def keyframe_of(rows: Sequence[tuple[str, ...]]) -> Keyframe:
    """One keyframe from its rows."""
    video, second, at, split = rows[0][:4]
    people = [Person(name, box_of(own[0][5:9]), tuple(row[9] for row in own))
              for name, own in ((name, list(each)) for name, each in groupby(rows, key=lambda row: row[4])) if name]
    return Keyframe(video, int(second), float(at), split, tuple(people))


def box_of(cells: Sequence[str]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = map(float, cells)
    return x1, y1, x2, y2


def classes_in(keyframes: Sequence[Keyframe]) -> tuple[str, ...]:
    """Every class that somebody shows, by its number."""
    return tuple(sorted({name for each in keyframes for person in each.people for name in person.classes},
                        key=lambda name: number_and_name(name)[0]))  # fmt: skip


def found_in(keyframes: Sequence[Keyframe], store: FeatureStore) -> tuple[list[tuple[Keyframe, Span]], list[str]]:
    """Those whose own clip is in a store, with it; and why the others are not. LookupError where none is."""
    names = ByVideo(dict.fromkeys(store.videos()))
    meant = {video: names.name(video) for video in {each.video for each in keyframes}}
    there: list[tuple[Keyframe, Span]] = []
    reasons: list[str] = []
    for each in keyframes:
        video = meant[each.video]
        if video is None:
            reasons.append(f"{each.video!r} is not in {store}")
            continue
        clip = store.spec.clip.index_at(each.at - store.offset_seconds(video))
        if 0 <= clip < store.num_clips(video):
            there.append((each, Span(video, clip, clip + 1)))
        else:
            reasons.append(f"{video!r} has {store.num_clips(video)} clips in {store}, none at {each.at:g} s")
    if not there:
        raise LookupError(f"none of the {len(keyframes)} keyframes is in {store}: {reasons[0]}. {store.how_to_add}.")
    return there, reasons
