"""How good is a head on examples that it was not trained on: the figures of its task, kept with what made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stvr.files import check_folder, write_json, write_text
from stvr.heads import HEADS
from stvr.session import Session
from stvr.store import FeatureStore
from stvr.tasks import TASKS


def evaluate(
    checkpoint_path: Path | str,
    store_path: Path,
    examples_path: Path,
    *,
    out: Path | None = None,
    statistics: Path | str | None = None,
    proposals: str | None = None,
    device: str = "cpu",
    **options: Any,
) -> dict[str, Any]:
    """Asks a head every example of a file and scores the answers; writes OUT/eval.json, and what files the task has.

    checkpoint_path: or "nearest", the head that needs no training; statistics and proposals as in `Session.open`.
    options: those of the head's task, for pairs split, seed, limit, audit, dials and report of
    `stvr.tasks.pairs.judge.evaluate`. Every figure is in [0, 1]; NaN is null.
    """
    if out is not None:
        check_folder(out)
    store = FeatureStore.open(store_path)
    session = Session.open(checkpoint_path, store=store, statistics=statistics, proposals=proposals, device=device)
    loaded = session.loaded
    name = HEADS[loaded.options.name].task
    results = {
        "task": name,
        **TASKS[name].evaluate(session, store, examples_path, **options),
        "checkpoint": dict(loaded.provenance),
        "store_spec": store.spec.to_json(),
    }
    files = results.pop("files", {})
    if out is not None:
        for file, text in files.items():
            write_text(out / file, text)
        write_json(out / "eval.json", results)
    return results
