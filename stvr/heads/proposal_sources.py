"""Where a head's candidate boxes come from."""

from __future__ import annotations

from typing import NamedTuple

from stvr.heads.windows import PROPOSALS

GIVEN = ("boxes", "rpn")  # boxes that come with a clip: of a detector, or of a trained proposal network


class Sources(NamedTuple):
    """Where candidate boxes come from. windows: names on the menu of windows. given: names of GIVEN."""

    windows: tuple[str, ...]
    given: tuple[str, ...]

    @classmethod
    def of(cls, proposals: str) -> Sources:
        """`proposals` is one name or several, joined by +. ValueError for a name that nobody knows."""
        names = proposals.split("+")
        unknown = [name for name in names if name not in (*PROPOSALS, *GIVEN)]
        if unknown or len({*names}) < len(names):
            raise ValueError(f"there are no proposals {proposals!r}. Choose of {', '.join((*PROPOSALS, *GIVEN))}, "
                             "or several, as in map+rpn.")
        return cls(tuple(name for name in names if name in PROPOSALS), tuple(name for name in names if name in GIVEN))
