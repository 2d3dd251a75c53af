"""Lists of labelled videos as they are published, in rows: video, label, split, start and stop in seconds.

Kinetics' CSV; the JSON database of ActivityNet and of 3D-ResNets-PyTorch; lists `folder frames class` as of TSN, TRN
and TSM; the train and test lists of UCF101; the folder of splits of HMDB51; Something-Something and Jester (JSON or
id;label).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from stvr.annotations.cells import read_cells, read_headed
from stvr.texts import read_text
from stvr.video_names import plain_name

SUBSETS = {"training": "train", "train": "train", "validation": "val", "validate": "val", "val": "val",
           "testing": "test", "test": "test"}  # fmt: skip
KINETICS = ("label", "youtube_id", "time_start", "time_end")
HMDB_USES = {"1": "train", "2": "test"}  # 0: in neither
LINE = re.compile(r"(?P<video>.+?)(?:\s+(?P<frames>\d+))??(?:\s+(?P<label>\d+))?")
HMDB_FILE = re.compile(r"(.+)_test_split([123])\.txt")


class LabelRow(NamedTuple):
    """A stretch of a video and the class it shows. split: train, val, test, or "" where the file does not say."""

    video: str
    label: str
    split: str = ""
    start: float = 0.0
    stop: float = inf


@dataclass(frozen=True, slots=True)
class LabelList:
    """left_out: reasons, and how many rows each."""

    rows: Sequence[LabelRow]
    left_out: Mapping[str, int]


def read_label_list(path: Path, classes: Mapping[str, str] | None = None, hmdb_split: int = 1) -> LabelList:
    """The rows of a published list, recognised by what is in it; a folder holds HMDB51's splits.

    classes: names by the numbers that a list gives, as `read_class_names` reads them; numbers are kept without it.
    ValueError, with the line, for what is none of these.
    """
    if path.is_dir():
        return of_hmdb(path, hmdb_split)
    text = read_text(path).lstrip("\ufeff \n\r\t")
    if not text:
        raise ValueError(f"{path.name} is empty. Wanted a line, or an entry, for each video.")
    if text[:1] in ("{", "[") or path.suffix.lower() == ".json":
        return of_json(path, text)
    first = text.partition("\n")[0]
    cells = [cell.strip().lower() for cell in first.split(",")]
    if set(KINETICS) <= set(cells):
        return of_kinetics(path)
    if ";" in first:
        return of_pairs(path)
    return of_lines(path, text, classes or {})


def of_lines(path: Path, text: str, classes: Mapping[str, str]) -> LabelList:
    """`folder frames class`, `file class`, or UCF101's `Class/file` alone, whose class is its folder."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        match = LINE.fullmatch(line.strip())
        if not match:
            continue
        video, frames, label = match["video"], match["frames"], match["label"]
        folder = video.split("/")[-2] if "/" in video else None
        if label is None or (frames is None and not classes and folder):
            label = folder
        if label is None:
            raise ValueError(f"{path.name}, line {number}: wanted `folder frames class`, `file class` or `Class/file`, "
                             f"got {line.strip()!r}.")
        if classes and label not in classes and label != folder:
            raise ValueError(f"{path.name}, line {number}: class {label} is not among the names of --classes, which "
                             f"are numbered {min(classes, key=int)} to {max(classes, key=int)}.")
        rows.append(LabelRow(plain_name(video), classes.get(label, label)))
    return LabelList(rows, {})


def of_kinetics(path: Path) -> LabelList:
    """Videos are called as they are usually saved: "ID_000010_000020", the seconds that were cut out."""
    cells, places = read_headed(path, KINETICS)
    rows = []
    for index, row in enumerate(cells.rows):
        where = cells.where(index)
        start, stop = (int(cells.number(row[places[name]], name, where)) for name in ("time_start", "time_end"))
        split = _split(row[places["split"]], where) if "split" in places else ""
        rows.append(LabelRow(f"{row[places['youtube_id']]}_{start:06d}_{stop:06d}", row[places["label"]], split))
    return _labelled(rows)


def of_pairs(path: Path) -> LabelList:
    """`id;label`: Something-Something V1 and Jester; their test lists have no labels."""
    cells = read_cells(path)
    return _labelled([LabelRow(plain_name(row[0]), row[1] if len(row) > 1 else "") for row in cells.rows])


def of_json(path: Path, text: str) -> LabelList:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}.") from None
    if isinstance(content, list) and all(isinstance(each, dict) and "id" in each for each in content):
        return _labelled([LabelRow(plain_name(each["id"]), _template(each)) for each in content])
    if isinstance(content, dict) and isinstance(content.get("database"), dict):
        return _labelled(list(of_database(path, content["database"])))
    raise ValueError(f'{path.name}: wanted an object with a "database", as of ActivityNet and 3D-ResNets-PyTorch, or '
                     'a list of objects with "id" and "template", as of Something-Something.')


def _template(each: Mapping[str, Any]) -> str:
    """Something-Something's class: "Putting [something] on [something]" without the brackets."""
    label = each.get("template", each.get("label", ""))
    if not isinstance(label, str):
        raise ValueError(f"{each['id']!r}: its class is {label!r}, wanted a text.")
    return re.sub(r"[\[\]]", "", label)


def of_database(path: Path, database: Mapping[str, Any]) -> Iterator[LabelRow]:
    """One annotation is in frames, as 3D-ResNets-PyTorch writes it; a list of them is in seconds, as ActivityNet's."""
    for video, entry in database.items():
        where = f"{path.name}, {video!r}"
        if not isinstance(entry, dict):
            raise ValueError(f'{where}: wanted an object with "subset" and "annotations", got {entry!r}.')
        split, found = _split(str(entry.get("subset", "")), where), entry.get("annotations")
        if not found:
            yield LabelRow(plain_name(video), "", split)
        elif isinstance(found, dict):
            first, _ = _segment(found, where, (1.0, inf))
            if first != 1:
                raise ValueError(f"{where}: its segment begins at frame {first:g}. Frames are read only where a "
                                 "segment is the whole video; give segments in seconds, as ActivityNet has them.")
            yield LabelRow(plain_name(video), str(found.get("label", "")), split)
        elif isinstance(found, list) and all(isinstance(each, dict) for each in found):
            for each in found:
                yield LabelRow(plain_name(video), str(each.get("label", "")), split, *_segment(each, where, (0.0, inf)))
        else:
            raise ValueError(f'{where}: wanted annotations with a "label" each, got {found!r}.')


def _segment(annotation: Mapping[str, Any], where: str, usual: tuple[float, float]) -> tuple[float, float]:
    """Start and stop. ValueError where they are not two numbers that rise."""
    given = annotation.get("segment", usual)
    numbers = isinstance(given, (list, tuple)) and all(isinstance(each, (int, float)) for each in given)
    if not numbers or len(given) != 2 or not given[0] < given[1]:
        raise ValueError(f"{where}: its segment is {given!r}, wanted two numbers, where it starts and where it stops.")
    return float(given[0]), float(given[1])


def of_hmdb(folder: Path, number: int) -> LabelList:
    """`CLASS_test_splitN.txt` of every class: a file, and 1 to train, 2 to test, 0 for neither."""
    rows, unused = [], 0
    for path in sorted(folder.iterdir()):
        match = HMDB_FILE.fullmatch(path.name)
        if not match or int(match[2]) != number:
            continue
        for line, text in enumerate(read_text(path).splitlines(), 1):
            video, _, use = text.strip().rpartition(" ")
            if use not in ("0", *HMDB_USES):
                raise ValueError(f"{path.name}, line {line}: wanted a file and 0, 1 or 2, got {text!r}.")
            unused += use == "0"
            if use != "0":
                rows.append(LabelRow(plain_name(video.strip()), match[1], HMDB_USES[use]))
    if not rows:
        raise ValueError(f"{folder} holds no lists like brush_hair_test_split{number}.txt.")
    return LabelList(rows, {"in neither list of this split": unused} if unused else {})


def read_class_names(path: Path) -> dict[str, str]:
    """Names by their numbers: a name a line, from 0; `number name`, as UCF101's classInd.txt; a JSON of both."""
    text = read_text(path)
    if text.lstrip()[:1] == "{":
        return {str(number): re.sub(r"[\[\]]", "", name) for name, number in json.loads(text).items()}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [line.split(None, 1) for line in lines]
    if all(len(parts) == 2 and parts[0].isdigit() for parts in numbered):
        return {number: name for number, name in numbered}
    return {str(number): name for number, name in enumerate(lines)}


def with_split(found: LabelList, split: str) -> LabelList:
    """The same rows, all of one split."""
    return LabelList([row._replace(split=split) for row in found.rows], found.left_out)


def _labelled(rows: Sequence[LabelRow]) -> LabelList:
    there = [row for row in rows if row.label]
    return LabelList(there, {"without a label": len(rows) - len(there)} if len(there) < len(rows) else {})


def _split(text: str, where: str) -> str:
    if text.lower() not in SUBSETS:
        raise ValueError(f"{where}: the split is {text!r}, wanted one of {', '.join(SUBSETS)}.")
    return SUBSETS[text.lower()]
