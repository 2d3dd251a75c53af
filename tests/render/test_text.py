"""What a terminal shows of an evaluation."""

import re

import pytest

from stvr.render.tables import Table, cell_text, difference, percent, spread
from stvr.render.text import DASH, MAX_NAME, table_lines, text_table


def results(**others) -> dict:
    """Two labels; one is found in half of its boxes at IoU 0.5, the other never; the probe finds a quarter."""
    halves, nothing = {"0.3": 0.75, "0.5": 0.5}, {"0.3": 0.0, "0.5": 0.0}
    mean, probe = {"0.3": 0.375, "0.5": 0.25}, {"0.3": 0.25, "0.5": 0.125}
    return {
        "evaluated": "9 of 9 pairs", "labels": {"1": "nod", "3": "wave"},
        "audit": {"box area": {"0.3": 1.0, "0.5": None}},
        "frame_map": {"mean": mean, "mean_50_95": 0.1, "per_label": {"1,3": halves, "2": nothing},
                      "pairs": {"1,3": 4, "2": 5}, "boxes": {"1,3": 1200, "2": 60}},
        "shuffled_query": {"mean": probe, "per_label": {"1,3": probe, "2": probe}},
        "intervals": {"level": 0.95, "draws": 500, "model": [0.2, 0.3], "shuffled query": [0.1, 0.15],
                      "owed to the query": [0.05, 0.2], "per_label": {}},
        "proposal_recall": {"8": {"0.5": 0.5, "0.7": None}}, "video_map": None, "errors": None, "ndcg": None, **others,
    }  # fmt: skip


def rows_of(text: str) -> dict[str, list[str]]:
    """The cells of each line by its first one; cells lie two spaces apart or more."""
    return {cells[0]: cells[1:] for line in text.splitlines() if (cells := re.split(r"  +", line.strip()))}


def test_every_label_has_a_row_in_percent_and_the_mean_comes_after_them():
    rows = rows_of(text_table(results()))
    assert rows["label"] == ["IoU 0.3", "IoU 0.5", "pairs", "true boxes"]
    assert rows["nod + wave"] == ["75.0", "50.0", "4", "1,200"]
    assert rows["2"] == ["0.0", "0.0", "5", "60"]
    assert rows["mean over labels"] == ["37.5", "25.0", "9", "1,260"]


def test_the_probes_stand_below_with_what_is_owed_to_the_query():
    rows = rows_of(text_table(results()))
    assert rows["model"] == ["37.5", "25.0", "20.0 to 30.0"]
    assert rows["with a shuffled query"] == ["25.0", "12.5", "10.0 to 15.0"]
    assert rows["owed to the query"] == ["12.5", "12.5", "5.0 to 20.0"]
    assert rows["box area"] == ["100.0", DASH, DASH]
    assert "IoU 0.5 / 0.7, of the first 8: 50.0 / -" in text_table(results())


def test_a_line_fits_a_terminal_of_eighty_columns_whatever_the_names():
    named = results(labels={"1": "a very long name " * 9, "2": "short"})
    table = [line for line in text_table(named).splitlines() if line.startswith(("a very", "short", "label", "model"))]
    assert len(table) == 4
    assert max(map(len, table)) <= 80
    assert "a very long name a very long..." in text_table(named)


def test_columns_are_as_wide_as_their_widest_cell():
    lines = table_lines(Table("", ["name", "n"], [["a", 1000], ["b", None]]))
    assert [line[MAX_NAME:] for line in lines] == ["      n", "  1,000", "      -"]


@pytest.mark.parametrize(("value", "text"), [
    (0.5, "50.0"), (0.1234, "12.3"), (0, "0.0"), (-0.0001, "0.0"), (None, None), (float("nan"), None)])
def test_a_percent_has_one_decimal_and_no_value_is_none(value, text):
    assert percent(value) == text


def test_what_is_missing_stays_missing():
    assert spread([0.1, 0.25]) == "10.0 to 25.0"
    assert spread([None, 0.2]) is spread(None) is None
    assert difference(0.5, None) is difference(None, 0.5) is None
    assert cell_text(float("nan")) == cell_text(None) == "–"
    assert cell_text(2195) == "2,195"
