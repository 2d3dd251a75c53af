"""Heads: features to answers. The only place that knows which part goes where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field
from torch import nn

from stvr.config import Options
from stvr.heads.adapter import Project, Scale
from stvr.heads.embedding import Embedding
from stvr.heads.matching import Attention, MatchingHead
from stvr.heads.proposals import ProposalNetwork
from stvr.heads.tail import Tail
from stvr.propagation import PROPAGATION, build_propagation

__all__ = ["HEADS", "PRESETS", "HeadOptions", "MatchingHead", "build_head"]


class HeadOptions(Options):
    """What a matching head is made of; the defaults are the paper's sizes."""

    name: str = "matching"
    propagation: str = "warp_lstm"
    feature_channels: int = Field(default=1024, ge=1)  # 2 time steps x 512 of Mixed_4c
    width: int | None = Field(default=None, ge=1)  # None reads the features as they are
    feature_scale: Literal["auto", "none", "rms"] = "auto"  # auto is rms for weights that were never trained, else none
    proposal_width: int = 512
    num_proposals: int = 32
    proposal_context: int = 0  # residual convolutions that widen what a cell sees
    proposal_summary: int = 0  # channels of what the proposal network saw that the second stage is told
    proposal_positive_from: float = 0.7
    attention_width: int = 128
    bottleneck: int = 128
    spline_order: int = 2
    lstm_form: Literal["program", "plain"] = "program"  # plain: the paper's equations, no bottleneck, norm or skip
    lstm_norm: Literal["layer", "none"] = "layer"
    tail_width: int = 512
    tail_units: int = 3
    tail_norm: Literal["frozen_batch", "group"] = "frozen_batch"
    contrast: Literal["none", "rms"] = "none"
    fuse: Literal["concat", "compare"] = "concat"
    add_truth: bool = False
    sample_size: int = 16
    embedding_width: int | None = None
    nms_iou: float = 0.6
    classes: Literal["three", "binary"] = "three"  # the program's; binary is the paper's text


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "small": {
        "width": 64, "proposal_width": 96, "proposal_context": 3, "proposal_summary": 32,
        "proposal_positive_from": 0.5, "attention_width": 64,
        "bottleneck": 64, "tail_width": 64, "tail_units": 2, "tail_norm": "group", "contrast": "rms",
        "fuse": "compare", "add_truth": True, "embedding_width": 64, "nms_iou": 0.4, "sample_size": 12,
    },
}  # fmt: skip


def build_matching(options: HeadOptions) -> MatchingHead:
    channels = options.width or options.feature_channels
    tail_channels = 2 * channels + options.proposal_summary
    return MatchingHead(
        adapter=build_adapter(options),
        propagation=build_propagation(options.propagation, channels, propagation_options(options)),
        proposals=ProposalNetwork(
            channels, options.proposal_width, options.num_proposals,
            context_units=options.proposal_context, summary_width=options.proposal_summary,
            positive_from=options.proposal_positive_from,
        ),
        attention=Attention(channels, options.attention_width),
        tail=Tail(tail_channels, options.tail_width, options.tail_units, options.tail_norm),
        tail_channels=tail_channels,
        contrast=options.contrast,
        fuse=options.fuse,
        add_truth=options.add_truth,
        sample_size=options.sample_size,
        nms_iou=options.nms_iou,
        classes=options.classes,
        embedding=Embedding(channels, options.embedding_width) if options.embedding_width else None,
    )  # fmt: skip


def propagation_options(options: HeadOptions) -> dict[str, Any]:
    """Those of the head's options that the chosen propagation has."""
    flat = {
        "bottleneck": options.bottleneck, "norm": options.lstm_norm, "form": options.lstm_form,
        "order": options.spline_order,
    }  # fmt: skip
    known = PROPAGATION[options.propagation].options.model_fields
    return {name: value for name, value in flat.items() if name in known}


def build_adapter(options: HeadOptions) -> nn.Module:
    """A projection has its own scale."""
    if options.width:
        return Project(options.feature_channels, options.width)
    return Scale() if options.feature_scale == "rms" else nn.Identity()


HEADS: dict[str, Callable[[HeadOptions], MatchingHead]] = {"matching": build_matching}


def build_head(options: HeadOptions) -> MatchingHead:
    """The head that `options` describe; LookupError lists the menu."""
    if options.name not in HEADS:
        raise LookupError(f"{options.name!r} is no head. The menu is: {', '.join(HEADS)}.")
    return HEADS[options.name](options)
