"""Searches that run beside the page, a bounded number at once: how far they are, what they found, giving one up."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Lock, Thread

from stvr.studio.shelf import Answered, Cancelled, Shelf, TrackedExample

AT_ONCE = 2


class Busy(RuntimeError):
    """As many searches run as may."""


class Search:
    """One search. state: "running", "done", "cancelled" or "failed"; error: one line when it failed.

    done, total: how far it is. answers: best first, so far. failed: why videos could not be asked, by name.
    """

    def __init__(self) -> None:
        self.state, self.error = "running", ""
        self.done, self.total = 0.0, 1.0
        self.answers: Sequence[Answered] = ()
        self.failed: dict[str, str] = {}
        self.ended, self._given_up = Event(), Event()

    def cancel(self) -> None:
        """It ends at the next window or clip; what it has found so far stays."""
        self._given_up.set()

    def run(self, shelf: Shelf, like: Sequence[TrackedExample], unlike: Sequence[TrackedExample], top: int) -> None:
        try:
            self.answers, self.failed = shelf.search(like, unlike, top, self._report, self._given_up.is_set)
            self.state = "done"
        except Cancelled:
            self.state = "cancelled"
        except (LookupError, ValueError, OSError) as error:
            self.state, self.error = "failed", " ".join(str(error).split())
        except Exception:
            self.state, self.error = "failed", "the search broke off; the terminal of `stvr studio` says why."
            raise
        finally:
            self.ended.set()

    def _report(self, done: float, total: float, answers: Sequence[Answered]) -> None:
        self.done, self.total = done, total
        self.answers = tuple(answers)


class Searches:
    """Starts them. at_once: how many may run."""

    def __init__(self, shelf: Shelf, at_once: int = AT_ONCE) -> None:
        self.shelf, self.at_once = shelf, at_once
        self._running: set[Search] = set()
        self._lock = Lock()

    def start(self, like: Sequence[TrackedExample], unlike: Sequence[TrackedExample], top: int) -> Search:
        """A search that has begun. Busy when as many run as may; it is not kept waiting."""
        search = Search()
        with self._lock:
            self._running = {each for each in self._running if not each.ended.is_set()}
            if len(self._running) >= self.at_once:
                raise Busy(f"{self.at_once} searches are running, as many as may at once. Try again in a moment.")
            self._running.add(search)
        Thread(target=search.run, args=(self.shelf, list(like), list(unlike), top), daemon=True).start()
        return search

    def stop(self) -> None:
        """Gives up all of them."""
        for each in self._running:
            each.cancel()
