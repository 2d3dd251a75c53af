"""Searches that run beside the page, a bounded number at once: how far they are, what they found, giving one up."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Lock, Thread

from stvr.library import Hit
from stvr.studio.shelf import Cancelled, Shelf, TrackedExample, example_of, same

AT_ONCE = 2


class Busy(RuntimeError):
    """As many searches run as may."""


class Search:
    """One search. state: "running", "done", "cancelled" or "failed"; error: one line when it failed.

    done, total: how far it is. answers: best first, so far; those that were disliked before stand last, whatever they
    score. failed: why videos could not be asked, by name.
    """

    def __init__(self, disliked: Sequence[Hit] = ()) -> None:
        self._disliked = disliked
        self.state, self.error = "running", ""
        self.done, self.total = 0.0, 1.0
        self.answers: Sequence[Hit] = ()
        self.failed: dict[str, str] = {}
        self.ended, self._given_up = Event(), Event()

    def cancel(self) -> None:
        """It ends at the next window or clip; what it has found so far stays."""
        self._given_up.set()

    def run(self, shelf: Shelf, like: Sequence[TrackedExample], unlike: Sequence[TrackedExample], top: int) -> None:
        try:
            answers, self.failed = shelf.search(like, unlike, top, self._report, self._given_up.is_set)
            self.answers = self._ranked(answers)
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

    def _report(self, done: float, total: float, answers: Sequence[Hit]) -> None:
        self.done, self.total = done, total
        self.answers = self._ranked(answers)

    def _ranked(self, answers: Sequence[Hit]) -> Sequence[Hit]:
        return sorted(answers, key=lambda each: any(same(each, other) for other in self._disliked))


class Searches:
    """Starts them. at_once: how many may run."""

    def __init__(self, shelf: Shelf, at_once: int = AT_ONCE) -> None:
        self.shelf, self.at_once = shelf, at_once
        self._running: set[Search] = set()
        self._lock = Lock()

    def start(self, like: Sequence[TrackedExample], disliked: Sequence[Hit], top: int) -> Search:
        """A search that has begun. Busy when as many run as may; it is not kept waiting.

        disliked: answers that show what is not meant.
        """
        search, unlike = Search(disliked), [example_of(each, self.shelf.clip) for each in disliked]
        with self._lock:
            self._running = {each for each in self._running if not each.ended.is_set()}
            if len(self._running) >= self.at_once:
                raise Busy(f"{self.at_once} searches are running, as many as may at once. Try again in a moment.")
            self._running.add(search)
        Thread(target=search.run, args=(self.shelf, list(like), unlike, top), daemon=True).start()
        return search

    def stop(self) -> None:
        """Gives up all of them."""
        for each in self._running:
            each.cancel()
