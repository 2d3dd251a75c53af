"""An index searched by several actors of a cluster, a part of its rows each; the answer is that of one machine.

All nodes must see the index under the same name. An actor reads its rows once from there; only scores travel.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvr.extract.ray import started
from stvr.library.exact import BLOCK, exact_scores
from stvr.library.index import Index, best_of, merged


class RayIndex:
    """Opens an index in `num_actors` actors, fewer where it has fewer blocks of rows. Close it, or use it in a `with`.

    ValueError for an index that faiss searches: cells of rows are not parted among actors.
    """

    def __init__(self, folder: Path | str, num_actors: int = 2) -> None:
        self.index = Index.open(folder)
        if self.index.composition.backend != "flat":
            raise ValueError(f"{folder} is searched by {self.index.composition.backend}, which is not parted among "
                             "actors. Run `stvr index` with a --composition that ends in flat.")
        self._ray, self._started_here = started("an index in several actors")
        place = str(Path(folder).absolute())
        actor = self._ray.remote(num_cpus=1)(_Part)
        self._actors = [actor.remote(place, first, last) for first, last in parts(len(self.index), num_actors)]

    def __enter__(self) -> RayIndex:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the actors, and ray if it was started here."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        if self._started_here:
            self._ray.shutdown()

    def scores(self, vector: Tensor) -> NDArray[np.float32]:
        """As `Index.scores`, (N,) of a vector (D,)."""
        found = self._ray.get([actor.scores.remote(vector.detach().cpu().numpy()) for actor in self._actors])
        return np.concatenate([np.empty(0, np.float32), *found])

    def best(self, vector: Tensor, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """As `Index.best`: each actor gives the best of its own rows, and the best of these are taken."""
        asked = vector.detach().cpu().numpy()
        return merged(self._ray.get([actor.best.remote(asked, count) for actor in self._actors]), count)


class _Part:
    """Rows [first, last) of an index, in some process."""

    def __init__(self, folder: str, first: int, last: int) -> None:
        self._rows, self._first, self._last = Index.open(folder).rows, first, last

    def scores(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        asked = torch.from_numpy(vector.copy())
        return exact_scores(self._rows.vector, self._rows.bias, asked, self._first, self._last)

    def best(self, vector: NDArray[np.float32], count: int) -> Any:
        scores = self.scores(vector)
        places = best_of(scores, count)
        return places + self._first, scores[places]


def parts(num_rows: int, count: int) -> list[tuple[int, int]]:
    """[first, last) of each part: whole blocks, as many in each as can be."""
    blocks = -(-num_rows // BLOCK)
    edges = [round(blocks * part / count) * BLOCK for part in range(count + 1)]
    return [(first, min(last, num_rows)) for first, last in pairwise(edges) if first < last]
