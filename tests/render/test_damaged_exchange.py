"""Damaged files of other tools: read, or refused in one line that names the file, and soon."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stvr.render.exporters import export_file, import_file, read_found, write_found
from stvr.render.exporters.records import Found

FILES = 60  # of each format
LONGEST_SECONDS = 1.0
VALUES = (None, 3, -1, 1e400, "x", "", [], {}, [1, 2], {"a": 1}, True, 1.5, float("nan"), 10**30)
WORDS = ("-5", "nan", "inf", "", "x", "99999999999", "1e9", "0")


def people() -> list[Found]:
    return [Found("clip.mp4", 0.5, 96, 64, start, np.tile([x, 1.0, x + 20, 30.0], (4, 1)), label=label, person=label)
            for label, start, x in (("wave", 0, 1.0), ("jump", 2, 51.0))]


def with_bytes_changed(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randint(1, 5)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def cut_off(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def with_a_hole(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    return content[:start] + content[start + draw.randint(1, 40) :]


def in_another_encoding(content: bytes, draw: random.Random) -> bytes:
    return content.decode().encode(draw.choice(["utf-16", "utf-16-le", "latin-1", "utf-8-sig"]), "ignore")


def with_another_number(content: bytes, draw: random.Random) -> bytes:
    words = content.decode().replace(",", " , ").replace('"', ' " ').split(" ")
    numbers = [place for place, word in enumerate(words) if word.strip().replace(".", "").isdecimal()]
    if numbers:
        words[draw.choice(numbers)] = draw.choice(WORDS)
    return " ".join(words).replace(" , ", ",").replace(' " ', '"').encode()


def with_another_value(content: bytes, draw: random.Random) -> bytes:
    """Of JSON: a value replaced or left out, at any depth."""
    values = json.loads(content)
    place: Any = values
    while True:
        key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], (dict, list)) or not place[key] or draw.random() < 0.2:
            break
        place = place[key]
    if draw.random() < 0.3:
        del place[key]
    else:
        place[key] = draw.choice(VALUES)
    return json.dumps(values).encode()


WAYS = (with_bytes_changed, cut_off, with_a_hole, in_another_encoding, with_another_number)


@pytest.mark.parametrize("form", ["cvat", "mot", "coco-video", "fiftyone", "webvtt", "tubelets.jsonl"])
def test_a_damaged_file_is_read_or_refused_in_one_line(form: str, tmp_path: Path):
    read: Callable[[Path], object] = read_found
    if form == "tubelets.jsonl":
        write_found(tmp_path / "good", people())
    else:
        export_file(people(), form, tmp_path / "good", fps=24)

        def read(path: Path) -> object:
            return import_file(path, form, fps=24, size=(96, 64))

    good, draw, refused = (tmp_path / "good").read_bytes(), random.Random(form), 0
    ways = (*WAYS, with_another_value) if form in ("coco-video", "fiftyone") else WAYS
    for number in range(FILES):
        (tmp_path / "bad.in").write_bytes(ways[number % len(ways)](good, draw))
        begin = time.process_time()
        said = refusal(read, tmp_path / "bad.in")
        assert time.process_time() - begin < LONGEST_SECONDS
        if said is not None:
            refused += 1
            assert "bad.in" in said
            assert "\n" not in said
    assert 0 < refused < FILES


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """What a reader says against a file; any error but ValueError is a fault of ours."""
    try:
        read(path)
    except ValueError as error:
        return str(error)
    return None
