"""What --weights means: a name of the table, "analytic", or a file."""

from __future__ import annotations

from pathlib import Path

from stvr.backbones.weights.cache import cache_folder
from stvr.backbones.weights.table import TABLE

ANALYTIC = "analytic"
DEFAULT = "i3d-kinetics-400"  # of `stvr extract` for the backbone i3d, once it has been fetched


def kept_at(name: str) -> Path:
    """Where the weights `name` of the table are once they have been fetched."""
    return cache_folder() / f"{name}.safetensors"


def weights_file(given: Path | str | None) -> Path | None:
    """The file that a name of the table or a path means; None for None, and for "analytic".

    A file or folder that has such a name, in the working directory, wins. FileNotFoundError for a name of the table
    that has not been fetched, ValueError for one whose file is damaged; a path is not looked at.
    """
    name = None if given is None else str(given)
    if name is None or name not in (ANALYTIC, *TABLE) or Path(name).exists():
        return None if name is None else Path(name)
    if name == ANALYTIC:
        return None
    if not (kept := kept_at(name)).is_file():
        raise FileNotFoundError(f"the weights {name} have not been fetched. Run `stvr weights fetch {name}`.")
    if not is_whole(kept):
        raise ValueError(f"the weights {name}, fetched to {kept}, are damaged. Run `stvr weights fetch {name}` again.")
    return kept


def is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt"):
            return True
    except SafetensorError:
        return False


def name_of(file: Path | None) -> str:
    """What a person calls the weights that `weights_file` found: a name of the table, a file's name, or "analytic"."""
    if file is None:
        return ANALYTIC
    return file.stem if file.stem in TABLE and file == kept_at(file.stem) else file.name


def as_noted(given: Path | str | None, noted: str) -> Path | str | None:
    """The weights that were given; else those that a store or a head notes, if their name is in the table."""
    return noted if given is None and noted in TABLE else given
