"""A case of bench_kernels.py: something at one size, done in several ways, which is checked, then timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from measuring import Bench, Row, Variant
from predictions import Work


@dataclass(frozen=True, slots=True)
class Race:
    """Ways to do one thing. work: what the best way should cost. least: bytes that must move whatever the design.

    wide: the products are float32. note: for every row; of a variant alone where `notes` has it.
    """

    part: str
    variants: Mapping[str, Variant]
    work: Work | None = None
    least: float = 0.0
    wide: bool = False
    notes: Callable[[str, float], str] = lambda variant, milliseconds: ""


class Case:
    """check and races make their own inputs, and leave nothing behind."""

    name: str
    size: str
    tolerance: float = float("inf")

    def check(self, bench: Bench) -> dict[str, float]:
        """How far each variant is from what is right, relative; none for what cannot be wrong."""
        return {}

    def races(self, bench: Bench) -> Iterator[Race]:
        raise NotImplementedError(f"{type(self).__name__} must define races().")


def check_case(bench: Bench, case: Case) -> bool:
    """Finds the errors of a case, before anything is timed; False where one is too large."""
    errors = case.check(bench)
    for variant, error in errors.items():
        bench.errors[case.name, case.size, variant] = error
    wrong = {variant: error for variant, error in errors.items() if not error <= case.tolerance}
    said = "".join(f", {variant} {error:.1e}" for variant, error in errors.items())
    print(f"  {case.name}, {case.size}{said or ', nothing to compare'}{' WRONG' if wrong else ''}", flush=True)
    return not wrong


def time_case(bench: Bench, case: Case) -> None:
    for race in case.races(bench):
        errors = {name: bench.errors.get((case.name, case.size, name)) for name in race.variants}
        wrong = {name for name, error in errors.items() if error is not None and not error <= case.tolerance}
        for name in race.variants:
            if name in wrong:
                bench.put(Row(race.part, case.size, name, error=errors[name], failed=True,
                              note=f"wrong, not timed: more than {case.tolerance:.0e} off"))  # fmt: skip
        right = {name: variant for name, variant in race.variants.items() if name not in wrong}
        for name, timed in bench.race(right).items():
            bench.add(race.part, case.size, name, timed, race.work, race.least, wide=race.wide, error=errors[name],
                      note=race.notes(name, timed[0]))  # fmt: skip


def warm_case(bench: Bench, case: Case) -> None:
    """Everything once, so that what is compiled lies in the caches on disk."""
    case.check(bench)
    for race in case.races(bench):
        for variant in race.variants.values():
            variant.run()
    if bench.cuda:
        torch.cuda.synchronize()


def no_grad(function: Callable[[], Any]) -> Callable[[], Any]:
    return torch.no_grad()(function)
