"""stvr verify: check that a store is whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from stvr.commands import StorePath, done

if TYPE_CHECKING:
    from stvr.store import Checked


def verify(store: StorePath) -> None:
    """Check every chunk of a store against its checksum, every array against the spec. Exit status 1 if broken."""
    from stvr import progress
    from stvr.store import FeatureStore, check_all

    opened = FeatureStore.open(store)
    with progress.shown() as tell:
        found = check_all(opened, tell)
    failed = opened.failed()
    for fault in found.faults:
        print(fault)
    done(store, summary(found, failed))
    for video, reason in failed.items():
        print(f"stvr: {video} could not be extracted: {reason}", file=sys.stderr)
    if found.faults:
        print(f"stvr: run `stvr repair {store} VIDEOS` to recompute what is broken", file=sys.stderr)
        sys.exit(1)


def summary(found: Checked, failed: dict[str, str]) -> str:
    parts = [f"{found.complete} complete videos, {len(found.faults)} faults"]
    if found.unfinished:
        first = found.unfinished[0]
        parts.append(f"{len(found.unfinished)} unfinished ({first} first): `stvr extract` goes on with them")
    if found.unsigned:
        parts.append(f"{len(found.unsigned)} written before stores had checksums: only their layout could be checked")
    if failed:
        parts.append(f"{len(failed)} in quarantine")
    return "; ".join(parts)
