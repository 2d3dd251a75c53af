"""Annotated tubelets become pairs of a query and a reference, as in the authors' program or without its shortcuts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from stvr.annotations.labelled import AnnotatedTubelet, Taken, cover, cut, free_runs
from stvr.annotations.rows import Label
from stvr.labels import label_text
from stvr.structures import ClipSpec, Pair, Span, Tubelet
from stvr.tasks.pairs.file import read_pairs, summary, write_pairs

__all__ = ["PROTOCOLS", "Protocol", "build_pairs", "read_pairs", "summary", "write_pairs"]

Protocol = Literal["debiased", "released", "paper", "one_shot"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
AUTHORS: tuple[Protocol, ...] = ("released", "paper")
QUERY_SECONDS = 10  # longer queries are cut to a random window (the program's training sampling)
REFERENCE_SECONDS = (10, 60)  # debiased references
ABSENT_TRIES = 50  # after that there is no such pair: a label that is everywhere is never absent
PADDED_BELOW_SECONDS = 10  # released: shorter targets get background before and after


class Annotated:
    """The annotated tubelets of one video, found by time."""

    def __init__(self, tubelets: Sequence[AnnotatedTubelet]) -> None:
        self.tubelets = tubelets
        self.start = np.array([tubelet.span.start for tubelet in tubelets])
        self.stop = np.array([tubelet.span.stop for tubelet in tubelets])

    def within(self, span: Span) -> list[AnnotatedTubelet]:
        """The parts that lie in `span`."""
        near = np.flatnonzero((self.start < span.stop) & (self.stop > span.start))
        parts = (self.tubelets[index].within(span) for index in near.tolist())
        return [part for part in parts if part is not None]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """What one split draws from.

    queries: tubelets that may be a query or a target. everyone: all annotated tubelets of the split's videos.
    stretches: by video, the spans in which a reference may lie. support: one-shot queries are drawn from it; None:
    from queries.
    """

    split: str
    queries: Sequence[AnnotatedTubelet]
    everyone: Mapping[str, Annotated]
    stretches: Mapping[str, Sequence[Span]]
    support: Sequence[AnnotatedTubelet] | None = None

    def stretch_of(self, span: Span) -> Span:
        return next(s for s in self.stretches[span.video] if s.start <= span.start and span.stop <= s.stop)


def build_pairs(
    tubelets: Sequence[AnnotatedTubelet],
    extents: Mapping[str, Span],
    *,
    held_out: Mapping[str, Collection[Label]],
    protocol: Protocol = "debiased",
    seed: int = 0,
    absent_share: float = 0.2,
    train_videos: Collection[str] | None = None,
    spec: ClipSpec | None = None,
) -> list[Pair]:
    """A pair with a target for every tubelet that can be a query, and pairs without one; the same for the same seed.

    Args:
        extents: the clips of each video that a reference may show; every tubelet lies in its own.
        held_out: split ("val", "test") -> labels; all other labels train. Training sees no clip in which anybody does
            a held-out label.
        protocol: "released", as in Feng et al.'s program: the target is a random tubelet of the query's label, perhaps
            the query itself, padded by its own length. "paper": the same, but always another tubelet, so a label with
            one tubelet makes no pair. "debiased": a target in another video than the query's, anywhere in a reference
            of 10 to 60 s. "one_shot": trained as debiased; then one tubelet of every held-out label, drawn from the
            videos that only train where there are such, is asked of every whole video that evaluates and shows any
            held-out label of the split.
        absent_share: the share of debiased pairs without a target, whose reference is a span of another video that
            does not show the label; they are added to the others: share / (1 - share) for each pair with a target.
        train_videos: videos that only train, while the others only evaluate; None: every video does both.
    Raises: ValueError for labels in two splits, an unknown protocol, a share outside [0, 1).
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"the protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}.")
    if not 0 <= absent_share < 1:
        raise ValueError(f"the share of pairs without a target is at least 0 and below 1, not {absent_share}.")
    rng, spec = np.random.default_rng(seed), spec or ClipSpec()
    draw = {"released": _released, "paper": _paper, "debiased": _debiased, "one_shot": _one_shot}[protocol]
    pairs = []
    for pool in _pools(tubelets, extents, held_out, train_videos):
        for query, reference in draw(pool, rng, spec, absent_share):
            whole = protocol != "debiased" and pool.split != "train"  # as the program evaluates
            tubelet = query.tubelet if whole else _cut_query(query.tubelet, rng, spec, protocol)
            pairs.append(_pair(pool, tubelet, query.label, reference))
    return pairs


def _pools(tubelets: Sequence[AnnotatedTubelet], extents: Mapping[str, Span],
           held_out: Mapping[str, Collection[Label]], train_videos: Collection[str] | None) -> Iterator[Pool]:
    """Training first, without any clip in which a held-out label is present; then the held-out splits."""
    split_of: dict[Label, str] = {}
    for split, labels in held_out.items():
        for label in labels:
            if split_of.setdefault(tuple(label), split) != split:
                raise ValueError(f"label {label_text(label)} is held out for {split_of[tuple(label)]} and for {split}.")
    trains = set(extents if train_videos is None else train_videos)
    evaluates = set(extents) - (set() if train_videos is None else trains)
    taken = cover(tubelet for tubelet in tubelets if tubelet.label in split_of)
    remaining = cut([t for t in tubelets if t.label not in split_of and t.video in trains], taken)
    stretches = {video: free_runs(extents[video], taken) for video in trains & set(extents)}
    yield Pool("train", remaining, _by_video(remaining), stretches)
    evaluated = [t for t in tubelets if t.video in evaluates]
    for split in held_out:
        queries = [t for t in evaluated if split_of.get(t.label) == split]
        support = None if train_videos is None else [t for t in tubelets
                                                     if t.video in trains and split_of.get(t.label) == split]
        yield Pool(split, queries, _by_video(evaluated), {video: [extents[video]] for video in evaluates}, support)


def _released(pool: Pool, rng: np.random.Generator, spec: ClipSpec, _: float,
              ) -> Iterator[tuple[AnnotatedTubelet, Span]]:
    """A random target of the label; one of n < 10 seconds gets n seconds before and after, as far as the video goes."""
    by_label = _by_label(pool.queries)
    for query in pool.queries:
        group = by_label[query.label]
        yield query, _padded(pool, group[int(rng.integers(len(group)))].span, spec)


def _paper(pool: Pool, rng: np.random.Generator, spec: ClipSpec, _: float,
           ) -> Iterator[tuple[AnnotatedTubelet, Span]]:
    """As the program does, but the target is never the query itself; labels with one tubelet are left out."""
    place: dict[Label, int] = {}  # of the query in its group
    by_label = _by_label(pool.queries)
    for query in pool.queries:
        group, own = by_label[query.label], place.get(query.label, 0)
        place[query.label] = own + 1
        if len(group) > 1:
            other = int(rng.integers(len(group) - 1))
            yield query, _padded(pool, group[other + (other >= own)].span, spec)


def _padded(pool: Pool, target: Span, spec: ClipSpec) -> Span:
    """A target below 10 s with its own length added before and after, as far as the video goes."""
    stretch = pool.stretch_of(target)
    around = len(target) if len(target) < _clips(PADDED_BELOW_SECONDS, spec) else 0
    return Span(target.video, max(target.start - around, stretch.start), min(target.stop + around, stretch.stop))


def _debiased(pool: Pool, rng: np.random.Generator, spec: ClipSpec, absent_share: float,
              ) -> Iterator[tuple[AnnotatedTubelet, Span]]:
    """A window around a target in another video; sometimes a second window too, without the query's label."""
    owed = rng.random()  # how many pairs without a target are due
    by_label = _by_label(sorted(pool.queries, key=lambda tubelet: tubelet.video))
    taken = {label: cover(group) for label, group in by_label.items()}  # where each label is
    videos = {label: [tubelet.video for tubelet in group] for label, group in by_label.items()}  # sorted
    for query in pool.queries:
        group, group_videos = by_label[query.label], videos[query.label]
        first, after = (side(group_videos, query.video) for side in (bisect_left, bisect_right))
        num_others = len(group) - (after - first)  # that are not in the query's own video
        if not num_others:
            continue
        index = int(rng.integers(num_others))
        target = group[index if index < first else index + after - first].span
        yield query, _window(target, pool.stretch_of(target), rng, spec)
        owed += absent_share / (1 - absent_share)
        for _ in range(int(owed)):
            owed -= 1
            reference = _absent(pool, query, taken[query.label], rng, spec)
            if reference is not None:
                yield query, reference


def _one_shot(pool: Pool, rng: np.random.Generator, spec: ClipSpec, absent_share: float,
              ) -> Iterator[tuple[AnnotatedTubelet, Span]]:
    """Trained as debiased; one support of every label, asked of every other video in which any of the labels is."""
    if pool.split == "train":
        yield from _debiased(pool, rng, spec, absent_share)
        return
    shown = {tubelet.label for tubelet in pool.queries}
    by_label = _by_label(pool.queries if pool.support is None else pool.support)
    for label in sorted(shown & set(by_label)):
        group = by_label[label]
        query = group[int(rng.integers(len(group)))]
        for video in dict.fromkeys(tubelet.video for tubelet in pool.queries):
            if video != query.video:
                yield query, pool.stretches[video][0]


def _absent(pool: Pool, query: AnnotatedTubelet, taken: Taken, rng: np.random.Generator, spec: ClipSpec,
            ) -> Span | None:
    """A window around a tubelet of another label, in which the query's label is absent; None if none is found."""
    for _ in range(ABSENT_TRIES):
        other = pool.queries[int(rng.integers(len(pool.queries)))].span
        if other.video == query.video:
            continue
        stretch = pool.stretch_of(other)
        wanted = min(_clips(REFERENCE_SECONDS[0], spec), len(stretch))
        for run in free_runs(stretch, taken):
            shared = run.overlap(other)
            if shared is not None and len(run) >= wanted:
                return _window(shared, run, rng, spec)
    return None


def _window(target: Span, stretch: Span, rng: np.random.Generator, spec: ClipSpec) -> Span:
    """A random window of the stretch: it holds the target at a random offset, or lies within a longer target."""
    shortest, longest = (min(_clips(seconds, spec), len(stretch)) for seconds in REFERENCE_SECONDS)
    length = int(rng.integers(shortest, longest + 1))
    first = max(min(target.start, target.stop - length), stretch.start)
    last = min(max(target.start, target.stop - length), stretch.stop - length)
    start = int(rng.integers(first, last + 1))
    return Span(target.video, start, start + length)


def _cut_query(query: Tubelet, rng: np.random.Generator, spec: ClipSpec, protocol: Protocol) -> Tubelet:
    """The query, or a random window of 10 s; the program's windows start on a second and never reach the end."""
    span, longest = query.span, _clips(QUERY_SECONDS, spec)
    if len(span) <= longest:
        return query
    like_program = protocol in AUTHORS
    step = _clips(1, spec) if like_program else 1
    last = (len(span) - longest) // step - like_program
    start = span.start + step * int(rng.integers(max(last, 0) + 1))
    part = query.within(Span(span.video, start, start + longest))
    assert part is not None
    return part


def _pair(pool: Pool, query: Tubelet, label: Label, reference: Span) -> Pair:
    shown = pool.everyone[reference.video].within(reference)
    targets = tuple(part.tubelet for part in shown if part.label == label)
    others = [part for part in shown if part.label != label]
    other_labels = tuple(label_text(part.label) for part in others)
    return Pair(query, reference, targets, label_text(label), tuple(part.tubelet for part in others), pool.split,
                other_labels)


def _clips(seconds: int, spec: ClipSpec) -> int:
    return spec.index_at(seconds)


def _by_video(tubelets: Sequence[AnnotatedTubelet]) -> dict[str, Annotated]:
    groups: dict[str, list[AnnotatedTubelet]] = {}
    for tubelet in tubelets:
        groups.setdefault(tubelet.video, []).append(tubelet)
    return {video: Annotated(group) for video, group in groups.items()}


def _by_label(tubelets: Sequence[AnnotatedTubelet]) -> dict[Label, list[AnnotatedTubelet]]:
    groups: dict[Label, list[AnnotatedTubelet]] = {}
    for tubelet in tubelets:
        groups.setdefault(tubelet.label, []).append(tubelet)
    return groups
