"""Answers to look at: annotated video and the report page."""

from __future__ import annotations

from stvr.render.bars import Bar, BarChart
from stvr.render.chart import Curve
from stvr.render.evaluation import evaluation_report
from stvr.render.report import (
    Answer,
    Headline,
    ReportData,
    Table,
    frame_map_table,
    probe_table,
    recall_table,
    write_report,
)
from stvr.render.video import box_at, render_tubelets, still
from stvr.render.worst import worst_answers

__all__ = [
    "Answer", "Bar", "BarChart", "Curve", "Headline", "ReportData", "Table", "box_at", "evaluation_report",
    "frame_map_table", "probe_table", "recall_table", "render_tubelets", "still", "worst_answers", "write_report",
]  # fmt: skip
