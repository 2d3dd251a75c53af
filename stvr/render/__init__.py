"""Answers and figures to look at: annotated video, the report page, tables for a terminal."""

from __future__ import annotations

from stvr.render.demo_page import demo_report
from stvr.render.evaluation import evaluation_report
from stvr.render.report import Answer, write_report
from stvr.render.text import text_table
from stvr.render.video import render_tubelets, still
from stvr.render.worst import worst_answers

__all__ = [
    "Answer", "demo_report", "evaluation_report", "render_tubelets", "still", "text_table", "worst_answers",
    "write_report",
]  # fmt: skip
