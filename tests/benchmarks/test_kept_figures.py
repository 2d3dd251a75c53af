"""benchmarks/by_seed.py: figures are kept with how they were made, and never stand for others."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def never():
    raise AssertionError("made again")


def config(folder: Path, steps: int) -> None:
    """As a training leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    noted = {"train": {"steps": steps}, "spec": {"clip": {"image_size": 80}}}
    (folder / "config.json").write_text(json.dumps(noted))


def test_figures_are_made_once_and_come_back_as_they_were(tmp_path):
    from by_seed import kept

    how = {"steps": 100, "device": "cpu"}
    assert kept(tmp_path / "run", how, lambda: {"seed": 0, "map": 0.25}) == {"seed": 0, "map": 0.25}
    assert kept(tmp_path / "run", how, never) == {"seed": 0, "map": 0.25}


@pytest.mark.parametrize("other", [{"steps": 200}, {"pairs": 5}, {"device": "cuda"}, {"image_size": 112}])
def test_figures_made_with_other_options_are_refused_and_stay(tmp_path, other):
    from by_seed import check_kept, kept

    how = {"steps": 100, "pairs": 60, "device": "cpu", "image_size": 80}
    kept(tmp_path / "run", how, lambda: {"map": 0.25})
    (name, value), = other.items()
    said = f"run was made with {name} {how[name]}, and {name} {value} is asked for. Name another folder."
    for ask in (lambda: check_kept({tmp_path / "run": how | other}),
                lambda: kept(tmp_path / "run", how | other, never)):  # fmt: skip
        with pytest.raises(ValueError, match="Name another folder") as refused:
            ask()
        assert str(refused.value).endswith(said)
        assert "\n" not in str(refused.value)
    assert kept(tmp_path / "run", how, never) == {"map": 0.25}


def test_figures_without_a_note_are_taken_where_their_training_does_not_contradict_and_this_is_said(tmp_path, capsys):
    from by_seed import check_kept, kept

    config(tmp_path / "run", 100)
    (tmp_path / "run" / "figures.json").write_text('{"map": 0.25}')
    how = {"steps": 100, "image_size": 80, "pairs": 60}
    check_kept({tmp_path / "run": how, tmp_path / "none yet": how})
    assert kept(tmp_path / "run", how, never) == {"map": 0.25}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("1 kept figures, ")
    assert "do not say how they were made" in line
    for other in ({"steps": 200}, {"image_size": 112}):
        with pytest.raises(ValueError, match=f"and {next(iter(other))} {other[next(iter(other))]} is asked for"):
            check_kept({tmp_path / "run": how | other})


def test_a_training_that_was_begun_otherwise_is_refused_before_its_figures_are_there(tmp_path):
    from by_seed import check_kept

    config(tmp_path / "run", 100)
    with pytest.raises(ValueError, match="run was made with steps 100, and steps 200 is asked for"):
        check_kept({tmp_path / "run": {"steps": 200}})
