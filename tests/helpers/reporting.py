"""Batches that say which process read them. Run as a program it trains on them until it is stopped."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from stvr.training.feed import feed


@dataclass(frozen=True)
class Report:
    step: int
    process: int
    told: list[str] | None = None

    def to(self, device: str, *, non_blocking: bool = False) -> Report:
        if self.told is not None:
            self.told.append(f"copy of {self.step}")
        return self


@dataclass(frozen=True)
class Reporting:
    """told: where to note what is done. damaged: the step that cannot be read."""

    told: list[str] | None = None
    damaged: int = -1

    def __call__(self, step: int, empty: Any) -> Report:
        if step == self.damaged:
            raise ValueError(f"step {step} is damaged.")
        if self.told is not None:
            self.told.append(f"read {step}")
        time.sleep(0.05)  # long enough that every reader gets some
        return Report(step, os.getpid(), self.told)


if __name__ == "__main__":
    from reporting import Reporting as Imported  # by a name that the readers find

    readers: set[int] = set()
    for report in feed(Imported(), 0, 10_000, "cpu", 2):
        if len(readers) < 2:
            readers.add(report.process)
            if len(readers) == 2:
                print(*readers, flush=True)
