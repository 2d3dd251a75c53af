"""Search by faiss: the rows are parted into cells, and those of the nearest cells are looked at. It alone knows faiss.

A row's bias is one more number of its vector, and -1 one more of the query's: the product is cosine less bias.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_ROWS = 10_000  # below, the exact search is as fast, and takes its place
CELLS_LOOKED_AT = 32  # of sqrt(N) that there are
ROWS_A_CELL = 64  # that the cells are learnt from
PART = 65_536  # rows that are float32 at one time


class FaissRows:
    """Searches the file that `write_rows_for_faiss` wrote; memory-mapped."""

    def __init__(self, path: Path) -> None:
        self._faiss = imported()
        self._index = self._faiss.read_index(str(path), self._faiss.IO_FLAG_MMAP)

    def best(
        self, vector: NDArray[np.float32], count: int, among: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows most alike to a vector (D,) that it finds, at most `count`, best first, and their scores."""
        asked = np.append(vector, np.float32(-1)).astype(np.float32)[None]
        selected = None if among is None else self._faiss.IDSelectorBitmap(np.packbits(among, bitorder="little"))
        looked_at = self._faiss.SearchParametersIVF(sel=selected, nprobe=min(CELLS_LOOKED_AT, self._index.nlist))
        scores, places = self._index.search(asked, max(min(count, self._index.ntotal), 1), params=looked_at)
        there = places[0] >= 0
        return places[0][there][:count], scores[0][there][:count]


def write_rows_for_faiss(path: Path, vectors: NDArray[np.float16], bias: NDArray[np.float32]) -> None:
    """Vectors (N, D) and what is taken off their scores (N,), in float16."""
    faiss = imported()
    width, cells = vectors.shape[1] + 1, max(int(len(vectors) ** 0.5), 1)
    by_cell = faiss.IndexFlatIP(width)
    index = faiss.IndexIVFScalarQuantizer(
        by_cell, width, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )  # fmt: skip
    sample = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), ROWS_A_CELL * cells)).astype(np.int64))
    index.train(with_bias(vectors[sample], bias[sample]))
    for first in range(0, len(vectors), PART):
        index.add(with_bias(vectors[first : first + PART], bias[first : first + PART]))
    faiss.write_index(index, str(path))


def with_bias(vectors: NDArray[np.float16], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.column_stack([vectors.astype(np.float32), bias])


def imported() -> Any:
    try:
        import faiss
    except ImportError:
        raise LookupError("the backend faiss needs faiss. Run `pip install 'stvr[faiss]'`, or take the backend flat "
                          "with --composition.") from None
    return faiss
