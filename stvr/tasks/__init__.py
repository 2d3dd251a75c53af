"""Tasks: what an example is, and how examples are built, drawn, batched and judged. The menu is TASKS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stvr.config import Options
from stvr.menus import Menu
from stvr.store import FeatureStore
from stvr.structures import Features

__all__ = ["TASKS", "Examples", "Task"]


class Examples(Protocol):
    """The examples of a training run, ready to be drawn."""

    def __len__(self) -> int: ...

    def batch(self, step: int, empty: Any = ..., /) -> Any:
        """Batch `step`: `.to(device)` makes it what a head of this task reads.

        empty: takes the place of `torch.empty(size, dtype=...)` for what is large; it may go unused.
        """

    def sample(self) -> Features:
        """Features of some of the examples, for a head that wants to know what features are like."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, for a head that has a score for each; empty where there are none."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task on the menu.

    draws: options of how training examples are drawn; they join those of the loop. examples: (file of examples, store,
    options, seed, (which process, of how many)) -> Examples. evaluate: (session, store, file of examples, its own
    options) -> figures, as JSON values.
    """

    draws: type[Options]
    examples: Callable[[Path, FeatureStore, Any, int, tuple[int, int]], Examples]
    evaluate: Callable[..., dict[str, Any]]


TASKS: Menu[Task] = Menu("task", "stvr.tasks", {
    "pairs": "stvr.tasks.pairs.task:PAIRS",
    "people": "stvr.tasks.people.task:PEOPLE",
    "labels": "stvr.tasks.labels.task:LABELS",
})  # fmt: skip
