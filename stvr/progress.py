"""Show on standard error how far a long job is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

Tell = Callable[[float, str], None]  # (share done in [0, 1], what to say)
StepTell = Callable[[int, int, Mapping[str, float]], None]  # (steps done, steps in all, figures to show)


@contextmanager
def shown(every_seconds: float = 10.0) -> Iterator[Tell]:
    """A bar on a terminal; elsewhere a plain line now and then."""
    if not sys.stderr.isatty():
        yield lines(every_seconds)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text)


@contextmanager
def shown_steps(what: str) -> Iterator[StepTell]:
    """The same for a job that counts steps: rate and time left are added."""
    with shown() as tell:
        started, first = time.monotonic(), 0

        def tell_step(done: int, total: int, figures: Mapping[str, float]) -> None:
            nonlocal started, first
            if first == 0 or done <= first:
                started, first = time.monotonic(), done
            rate = (done - first) / max(time.monotonic() - started, 1e-9)
            left = str(timedelta(seconds=round((total - done) / rate))) if rate else "?"
            details = "  ".join(f"{name} {value:.3g}" for name, value in figures.items())
            tell(done / max(total, 1), f"{what} {done}/{total}  {rate:.2f}/s  {left} left  {details}".rstrip())

        yield tell_step


def lines(every_seconds: float) -> Tell:
    last = time.monotonic()

    def tell(fraction: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every_seconds:
            last = time.monotonic()
            print(f"{fraction:4.0%} {text}", file=sys.stderr, flush=True)

    return tell
