"""What opened, in a folder by its id: how it looked, so that a user can name it as a false alarm."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from stvr.session import Session
from stvr.session.saved import SUFFIX, read_query, write_query
from stvr.session.session import together
from stvr.structures import Query, Span, Tubelet

MOST_CLIPS = 8  # of one tubelet that are kept


class KnownAlarms:
    """One file of a tubelet, rewritten as it extends."""

    def __init__(self, folder: Path, session: Session) -> None:
        self.folder, self.session = folder, session
        self._open: dict[str, Query] = {}

    def see(self, identity: str, appearance: Query) -> None:
        """The look of one more clip of a tubelet."""
        before = self._open.get(identity)
        if before is not None and len(before.tubelets[0].span) >= MOST_CLIPS:
            return
        seen = appearance if before is None else joined(before, appearance)
        self._open[identity] = seen
        write_query(self.folder / f"{identity}{SUFFIX}", self.session, seen, {"event": identity})

    def ends(self, identity: str) -> None:
        self._open.pop(identity, None)


def joined(first: Query, second: Query) -> Query:
    """Clips of one example: what is like any of them is like it."""
    one, other = first.tubelets[0], second.tubelets[0]
    boxes = torch.cat([one.boxes, other.boxes])
    span = Span(one.span.video, one.span.start, one.span.start + len(boxes))
    return Query((Tubelet(span, boxes),), together([first.regions, second.regions]))


def named_alarms(folder: Path | None, identities: Iterable[str], session: Session) -> list[Query]:
    """What opened under these ids. ValueError without a folder, LookupError for an id that is not in it."""
    found = []
    for identity in identities:
        if folder is None:
            raise ValueError(f"--never {identity} names what an earlier watch kept with --alarms FOLDER. Give that "
                             "folder too.")
        path = folder / f"{identity}{SUFFIX}"
        if not path.is_file():
            raise LookupError(f"{folder} holds no alarm {identity!r}. Name the id of an event that opened.")
        found.append(read_query(path, session))
    return found
