"""Which candidates a loss looks at: a balanced sample of each clip, drawn from its item's seed or taken in order."""

from __future__ import annotations

import torch
from torch import Tensor

from stvr.heads.boxes import NEGATIVE, POSITIVE

# splitmix64 (Steele et al., OOPSLA 2014), its constants as int64
STRIDE = 0x9E3779B97F4A7C15 - 2**64
SHIFTS_AND_FACTORS = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
LAST_SHIFT = 31


def sample(state: Tensor, size: int, positive_share: float, order: Tensor | None = None) -> Tensor:
    """A balanced sample (..., N) bool: at most int(share * size) positives, the rest negatives, never topped up.

    state (..., N); order (..., N): in which candidates are taken, None takes them as they stand.
    """
    lined_up = state if order is None else state.gather(-1, order)
    positives = first(lined_up == POSITIVE, int(positive_share * size))
    negatives = first(lined_up == NEGATIVE, size - positives.sum(-1, keepdim=True))
    taken = positives | negatives
    return taken if order is None else torch.zeros_like(taken).scatter(-1, order, taken)


def first(wanted: Tensor, count: int | Tensor) -> Tensor:
    """The first `count` of the True entries of (..., N)."""
    return wanted & (wanted.cumsum(-1) <= count)


def order_of(method: str, numbers: Tensor, seeds: Tensor | None, purpose: int) -> Tensor | None:
    """In which order candidates are taken, (N, M); None as they stand.

    method: "random", or "first". numbers (N, M) int64: what the draw of each candidate depends on beside its clip.
    seeds (B,): of the items, whose clips the N are; None draws as torch does. purpose (0 or 1) tells a clip's two draws
    apart.
    """
    if method == "first":
        return None
    if seeds is None:
        return torch.rand(numbers.shape, device=numbers.device).argsort(-1)
    return draws(seeds, numbers, purpose).argsort(-1)


def draws(seeds: Tensor, numbers: Tensor, purpose: int) -> Tensor:
    """Random int64 (N, M), the same wherever they are computed and whoever else is in the batch.

    Number n of a clip is the n-th draw of a splitmix64 that (seed, clip of its item, purpose) begins.
    """
    clips = torch.arange(len(numbers) // len(seeds), device=seeds.device)
    begin = mixed(((seeds[:, None] * 1_000_003 + clips) * 2 + purpose).flatten())  # (N,)
    return mixed(begin[:, None] + numbers * STRIDE)


def mixed(state: Tensor) -> Tensor:
    """What splitmix64 makes of its state, int64 for uint64."""
    for shift, factor in SHIFTS_AND_FACTORS:
        state = (state ^ shifted(state, shift)) * factor
    return state ^ shifted(state, LAST_SHIFT)


def shifted(value: Tensor, shift: int) -> Tensor:
    """To the right, zeros coming in from the left."""
    return (value >> shift) & (2 ** (64 - shift) - 1)
