"""The arithmetic of the answer: geometry, linking and metrics. No networks, no files."""

from __future__ import annotations

from stvr.tubelets.geometry import clip_boxes, of_label, to_pixels, tube_cover, tube_iou, tube_volume_iou
from stvr.tubelets.linking import LINKERS, link
from stvr.tubelets.metrics import (
    COCO_THRESHOLDS,
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
from stvr.tubelets.oracle import oracle_link
from stvr.tubelets.probes import PROBES, probe_records

__all__ = [
    "COCO_THRESHOLDS", "LINKERS", "METRIC_VERSION", "PROBES", "THRESHOLDS", "ClipRecord", "FrameMAP", "PairRecord",
    "average_precision", "clip_boxes", "frame_map", "link", "match_clip", "of_label", "oracle_link",
    "precision_recall_curves", "probe_records", "proposal_recall", "to_pixels", "tube_cover", "tube_iou",
    "tube_volume_iou",
]  # fmt: skip
