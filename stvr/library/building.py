"""Make an index of videos, or bring one up to date: extract, describe, gather. It may be killed at any moment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from stvr.extract.extractor import Recipe
from stvr.extract.flow import flow_of
from stvr.extract.job import ENGINES, alone, check_named, extract, settle
from stvr.extract.pace import Pace, Step, shown
from stvr.extract.todo import Todo
from stvr.heads.checkpoint import Checkpoint, load_head, save_head, weights_beside
from stvr.heads.nearest import NearestHead
from stvr.heads.ready import READY, ready_head
from stvr.heads.usual import shipped_usual
from stvr.library.composition import DEFAULT, Composition
from stvr.library.described_videos import described, file_of, waited_for
from stvr.library.describing import BLOCK, LENGTH, STRIDE
from stvr.library.faiss import LEAST_ROWS, imported
from stvr.library.gathering import digest_of, gather
from stvr.library.index import HEAD, Index, is_index, read_notes
from stvr.library.sources import Named, address, named, read_sources
from stvr.library.work import DescribeRecipe
from stvr.session.session import backbone_of
from stvr.store import FeatureSpec, FeatureStore, is_store

STORE = "features.zarr"  # in the folder of an index, unless another is named

Tell = Callable[[str], None]


@dataclass(slots=True)
class Built:
    """What became of each video. dropped, failed, doubtful: why. num_videos, num_rows: in the index now.

    still_seconds, blank_seconds: left out of the whole index, because nothing moves or nothing is to be seen.
    """

    added: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)
    num_videos: int = 0
    num_rows: int = 0
    seconds: float = 0.0
    still_seconds: float = 0.0
    blank_seconds: float = 0.0


def build_index(
    sources: Sequence[Path | str],
    out: Path | str,
    *,
    head: Path | str | None = None,
    weights: Path | str | None = None,
    store: Path | str | None = None,
    composition: str | None = None,
    workers: int = 1,
    engine: str = "local",
    device: str = "cpu",
    report: Callable[[Step], None] | None = None,
    tell: Tell | None = None,
) -> Built:
    """Puts videos into the index at `out`, made if there is none; those of earlier runs stay, unless they are gone.

    sources: video files, folders of them, lists of files (.txt), "s3://bucket/prefix"; or one feature store, whose
    videos are described as they are. head: whose features are extracted; None: those of `nearest`, which needs no
    training, or those of the store. store: where features are kept, None: in the index. composition: see Composition;
    kept with the index, and it may be changed later, but for its regions. weights, workers, engine, device: as for
    `stvr.extract.job.extract`. report: told of progress, which is else shown on standard error. tell: given a line on
    what is left out.
    A second run adds what is new and drops what is gone. Rows are the same, bit for bit, however many described them.
    Raises FileNotFoundError, LookupError or ValueError, in one line, for what does not fit together.
    """
    folder = Path(out).absolute()
    tell = tell or (lambda line: print(f"stvr: {line}", file=sys.stderr))
    check_named("engine", engine, ENGINES)
    chosen = chosen_composition(folder, composition)
    check_backend(chosen)
    given = read_sources(sources, tell)
    place = store_of(folder, given, store)
    earlier = described(folder)
    files = named(given.files, {each["path"]: name for name, each in earlier.items() if each["path"]})
    loaded, spec = features_wanted(folder, place, head)
    result = Built()
    if files:
        backbone = backbone_of(spec, weights_beside(loaded, weights) if loaded else weights, device,
                               FeatureStore.open(place) if is_store(place) else None)  # fmt: skip
        extracted = extract(
            files, place, backbone, spec.clip, flow=flow_of(spec, None, device), flip=spec.flipped,
            colour_order=spec.colour_order, resize=spec.resize, compress=spec.compress, workers=workers, engine=engine,
            report=report,
        )  # fmt: skip
        result.failed, result.doubtful = extracted.failed, extracted.doubtful
    keep_head(folder, place, tell)
    opened = FeatureStore.open(place)
    drop(folder, gone(earlier, opened, folder), tell, result)
    addresses = {name: address(file) for name, file in files.items() if name not in result.failed}
    wanted = list(addresses) if files else opened.videos()
    describe(folder, opened, wanted, addresses, chosen, workers, engine, report, result)
    finish(folder, opened, chosen, result)
    if chosen.backend == "faiss" and result.num_rows < LEAST_ROWS:
        tell(f"{result.num_rows} rows are searched exactly: faiss is for {LEAST_ROWS} and more")
    return result


def remove_videos(out: Path | str, names: Iterable[str]) -> None:
    """Takes videos out of an index; their features stay in its store. LookupError for one that is not in it."""
    folder, notes = Path(out).absolute(), read_notes(out)
    there = {each["name"] for each in notes["videos"]}
    for name in names:
        if name not in there:
            raise LookupError(f"{name!r} is not among the {len(there)} videos of {out}. `stvr info {out}` names "
                              "them.")
        file_of(folder, name).unlink(missing_ok=True)
    index = Index.open(folder)
    finish(folder, FeatureStore.open(index.store), index.composition, Built())


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
        if loaded and (different := loaded.spec.differences(
            spec.only(loaded.spec.endpoints) if {*loaded.spec.endpoints} <= {*spec.endpoints} else spec,
            {"flipped", "compress", "flow"},
        )):  # fmt: skip
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


def gone(earlier: Mapping[str, Mapping[str, Any]], store: FeatureStore, folder: Path) -> dict[str, str]:
    """Videos that were described and are no more -> why. Objects in buckets are not looked for."""
    there, found = {*store.videos()}, dict[str, str]()
    for name, each in earlier.items():
        path = str(each["path"])
        if path and "://" not in path and not Path(path).exists():
            found[name] = f"{path} is gone"
        elif name not in there:
            found[name] = f"its features are gone from {store}"
    return found


def drop(folder: Path, names: Mapping[str, str], tell: Tell, result: Built) -> None:
    for name, why in names.items():
        file_of(folder, name).unlink(missing_ok=True)
        tell(f"{name} is dropped: {why}")
    result.dropped = dict(names)


def describe(
    folder: Path, store: FeatureStore, names: Sequence[str], addresses: Mapping[str, str], chosen: Composition,
    workers: int, engine: str, report: Callable[[Step], None] | None, result: Built,
) -> None:  # fmt: skip
    """Describes the videos that are not described yet, or were so differently."""
    made_by = digest_of([(folder / HEAD).read_bytes().hex(), chosen.regions, LENGTH, STRIDE, BLOCK])
    there = described(folder)
    result.kept = [name for name in names if name in there and there[name]["made_by"] == made_by
                   and there[name]["digest"] == store.info(name).get("digest", "")]  # fmt: skip
    known = {*result.kept}
    todo = Todo({name: Path(addresses.get(name, name)) for name in names if name not in known})
    recipe = DescribeRecipe(str(store.path), str(folder), chosen.regions, dict(addresses), made_by)
    work = cast(Recipe, recipe)  # the same parts, for the same engines
    events = alone(work, todo) if engine == "local" and workers == 1 else ENGINES[engine](work, todo, workers)
    with closing(events), nullcontext(report) if report else shown() as show:
        outcome = settle(events, todo, Pace(todo.paths), show)
    result.added = outcome.done
    result.failed = {**result.failed, **outcome.failed}


def check_backend(chosen: Composition) -> None:
    """LookupError where faiss is asked for and is not here."""
    if chosen.backend == "faiss":
        imported()


def finish(folder: Path, store: FeatureStore, chosen: Composition, result: Built) -> None:
    """Gathers what is described, and counts it."""
    head = load_head(folder / HEAD).head
    assert isinstance(head, NearestHead)
    kept = str(store.path)
    place = STORE if kept == str(folder / STORE) else kept
    with waited_for(folder, "gathering"):
        gather(folder, store.spec.to_json(), place, chosen, head.where.standard(head.match_on))
    index = Index.open(folder)
    seconds = float(1 / store.spec.clip.clips_per_second)
    result.num_videos, result.num_rows = len(index.videos), len(index)
    result.seconds = sum(each.seconds for each in index.videos)
    result.still_seconds = seconds * sum(each.still_clips for each in index.videos)
    result.blank_seconds = seconds * sum(each.blank_clips for each in index.videos)
    result.doubtful = {each.name: each.doubt for each in index.videos if each.doubt}
