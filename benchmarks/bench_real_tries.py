"""What might make `nearest` better on real clips, one change at a time: what wins is kept, the rest told.

    python benchmarks/bench_real_tries.py MANIFEST LIBRARY --work FOLDER [--out FILE.md]

After bench_real.py, whose stores in FOLDER it reads. LIBRARY is a folder of other videos: covariances are measured on
them. Which: true boxes given, a whole tubelet asks, Mixed_5c. Where: the right videos given, a second asks, three maps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_real import ENDPOINTS, KEPT_BYTES, store_of
from real_clips import RealClip, read_clips
from real_questions import RIGHT, Outcome, askers, best_iou, by_the_head, query_of, retrieval
from real_tables import table
from torch import Tensor

from stvr.commands import video_files
from stvr.files import write_text
from stvr.heads.nearest import NearestHead
from stvr.heads.similarity import on_grid, stand_out
from stvr.heads.standardise import Standardise
from stvr.heads.where import key
from stvr.heads.windows import shares
from stvr.machine import processor
from stvr.session import Session
from stvr.store import FeatureStore
from stvr.structures import MapSpec, Span
from stvr.video.encode import write_video

DEEP = ("Mixed_5c",)
BLANK_SHADES, BLANK_FRAMES, SIDE = (0, 128, 255), 96, 320
DIRECTIONS = 8  # of what blank clips show, that are projected out


class Then(Standardise):
    """A standardisation, and a linear map of its vectors (..., C) after it."""

    def __init__(self, spec: MapSpec, standard: Standardise, matrix: Tensor) -> None:
        super().__init__(spec)
        self.load_state_dict(standard.state_dict())
        self.matrix = matrix

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps) @ self.matrix


def standardised(session: Session, store: FeatureStore, endpoint: str) -> Tensor:
    """All cells of a store, (N, C)."""
    assert isinstance(session.head, NearestHead)
    standard = session.head.where.standard(endpoint)
    spans = [Span(name, 0, store.num_clips(name)) for name in store.videos()]
    return torch.cat([standard(store.read_features(span, [endpoint]).maps[endpoint]).flatten(0, 2) for span in spans])


def without_blank(cells: Tensor) -> Tensor:
    """(C, C): projects out the DIRECTIONS in which the cells of blank clips lie."""
    directions = torch.linalg.svd(cells, full_matrices=False).Vh[:DIRECTIONS]
    return torch.eye(cells.shape[1]) - directions.T @ directions


def whitened(cells: Tensor, shrunk: float) -> Tensor:
    """(C, C): the inverse root of the covariance, drawn towards a multiple of one by `shrunk`; exemplar-LDA's."""
    covariance = torch.cov(cells.T)
    mixed = (1 - shrunk) * covariance + shrunk * covariance.trace() / len(covariance) * torch.eye(len(covariance))
    values, vectors = torch.linalg.eigh(mixed)
    return vectors @ torch.diag(values.clamp_min(1e-6).rsqrt()) @ vectors.T


def changed(session: Session, endpoints: Sequence[str], matrix: Callable[[str], Tensor]) -> Session:
    """The session with every endpoint's vectors mapped."""
    assert isinstance(session.head, NearestHead)
    for endpoint in endpoints:
        where, spec = session.head.where, session.spec.only([endpoint]).map
        where.standards[key(endpoint)] = Then(spec, where.standard(endpoint), matrix(endpoint))
    return session


def grown(session: Session) -> Session:
    """The likeness, and how like its best cell every cell is, both standing out alike."""
    where, plain = session.head.where, session.head.where.likeness  # type: ignore[union-attr]

    def likeness(cells: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        found = plain(cells, wanted)
        rows, columns = found.shape[1:]
        alike = []
        for each in cells.values():
            own = each.float()
            at = on_grid(found, *own.shape[1:3]).flatten(1).argmax(1)
            peak = own.flatten(1, 2)[torch.arange(len(own)), at]  # (T, C)
            alike.append(stand_out(on_grid(torch.einsum("thwc,tc->thw", own, peak), rows, columns)))
        return (found + torch.stack(alike).mean(0)) / 2

    where.likeness = likeness
    return session


class Mutual:
    """The likeness, and how much more like a cell in the query's box than one outside each cell is.

    mutual: counts only cells that are the nearest of their own nearest cell in the query.
    """

    def __init__(self, session: Session, mutual: bool) -> None:
        self.session, self.mutual, self.query = session, mutual, dict[str, tuple[Tensor, Tensor]]()
        self.where: Any = session.head.where
        self.plain, self.pool = self.where.likeness, self.where.wanted
        self.where.likeness, self.where.wanted = self.likeness, self.wanted

    def wanted(self, standard: Mapping[str, Tensor], boxes: Tensor) -> dict[str, Tensor]:
        """Keeps the middle clip's cells, and which lie mostly in the box."""
        middle = len(boxes) // 2
        cells = self.where.cells({name: each[middle : middle + 1] for name, each in standard.items()})
        for name, each in cells.items():
            rows, columns = shares(self.where.as_seen(boxes[middle]), *each.shape[1:3])
            self.query[name] = each.float().flatten(0, 2), (rows[:, None] * columns[None] > 0.5).flatten()
        return self.pool(standard, boxes)

    def likeness(self, cells: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        found, more = self.plain(cells, wanted), []
        for name, each in cells.items():
            query, inside = self.query[name]
            if not inside.any() or inside.all():
                continue
            cosines = each.float().flatten(1, 2) @ query.T  # (T, HW, N)
            gain = cosines[..., inside].amax(-1) - cosines[..., ~inside].amax(-1)
            if self.mutual:
                back = cosines.argmax(1).gather(1, cosines.argmax(2))  # the cell nearest to my nearest
                gain = gain * (back == torch.arange(gain.shape[1])) * inside[cosines.argmax(2)]
            more.append(stand_out(on_grid(gain.unflatten(1, each.shape[1:3]), *found.shape[1:])))
        return (found + torch.stack(more).mean(0)) / 2 if more else found


def boxes_given_videos(session: Session, clips: Sequence[RealClip]) -> list[Outcome]:
    outcomes = []
    for one in askers(clips):
        query, ious = query_of(session, one.example), []
        for other in (clip for clip in clips if clip.is_like(one)):
            found = by_the_head(session, query, other.name)
            ious.append(best_iou(found[0], other)[0] if found else 0.0)
        outcomes.append(Outcome(one, {"first box right": float(np.mean([iou >= RIGHT for iou in ious])),
                                      "tube IoU": float(np.mean(ious))}))  # fmt: skip
    return outcomes


def blank_videos(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"blank_{shade}.mp4" for shade in BLANK_SHADES]
    for shade, path in zip(BLANK_SHADES, paths, strict=True):
        if not path.is_file():
            frames = np.full((BLANK_FRAMES, SIDE, SIDE, 3), shade, np.uint8)
            write_video(path, [frames], 24, SIDE)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", default="i3d-kinetics-400")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    store = FeatureStore.open(chosen.work / "video")
    library = store_of(chosen.work / "library", video_files([chosen.library]), "video", chosen.weights)
    blank = store_of(chosen.work / "blank", blank_videos(chosen.work / "blanks"), "video", chosen.weights)
    clips = read_clips(chosen.manifest, store)

    def session(endpoints: Sequence[str]) -> Session:
        return Session.open("nearest", store=store.only(endpoints), device="cpu", kept_bytes=KEPT_BYTES)

    def mapped(endpoints: Sequence[str], source: FeatureStore, matrix: Callable[[Tensor], Tensor]) -> Session:
        plain = session(endpoints)
        return changed(session(endpoints), endpoints, lambda name: matrix(standardised(plain, source, name)))

    tries: dict[str, Callable[[Sequence[str]], Session]] = {
        "as it is": session,
        "blank clips projected out": lambda each: mapped(each, blank, without_blank),
        **{f"full covariance, shrunk by {share}": lambda each, share=share: mapped(  # type: ignore[misc]
            each, library, lambda cells: whitened(cells, share)) for share in (0.9, 0.5, 0.1)},
    }  # fmt: skip
    which = [(name, retrieval(make(DEEP), clips, second=False, whole=False)) for name, make in tries.items()]
    print(table(which), flush=True)
    places = {**tries, "grown by self-similarity": lambda each: grown(session(each)),
              "nearest cells, inside less outside": lambda each: Mutual(session(each), mutual=False).session,
              "mutual nearest cells": lambda each: Mutual(session(each), mutual=True).session}  # fmt: skip
    where = []
    for name, make in places.items():
        where.append((name, boxes_given_videos(make(ENDPOINTS), clips)))
        print(table(where[-1:]), flush=True)
    cells = sum(library.num_clips(name) for name in library.videos()) * 100
    text = f"""# Tries at more than a standardised cosine

`python benchmarks/bench_real_tries.py`; {processor()}; {len(clips)} clips. In brackets the middle 95 % of 2,000 draws
of the queries. Covariances of {len(library.videos())} other videos, {cells:,} cells of Mixed_5c.

## Which: true boxes given, a whole tubelet asks, Mixed_5c

{table(which)}
## Where: the right videos given, a second asks, Mixed_4c + 4f + 5c

{table(where)}"""
    if chosen.out:
        write_text(chosen.out, text)
    print(text)


if __name__ == "__main__":
    main()
