"""The pairs file: JSON with one pair a line, so that two versions can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stvr.files import write_text
from stvr.structures import ClipSpec, Pair, Span, Tubelet
from stvr.texts import read_json

FORMAT = 1


def write_pairs(path: Path, pairs: Sequence[Pair], header: Mapping[str, Any]) -> None:
    """Writes pairs and how they were made; the file appears whole or not at all.

    header: {"clip": {"fps", "frames_per_clip"}, "protocol", "seed", "source": {file: digest}, "labels": {id: name}}.
    Boxes are rounded to six decimals; a box that stays for n clips is written once, as [n, x1, y1, x2, y2].
    """
    head = json.dumps({"stvr_pairs": FORMAT, **header}, ensure_ascii=False)
    lines = ",\n".join(json.dumps(_encode(pair), separators=(",", ":"), ensure_ascii=False) for pair in pairs)
    write_text(path, f'{head[:-1]},\n"pairs": [\n{lines}\n]}}\n')


def read_pairs(path: Path) -> tuple[list[Pair], dict[str, Any]]:
    """The pairs, and the rest of the file. Raises ValueError, one line, where it is not a pairs file."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such pairs file. Write one with `stvr prepare`.")
    try:
        content = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a pairs file: {error} Write one with `stvr prepare`.") from None
    if not isinstance(content, dict) or not isinstance(content.get("pairs"), list) or "stvr_pairs" not in content:
        raise ValueError(f"{path} is not a pairs file: wanted an object with stvr_pairs and pairs. "
                         "Write one with `stvr prepare`.")
    if content["stvr_pairs"] != FORMAT:
        raise ValueError(f"{path} is a pairs file of version {content['stvr_pairs']!r}, wanted {FORMAT}. "
                         "Write it again with `stvr prepare`.")
    pairs = []
    for number, entry in enumerate(content.pop("pairs"), start=1):
        try:
            pairs.append(_decode(entry))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            fault = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path}, pair {number}: {fault}") from None
    return pairs, content


def clip_spec(header: Mapping[str, Any], image_size: int = 320) -> ClipSpec:
    """How the videos of a pairs file are cut."""
    return ClipSpec(header["clip"]["fps"], header["clip"]["frames_per_clip"], image_size)


def summary(pairs: Sequence[Pair]) -> dict[str, dict[str, float | int]]:
    """By split: how many pairs, labels and videos, lengths in clips, the share of references without a target."""
    splits = sorted({pair.split for pair in pairs}, key=["train", "val", "test"].index)
    return {split: _summary([pair for pair in pairs if pair.split == split]) for split in splits}


def _summary(pairs: Sequence[Pair]) -> dict[str, float | int]:
    queries = [len(pair.query.span) for pair in pairs]
    references = [len(pair.reference) for pair in pairs]
    return {
        "pairs": len(pairs),
        "labels": len({pair.label for pair in pairs}),
        "videos": len({span.video for pair in pairs for span in (pair.query.span, pair.reference)}),
        "query_clips_median": float(np.median(queries)),
        "query_clips_max": max(queries),
        "reference_clips_median": float(np.median(references)),
        "reference_clips_max": max(references),
        "without_target": sum(not pair.targets for pair in pairs) / len(pairs),
    }


def _encode(pair: Pair) -> dict[str, Any]:
    reference = pair.reference
    return {
        "split": pair.split,
        "label": pair.label,
        "query": {"video": pair.query.span.video, **_encode_tubelet(pair.query)},
        "reference": {"video": reference.video, "start": reference.start, "stop": reference.stop},
        "targets": [_encode_tubelet(tubelet) for tubelet in pair.targets],
        "others": [
            {**_encode_tubelet(tubelet), **({"label": label} if label is not None else {})}
            for tubelet, label in zip_longest(pair.others, pair.other_labels)
        ],
    }


def _encode_tubelet(tubelet: Tubelet) -> dict[str, Any]:
    boxes = [[round(edge, 6) for edge in box] for box in tubelet.boxes.tolist()]
    return {"start": tubelet.span.start, "boxes": [[len(list(same)), *box] for box, same in groupby(boxes)]}


def _decode(entry: Mapping[str, Any]) -> Pair:
    reference = _decode_span(entry["reference"]["video"], entry["reference"]["start"], entry["reference"]["stop"])
    if entry["split"] not in ("train", "val", "test"):
        raise ValueError(f"the split is train, val or test, not {entry['split']!r}")
    targets, others = (tuple(_decode_tubelet(reference.video, tubelet) for tubelet in entry[name])
                       for name in ("targets", "others"))
    for tubelet in (*targets, *others):
        if tubelet.span.start < reference.start or tubelet.span.stop > reference.stop:
            raise ValueError(f"a tubelet over clips [{tubelet.span.start}, {tubelet.span.stop}) sticks out of the "
                             f"reference [{reference.start}, {reference.stop})")
    query = _decode_tubelet(entry["query"]["video"], entry["query"])
    labels = tuple(str(other["label"]) for other in entry["others"] if "label" in other)
    if labels and len(labels) != len(others):
        raise ValueError(f"{len(labels)} of {len(others)} others have a label, wanted one for each or for none")
    return Pair(query, reference, targets, str(entry["label"]), others, entry["split"], labels)


def _decode_tubelet(video: str, entry: Mapping[str, Any]) -> Tubelet:
    runs = torch.tensor(entry["boxes"], dtype=torch.float64)  # (runs, 5)
    if runs.ndim != 2 or runs.shape[1] != 5:
        raise ValueError(f"boxes are rows of 5 numbers (how many clips, x1, y1, x2, y2), not {tuple(runs.shape)}")
    boxes = runs[:, 1:].repeat_interleave(runs[:, 0].long(), 0).float()  # (T, 4)
    if not ((boxes >= 0) & (boxes <= 1)).all() or not (boxes[:, :2] < boxes[:, 2:]).all():
        raise ValueError("a box leaves [0, 1] or has x2 <= x1 or y2 <= y1")
    return Tubelet(_decode_span(video, entry["start"], entry["start"] + len(boxes)), boxes)


def _decode_span(video: object, start: object, stop: object) -> Span:
    if not isinstance(video, str) or not isinstance(start, int) or not isinstance(stop, int):
        raise ValueError(f"a span is a video's name and two whole numbers, not {video!r}, {start!r}, {stop!r}")
    return Span(video, start, stop)
