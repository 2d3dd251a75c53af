"""Damaged files: every reader reads them, or refuses them in one line that names the file, and soon."""

import json
import pickle
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from stvr.annotations.ava import read_ava, read_excluded, read_label_map
from stvr.annotations.ava_detections import read_ava_boxes
from stvr.annotations.cvat import read_cvat
from stvr.annotations.held_out import read_labels
from stvr.annotations.jhmdb import read_splits
from stvr.annotations.multisports import read_multisports
from stvr.annotations.table import read_table
from stvr.annotations.tubelets_file import read_labelled_tubelets
from stvr.annotations.tubes_json import read_tube_truth
from stvr.annotations.ucf101_24 import read_ucf101_24
from stvr.jobs.score import score_released
from stvr.render.exporters import import_file

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp500")
FILES = 2000  # of all readers together
LONGEST_SECONDS = 1.0


@dataclass(frozen=True)
class Case:
    """name: of the file; content: what a good one holds; read: its reader."""

    name: str
    content: bytes
    read: Callable[[Path], object]


def rows(row: str, first: int = 1) -> str:
    return "".join(row.format(second=second) + "\n" for second in range(first, first + 5))


TUBES = {"labels": ["nod", "wave"], "nframes": {"c/v": 50}, "resolution": {"c/v": [240, 320]},
         "gttubes": {"c/v": {"1": [[[frame, 10, 20, 100, 200] for frame in range(1, 9)]]}}}
UCF = {"Biking/v": {"numf": 8, "label": 2, "annotations": [{"label": 2, "sf": 0, "ef": 8,
                                                            "boxes": np.full((8, 4), 90, np.uint8)}]}}
TUBELET = {"video": "v", "label": "nod", "start": 3, "boxes": [[1, 2, 30, 40]] * 5, "score": 0.5}
CVAT = """<annotations><version>1.1</version><meta><task><size>60</size><original_size><width>96</width>
<height>64</height></original_size><source>v.mp4</source></task></meta><track id="0" label="nod">
<box frame="5" outside="0" occluded="0" keyframe="1" xtl="8" ytl="8" xbr="40" ybr="40" z_order="0"/>
<box frame="45" outside="1" occluded="0" keyframe="1" xtl="9" ytl="8" xbr="40" ybr="40" z_order="0"/>
</track></annotations>"""
DUMP = {"pairs": [[{"label": [1, 3]}, {"gt": [[[0.1, 0.1, 0.5, 0.5]]]}]],
        "detections": [{"num_detections": [1, 1, 1], "detection_boxes": [[[0.1, 0.1, 0.5, 0.5]]] * 3,
                        "detection_scores": [[0.5]] * 3, "detection_classes": [[1]] * 3}]}
COCO = {"videos": [{"id": 1, "name": "v", "fps": 24, "width": 96, "height": 64}],
        "categories": [{"id": 1, "name": "nod"}],
        "images": [{"id": frame + 1, "video_id": 1, "frame_id": frame, "file_name": f"v/{frame:06d}.jpg", "width": 96,
                    "height": 64} for frame in range(9)],
        "annotations": [{"id": frame + 1, "image_id": frame + 1, "video_id": 1, "category_id": 1, "instance_id": 1,
                         "bbox": [8, 8, 30, 30], "area": 900, "iscrowd": 0} for frame in range(9)]}

CASES = {case.name: case for case in (
    Case("ava.csv", rows("v,{second:04d},0.1,0.2,0.5,0.9,12,7").encode(), lambda path: read_ava(path).checked()),
    Case("excluded.csv", rows("v,{second:04d}").encode(), read_excluded),
    Case("map.pbtxt", b'item {\n  name: "nod"\n  id: 1\n}\nitem {\n  name: "wave"\n  id: 2\n}\n', read_label_map),
    Case("map.txt", b"1: nod\n2: wave (a hand)\n", read_label_map),
    Case("found.csv", rows("v,{second},0.1,0.2,0.5,0.9,12,0.75").encode(), lambda path: read_ava_boxes(path, {12})),
    Case("own.csv", ("video,seconds,x1,y1,x2,y2,person,label\n" + rows("v,{second}.5,.1,.2,.5,.9,anna,nod")).encode(),
         lambda path: read_table(path).checked()),
    Case("sports.csv", rows("s/v.mp4,{second},0.1,0.2,0.5,0.9,3,0").encode(),
         lambda path: read_multisports(path).checked()),
    Case("tubes.json", json.dumps(TUBES).encode(), lambda path: read_tube_truth(path, 25.0).checked()),
    Case("pyannot.pkl", pickle.dumps(UCF), lambda path: read_ucf101_24(path, 25.0).checked()),
    Case("nod_test_split1.txt", b"a.avi 1\nb.avi 2\nc.avi 0\n", lambda path: read_splits(path.parent, 1)),
    Case("held.txt", b"nod\nval: nod + wave\n2\n", lambda path: read_labels(path, {1: "nod", 2: "wave"})),
    Case("tubelets.json", json.dumps({"tubelets": [TUBELET, TUBELET]}).encode(), read_labelled_tubelets),
    Case("tubelets.jsonl", f"{json.dumps(TUBELET)}\n{json.dumps(TUBELET)}\n".encode(), read_labelled_tubelets),
    Case("tubelets.csv", ("video,label,tubelet,frame,x1,y1,x2,y2,score\n"
                          + rows("v,nod,0,{second},1,2,30,40,0.5")).encode(), read_labelled_tubelets),
    Case("dump.json", json.dumps(DUMP).encode(), score_released),
    Case("tracks.xml", CVAT.encode(), lambda path: read_cvat(path, 25.0).checked()),
)}  # fmt: skip


def flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] = rng.choice([rng.randrange(256), *b"\"',;\t\n\r0-.{}[]<>x\0"])
    return bytes(changed)


def without_column(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(9)
    lines = [line.split(b",") for line in data.split(b"\n")]
    some = {rng.randrange(len(lines))} if rng.random() < 0.5 else range(len(lines))
    return b"\n".join(b",".join(cells[:place] + cells[place + 1:] if number in some else cells)
                      for number, cells in enumerate(lines))


def cut(data: bytes, rng: random.Random) -> bytes:
    start, stop = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:start] if rng.random() < 0.5 else data[:start] + data[stop:]


def doubled(data: bytes, rng: random.Random) -> bytes:
    start, stop = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:stop] + data[start:]


def encoded(data: bytes, rng: random.Random) -> bytes:
    text = data.decode("latin-1").replace("n", rng.choice(["n", "é", "ß", "日"]))
    return text.encode(rng.choice(ENCODINGS), "ignore")


MUTATIONS = (flipped, flipped, without_column, cut, doubled, encoded)


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """What a reader says of a file that it refuses; None where it reads it. Any other error is the reader's fault."""
    try:
        read(path)
    except (KeyError, IndexError, UnicodeError) as error:
        raise AssertionError(f"{path.read_bytes()!r} gives {error!r}") from error
    except (ValueError, LookupError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_file_is_read_or_refused_in_one_line_that_names_it(tmp_path: Path, name: str):
    case, rng = CASES[name], random.Random(name)
    path = tmp_path / name
    for _ in range(FILES // len(CASES)):
        path.write_bytes(rng.choice(MUTATIONS)(case.content, rng))
        began = time.process_time()
        said = refusal(case.read, path)
        assert time.process_time() - began < LONGEST_SECONDS, path.read_bytes()
        assert said is None or (name in said and "\n" not in said), (said, path.read_bytes())


DRESSES = {
    "a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "Windows' lines": lambda text: text.replace("\n", "\r\n").encode(),
    "an old Mac's lines": lambda text: text.replace("\n", "\r").encode(),
    "empty lines": lambda text: f"\n{text}\n\n".encode(),
}
TABLES = {
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "decimal commas": lambda text: text.replace(",", ";").replace(".", ",").encode(),
    "spaces": lambda text: text.replace(",", " , ").encode(),
    "quotes": lambda text: "".join(f'"{line}"\n'.replace(",", '","') for line in text.splitlines()).encode(),
    "a comment": lambda text: f"# by hand\n{text}".encode(),
    "empty cells below": lambda text: f"{text},,,,,,,\n".encode(),
}


@pytest.mark.parametrize(("name", "dress"), [
    *((name, dress) for name, case in CASES.items() for dress in DRESSES if name not in ("pyannot.pkl", "tracks.xml")),
    *((name, dress) for name in ("ava.csv", "found.csv", "own.csv", "tubelets.csv") for dress in TABLES),
])  # fmt: skip
def test_the_same_text_in_another_dress_says_the_same(tmp_path: Path, name: str, dress: str):
    case, path = CASES[name], tmp_path / name
    path.write_bytes(case.content)
    plain = shown(case.read(path))
    path.write_bytes({**DRESSES, **TABLES}[dress](case.content.decode()))
    assert shown(case.read(path)) == plain


def shown(result: object) -> object:
    """Anything that a reader returns, as something that can be compared."""
    if hasattr(result, "boxes") and hasattr(result.boxes, "to_dict"):
        return result.boxes.to_dict("list")
    if hasattr(result, "listed"):
        return list(result.listed), result.boxes.boxes.tolist(), result.boxes.scores.tolist()
    if isinstance(result, list):
        return [(each.label, each.tubelet.span, each.tubelet.boxes.tolist(), each.tubelet.score) for each in result]
    return result


IMPORTED = {
    "mot": ("v.txt", rows("{second},1,10,10,20,40,1,-1,-1,-1").encode()),
    "coco-video": ("v.json", json.dumps(COCO).encode()),
}  # fmt: skip


@pytest.mark.parametrize("form", IMPORTED)
def test_a_damaged_file_of_another_tool_is_imported_or_refused_in_one_line(tmp_path: Path, form: str):
    (name, content), rng = IMPORTED[form], random.Random(form)
    path = tmp_path / name
    for _ in range(100):
        path.write_bytes(rng.choice(MUTATIONS)(content, rng))
        said = refusal(partial(import_file, form=form, fps=25.0, size=(96, 64)), path)
        assert said is None or "\n" not in said, (said, path.read_bytes())
