"""Several files of one video, each of which counts its people for itself: who is who in all of them.

`stvr prepare --help` imports this, so the room of tubelets is imported inside the functions that use it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from stvr.annotations.rows import EDGES, Rows, stack

if TYPE_CHECKING:
    import pandas as pd

    from stvr.tubelets.same_tracks import Joined, Places


def with_people_apart(parts: Sequence[Rows]) -> list[Rows]:
    """People are apart by file, but for those whose boxes agree.

    Where two files have a box of one person at one moment, that of the earlier file counts.
    """
    from stvr.tubelets.same_tracks import people_apart

    parts = list(parts)
    files = defaultdict(list)
    for index, part in enumerate(parts):
        for video in dict.fromkeys(part.table["video"]):
            files[video].append(index)
    for video, places in files.items():
        if len(places) > 1:
            told = people_apart([(PurePosixPath(parts[index].source).stem, people_of(parts[index], video))
                                 for index in places])
            extent = joined_extent([parts[index] for index in places], video)
            for index, joined in zip(places, told, strict=True):
                said = [] if index == places[0] else [f"{parts[index].source}: {line_about(video, joined)}"]
                parts[index] = replace(parts[index], table=called(parts[index].table, video, joined),
                                       said=[*parts[index].said, *said], extents={**parts[index].extents, **extent})
            gather_moments(parts, places, video)
    return parts


def people_of(part: Rows, video: str) -> dict[str, Places]:
    from stvr.tubelets.same_tracks import Places

    rows = part.table[part.table["video"] == video].drop_duplicates(["person", "start"]).sort_values("start")
    return {str(person): Places(group["start"].to_numpy(np.float64), group[EDGES].to_numpy(np.float64))
            for person, group in rows.groupby("person", sort=False)}


def called(table: pd.DataFrame, video: str, joined: Sequence[Joined]) -> pd.DataFrame:
    """The rows under their people's names in all files."""
    here, names = table["video"] == video, {each.name: each.called for each in joined}
    return table.assign(person=table["person"].where(~here, table["person"].map(names)))


def gather_moments(parts: list[Rows], places: Sequence[int], video: str) -> None:
    """Moves rows of a person and a moment that an earlier file has, too, to that file, with the box that it gives.

    What both files say is said once.
    """
    owners: dict[tuple[str, float], tuple[int, tuple[float, ...], set[int]]] = {}
    for index in places:
        table = parts[index].table
        edges, moved, gone = table[EDGES].to_numpy(np.float64, copy=True), defaultdict(list), []
        people, starts, labels = (table[column].tolist() for column in ("person", "start", "label"))
        for row in np.flatnonzero((table["video"] == video).to_numpy()).tolist():
            owner, box, known = owners.setdefault((people[row], starts[row]), (index, tuple(edges[row]), set()))
            if owner != index:
                gone.append(row)
                edges[row] = box
                if labels[row] not in known:
                    moved[owner].append(row)
            known.add(labels[row])
        table = table.assign(**dict(zip(EDGES, edges.T, strict=True)))
        for owner, rows in moved.items():
            parts[owner] = replace(parts[owner], table=stack([parts[owner].table, table.iloc[rows]]))
        parts[index] = replace(parts[index], table=table.drop(index=table.index[gone]))


def joined_extent(parts: Sequence[Rows], video: str) -> dict[str, tuple[float, float]]:
    """From where the first file of a video begins to where the last one ends."""
    known = [part.extents[video] for part in parts if video in part.extents]
    return {video: (min(start for start, _ in known), max(stop for _, stop in known))} if known else {}


def line_about(video: str, joined: Sequence[Joined]) -> str:
    """Which people of a later file of a video are known, and which have a new name."""
    known = [each for each in joined if each.known]
    anew = [each for each in joined if not each.known and each.called != each.name]
    parts = [f"another file of {video}: {len(known)} of its {len(joined)} people are known, as their boxes agree where "
             "both files have one" + first_of(known)]
    if anew:
        parts.append(f"{len(anew)} have ids that others have, so they are apart{first_of(anew)}")
    return "; ".join(parts)


def first_of(joined: Sequence[Joined]) -> str:
    return f" (first: {joined[0].name!r} is {joined[0].called!r})" if joined else ""
