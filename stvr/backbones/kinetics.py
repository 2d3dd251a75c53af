"""The 400 actions of Kinetics-400 (Kay et al. 2017), in the order of the logits of networks trained on it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def kinetics_400() -> tuple[str, ...]:
    return tuple(files("stvr.backbones").joinpath("kinetics_400.txt").read_text(encoding="utf-8").splitlines())
