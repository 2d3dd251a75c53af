"""The report page: whole, self-contained, and showing the numbers it was given."""

import base64
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import av
import numpy as np
import pytest

from stvr.metrics.frame_map import FrameMAP
from stvr.render.chart import MAX_POINTS, Curve, line_chart, ticks
from stvr.render.report import Answer, Headline, ReportData, training_curves, write_report
from stvr.render.result_tables import frame_map_table, probe_table, recall_table
from stvr.render.tables import Table
from stvr.tasks.pairs.figures import frame_map_figures, probe_figures

NAN = float("nan")
MEASURED = FrameMAP(
    {"wave & walk": {0.3: 0.61, 0.5: 0.4218}, "jump": {0.3: 0.41, 0.5: 0.3}, "rare": {0.3: NAN, 0.5: NAN}},
    {"wave & walk": 20, "jump": 30, "rare": 2},
    {"wave & walk": 640, "jump": 1555, "rare": 0},
)
RESULT = {
    "frame_map": frame_map_figures(MEASURED, NAN), "shuffled_query": None, "intervals": None, "labels": {}, "audit": {},
}  # fmt: skip
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Follows every tag to its end; collects addresses, images and the words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "poster", "srcset", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.fixture
def text(tmp_path) -> str:
    red = np.zeros((40, 60, 3), np.uint8) + np.array([220, 20, 20], np.uint8)
    data = ReportData(
        title="stvr <demo>",
        summary="A head was trained on made actions & asked about others.",
        headline=Headline("frame-mAP at IoU 0.5, unseen actions", 0.364, 0.121),
        tables=[
            frame_map_table(RESULT),
            probe_table({**RESULT, "shuffled_query": probe_figures(MEASURED)}),
            recall_table({8: {0.5: 0.5, 0.7: NAN}, 16: {0.5: 0.75, 0.7: 0.25}}),
            Table("free", ["name", "value"], [["<b>", 3], ["x", None]]),
        ],
        precision_recall={"wave & walk": [Curve("model", [0.2, 0.4], [1, 0.5]), Curve("shuffled", [0.1], [0.3])]},
        training=[{"step": step, "loss": 2 - step / 10, "losses": {"match": 1.5}} for step in (0, 10)],
        answers=[Answer('Who "waves"?', red, [("0.5 s", red), ("1.0 s", red)], video='a "b".mp4', note="dashed: true")],
        timings={"extract": 57.25},
        configuration={"seed": 7, "options": {"lr": 0.03}},
    )
    return write_report(tmp_path / "page" / "report.html", data).read_text(encoding="utf-8")


def test_every_tag_is_closed_and_nothing_is_fetched_from_outside(text):
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert {address.split(",")[0] for address in page.addresses} == {"data:image/jpeg;base64", 'a "b".mp4'}
    assert not re.search(r"https?://|@import|url\(", text)


def test_words_of_the_user_are_shown_not_obeyed(text):
    page = Page(text)
    assert "stvr <demo>" in page.words
    assert page.words.count("<b>") == 1
    assert 'Who "waves"?' in page.words


def test_the_headline_stands_beside_its_probe_with_the_difference(text):
    figures = re.findall(r'<div class="(\w+)"><b>(.*?)</b><span>(.*?)</span>', text)
    assert figures == [("model", "36.4", "model"), ("probe", "12.1", "shuffled query"), ("gain", "+24.3", "difference")]


def test_pictures_are_inside_the_page(text):
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(images) == 3
    with av.open(io.BytesIO(base64.b64decode(images[0]))) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert picture.shape == (40, 60, 3)
    assert picture[20, 30].tolist() == pytest.approx([220, 20, 20], abs=6)


def test_every_chart_is_well_formed(text):
    charts = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert len(charts) == 3  # one label; loss and match
    names = [chart.find("text[@class='name']").text for chart in charts]
    assert names == ["wave & walk", "loss", "match"]


def test_the_table_of_results_has_a_row_a_label_and_the_mean_last():
    table = frame_map_table(RESULT)
    assert table.columns == ["label", "IoU 0.3", "IoU 0.5", "pairs", "true boxes"]
    assert table.rows[0] == ["wave & walk", "61.0", "42.2", 20, 640]
    assert table.rows[2] == ["rare", None, None, 2, 0]
    assert table.rows[3] == ["mean over labels", "51.0", "36.1", 52, 2195]  # over the two that have true boxes
    assert table.emphasis == 3


def test_recall_is_a_row_a_number_of_proposals():
    table = recall_table({8: {0.5: 0.5, 0.7: NAN}, 16: {0.5: 0.75, 0.7: 0.25}})
    assert table.rows == [["first 8", "50.0", None], ["first 16", "75.0", "25.0"]]


def test_a_page_of_nothing_but_its_title_is_a_page(tmp_path):
    page = Page(write_report(tmp_path / "r.html", ReportData("title", "nothing yet")).read_text())
    assert page.open == []
    assert "section" not in page.tags


def test_a_chart_puts_points_where_they_belong():
    svg = ElementTree.fromstring(
        line_chart("t", [Curve("c", [0, 1, 1], [0, 1, NAN])], x_name="x", y_name="y", x_range=(0, 1), y_range=(0, 1))
    ).find("svg")
    lines = sorted(float(line.get("y1")) for line in svg.findall("line"))
    (path,) = svg.findall("path")
    first, last = re.findall(r"([\d.]+) ([\d.]+)", path.get("d"))
    assert float(first[1]) == lines[-1]  # y = 0 lies on the lowest rule, y = 1 on the highest
    assert float(last[1]) == lines[0]
    assert float(first[0]) == float(svg.find("line").get("x1"))


def test_a_long_log_is_thinned_and_a_flat_or_empty_one_still_drawn():
    long = line_chart("t", [Curve("c", range(10_000), range(10_000))], x_name="step", y_name="")
    assert long.count(" L") == MAX_POINTS - 1
    for values in ([], [3.0, 3.0], [NAN]):
        ElementTree.fromstring(line_chart("t", [Curve("c", range(len(values)), values)], x_name="step", y_name=""))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 3.7, [0, 1, 2, 3]),
        (100, 20_000, [5000, 10_000, 15_000, 20_000]),
        (0.2, 0.9, [0.2, 0.4, 0.6, 0.8]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_a_training_log_becomes_the_total_first_then_its_terms():
    log = [{"step": 5, "loss": 2.0, "losses": {"match": 1.5}}, {"step": 6, "lr": 0.1}, {"step": 10, "loss": 1.0}]
    curves = training_curves(log)
    assert [(c.name, list(c.x), list(c.y)) for c in curves] == [("loss", [5, 10], [2, 1]), ("match", [5], [1.5])]
