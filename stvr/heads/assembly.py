"""The matching head put together: the only place that knows which part goes where."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator
from torch import nn

from stvr.config import named_table
from stvr.heads.adapter import Project, Scale
from stvr.heads.attention import Attention
from stvr.heads.cross_attention import CrossAttention
from stvr.heads.deep_match import DeepMatch
from stvr.heads.embedding import DIMENSIONS, Embedding
from stvr.heads.entry import HeadEntry, HeadOptions, Reads
from stvr.heads.matching import MatchingHead
from stvr.heads.proposal_option import Proposals
from stvr.heads.proposal_sources import Sources
from stvr.heads.proposals import ProposalNetwork
from stvr.heads.query_encoder import QueryEncoder, build_query_encoder
from stvr.heads.tail import Tail
from stvr.heads.where import Where
from stvr.propagation import PROPAGATION, build_propagation
from stvr.store import FeatureSpec
from stvr.structures import MapSpec
from stvr.temporal import TEMPORAL

ATTENTIONS: dict[str, type[Attention] | type[CrossAttention]] = {"clips": Attention, "cells": CrossAttention}
BACKGROUND, MAX_COVER = 1.0, 0.3  # of the windows, as those of the head `nearest`


class MatchingOptions(HeadOptions):
    """What a matching head is made of; the defaults are the paper's sizes.

    propagation: a name on the menu, or a table of that name and the propagation's own options. localise_on: the
    endpoint whose map says where things are; None takes the only one, the finest of several. match_on: the endpoint on
    whose map candidate and query are compared too; None compares them where they are localised, as the program does.
    proposals: where candidates come from, one or several joined by +: "rpn" (the proposal network), "boxes" (a
    detector's, of the store), "map" (windows that look like the query), "grid" (so do boxes of a grid). windows: how
    many of these two there are of a clip. query_encoder: a name on the menu of temporal blocks, or a table of that name
    and the block's own options, which makes one embedding of `query_steps` of the query's clips; None is their mean.
    """

    name: str = "matching"
    propagation: dict[str, Any] = Field(default={"name": "warp_lstm"}, validate_default=True)
    width: int | None = Field(default=None, ge=1)  # None reads the features as they are
    feature_scale: Literal["auto", "none", "rms"] = "auto"  # auto is rms for weights that were never trained, else none
    proposal_width: int = 512
    num_proposals: int = 32
    proposal_context: int = 0  # residual convolutions that widen what a cell sees
    proposal_summary: int = 0  # channels of what the proposal network saw that the second stage is given
    proposal_positive_from: float = 0.7
    attention: Literal["clips", "cells"] = "clips"  # what of a query a proposal attends to
    attention_width: int = 128
    tail_width: int = 512
    tail_units: int = 3
    tail_norm: Literal["frozen_batch", "group"] = "frozen_batch"
    contrast: Literal["none", "rms"] = "none"
    fuse: Literal["concat", "compare"] = "concat"
    add_truth: bool = False
    sample_size: int = 16
    embedding_width: int | None = None
    query_encoder: dict[str, Any] | None = None
    query_steps: int = Field(default=8, ge=1)
    localise_on: str | None = None
    match_on: str | None = None
    match_width: int | None = Field(default=None, ge=1)  # of a learned projection of what is matched on; None for none
    proposals: Proposals = "rpn"
    windows: int = Field(default=8, ge=1)
    nms_iou: float = 0.6
    classes: Literal["three", "binary"] = "three"  # the program's; binary is the paper's text
    vote_iou: float | None = Field(default=None, ge=0, le=1)  # None: an answer is the box that suppression left
    box_of: Literal["class", "any"] = "class"  # whether each class refines boxes in its own way, as in the program
    box_loss: Literal["huber", "giou"] = "huber"
    tightness: bool = False  # whether a score says how well the box fits, too

    @field_validator("propagation", mode="before")
    @classmethod
    def with_own_options(cls, value: Any) -> Any:
        """All options of the propagation that is named, each checked. LookupError for a name on no menu."""
        return named_table(value, "propagation", "warp_lstm", lambda name: PROPAGATION[name].options)

    @field_validator("query_encoder", mode="before")
    @classmethod
    def with_options_of_block(cls, value: Any) -> Any:
        """All options of the temporal block that is named, each checked. LookupError for a name on no menu."""
        if value is None:
            return None
        return named_table(value, "temporal block", "gru", lambda name: TEMPORAL[name].options)


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "small": {
        "steps": 350, "batch_size": 12, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01, "schedule": "cosine",
        "warmup_steps": 25, "window_seconds": 4 / 3, "max_query_seconds": 2.0, "save_every": 50,
        "head": {
            "width": 64, "proposal_width": 96, "proposal_context": 3, "proposal_summary": 32,
            "proposal_positive_from": 0.5, "attention_width": 64, "tail_width": 64, "tail_units": 2,
            "tail_norm": "group", "contrast": "rms", "fuse": "compare", "add_truth": True, "embedding_width": 64,
            "nms_iou": 0.4, "sample_size": 12, "box_of": "any", "vote_iou": 0.5,
        },
    },
}  # fmt: skip


def build_matching(options: MatchingOptions, spec: FeatureSpec) -> MatchingHead:
    options = fit_to(options, spec)
    where = localised(options, spec)
    channels = options.width or where.width
    tail_channels = 2 * channels + options.proposal_summary
    own = {name: option for name, option in options.propagation.items() if name != "name"}
    return MatchingHead(
        adapter=build_adapter(options, spec),
        propagation=build_propagation(options.propagation["name"], channels, own),
        proposals=ProposalNetwork(
            channels, options.proposal_width, options.num_proposals, stride=where.stride,
            context_units=options.proposal_context, summary_width=options.proposal_summary,
            positive_from=options.proposal_positive_from,
        ),
        attention=ATTENTIONS[options.attention](channels, options.attention_width),
        tail=Tail(tail_channels, options.tail_width, options.tail_units, options.tail_norm),
        tail_channels=tail_channels,
        contrast=options.contrast,
        fuse=options.fuse,
        add_truth=options.add_truth,
        sample_size=options.sample_size,
        nms_iou=options.nms_iou,
        classes=options.classes,
        embedding=Embedding(channels, options.embedding_width) if options.embedding_width else None,
        query_encoder=build_encoder(options),
        localise_on=options.localise_on,
        deep_match=build_deep_match(options, spec),
        sources=Sources.of(options.proposals),
        where=build_where(options, spec),
        vote_iou=options.vote_iou,
        box_of=options.box_of,
        box_loss=options.box_loss,
        tightness=options.tightness,
    )  # fmt: skip


def localised(options: MatchingOptions, spec: FeatureSpec) -> MapSpec:
    """The map that says where things are."""
    return spec.map if options.localise_on is None else spec.only([options.localise_on]).map


def build_deep_match(options: MatchingOptions, spec: FeatureSpec) -> DeepMatch | None:
    if options.match_on is None:
        return None
    return DeepMatch(options.match_on, spec.only([options.match_on]).map.width, options.match_width)


def build_encoder(options: MatchingOptions) -> QueryEncoder | None:
    if options.query_encoder is None:
        return None
    if options.embedding_width is None:
        raise ValueError("query_encoder makes one embedding of a query, but this head has none. Give embedding_width, "
                         "or leave query_encoder out.")
    return build_query_encoder(options.query_encoder, options.query_steps, DIMENSIONS)


def build_where(options: MatchingOptions, spec: FeatureSpec) -> Where | None:
    """It looks on every map that the head reads. None for a head whose candidates do not depend on the query."""
    if not Sources.of(options.proposals).windows:
        return None
    read = spec.only(reads(options).chosen(spec))
    return Where(read, read.endpoints, proposals=options.proposals, background=BACKGROUND,
                 num_proposals=options.windows, max_cover=MAX_COVER)


def build_adapter(options: MatchingOptions, spec: FeatureSpec) -> nn.Module:
    """A projection has its own scale."""
    options = fit_to(options, spec)
    if options.width:
        return Project(localised(options, spec).width, options.width)
    return Scale() if options.feature_scale == "rms" else nn.Identity()


def fit_to(options: MatchingOptions, spec: FeatureSpec) -> MatchingOptions:
    """What depends on the features: their scale, and which of several maps the head localises on.

    Features of weights that were never trained have a size that means nothing.
    """
    chosen: dict[str, Any] = {}
    if options.feature_scale == "auto":
        chosen["feature_scale"] = "rms" if spec.weights == "analytic" else "none"
    if options.localise_on is None and (options.match_on or len(spec.maps) > 1):
        chosen["localise_on"] = spec.finest.endpoint
    return options.model_copy(update=chosen)


def reads(options: MatchingOptions) -> Reads:
    named = tuple(dict.fromkeys(each for each in (options.localise_on, options.match_on) if each))
    flow = PROPAGATION[options.propagation["name"]].needs_flow
    sources = Sources.of(options.proposals)
    return Reads(named or None, flow=flow, boxes="boxes" in sources.given, query_in_box=not sources.windows)


MATCHING = HeadEntry(MatchingOptions, build_matching, "pairs", PRESETS, reads, fit_to)
