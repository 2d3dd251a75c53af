"""How an index is made up, said in one string: what is described, how it is compared, what searches it."""

from __future__ import annotations

from dataclasses import dataclass

REGIONS = ("windows", "grid", "tubes")  # the whole picture; overlapping quarters of it; what moves, followed
BACKENDS = ("flat", "faiss")  # every row, exactly; the rows of the nearest cells, roughly
DEFAULT = "tubes,whiten,nnn,flat"  # chosen on real clips: docs/library.md


@dataclass(frozen=True, slots=True)
class Composition:
    """regions: what is described, several of REGIONS. whiten: vectors in units of what is usual.

    nnn: what is similar to everything is worth less (nearest-neighbour normalisation). backend: one of BACKENDS.
    """

    regions: tuple[str, ...]
    whiten: bool = False
    nnn: bool = False
    backend: str = "flat"

    @classmethod
    def of(cls, text: str) -> Composition:
        """Reads "tubes,whiten,nnn,flat", in any order; "windows+tubes" takes both. ValueError for anything else."""
        words = [word.strip() for word in text.split(",")]
        described = [word for word in words if {*word.split("+")} & {*REGIONS}]
        backends = [word for word in words if word in BACKENDS]
        known = {*described, *backends, "whiten", "nnn"}
        unknown = [word for word in (*words, *"+".join(described).split("+")) if word not in {*known, *REGIONS}]
        if unknown or len(described) != 1 or len(backends) > 1 or len(set(words)) != len(words):
            wrong = f"there is no {unknown[0]!r}" if unknown else f"got {text!r}"
            raise ValueError(f"a composition is one of {', '.join(REGIONS)} (or several, joined by +), then whiten and "
                             f"nnn or not, then one of {', '.join(BACKENDS)}; {wrong}. Write {DEFAULT}, say.")
        regions = tuple(name for name in REGIONS if name in described[0].split("+"))
        return cls(regions, "whiten" in words, "nnn" in words, (backends or ["flat"])[0])

    def __str__(self) -> str:
        parts = ["+".join(self.regions), *["whiten"] * self.whiten, *["nnn"] * self.nnn, self.backend]
        return ",".join(parts)
