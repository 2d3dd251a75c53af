"""One video described into an index: what a worker does, of this process, of another, or of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stvr.extract.pace import Progress
from stvr.extract.todo import Outcome
from stvr.heads.checkpoint import load_head
from stvr.heads.nearest import NearestHead
from stvr.library.described import write_described
from stvr.library.described_videos import claimed, file_of, is_described
from stvr.library.describing import Describer
from stvr.library.index import HEAD
from stvr.store import Claimed, FeatureStore
from stvr.video.source import Source


@dataclass(frozen=True, slots=True)
class DescribeRecipe:
    """All that makes a DescribeWorker, here or elsewhere. backbone: there is none, the features are in the store."""

    store_path: str
    folder: str
    regions: tuple[str, ...]
    addresses: Mapping[str, str]  # of files, by the names of their videos
    made_by: str
    backbone: None = None

    def open_store(self) -> FeatureStore:
        return FeatureStore.open(self.store_path)

    def build(self) -> DescribeWorker:
        head = load_head(Path(self.folder) / HEAD).head
        assert isinstance(head, NearestHead)
        return DescribeWorker(self, self.open_store(), Describer(head, self.regions))


@dataclass(frozen=True, slots=True)
class DescribeWorker:
    """Takes one video after the other; the index's folder keeps several apart."""

    recipe: DescribeRecipe
    store: FeatureStore
    describer: Describer

    def __call__(self, video: str, source: Source) -> Iterator[Progress | Outcome]:
        """How far it is, and last what became of it. One whose features cannot be read is reported."""
        folder = Path(self.recipe.folder)
        try:
            with claimed(folder, video):
                clips, notes = self.store.num_clips(video), self.notes(video)
                if there := is_described(file_of(folder, video), notes["made_by"], notes["digest"]):  # by another run
                    outcome = Outcome(reused=clips, skipped=there)
                else:
                    write_described(file_of(folder, video), self.describer(self.store, video, notes))
                    outcome = Outcome(computed=clips)
                yield Progress(outcome.computed, clips, clips)
            yield outcome
        except Claimed as error:
            yield Outcome(failed=str(error), claimed=True)
        except (ValueError, LookupError) as error:
            yield Outcome(failed=str(error))

    def notes(self, video: str) -> dict[str, Any]:
        info = self.store.info(video)
        return {
            "name": video, "path": self.recipe.addresses.get(video, ""), "digest": info.get("digest", ""),
            "seconds": info["duration_seconds"], "offset_seconds": info.get("offset_seconds", 0.0),
            "width": info["width"], "height": info["height"], "num_clips": info["num_clips"],
            "doubt": info.get("doubt", ""), "made_by": self.recipe.made_by,
        }  # fmt: skip
