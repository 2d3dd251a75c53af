"""What is in an index, for a person who asks."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stvr.library.described import KINDS
from stvr.library.index import Index


def describe_index(folder: Path | str) -> dict[str, Any]:
    """JSON values: how it is made up, how large it is, and a line for each video."""
    index = Index.open(folder)
    kinds = Counter(np.asarray(index.rows.kind).tolist())
    seconds = float(1 / index.spec.clip.clips_per_second)
    return {
        "kind": "index", "composition": str(index.composition), "videos": len(index.videos),
        "seconds": round(sum(each.seconds for each in index.videos), 3), "rows": len(index),
        "rows_of": {name: kinds.get(number, 0) for number, name in enumerate(KINDS)}, "numbers_a_row": index.width,
        "bytes_searched": sum(file.stat().st_size for file in (index.folder / index.notes["rows"]).iterdir()),
        "bytes_described": sum(file.stat().st_size for file in (index.folder / "videos").glob("*")),
        "still_seconds": round(seconds * sum(each.still_clips for each in index.videos), 3),
        "blank_seconds": round(seconds * sum(each.blank_clips for each in index.videos), 3),
        "store": str(index.store), "spec": index.spec.to_json(),
        "doubtful": {each.name: each.doubt for each in index.videos if each.doubt},
        "in_it": [asdict(each) for each in index.videos],
    }  # fmt: skip
