"""A tiny store with people marked in its videos, in AVA's files."""

from __future__ import annotations

from pathlib import Path

LABEL_MAP = 'item {{\n  name: "{}"\n  id: {}\n}}\n'
CLASSES = {12: "stand", 14: "walk", 80: "watch (a person)"}
LEFT, RIGHT = "0.200,0.100,0.600,0.900", "0.600,0.200,0.900,0.800"


def write_ava(folder: Path) -> Path:
    """Videos a, b train, c, d test: of eight seconds, 1 to 6 are marked; in d nobody is there at 5."""
    folder.mkdir()
    rows = {"train": [], "val": []}
    for video, kind in zip("abcd", ("train", "train", "val", "val"), strict=True):
        for second in range(1, 7):
            if (video, second) == ("d", 5):
                rows[kind].append("d,0005,,,,,,")
                continue
            rows[kind] += [f"{video},{second:04d},{LEFT},12,0", f"{video},{second:04d},{LEFT},80,0",
                           f"{video},{second:04d},{RIGHT},14,1"]  # fmt: skip
    rows["val"].append(f"c,0002,{LEFT},79,0")  # of a class that the map does not name
    for kind, lines in rows.items():
        (folder / f"ava_{kind}.csv").write_text("\n".join(lines) + "\n")
    (folder / "classes.pbtxt").write_text("".join(LABEL_MAP.format(name, number) for number, name in CLASSES.items()))
    (folder / "excluded.csv").write_text("c,0006\n")
    return folder


def prepared(folder: Path, out: Path) -> list[object]:
    """The words of the command that makes a file of people of it."""
    return ["prepare", "people", "--train", folder / "ava_train.csv", "--test", folder / "ava_val.csv", "--labels",
            folder / "classes.pbtxt", "--excluded", folder / "excluded.csv", "--out", out]  # fmt: skip
