"""Which reader reads a file, told by its name and first line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stvr.annotations.ava import ava_rows, read_excluded, read_label_map
from stvr.annotations.cvat import cvat_rows
from stvr.annotations.jhmdb import jhmdb_rows
from stvr.annotations.multisports import RATE, multisports_rows
from stvr.annotations.rows import Rows, with_shared_names
from stvr.annotations.table import TABLE_COLUMNS, table_rows
from stvr.annotations.ucf101_24 import ucf101_24_rows


@dataclass(frozen=True, slots=True)
class Given:
    """What a user says beside the files. frame_rates: of all videos, by video name, or not known.

    sizes: (width, height) by video name, where a table's boxes are in pixels.
    """

    labels: Path | None = None
    excluded: Path | None = None
    seconds_offset: int = 0
    attribute: str | None = None
    frame_rates: Mapping[str, float] | float | None = None
    sizes: Mapping[str, tuple[int, int]] | None = None


def read_rows(files: Sequence[Path], kind: str | None, given: Given) -> list[Rows]:
    """Every file's rows, as they stand, with one list of names. ValueError for an unknown kind."""
    kinds = {kind or kind_of(path) for path in files}
    if len(kinds) != 1:
        raise ValueError(f"the files are of several kinds ({', '.join(sorted(kinds))}). Check each kind by itself.")
    reader = READERS.get(kinds.pop())
    if reader is None:
        raise ValueError(f"the kind of annotations is one of {', '.join(READERS)}, not {kind!r}.")
    parts = [reader(path, given) for path in files]
    return with_shared_names(parts) if reader in (_cvat, _table) else parts


def kind_of(path: Path) -> str:
    """ava, ucf101-24, multisports, jhmdb, table or cvat."""
    if path.is_dir():
        return "jhmdb"
    by_suffix = {".xml": "cvat", ".json": "multisports", ".pkl": "ucf101-24"}
    if path.suffix.lower() in by_suffix:
        return by_suffix[path.suffix.lower()]
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline().strip()
    if set(TABLE_COLUMNS) <= {cell.strip() for cell in first.split(",")}:
        return "table"
    return "multisports" if first.split(",")[0].endswith((".mp4", ".avi", ".mkv")) else "ava"


def _ava(path: Path, given: Given) -> Rows:
    return ava_rows(path, names=_names(given), seconds_offset=given.seconds_offset,
                    excluded=read_excluded(given.excluded) if given.excluded else None)


def _multisports(path: Path, given: Given) -> Rows:
    rates = RATE if given.frame_rates is None else given.frame_rates
    return multisports_rows(path, names=_names(given), frame_rates=rates)


def _ucf101_24(path: Path, given: Given) -> Rows:
    return ucf101_24_rows(path, _rates(given))


def _jhmdb(path: Path, given: Given) -> Rows:
    return jhmdb_rows(path, _rates(given))


def _table(path: Path, given: Given) -> Rows:
    return table_rows(path, sizes=given.sizes)


def _cvat(path: Path, given: Given) -> Rows:
    return cvat_rows(path, _rates(given), attribute=given.attribute)


def _names(given: Given) -> dict[int, str]:
    return read_label_map(given.labels) if given.labels else {}


def _rates(given: Given) -> Mapping[str, float] | float:
    if given.frame_rates is None:
        raise ValueError("these annotations count frames and do not say how many a second. Give --videos, or --fps.")
    return given.frame_rates


READERS: dict[str, Callable[[Path, Given], Rows]] = {
    "ava": _ava, "ucf101-24": _ucf101_24, "multisports": _multisports, "jhmdb": _jhmdb, "table": _table, "cvat": _cvat,
}  # fmt: skip
