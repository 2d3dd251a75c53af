"""Brings files that lie beside docs/ onto the site: changelog, how to contribute, every measured result, its plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
RESULTS = "benchmarks/results/"
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}  # by its path in the repository


def on_files(files: Files, config: Any) -> Files:
    shown = [path for path in sorted((ROOT / RESULTS).iterdir()) if path.suffix in (".md", ".svg")]
    results = {f"{RESULTS}{path.name}": f"results/{path.name}" for path in shown}
    for path, page in {**PAGES, **results}.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links that are right in the repository become links that are right on the site."""
    for path, page in {**PAGES, RESULTS: "results/"}.items():
        markdown = markdown.replace(f"](../{path}", f"]({page}")
    return markdown.replace("](docs/", "](")
