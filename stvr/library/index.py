"""An index of many videos, opened for asking: what it is of, its rows, and how alike each is to a query."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from stvr.heads.checkpoint import load_head
from stvr.heads.nearest import NearestHead
from stvr.library.composition import Composition
from stvr.library.exact import exact_scores
from stvr.library.faiss import FaissRows
from stvr.structures import Features, FeatureSpec, Query, Tubelet

FORMAT = 1
NOTES, HEAD = "index.json", "head.safetensors"  # in its folder
NOTED = {"composition": str, "spec": dict, "store": str, "rows": str, "videos": list}
FAISS = "rows.faiss"  # in the folder of its rows


@dataclass(frozen=True, slots=True)
class IndexedVideo:
    """One video. path: of its file, or its name in a store that was indexed. doubt: what is not as the file promises.

    still_clips, blank_clips: left out because nothing moves there, or nothing is to be seen.
    """

    name: str
    path: str
    digest: str
    seconds: float
    offset_seconds: float
    width: int
    height: int
    num_clips: int
    num_rows: int
    still_clips: int
    blank_clips: int
    doubt: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """N rows in the order of the index's videos, then of their starts; memory-mapped.

    video (N,) int32: a place in `Index.videos`. start, stop (N,) int32: clips [start, stop). box (N, 4) float32 xyxy in
    [0, 1]. kind (N,) uint8: a place in KINDS. bias (N,) float32: what is taken off its scores. vector (N, D) float16.
    """

    video: NDArray[np.int32]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]
    box: NDArray[np.float32]
    kind: NDArray[np.uint8]
    bias: NDArray[np.float32]
    vector: NDArray[np.float16]

    @classmethod
    def at(cls, folder: Path) -> Rows:
        """FileNotFoundError where they are not there, ValueError where they are not whole."""
        rows = cls(**{name: mapped(folder / f"{name}.npy") for name in cls.__dataclass_fields__})
        if len({len(getattr(rows, name)) for name in cls.__dataclass_fields__}) > 1:
            raise damaged(folder)
        return rows

    def __len__(self) -> int:
        return len(self.video)


def mapped(path: Path) -> NDArray[Any]:
    """An array, memory-mapped, to be read alone. ValueError for a file that is cut short or is none."""
    try:
        return np.asanyarray(np.load(path, mmap_mode="r"))
    except (ValueError, EOFError):
        with suppress(ValueError, EOFError):  # nothing is in it: there is no mapping of nothing
            return np.asarray(np.load(path))
        raise damaged(path) from None


def damaged(path: Path) -> ValueError:
    return ValueError(f"{path} is damaged. Run `stvr index` again, which writes it anew.")


class Index:
    """Get one by `open`. What it is asked with is made by `describe`, from a query that the head `nearest` pooled.

    spec: of the store whose features it describes; store: where that lies. head_file: `nearest` with the statistics
    that the index was made with; `Session.open(index.head_file, store=index.store)` pools queries for it.
    """

    def __init__(self, folder: Path, notes: dict[str, Any]) -> None:
        self.folder, self.notes = folder, notes
        self.spec = FeatureSpec.from_json(notes["spec"])
        self.composition = Composition.of(notes["composition"])
        self.head_file = folder / HEAD
        self.store: Path | str = notes["store"] if "://" in notes["store"] else folder / notes["store"]
        self.videos = tuple(IndexedVideo(**each) for each in notes["videos"])
        self.rows = Rows.at(folder / notes["rows"])
        if len(self.rows) and not 0 <= self.rows.video.min() <= self.rows.video.max() < len(self.videos):
            raise damaged(folder / NOTES)

    @classmethod
    def open(cls, folder: Path | str, spec: FeatureSpec | None = None) -> Index:
        """FileNotFoundError where there is none; ValueError where it describes other features than `spec` has."""
        index = opened(Path(folder))
        if spec is not None:
            index.check(spec)
        return index

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Index({self.folder}, {len(self.videos)} videos, {len(self)} rows, {self.composition})"

    @property
    def width(self) -> int:
        """D, the numbers of a vector."""
        return int(self.rows.vector.shape[1])

    @cached_property
    def head(self) -> NearestHead:
        """The head that described the videos, on the CPU."""
        head = load_head(self.head_file).head
        assert isinstance(head, NearestHead)
        return head

    def check(self, spec: FeatureSpec) -> None:
        """ValueError, in one line, where the index describes other features than those of `spec`."""
        if different := spec.unmet_by(self.spec):
            raise ValueError(f"{self.folder} is an index of other features than are asked: {'; '.join(different)}. "
                             "Ask with the head that it was made for, or index the videos anew with another --out.")

    def describe(self, query: Query) -> Tensor:
        """The vector (D,) of a query that `nearest` pooled: the mean over its examples, so that scores are means."""
        return self.describe_each(query).mean(0)

    def describe_each(self, query: Query) -> Tensor:
        """Its examples one by one: unit vectors (examples, D). ValueError for a query of another head."""
        what = query.regions.get("what") if isinstance(query.regions, dict) else None
        if what is None or what.shape[-1] != self.width:
            raise ValueError(f"the query was not pooled by the head 'nearest' that made {self.folder}. Pool it with "
                             f"Session.open({str(self.head_file)!r}).")
        parts = what.detach().cpu().float().split([len(tubelet.span) for tubelet in query.tubelets])
        return self.composed(torch.stack([part.mean(0) for part in parts]))

    def describe_tubelet(self, tubelet: Tubelet, features: Features) -> Tensor:
        """The same of a tubelet and the features of its clips, whatever head is asked besides: (D,)."""
        with torch.inference_mode():
            return self.describe(Query((tubelet,), self.head.pool(features.to("cpu"), tubelet.boxes.cpu())))

    def composed(self, standardised: Tensor) -> Tensor:
        """Vectors (..., D) in units of what is usual -> unit vectors of the index."""
        if not self.composition.whiten:
            usual = self.head.where.standard(self.head.match_on)
            standardised = standardised * usual.deviation + usual.mean
        return F.normalize(standardised, dim=-1)

    def scores(self, vector: Tensor) -> NDArray[np.float32]:
        """How alike every row is to a vector (D,): cosine less the row's bias, (N,), exactly, whatever the backend.

        For several vectors (E, D): (E, N).
        """
        return exact_scores(self.rows.vector, self.rows.bias, vector)

    def best(
        self, vector: Tensor, count: int, among: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows most alike to a vector (D,), at most `count`, best first, and their scores.

        As the composition's backend finds them: "flat" exactly, of equals the first; "faiss" not always all of them.
        among (N,) bool: the rows that may be an answer.
        """
        if self.by_faiss is not None:
            return self.by_faiss.best(vector.detach().cpu().float().numpy(), count, among)
        scores = self.scores(vector)
        places = best_of(scores if among is None else np.where(among, scores, -np.inf), count)
        return places, scores[places]

    @cached_property
    def by_faiss(self) -> FaissRows | None:
        """None where the rows are searched exactly: with the backend "flat", and while there are few."""
        path = self.folder / self.notes["rows"] / FAISS
        return FaissRows(path) if self.composition.backend == "faiss" and path.is_file() else None


def best_of(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The places of the highest of scores (N,), at most `count`, best first; of equals the first.

    -inf is none, nor is NaN.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores)
    count = min(count, len(scores))
    if not count:
        return np.empty(0, np.int64)
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    places = np.flatnonzero(scores >= least)
    places = places[np.argsort(-scores[places], kind="stable")][:count]
    return places[np.isfinite(scores[places])]


def merged(
    found: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best rows of several parts, and their scores -> the best of all, of equals the first."""
    places = np.concatenate([np.empty(0, np.int64), *(each for each, _ in found)])
    scores = np.concatenate([np.empty(0, np.float32), *(each for _, each in found)])
    order = np.lexsort((places, -scores))[:count]
    return places[order], scores[order]


def is_index(folder: Path | str) -> bool:
    return (Path(folder) / NOTES).is_file()


def opened(folder: Path) -> Index:
    """Again, where a run has just put other rows in the place of those that were noted."""
    while True:
        notes = read_notes(folder)
        try:
            return Index(folder, notes)
        except FileNotFoundError as error:
            if read_notes(folder)["rows"] == notes["rows"]:
                raise damaged(Path(error.filename or folder)) from None
        except (KeyError, TypeError, AttributeError):
            raise garbled(folder / NOTES) from None


def read_notes(folder: Path | str) -> dict[str, Any]:
    """What is noted of an index. FileNotFoundError where there is none, ValueError for one of another release."""
    path = Path(folder) / NOTES
    if not path.is_file():
        made = f"stvr index {quote(str(folder))} --out INDEX" if Path(folder).is_dir() else (
            f"stvr index VIDEOS --out {quote(str(folder))}")  # fmt: skip
        raise FileNotFoundError(f"there is no index at {folder}. Run `{made}` first.")
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise garbled(path) from None
    if not isinstance(notes, dict):
        raise garbled(path)
    if notes.get("format") != FORMAT:
        raise ValueError(f"{folder} is no index of format {FORMAT}, its format is {notes.get('format')}. Make it anew.")
    if not all(isinstance(notes.get(name), kind) for name, kind in NOTED.items()):
        raise garbled(path)
    return notes


def garbled(path: Path) -> ValueError:
    return ValueError(f"{path} is garbled. Delete it, then run `stvr index` again.")


def videos_as_json(videos: Sequence[IndexedVideo]) -> list[dict[str, Any]]:
    return [asdict(video) for video in videos]
