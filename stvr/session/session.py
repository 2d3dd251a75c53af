"""Session: a head and its backbone, loaded once; references looked at once; asked with any number of queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stvr.backbones import Backbone, load_backbone
from stvr.config import fill
from stvr.extract.default_weights import runtime_for
from stvr.extract.extractor import digest_of
from stvr.extract.flow import flow_of
from stvr.heads import HEADS, Localizer
from stvr.heads.checkpoint import Checkpoint, check_features, load_head, weights_beside
from stvr.heads.nearest import NearestOptions
from stvr.heads.negatives import ask_with_negatives
from stvr.heads.promises import faults_of
from stvr.heads.proposal_sources import Sources
from stvr.heads.ready import READY, ready_head
from stvr.session.answer import Answer
from stvr.session.examples import Box, Example, Track, query_boxes, query_span
from stvr.session.looks import Gathering, KeptLooks
from stvr.session.sources import Eyes, LiveClips, Source, StoredClips, StoredVideo, VideoFile, stored_name
from stvr.store import FeatureSpec, FeatureStore
from stvr.structures import Detections, Features, Query, Span, Tubelet
from stvr.tubelets import OnlineLinker, link
from stvr.video.decode import probe

CLIPS_AT_ONCE = 8  # of a reference, through backbone and head together: answers do not depend on where they come from
KEPT_BYTES = 1 << 30

Report = Callable[[int, int], None]  # clips done, clips there are


class Session:
    """Weights, and a bounded number of looks at references. Queries and answers are values; threads may share it.

    Get one by `open`. A reference is a path, the name of a video in the session's store, or a Source.
    """

    def __init__(
        self, loaded: Checkpoint, weights: Path | str | None, flow_weights: Path | None, device: str,
        store: FeatureStore | None, kept_bytes: int,
    ) -> None:  # fmt: skip
        self.loaded, self.device, self.store = loaded, device, store
        self.spec, self.reads = loaded.spec, HEADS[loaded.options.name].reads(loaded.options)
        self.weights, self._flow_weights = weights, flow_weights
        self._looks, self._loading = KeptLooks(kept_bytes), Lock()
        self._eyes: Eyes | None = None

    @classmethod
    def open(
        cls,
        head: Path | str | None = None,
        *,
        weights: Path | str | None = None,
        flow_weights: Path | str | None = None,
        store: FeatureStore | Path | str | None = None,
        statistics: FeatureStore | Path | str | None = None,
        proposals: str | None = None,
        proposer: Path | str | None = None,
        device: str = "auto",
        kept_bytes: int = KEPT_BYTES,
    ) -> Session:
        """Opens a checkpoint, a run's folder, or a head that ships, by its name; None is `nearest`, never trained.

        weights: those that the head's features were made with, a file or a name, unless they were analytic, have been
        fetched by name, or lie beside a finetuned head; flow_weights: those of RAFT, where the head was trained on its
        flow. They are read when a video file is first looked at. store: where features are read from in place of video
        files. device: "auto" is cuda where there is one. kept_bytes: of looks at references that are kept for the next
        query; 0 keeps none. statistics: for `nearest`, a library whose features say what is usual. proposals: for it,
        where boxes come from (see `NearestOptions`); proposer: for its proposals "rpn", a trained head.
        Raises FileNotFoundError, LookupError or ValueError, in one line, for what does not fit.
        """
        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        opened, usual = (FeatureStore.open(each) if isinstance(each, (str, Path)) else each
                         for each in (store, statistics))  # fmt: skip
        if head is None or (str(head) in READY and not Path(head).exists()):
            check_proposals(proposals, proposer, opened is not None)
            options = None if proposals is None else fill(NearestOptions, {"proposals": proposals})
            trained = None if proposer is None else load_head(proposer, device)
            loaded = ready_head(None if opened is None else opened.spec, usual, device, options, trained)
        elif usual is not None:
            raise ValueError(f"statistics are for the head 'nearest', but {head} has its own. Leave --statistics out.")
        elif proposals is not None or proposer is not None:
            raise ValueError(f"proposals are chosen for the head 'nearest', but {head} was trained with its own. Leave "
                             "--proposals and --proposer out.")
        else:
            loaded = load_head(head, device)
        if opened is not None:
            check_features(loaded, opened)
        flows = None if flow_weights is None else Path(flow_weights)
        return cls(loaded, weights_beside(loaded, weights), flows, device, opened, kept_bytes)

    def __repr__(self) -> str:
        return (f"Session(head {self.loaded.options.name!r} on {self.device}, {len(self._looks)} references kept in "
                f"{self._looks.bytes / 2**20:.0f} of {self._looks.room / 2**20:.0f} MiB)")

    @property
    def head(self) -> Localizer:
        """The head; ValueError where it is none that can be asked with a query."""
        if not isinstance(self.loaded.head, Localizer):
            raise ValueError(f"the head {self.loaded.options.name!r} gives no boxes, so it cannot be asked where and "
                             "when.")
        return self.loaded.head

    @property
    def kept_bytes(self) -> int:
        """How many bytes of looks are kept just now."""
        return self._looks.bytes

    def forget(self) -> None:
        """Lets go of all looks."""
        self._looks.clear()

    def query(
        self, video: Path | str, box: Box | Track, at: float, span: tuple[float, float] | None = None
    ) -> Query:
        """What the actor in `box` of a video does, pooled once.

        box: x1, y1, x2, y2 in pixels of the video as displayed, or all in [0, 1] as shares of it; or of one that moves,
        at least one (seconds, box), in order: between them it moves on straight lines, before and after it stands
        still. at: seconds. span: from when to when the actor does it, a second around `at` by default.
        """
        source = self.video(video)
        facts = source.facts
        clips = query_span(self.spec.clip, facts, at, span)
        edges = query_boxes(box, facts, clips, self.spec.clip)
        parts = [part.maps for part in source.clips(clips).features(CLIPS_AT_ONCE)]
        if not parts:
            begin = facts.offset_seconds + self.spec.clip.seconds_at(clips.start)
            raise ValueError(f"{facts.path} cannot be decoded from {begin:.2f} s on. Give a query that lies before.")
        features = Features({name: torch.cat([part[name] for part in parts]) for name in parts[0]})
        count = len(features)  # fewer clips than asked for where the stream ends early
        tubelet = Tubelet(Span(clips.video, clips.start, clips.start + count), edges[:count])
        return self.pooled(tubelet, features)

    def together(self, *queries: Query) -> Query:
        """Several examples of one action as one query. What is not meant is said with `Query.minus`."""
        if len(queries) == 1:
            return queries[0]
        return Query(tuple(tubelet for query in queries for tubelet in query.tubelets),
                     together([query.regions for query in queries]),
                     tuple(negative for query in queries for negative in query.negatives))

    def query_of(self, examples: Sequence[Example], negatives: Sequence[Example] = ()) -> Query:
        """One query of all examples of what is meant and of what is not."""
        asked, others = ([self.query(*each) for each in some] for some in (examples, negatives))
        return self.together(*asked).minus(*others)

    @torch.inference_mode()
    def pooled(self, tubelet: Tubelet, features: Features) -> Query:
        """A query from its tubelet and the features of its clips."""
        boxes = tubelet.boxes.to(self.device)
        with faults_of(self.head, "pool()"):
            return Query((tubelet,), self.head.pool(features.to(self.device), boxes))

    def ask(self, query: Query, reference: Path | str, report: Report | None = None) -> Answer:
        """The tubelets of a reference that do what the query shows, best first. report: see `detections`."""
        video = self.video(reference)
        facts = video.facts
        tubelets = self.tubelets(query, video.clips(Span(facts.video, 0, facts.num_clips)), report)
        return Answer(facts.path, self.spec.clip, facts.width, facts.height, facts.duration_seconds, tubelets,
                      facts.offset_seconds, facts.doubt)

    def tubelets(self, query: Query, source: Source, report: Report | None = None) -> list[Tubelet]:
        """The tubelets of any source, best first, in its clips."""
        found = self.detections(query, source, report)
        return link(found, source.span.video, source.span.start, contrast=self.head.time_contrast)

    def watch(self, query: Query, name: str, clips: Iterable[NDArray[np.uint8]]) -> Iterator[Tubelet]:
        """A live source, clip by clip of frames (F, S, S, 3) uint8 RGB: every tubelet as soon as it has ended.

        F and S are those of `session.spec.clip`. Memory does not grow. Of two that tell the same story, both come.
        """
        linker = OnlineLinker(name, contrast=self.head.time_contrast)
        for look in self.fresh_looks(LiveClips(name, clips, self.eyes())):
            for clip in self.asked(look, query):
                yield from linker.step(clip)
        yield from linker.finish()

    def detections(self, query: Query, source: Source, report: Report | None = None) -> list[Detections]:
        """What the head finds in every clip of a source, on the CPU. report(clips done, clips) tells of progress."""
        found: list[Detections] = []
        for look in self.looks(source):
            found += self.asked(look, query)
            if report:
                report(len(found), len(source.span))
        return found

    def looks(self, source: Source) -> Iterator[Any]:
        """The head's looks at a source, a few clips each: those that are kept, or new ones, kept if there is room."""
        kept = self._looks.get(source.key)
        if kept is not None:
            yield from kept
            return
        gathered = Gathering(self._looks.room)
        for look in self.fresh_looks(source):
            gathered.add(look)
            yield look
        if gathered.looks is not None:
            self._looks.keep(source.key, gathered.looks)

    def looks_at(self, store: FeatureStore, span: Span) -> Iterator[Any]:
        """The looks at a span of a video in any store with the head's features."""
        return self.looks(self.stored(span, store))

    def stored(self, span: Span, store: FeatureStore | None = None) -> StoredClips:
        """A span of a video in a store, the session's own if none is named; ValueError for a session without one."""
        store = store or self.store
        if store is None:
            raise ValueError("the session has no store. Open it with one.")
        return StoredClips(store, span, self.reads.flow, self.spec.endpoints, self.reads.boxes)

    def fresh_looks(self, source: Source) -> Iterator[Any]:
        state = None
        for features in source.features(CLIPS_AT_ONCE):
            with torch.inference_mode(), faults_of(self.head, "stream()"):
                state, look = self.head.stream(state, features.to(self.device))
            yield look
        with torch.inference_mode(), faults_of(self.head, "finish()"):
            rest = self.head.finish(state)
        if rest is not None:
            yield rest

    @torch.inference_mode()
    def asked(self, look: Any, query: Query) -> list[Detections]:
        """What the head finds in the clips of one look, on the CPU."""
        return [Detections(each.boxes.cpu(), each.scores.cpu(), each.labels.cpu())
                for each in ask_with_negatives(self.head, look, query)]

    def video(self, reference: Path | str) -> StoredVideo | VideoFile:
        """A video by its path, or by its name in the session's store: from there when it is in it, else from the file.

        ValueError where the store has features of another file under that name.
        """
        path = Path(reference)
        name = None if self.store is None else stored_name(self.store, reference)
        if self.store is None or name is None:
            return VideoFile(probe(path), self.eyes())
        if path.is_file() and self.store.info(name).get("digest") != digest_of(path):
            raise ValueError(f"{name!r} is in {self.store} already, made from another file than {path}. "
                             "Rename the file, or name another --store.")
        return StoredVideo(path, name, self.store, self.reads.flow, self.spec.endpoints, self.reads.boxes)

    def eyes(self) -> Eyes:
        """The backbone that made the features which the head was trained on, and the flow if it reads any."""
        with self._loading:
            if self._eyes is None:
                backbone = backbone_of(self.spec, self.weights, self.device, self.store)
                flow = flow_of(self.spec, self._flow_weights, self.device) if self.reads.flow else None
                self._eyes = Eyes(backbone, self.spec, flow)
            return self._eyes


def check_proposals(proposals: str | None, proposer: Path | str | None, has_store: bool) -> None:
    """ValueError for what cannot come to anything, before anything is loaded."""
    given = Sources.of(proposals).given if proposals else ()
    if proposer is not None and "rpn" not in given:
        raise ValueError("--proposer is the trained head of the proposals 'rpn', which are not asked for. Give "
                         "--proposals rpn, or map+rpn, or leave --proposer out.")
    if "rpn" in given and proposer is None:
        raise ValueError("the proposals 'rpn' are those of a trained head. Name it with --proposer.")
    if "boxes" in given and not has_store:
        raise ValueError("the proposals 'boxes' are those that a detector left in a store. Run `stvr extract --boxes "
                         "DETECTOR` on the videos, and name its --store.")


def together(regions: Sequence[Any]) -> Any:
    """Regions of several queries as those of one: tensors (Q, ...), or tensors by name."""
    if isinstance(regions[0], Mapping):
        return {name: torch.cat([each[name] for each in regions]) for name in regions[0]}
    return torch.cat(list(regions))


def backbone_of(
    spec: FeatureSpec, weights: Path | str | None, device: str, store: FeatureStore | None = None
) -> Backbone:
    """The backbone that made features of `spec`, in the arithmetic of a store; ValueError where it would be another."""
    way = "Leave --weights out" if spec.weights == "analytic" else f"Give the file {spec.weights!r} with --weights"
    if weights is None and spec.weights != "analytic":
        raise ValueError(f"the head reads features that were made with weights. {way}.")
    runtime = runtime_for(store, spec.clip.context)
    backbone = load_backbone(spec.backbone, weights, spec.endpoint, device=device, runtime=runtime)
    if backbone.weights_digest != spec.weights_digest:
        raise ValueError(f"the head reads features of the weights {spec.weights!r} ({spec.weights_digest[:19]}), "
                         f"but {backbone.weights!r} are others ({backbone.weights_digest[:19]}). {way}.")
    return backbone
