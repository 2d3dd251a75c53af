"""What an index is begun with, or was begun with: its composition, its store, its features, the head that describes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from stvr.heads.checkpoint import Checkpoint, load_head, save_head
from stvr.heads.ready import READY, ready_head
from stvr.heads.usual import shipped_usual
from stvr.library.composition import DEFAULT, Composition
from stvr.library.described_videos import waited_for
from stvr.library.faiss import imported
from stvr.library.index import HEAD, is_index, read_notes
from stvr.library.inputs import Named
from stvr.store import FeatureSpec, FeatureStore, is_store

STORE = "features.zarr"  # in the folder of an index, unless another is named
Tell = Callable[[str], None]  # is given a line


def chosen_composition(folder: Path, given: str | None) -> Composition:
    """What is given, else what the index has. ValueError for other regions than it has: these are described already."""
    there = Composition.of(read_notes(folder)["composition"]) if is_index(folder) else None
    chosen = Composition.of(given) if given is not None else there or Composition.of(DEFAULT)
    if there and there.regions != chosen.regions:
        raise ValueError(f"{folder} has described {'+'.join(there.regions)}, not {'+'.join(chosen.regions)}. Give "
                         "another --out, or leave --composition out.")
    return chosen


def store_of(folder: Path, given: Named, store: Path | str | None) -> Path | str:
    """Where the features are. ValueError where several places are named, or another than the index has."""
    places = list(dict.fromkeys([*given.stores, *([str(store)] if store else [])]))
    if len(places) > 1 or (given.stores and given.files):
        raise ValueError("an index describes the videos of one store. Name one store alone, or video files and the "
                         f"--store that they are extracted into; got {', '.join(places)}"
                         f"{' and video files' if given.files else ''}.")
    wanted = places[0] if places else None
    if wanted and "://" not in wanted:
        wanted = os.path.abspath(wanted)
    if not is_index(folder):
        return wanted or folder / STORE
    kept = read_notes(folder)["store"]
    there = kept if "://" in kept else str(folder / kept)
    if wanted and wanted != there:
        raise ValueError(f"the index {folder} describes the videos of {there}, not of {wanted}. Give another --out, or "
                         "leave --store out.")
    return there


def features_wanted(
    folder: Path, place: Path | str, head: Path | str | None
) -> tuple[Checkpoint | None, FeatureSpec]:
    """The features that are to be in the store: as it was begun, else those of the head."""
    loaded = None
    if head is not None and (str(head) not in READY or Path(head).exists()):
        loaded = load_head(head)
    if is_store(place):
        spec = FeatureStore.open(place).spec
        if loaded and (different := loaded.spec.unmet_by(spec)):
            raise ValueError(f"{head} reads other features than {place} holds: {'; '.join(different)}. Give another "
                             "--store.")
        return loaded, spec
    loaded = loaded or ready_head()
    return loaded, loaded.spec


def keep_head(folder: Path, place: Path | str, tell: Tell) -> None:
    """Writes the head that describes, unless there is one: with the statistics that ship, or the store's own."""
    if (folder / HEAD).is_file():
        return
    if not is_store(place):
        raise ValueError(f"no video could be extracted, so there is nothing to describe in {folder}.")
    store, usual = FeatureStore.open(place), None
    if shipped_usual(ready_spec(store)) is None:
        usual = store
        tell(f"no statistics ship for features of {store.spec.weights!r}; those of {store} say what is usual")
    made = ready_head(store.spec, usual)
    folder.mkdir(parents=True, exist_ok=True)
    noted = {**made.provenance, "statistics": "shipped" if usual is None else "measured"}
    with waited_for(folder, "head"):
        if not (folder / HEAD).is_file():
            save_head(folder / HEAD, made.head, made.options, made.spec, noted)


def ready_spec(store: FeatureStore) -> FeatureSpec:
    """The endpoints with places in them."""
    spec = store.spec
    return spec.only([each.endpoint for each in spec.maps if each.stride < spec.clip.image_size] or spec.endpoints)


def check_backend(chosen: Composition) -> None:
    """LookupError where faiss is asked for and is not here."""
    if chosen.backend == "faiss":
        imported()
