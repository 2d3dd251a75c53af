"""The Python in the README and on the pages runs as it is written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from tiny import HEAD

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import HEAD_FILE, save_head
from stvr.library import build_index
from stvr.store import FeatureStore
from stvr.structures import ClipSpec
from stvr.world.synthetic import write_world

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [(page.name, block) for page in PAGES
          for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """What the texts speak of: q.mp4, ref.mp4, features.zarr, a run of a head that was never trained, and a library."""
    place = tmp_path_factory.mktemp("written")
    write_world(place / "world", size="tiny", workers=1, num_train_videos=1, num_test_videos=1, image_size=320)
    for name, video in zip(("q.mp4", "ref.mp4"), sorted((place / "world" / "videos").glob("*.mp4")), strict=True):
        shutil.copy(video, place / name)
    extract([place / "ref.mp4"], place / "features.zarr", load_backbone(), ClipSpec(image_size=64),
            report=lambda step: None)
    options, spec = MatchingOptions(**HEAD), FeatureStore.open(place / "features.zarr").spec
    (place / "run").mkdir()
    torch.manual_seed(1)
    save_head(place / "run" / HEAD_FILE, build_head(options, spec), options, spec, {"step": 0})
    for name, video in {"videos/kitchen/pan": "ref", "videos/holiday": "ref", "more/later": "q"}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place / f"{video}.mp4", place / f"{name}.mp4")
    extract([place / "videos/kitchen/pan.mp4", place / "videos/holiday.mp4"], place / "shelf.zarr", load_backbone(),
            ClipSpec(image_size=64), report=lambda step: None)  # fmt: skip
    build_index([place / "videos"], place / "library", store=place / "shelf.zarr")
    return place


def test_there_is_python_to_run():
    assert {"README.md", "asking.md", "python.md", "extending.md", "world.md"} <= {page for page, _ in BLOCKS}


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[f"{page}-{n}" for n, (page, _) in enumerate(BLOCKS)])
def test_python_on_a_page_runs(page, block, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    exec(compile(block, page, "exec"), {"__name__": "__main__"})
    if page in ("README.md", "asking.md", "python.md"):
        assert capsys.readouterr().out.strip()  # each of these prints what it found


def test_users_code_imports_nothing_but_the_face():
    readme = [block for page, block in BLOCKS if page in ("README.md", "asking.md", "python.md")]
    imports = {line for block in readme for line in block.splitlines() if line.startswith(("import", "from"))}
    assert imports == {"import stvr"}
