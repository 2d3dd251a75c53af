"""The head that needs no training, ready to be asked: `nearest`, with statistics that ship or those of a library."""

from __future__ import annotations

from pathlib import Path

import torch

from stvr.heads import HEADS
from stvr.heads.checkpoint import Checkpoint
from stvr.heads.given import Proposer
from stvr.heads.nearest import NEAREST, NearestHead, NearestOptions
from stvr.heads.usual import measured_usual, shipped_spec, shipped_usual
from stvr.store import FeatureSpec, FeatureStore
from stvr.version import __version__

READY = ("nearest", "ready")  # names that it is asked for by


def ready_head(
    spec: FeatureSpec | None = None, statistics: FeatureStore | None = None, device: str | torch.device = "cpu",
    options: NearestOptions | None = None, proposer: Checkpoint | None = None,
) -> Checkpoint:  # fmt: skip
    """spec: of the features that are asked; None: of trained I3D's along a whole video, at three endpoints.

    statistics: the library whose features say what is usual; None: those that ship. proposer: a trained head of the
    same features, whose boxes the proposals "rpn" are. ValueError where none ship for such features, or the library's
    or the proposer's are others.
    """
    spec = shipped_spec() if spec is None else spec
    chosen = NEAREST.fit(options or NearestOptions(), spec)
    spec = spec.only(NEAREST.reads(chosen).chosen(spec))
    NEAREST.reads(chosen).check(spec, chosen.name)
    if statistics is not None:
        if different := spec.unmet_by(statistics.spec):
            raise ValueError(f"{statistics} holds other features than are asked: {'; '.join(different)}. "
                             "Name a store with the same ones with --statistics.")
        usual = measured_usual(statistics, spec.endpoints)
    elif (shipped := shipped_usual(spec)) is None:
        raise ValueError(f"no statistics ship for features of {spec.backbone} with the weights {spec.weights!r} at "
                         f"{spec.endpoint}. Name a store of such features with --statistics, or give --checkpoint.")
    else:
        usual = shipped
    head = NearestHead(chosen, spec, None if proposer is None else proposer_of(proposer, spec))
    head.set_usual(usual)
    made_by = {"stvr": __version__, "statistics": str(statistics) if statistics is not None else "shipped"}
    return Checkpoint(head.eval().to(device), chosen, spec, made_by, Path(chosen.name))


def proposer_of(trained: Checkpoint, spec: FeatureSpec) -> Proposer:
    """ValueError where it was trained on features that those of `spec` are not among."""
    wanted = trained.spec.endpoints
    if different := trained.spec.unmet_by(spec):
        raise ValueError(f"{trained.path} was trained on other features than are asked: {'; '.join(different)}. "
                         "Name a head that was trained on such ones.")
    return Proposer(trained.head, wanted, HEADS[trained.options.name].reads(trained.options))
