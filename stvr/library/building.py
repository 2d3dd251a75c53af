"""Make an index of videos, or bring one up to date: extract, describe, gather. It may be killed at any moment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from stvr.backbones.weights.named import as_noted
from stvr.extract.extractor import Recipe
from stvr.extract.flow import flow_of
from stvr.extract.job import ENGINES, alone, check_named, extract, settle
from stvr.extract.pace import Pace, Step, shown
from stvr.extract.todo import Todo
from stvr.extract.workers import check_workers, usual_workers
from stvr.heads.checkpoint import load_head, weights_beside
from stvr.heads.nearest import NearestHead
from stvr.library.begun import (
    STORE,
    Tell,
    check_backend,
    chosen_composition,
    features_wanted,
    keep_head,
    store_of,
)
from stvr.library.composition import Composition
from stvr.library.described_videos import described, file_of, is_described, waited_for
from stvr.library.describing import BLOCK, LENGTH, STRIDE
from stvr.library.faiss import LEAST_ROWS
from stvr.library.gathering import digest_of, gather
from stvr.library.index import HEAD, Index, read_notes
from stvr.library.inputs import address, named, read_sources
from stvr.library.work import DescribeRecipe
from stvr.session.session import backbone_of
from stvr.store import FeatureStore, is_store


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
    workers: int | None = None,
    engine: str = "local",
    device: str = "cpu",
    retry: bool = False,
    report: Callable[[Step], None] | None = None,
    tell: Tell | None = None,
) -> Built:
    """Puts videos into the index at `out`, made if there is none; those of earlier runs stay, unless they are gone.

    sources: video files, folders of them, lists of files (.txt), "s3://bucket/prefix"; or one feature store, whose
    videos are described as they are. head: whose features are extracted; None: those of `nearest`, which needs no
    training, or those of the store. store: where features are kept, None: in the index. composition: see Composition;
    kept with the index, and it may be changed later, but for its regions. weights, engine, device, retry: as for
    `stvr.extract.job.extract`. workers: None is one, for a GPU as many as cores. report: told of progress, which is
    else shown on standard error. tell: given a line on what is left out.
    A second run adds what is new and drops what is gone. Rows are the same, bit for bit, however many described them.
    Raises FileNotFoundError, LookupError or ValueError, in one line, for what does not fit together.
    """
    folder = Path(out).absolute()
    tell = tell or (lambda line: print(f"stvr: {line}", file=sys.stderr))
    check_named("engine", engine, ENGINES)
    workers = usual_workers(device, engine) if workers is None else workers
    check_workers(workers)
    chosen = chosen_composition(folder, composition)
    check_backend(chosen)
    given = read_sources(sources, tell)
    place = store_of(folder, given, store)
    earlier = described(folder)
    files = named(given.files, {each["path"]: name for name, each in earlier.items() if each["path"]})
    loaded, spec = features_wanted(folder, place, head)
    result = Built()
    if files:
        kept = FeatureStore.open(place) if is_store(place) else None
        chosen_weights = weights_beside(loaded, weights) if loaded else as_noted(weights, spec.weights)
        backbone = backbone_of(spec, chosen_weights, device, kept)
        result.failed = extract(
            files, place, backbone, spec.clip, flow=flow_of(spec, None, device), flip=spec.flipped,
            colour_order=spec.colour_order, resize=spec.resize, compress=spec.compress, workers=workers, engine=engine,
            retry=retry, report=report,
        ).failed  # fmt: skip
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
    """Describes the videos that are not described yet, and all that were described differently."""
    made_by = digest_of([(folder / HEAD).read_bytes().hex(), chosen.regions, LENGTH, STRIDE, BLOCK])
    earlier = described(folder)
    known = {name for name in names
             if is_described(file_of(folder, name), made_by, store.info(name).get("digest", ""))}  # fmt: skip
    others = [name for name, each in earlier.items() if each["made_by"] != made_by and name not in names]
    places = {**{name: str(each["path"]) for name, each in earlier.items()}, **addresses}
    todo = Todo({name: Path(places.get(name) or name) for name in (*names, *others) if name not in known})
    recipe = DescribeRecipe(str(store.path), str(folder), chosen.regions, places, made_by)
    work = cast(Recipe, recipe)  # the same parts, for the same engines
    is_alone = not todo or (engine == "local" and workers == 1)
    events = alone(work, todo) if is_alone else ENGINES[engine](work, todo, workers)
    with closing(events), nullcontext(report) if report else shown() as show:
        outcome = settle(events, todo, Pace(todo.paths), show)
    result.added, skipped = outcome.done, {*outcome.skipped}
    result.kept = [name for name in names if name in known or name in skipped]
    result.failed = {**result.failed, **outcome.failed}


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
