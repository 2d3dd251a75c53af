"""Where and when, with files around it: a query video with a box, and the tubelets in other videos that do the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stvr.extract.default_weights import runtime_for
from stvr.extract.flow import flow_of
from stvr.extract.job import extract
from stvr.files import check_folder, write_text
from stvr.heads.checkpoint import check_features
from stvr.session import Answer, Example, Session
from stvr.session.examples import Box, Track
from stvr.session.session import backbone_of
from stvr.session.sources import stored_name
from stvr.store import FeatureStore, is_store

Report = Callable[[Path, int, int], None]  # of a reference: clips done, clips there are


def locate(
    checkpoint: Path | str | None,
    query: Path | str,
    box: Box | Track,
    at: float,
    references: Sequence[Path | str],
    *,
    span: tuple[float, float] | None = None,
    examples: Sequence[Example] = (),
    negatives: Sequence[Example] = (),
    weights: Path | str | None = None,
    flow_weights: Path | None = None,
    store: FeatureStore | Path | str | None = None,
    statistics: Path | str | None = None,
    proposals: str | None = None,
    proposer: Path | str | None = None,
    device: str = "cpu",
    on_failure: Callable[[Path, Exception], None] | None = None,
    report: Report | None = None,
) -> Iterator[Answer]:
    """Finds what the actor in `box` of the query does, in every reference; answers come one by one.

    checkpoint: None asks the head `nearest`, which needs no training. For it, statistics: a store that says what is
    usual, in place of the statistics that ship; proposals and proposer: where boxes come from, as in `Session.open`.
    box, at, span: of the query, as `Session.query` takes them. examples: further ones of the same action; negatives:
    those of what is not meant. weights: those the head's features were made with, unless they were analytic or lie
    beside a finetuned head; flow_weights: those of RAFT, where the head was trained on its flow. store: references are
    read from it, and extracted into it first where it does not have them; one may be the name of a video in it.
    on_failure is told of a reference that cannot be read; without it the error is raised. report(path, clips done,
    clips) tells of progress.
    """
    there = store if checkpoint is None and store is not None and is_store(str(store)) else None
    session = Session.open(
        checkpoint, weights=weights, flow_weights=flow_weights, store=there, statistics=statistics,
        proposals=proposals, proposer=proposer, device=device, kept_bytes=0,
    )  # fmt: skip
    if store is not None:
        session.store = with_videos(session, store, [Path(each) for each in references], flow_weights)
    asked = session.query_of([Example(query, box, at, span), *examples], negatives)
    for path in map(Path, references):
        try:
            yield session.ask(asked, path, for_reference(path, report))
        except (LookupError, ValueError, OSError) as error:
            if on_failure is None:
                raise
            on_failure(path, error)


def for_reference(path: Path, report: Report | None) -> Callable[[int, int], None] | None:
    return None if report is None else lambda done, total: report(path, done, total)


def with_videos(
    session: Session, place: FeatureStore | Path | str, videos: Sequence[Path], flow_weights: Path | None
) -> FeatureStore:
    """The store, made if there is none, with the videos extracted that it lacked. What fails is asked of its file."""
    path = str(place)
    store = FeatureStore.open(path) if is_store(path) else None
    spec = store.spec if store else session.spec
    if store:
        check_features(session.loaded, store)
    missing = [video for video in videos if video.is_file() and not (store and stored_name(store, video))]
    if missing:
        runtimes = {runtime_for(each, spec.clip.context) for each in (store, session.store)}
        same = spec.endpoint == session.spec.endpoint and len(runtimes) == 1
        backbone = session.eyes().backbone if same else backbone_of(spec, session.weights, session.device, store)
        extract(
            missing, path, backbone, spec.clip, flow=flow_of(spec, flow_weights, session.device),
            flip=spec.flipped, colour_order=spec.colour_order, resize=spec.resize, compress=spec.compress,
        )
    return FeatureStore.open(path)


@dataclass(frozen=True, slots=True)
class LocateReport:
    """Where the tubelets were written, how many there are, which references could not be read, which are doubtful."""

    path: Path
    num_tubelets: int
    num_references: int
    failed: Mapping[str, str]
    doubtful: Mapping[str, str]


def locate_files(
    checkpoint: Path | str | None,
    query: Path,
    box: Box | Track,
    at: float,
    references: Sequence[Path],
    out: Path,
    *,
    span: tuple[float, float] | None = None,
    examples: Sequence[Example] = (),
    negatives: Sequence[Example] = (),
    weights: Path | str | None = None,
    flow_weights: Path | None = None,
    store: Path | str | None = None,
    statistics: Path | str | None = None,
    proposals: str | None = None,
    proposer: Path | str | None = None,
    device: str = "cpu",
    on_answer: Callable[[Answer], None] | None = None,
    report: Report | None = None,
) -> LocateReport:
    """Locates and writes OUT/tubelets.jsonl, one tubelet a line, the best of all references first.

    on_answer is told of each reference's answer as it comes (to render it, say). A reference that cannot be read is
    left out and named in the report; when none can be read, ValueError says why.
    """
    check_folder(out)
    failed, doubtful = dict[str, str](), dict[str, str]()
    lines: list[dict[str, Any]] = []
    answers = locate(
        checkpoint, query, box, at, references, span=span, examples=examples, negatives=negatives, weights=weights,
        flow_weights=flow_weights, store=store, statistics=statistics, proposals=proposals, proposer=proposer,
        device=device, report=report,
        on_failure=lambda path, error: failed.__setitem__(str(path), str(error)),
    )  # fmt: skip
    count = 0
    for found in answers:
        count += 1
        lines += found.to_json()
        if found.doubt:
            doubtful[str(found.path)] = found.doubt
        if on_answer:
            on_answer(found)
    if not count:
        raise ValueError(f"no reference could be read: {next(iter(failed.values()), 'none was given')}")
    return LocateReport(write_lines(out, lines), len(lines), count, failed, doubtful)


def write_lines(out: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    path = out / "tubelets.jsonl"
    ranked = sorted(lines, key=lambda each: -each["score"])
    write_text(path, "".join(json.dumps(line) + "\n" for line in ranked))
    return path
