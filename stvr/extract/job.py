"""Stage one: videos through a backbone into a store, by one process, by several, or by a cluster."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from stvr.extract import ray, workers
from stvr.extract.extractor import Recipe
from stvr.extract.flow import Flow
from stvr.extract.maps import Backbone, stream_of
from stvr.extract.pace import Pace, Progress, Step, shown
from stvr.extract.todo import Outcome, Todo
from stvr.extract.workers import check_workers
from stvr.store import FeatureSpec, FeatureStore
from stvr.store.claims import LEASE_SECONDS
from stvr.store.features import FAILED
from stvr.structures import ClipSpec
from stvr.video.decode import RESIZES
from stvr.video.reading import COLOUR_ORDERS
from stvr.video.source import BucketFile, Source, is_in_bucket
from stvr.video_names import names_of

ENGINES = {"local": workers.spread, "ray": ray.spread}
TIMEOUT_SECONDS = 120.0  # that a decoder may be silent
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(slots=True)
class ExtractReport:
    """What became of each video: failed says why. clips_reused were in the store when the run began.

    doubtful: of those that are in the store, what is wrong with their files: a clock that was bridged, an early end,
    decoding errors. mixed: of those that are done, which shards were made by other processors, with other last bits.
    """

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)
    mixed: dict[str, str] = field(default_factory=dict)
    clips_computed: int = 0
    clips_reused: int = 0


def extract(
    videos: Sequence[Source | str] | Mapping[str, Source],
    store_path: Path | str,
    backbone: Backbone,
    clip: ClipSpec,
    *,
    batch_size: int = 8,
    clips_per_shard: int = 64,
    flow: Flow | None = None,
    flip: bool = False,
    colour_order: str = "RGB",
    resize: str = "bilinear",
    compress: str = "lossless",
    workers: int = 1,
    engine: str = "local",
    timeout: float | None = TIMEOUT_SECONDS,
    retry: bool = False,
    lease_seconds: float = LEASE_SECONDS,
    report: Callable[[Step], None] | None = None,
) -> ExtractReport:
    """Puts the feature maps of all videos into a store, each under its name (see `stvr.video_names`).

    Complete videos are skipped, half done ones go on at their first missing shard; one that cannot be extracted is
    reported and does not stop the others. A file at fault is noted in the store and not tried again until it changes,
    or `retry` says so. A video that another run is writing is waited for after all the others. One in a bucket
    ("s3://bucket/key.mp4") is fetched when its turn comes, and its copy is then deleted.
    videos: files, or files by the names they are to have. ValueError when two files have one name, or the store another
    spec; OSError when the disk is full.
    flow: computed beside the features. flip: the features of the mirrored frames, too. colour_order, resize: what the
    backbone is fed; BGR and tf1 are the authors'. compress: how the store keeps features, of every endpoint of the
    backbone. workers, engine: how many processes, of this machine ("local") or of a cluster ("ray"). timeout: seconds a
    decoder may be silent; None: any.
    The store is the same, bit for bit, for any number of workers, threads and clips at once, and however often it was
    killed, on CPUs with the same instructions and with one version of torch (each video's notes have both: "processor",
    "versions"). On a GPU batch_size must be the same, too. docs/extraction.md has the exceptions and the bounds.
    lease_seconds: how long a process that died on another machine, or writing to a bucket, still holds its video.
    report: called after every batch; without it, progress is shown on standard error.
    """
    paths = dict(videos) if isinstance(videos, Mapping) else by_name(videos)
    check_named("colour order", colour_order, COLOUR_ORDERS)
    check_named("resize", resize, RESIZES)
    check_named("engine", engine, ENGINES)
    check_workers(workers)
    if clip.context == "video":
        stream_of(backbone, clip)  # refuses a backbone that has none before anything is written
    spec = FeatureSpec(
        backbone.name, backbone.weights, backbone.weights_digest, backbone.map_specs(clip), clip, colour_order, resize,
        flow=flow.spec if flow else "none", flipped=flip, compress=compress,
    )  # fmt: skip
    store = FeatureStore.open_or_create(store_path, spec, clips_per_shard)
    store.place.tidy(FAILED)
    recipe = Recipe(str(store.path), backbone, batch_size, flow, timeout, retry, lease_seconds)
    todo = Todo(paths)
    events = alone(recipe, todo) if engine == "local" and workers == 1 else ENGINES[engine](recipe, todo, workers)
    try:
        with closing(events), nullcontext(report) if report else shown() as tell:
            return settle(events, todo, Pace(paths), tell)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise OSError(f"no room for {store} ({error.strerror}). Free some space, then start the same command again: "
                      "it goes on where this one stopped.") from error


def alone(recipe: Recipe, todo: Todo) -> Generator[tuple[str, Progress | Outcome], None, None]:
    """Every event of every video, in this process."""
    extractor = recipe.build()
    while todo:
        if video := todo.take():
            for event in extractor(video, todo.paths[video]):
                yield video, event
        else:
            time.sleep(todo.pause())


def settle(
    events: Iterator[tuple[str, Progress | Outcome]], todo: Todo, pace: Pace, tell: Callable[[Step], None]
) -> ExtractReport:
    """Follows all videos to their ends. The report has them in the order they were given."""
    outcomes: dict[str, Outcome] = {}
    for video, event in events:
        if isinstance(event, Progress):
            tell(pace.step(video, event))
        elif event.claimed:
            todo.later(video)
        else:
            outcomes[video] = event
            pace.leave(video, event.computed, event.computed + event.reused)
    result = ExtractReport()
    for video in todo.paths:
        outcome = outcomes[video]
        result.clips_computed += outcome.computed
        result.clips_reused += outcome.reused
        if outcome.doubt:
            result.doubtful[video] = outcome.doubt
        if outcome.mixed:
            result.mixed[video] = outcome.mixed
        if outcome.failed:
            result.failed[video] = outcome.failed
        else:
            (result.skipped if outcome.skipped else result.done).append(video)
    return result


def check_named(what: str, name: str, menu: Collection[str]) -> None:
    if name not in menu:
        raise LookupError(f"there is no {what} {name!r}. Choose one of {', '.join(menu)}.")


def by_name(videos: Sequence[Source | str]) -> dict[str, Source]:
    """Files and objects by the names that their videos have in a store. ValueError when two have one name."""
    return names_of([
        video if not isinstance(video, str) else BucketFile(video) if is_in_bucket(video) else Path(video)
        for video in videos
    ])  # fmt: skip
