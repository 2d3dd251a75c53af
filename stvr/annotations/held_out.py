"""Which combined labels are kept for validation and testing."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stvr.annotations.rows import Annotations, Label
from stvr.texts import read_text

HeldOut = Mapping[str, Collection[Label]]  # "val" and "test" -> labels
VAL = "val:"  # marks a label that is held out for validation
HELD_OUT_SHARE = 5 / 24  # of the labels for val, and as many for test (Feng et al. 2019 split UCF101-24 14 / 5 / 5)


def released_labels() -> dict[str, set[Label]]:
    """The combined labels of AVA that the authors hold out: {"val": 27 labels, "test": 27 labels}."""
    lists = json.loads(Path(__file__).with_name("released_labels.json").read_text())
    return {split: {tuple(label) for label in lists[split]} for split in ("val", "test")}


def parse_held_out(text: str, names: Mapping[int, str] | None = None) -> dict[str, set[Label]]:
    """Reads what --held-out takes: labels with ; between them, a file with one label a line, or "none" for no label.

    Labels are held out for testing, those with "val:" in front for validation: {"test": labels, "val": labels}.
    """
    if text.strip() == "none":
        return {}
    is_file = ";" not in text and Path(text).is_file()
    held = {split: read_labels(Path(text), names, split) if is_file else parse_labels(text, names, split)
            for split in ("val", "test")}
    return {split: labels for split, labels in held.items() if labels or split == "test"}


def parse_labels(text: str, names: Mapping[int, str] | None = None, split: str = "test") -> set[Label]:
    """The labels of one split, from labels with ; between them, each as in `parse_label`."""
    parts = [(part.strip().removeprefix(VAL), part.strip().startswith(VAL)) for part in text.split(";") if part.strip()]
    return {parse_label(label, names) for label, is_val in parts if is_val == (split == "val")}


def read_labels(path: Path, names: Mapping[int, str] | None = None, split: str = "test") -> set[Label]:
    """The labels of one split, from a file with one label a line, each as in `parse_label`."""
    labels = set()
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        try:
            labels |= parse_labels(line, names, split)
        except ValueError as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from None
    return labels


def parse_label(text: str, names: Mapping[int, str] | None = None) -> Label:
    """A name or an id, or several with , or + between them for actions done at the same time: "12,79", "stand + walk".

    Raises ValueError for a name that no action has.
    """
    ids = {name: index for index, name in (names or {}).items()}
    if text.strip() in ids:  # a name may hold a comma
        return (ids[text.strip()],)
    parts = [part.strip() for part in text.replace("+", ",").split(",")]
    for part in parts:
        if part not in ids and not part.isdecimal():
            known = f" The actions are: {listed(list(ids))}." if ids else " Give ids, the annotations have no names."
            raise ValueError(f"no action is called {part!r}.{known}")
    return tuple(sorted({ids[part] if part in ids else int(part) for part in parts}))


def hold_out_nothing(annotations: Annotations, options: Any, seed: int) -> HeldOut:
    """The rule of sources of which nothing is held out by itself."""
    return {}


def draw_if_whole(num_classes: int) -> Callable[[Annotations, Any, int], HeldOut]:
    """The rule of published sets: labels drawn by the seed where all the classes are there, else none."""

    def rule(annotations: Annotations, options: Any, seed: int) -> HeldOut:
        labels = set(annotations.boxes["labels"])
        return draw_held_out(labels, seed) if len(labels) >= num_classes else {}

    return rule


def draw_held_out(labels: Collection[Label], seed: int) -> dict[str, set[Label]]:
    """Five of every 24 labels for val and as many for test, at least one each, drawn by the seed."""
    if len(labels) < 3:
        raise ValueError(f"{len(labels)} labels are too few to hold some out for val and test, wanted at least 3.")
    shuffled = [sorted(labels)[index] for index in np.random.default_rng(seed).permutation(len(labels))]
    count = max(1, round(HELD_OUT_SHARE * len(labels)))
    return {"val": set(shuffled[:count]), "test": set(shuffled[count : 2 * count])}


def listed(words: Sequence[str], between: str = ", ", most: int = 10) -> str:
    return between.join(words[:most]) + (f"{between}... ({len(words)} in all)" if len(words) > most else "")
