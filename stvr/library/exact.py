"""How alike every row of an index is to a vector: exactly, in float32, straight from the memory-mapped rows."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 16_384  # rows that one thread takes; a row's score does not depend on how many threads there are
PART = 1_024  # rows that are float32 at one time: they stay in the processor's cache


def exact_scores(
    vectors: NDArray[np.float16], bias: NDArray[np.float32], vector: Tensor, first: int = 0, last: int | None = None
) -> NDArray[np.float32]:
    """Rows (N, D) and their bias (N,), a vector (D,) or (E, D) -> cosines less bias, (N,) or (E, N).

    first, last: the rows that are wanted; `first` must be a multiple of BLOCK, so that the sums are those of the whole.
    """
    last = len(vectors) if last is None else last
    if vector.shape[-1] != vectors.shape[1]:
        raise ValueError(f"wanted a vector of {vectors.shape[1]} numbers, got {vector.shape[-1]}.")
    if first % BLOCK:
        raise ValueError(f"a part of an index begins at a multiple of {BLOCK} rows, not at {first}.")
    asked = vector.detach().cpu().float().reshape(-1, vector.shape[-1]).contiguous()
    found, halves = np.empty((len(asked), last - first), np.float32), as_tensor(vectors)

    def block(start: int) -> None:
        room = torch.empty(PART, vectors.shape[1])
        for begin in range(start, min(start + BLOCK, last), PART):
            end = min(begin + PART, start + BLOCK, last)
            part = room[: end - begin].copy_(halves[begin:end])
            for row, each in zip(found, asked, strict=True):
                row[begin - first : end - first] = torch.mv(part, each).numpy() - bias[begin:end]

    list(threads().map(block, range(first, last, BLOCK)))
    return found[0] if vector.ndim == 1 else found


def as_tensor(array: NDArray[np.float16]) -> Tensor:
    """The same memory, which may be that of a file opened for reading: torch warns of it, and nobody writes here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(array)


@cache
def threads() -> ThreadPoolExecutor:
    """One a core, with one thread of torch's each, so that sums do not depend on how many cores there are."""
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), "scores", initializer=lambda: torch.set_num_threads(1))
