"""Queries in files: what a head pooled of an example, and which head and features it belongs to; nothing is pickled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from stvr.backbones.weights.load import digest
from stvr.heads.checkpoint import read_tensors, write_tensors
from stvr.session.session import Session
from stvr.store import FeatureSpec
from stvr.structures import Query, Span, Tubelet

SUFFIX = ".safetensors"
FORMAT, KIND = 1, "query"


def write_query(path: Path, session: Session, query: Query, about: Mapping[str, Any] | None = None) -> None:
    """Writes a file at once or not at all, for `read_query`. about: whatever JSON should be kept beside."""
    regions = query.regions if isinstance(query.regions, Mapping) else {"": query.regions}
    tensors = {f"regions/{name}": each for name, each in regions.items()}
    tensors |= {f"boxes/{number}": tubelet.boxes for number, tubelet in enumerate(query.tubelets)}
    header = {
        "format": FORMAT, "kind": KIND, "head": head_of(session), "spec": session.spec.to_json(),
        "tubelets": [[each.span.video, each.span.start, each.span.stop, each.score] for each in query.tubelets],
        "about": dict(about or {}),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, header)


def read_query(path: Path, session: Session) -> Query:
    """A saved query, for the head that pooled it. FileNotFoundError, or ValueError for another head's."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such saved query. Make one with `stvr watch --save {path}`.")
    tensors, header = read_tensors(path)
    if header.get("kind") != KIND or header.get("format") != FORMAT:
        raise ValueError(f"{path} holds no query of format {FORMAT}. Make one with `stvr watch --save FILE`.")
    if different := FeatureSpec.from_json(header["spec"]).differences(session.spec):
        raise ValueError(f"{path} was saved with other features than are asked: {'; '.join(different)}. Save it again.")
    if header["head"] != head_of(session):
        raise ValueError(f"{path} was saved with another head than {session.loaded.path}, and what heads make of an "
                         "example cannot be compared. Save it again with this one.")
    tubelets = tuple(Tubelet(Span(video, start, stop), tensors[f"boxes/{number}"], score)
                     for number, (video, start, stop, score) in enumerate(header["tubelets"]))
    return Query(tubelets, regions_in(tensors, session.device))


def regions_in(tensors: Mapping[str, Tensor], device: str) -> Any:
    found = {name.removeprefix("regions/"): each.to(device) for name, each in tensors.items()
             if name.startswith("regions/")}
    return found[""] if set(found) == {""} else found


def saved_queries(places: Iterable[Path]) -> dict[str, Path]:
    """Files by the names of the queries, which are theirs; of a folder, all in it. FileNotFoundError, ValueError."""
    found: dict[str, Path] = {}
    for place in places:
        files = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place]
        if not files:
            raise FileNotFoundError(f"{place} holds no saved query (NAME{SUFFIX}).")
        for file in files:
            if found.setdefault(file.stem, file) != file:
                raise ValueError(f"{found[file.stem]} and {file} are two queries of one name. Rename one.")
    return found


def head_of(session: Session) -> dict[str, Any]:
    """What a head's regions depend on: its options and its numbers."""
    head = session.loaded.head
    numbers = {**dict(head.named_parameters()), **dict(head.named_buffers())}
    return {"options": session.loaded.options.model_dump(mode="json"), "digest": digest(numbers)}
