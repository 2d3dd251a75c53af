"""How right answers are, and what they owe it to. No networks, no files."""

from __future__ import annotations

from stvr.metrics.average_precision import COCO_THRESHOLDS
from stvr.metrics.frame_map import (
    METRIC_VERSION,
    THRESHOLDS,
    ClipRecord,
    FrameMAP,
    PairRecord,
    average_precision,
    frame_map,
    match_clip,
    precision_recall_curves,
    proposal_recall,
)
from stvr.metrics.oracle import oracle_link
from stvr.metrics.probes import PROBES, probe_records

__all__ = [
    "COCO_THRESHOLDS", "METRIC_VERSION", "PROBES", "THRESHOLDS", "ClipRecord", "FrameMAP", "PairRecord",
    "average_precision", "frame_map", "match_clip", "oracle_link", "precision_recall_curves", "probe_records",
    "proposal_recall",
]  # fmt: skip
