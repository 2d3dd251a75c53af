"""Answers for people: what is written is read back by other programs, or computed by hand."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import av
import numpy as np
import opentimelineio as otio
import pandas as pd
import pytest
from film import write_film
from opentimelineio.opentime import RationalTime, TimeRange

from stvr.render.draw import PALETTE
from stvr.render.exporters.at_hand import by_name
from stvr.render.exporters.records import Found, write_found
from stvr.render.hits import HITS, Wishes, hits_of

RATE = 30000 / 1001
BOX = [16.0, 16.0, 48.0, 48.0]  # of a picture of 64 x 64


def found(reference: str, start: int, score: float, label: str = "", clips: int = 3, offset: float = 0.0) -> Found:
    return Found(reference, score, 64, 64, start, np.array([BOX] * clips), offset, label)


def written(form: str, out: Path, answers: list[Found], wishes: Wishes | None = None) -> list[Path]:
    return HITS[form](hits_of(answers), out, wishes or Wishes(fps=RATE))


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films of mine")
    for name, frames in (("kitchen", 144), ("day 1#", 96)):
        write_film(folder / f"{name}.mp4", frames)
    return folder


def test_a_spreadsheet_has_times_for_people_and_for_formulas(tmp_path):
    answers = [found("kitchen.mp4", 11_000, 0.5, "wave"), found("küche.mp4", 4, 0.875, "=1+1", offset=0.25)]
    (path,) = written("csv", tmp_path / "hits.csv", answers)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfnumber,video")
    table = pd.read_csv(path, encoding="utf-8-sig")
    assert table["number"].tolist() == [1, 2]
    assert table["video"].tolist() == ["küche", "kitchen"]
    assert table["label"].tolist() == ["'=1+1", "wave"]  # else it would be computed
    assert table["score"].tolist() == [0.875, 0.5]
    assert table["start"].tolist() == ["0:00:01.583", "1:01:06.667"]  # 4 / 3 + 1 / 4; 11,000 / 3
    assert table["start_seconds"].tolist() == [1.583, 3666.667]
    assert table["stop_seconds"].tolist() == [2.583, 3667.667]
    assert table["length_seconds"].tolist() == [1.0, 1.0]
    assert table.loc[0, ["x1", "y1", "x2", "y2", "width", "height"]].tolist() == [*BOX, 64, 64]
    assert table["file"].tolist() == ["küche.mp4", "kitchen.mp4"]


def test_chapters_never_cross_and_are_called_after_their_best(tmp_path):
    answers = [found("a.mp4", 30, 0.9, "wave"), found("a.mp4", 0, 0.5, "sit & <b>"), found("a.mp4", 32, 0.25, "run"),
               found("a.mp4", 35, 0.75, "jump")]  # fmt: skip
    (path,) = written("chapters", tmp_path / "a.vtt", answers)
    assert path.read_text() == (
        "WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.000\nsit &amp; &lt;b&gt; 0.50\n\n"
        "2\n00:00:10.000 --> 00:00:11.667\nwave 0.90 and 1 more\n\n3\n00:00:11.667 --> 00:00:12.667\njump 0.75\n"
    )


EVENT = re.compile(r"(\d{3})  (\S+) +V +C +(\S+) (\S+) (\S+) (\S+)")


def events(path: Path) -> list[list[str]]:
    lines = path.read_text().splitlines()
    return [list(match.groups()) for line in lines if (match := EVENT.fullmatch(line))]


def test_an_edit_list_has_time_codes_by_hand(tmp_path):
    answers = [found("x/tape.mov", 180, 0.91, "wave"), found("x/tape.mov", 1800, 0.95, clips=6)]
    (path,) = written("edl", tmp_path / "tape.edl", answers)
    lines = path.read_text().splitlines()
    assert lines[:2] == ["TITLE: tape", "FCM: DROP FRAME"]
    # 60 s are frame 1798.2, 61 s 1828.2: two numbers are left out at 00:01:00; 600 s are 17982.0, 602 s 18042.0
    assert events(path) == [["001", "AX", "00:00:59;28", "00:01:01;00", "01:00:00;00", "01:00:01;00"],
                            ["002", "AX", "00:10:00;00", "00:10:02;00", "01:00:01;00", "01:00:03;00"]]  # fmt: skip
    assert lines[4:6] == ["* FROM CLIP NAME: tape.mov", "* LOC: 01:00:00;00 GREEN   2: wave 0.91, box 16 16 48 48"]


@pytest.mark.parametrize(("fps", "drop"), [(24000 / 1001, False), (24.0, False), (25.0, False), (RATE, True),
                                           (30.0, False), (60000 / 1001, True)])  # fmt: skip
def test_an_edit_list_read_back_is_the_hits_one_after_another(fps: float, drop: bool, tmp_path):
    starts = [1, 178, 181, 1799, 5402, 10_799]
    answers = [found("tape.mov", start, 0.5, clips=2 + place) for place, start in enumerate(starts)]
    (path,) = written("edl", tmp_path / "tape.edl", answers, Wishes(fps=fps))
    assert ("\nFCM: DROP FRAME\n" in path.read_text()) is drop
    at = otio.opentime.from_timecode("01:00:00;00" if drop else "01:00:00:00", fps)
    for place, (_, _, *codes) in enumerate(events(path)):
        source_in, source_out, record_in, record_out = (otio.opentime.from_timecode(code, fps) for code in codes)
        assert abs(source_in.to_seconds() - starts[place] / 3) <= 0.5 / fps + 1e-9
        assert abs(source_out.to_seconds() - (starts[place] + 2 + place) / 3) <= 0.5 / fps + 1e-9
        assert record_out - record_in == source_out - source_in
        assert record_in == at
        at = record_out
    assert place == len(starts) - 1


def test_a_name_with_a_line_break_adds_no_event_to_an_edit_list(tmp_path):
    hostile = found("a\n002  AX       V     C        00:00:00:00.mp4", 0, 0.9, "wave\n* LOC: x")
    (path,) = written("edl", tmp_path / "a.edl", [hostile], Wishes(fps=25))
    lines = path.read_text().splitlines()
    assert [line[:5] for line in lines if line] == ["TITLE", "FCM: ", "001  ", "* FRO", "* LOC"]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_no_cell_of_a_spreadsheet_begins_as_a_formula_does(tmp_path, begin):
    (path,) = written("csv", tmp_path / "a.csv", [found("v.mp4", 0, 0.9, f"{begin}1+1")], Wishes(fps=25))
    with path.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["label"] == f"'{begin}1+1"


def test_an_edit_list_of_more_than_it_can_number_keeps_the_best_and_says_so(tmp_path):
    wishes = Wishes(fps=25.0)
    answers = [found("tape.mov", 3 * place, place / 1001) for place in range(1001)]
    (path,) = written("edl", tmp_path / "tape.edl", answers, wishes)
    assert len(events(path)) == 999
    assert events(path)[0][2] == "00:00:02:00"  # the two worst are the first two
    assert "2 tubelets left out: an EDL numbers 999 events" in str(wishes.account.left_out[0])


def test_rates_without_time_codes_are_said_and_drop_frame_is_refused_where_there_is_none(tmp_path):
    wishes = Wishes(fps=12.0)
    written("edl", tmp_path / "tape.edl", [found("tape.mov", 3, 0.5)], wishes)
    assert any("12 frames a second are no rate of time codes, so 23.976 are counted" in line
               for line in wishes.account.lines())
    with pytest.raises(ValueError, match="not for 25"):
        written("edl", tmp_path / "tape.edl", [found("tape.mov", 3, 0.5)], Wishes(fps=25.0, drop_frame=True))


def test_a_timeline_is_read_by_opentimelineio(videos, tmp_path):
    answers = [found(str(videos / "kitchen.mp4"), 6, 0.5, "wave"), found("gone.mp4", 9, 0.25, clips=1)]
    (path,) = written("otio", tmp_path / "hits.otio", answers)
    timeline = otio.adapters.read_from_file(str(path))
    first, second = timeline.tracks[0]
    assert first.source_range == TimeRange(RationalTime(48, 24), RationalTime(24, 24))  # the file's own rate
    assert second.source_range == TimeRange(RationalTime(90, RATE), RationalTime(10, RATE))  # 3 s, a third of a second
    assert first.media_reference.target_url == (videos / "kitchen.mp4").as_uri()
    (marker,) = first.markers
    assert (marker.name, marker.marked_range) == ("wave 0.50", first.source_range)
    assert marker.metadata["stvr"]["score"] == 0.5
    assert [dict(each)["seconds"] for each in marker.metadata["stvr"]["boxes"]] == [2, pytest.approx(7 / 3),
                                                                                   pytest.approx(8 / 3)]  # fmt: skip


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_contact_sheet_shows_every_hit_with_its_box(videos, tmp_path):
    answers = [found(str(videos / "kitchen.mp4"), start, 1 - start / 10) for start in (3, 6)]
    answers.append(found(str(videos / "day 1#.mp4"), 3, 0.1))
    (path,) = written("contact-sheet", tmp_path / "sheet.png", answers)
    (sheet,) = pictures(path)
    assert sheet.shape == (8 + 180 + 2 * 16 + 8, 8 + 3 * (320 + 8), 3)
    for place in range(3):  # thumbnails of 64 x 64 stand at the bottom of 180 lines, in the middle of 320 columns
        left, top = 8 + place * 328 + 128, 8 + 116
        assert tuple(sheet[top + 40, left + 16]) == PALETTE[place]
        assert tuple(sheet[top + 40, left + 47]) == PALETTE[place]
    film = pictures(videos / "kitchen.mp4")
    middle = sheet[8 + 116 + 30 : 8 + 116 + 40, 8 + 128 + 24 : 8 + 128 + 40]
    np.testing.assert_array_equal(middle, film[36][30:40, 24:40])  # clips 3 to 6: 1.5 s of 24 frames a second
    (path,) = written("contact-sheet", tmp_path / "sheet.jpg", answers)
    assert pictures(path)[0].shape == sheet.shape
    with pytest.raises(ValueError, match=r"sheet\.gif does not end in \.png or \.jpg"):
        written("contact-sheet", tmp_path / "sheet.gif", answers)


def test_the_page_needs_nothing_but_itself_and_its_links_lead_to_the_videos(videos, tmp_path):
    answers = [found(str(videos / "day 1#.mp4"), 6, 0.9, "<wave>"), found(str(videos / "kitchen.mp4"), 3, 0.5)]
    (path,) = written("html", tmp_path / "page.html", answers)
    page = path.read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert not re.search(r"<script|https?:|<link", page)
    assert "<wave>" not in page
    links = re.findall(r'href="([^"]+)"', page)
    assert [link.rpartition("#")[2] for link in links] == ["t=2.000,3.000", "t=1.000,2.000"]
    assert [(path.parent / unquote(link.rpartition("#")[0])).resolve() for link in links] == [
        (videos / f"{name}.mp4").resolve() for name in ("day 1#", "kitchen")]


def test_a_cut_shows_a_second_around_its_hit_with_the_box_while_it_lasts(videos, tmp_path):
    answers = [found(str(videos / "kitchen.mp4"), 6, 0.5), found(str(videos / "day 1#.mp4"), 0, 0.25)]
    first, second = written("clips", tmp_path / "cuts", answers)
    assert (first.name, second.name) == ("001_kitchen_0-00-02.000.mp4", "002_day 1#_0-00-00.000.mp4")
    shown, film = pictures(first), pictures(videos / "kitchen.mp4")
    assert len(shown) == 72  # from 1 s to 4 s
    assert len(pictures(second)) == 48  # nothing before the beginning
    coloured = [np.abs(picture[40, 17].astype(int) - PALETTE[0]).max() < 60 for picture in shown]
    assert coloured == [24 <= frame < 48 for frame in range(72)]
    for frame in (0, 71):
        assert np.abs(shown[frame].astype(int) - film[24 + frame]).mean() < 6


def test_the_command_writes_each_format_and_counts_what_it_cannot_show(stvr, videos, tmp_path):
    answers = [found("kitchen.mp4", 6, 0.5), found("gone.mp4", 6, 0.25), found("gone.mp4", 0, 0.75)]
    write_found(tmp_path / "tubelets.jsonl", answers)
    ended = stvr("export", tmp_path / "tubelets.jsonl", "--format", "html", "--out", tmp_path / "page.html",
                 "--videos", videos)  # fmt: skip
    assert ended.status == 1
    assert "1 tubelets as html" in ended.out
    assert "2 tubelets left out: their videos are not at hand" in ended.err
    assert "1 videos fell away as a whole: gone.mp4" in ended.err
    ended = stvr("export", tmp_path / "tubelets.jsonl", "--format", "edl", "--out", tmp_path / "edl", "--videos",
                 videos, "--fps", "25", "--best", "2")  # fmt: skip
    assert ended.status == 0, ended.err
    assert events(tmp_path / "edl/gone.edl")[0][2:4] == ["00:00:00:00", "00:00:01:00"]
    assert events(tmp_path / "edl/kitchen.edl")[0][2:4] == ["00:00:02:00", "00:00:03:00"]
    ended = stvr("export", tmp_path / "tubelets.jsonl", "--format", "gif", "--out", tmp_path / "x")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "Choose one of ava, ava-detections, coco-video, cvat, mot, fiftyone, webvtt, csv, chapters, edl" in ended.err


def test_no_picture_at_all_is_refused(tmp_path):
    for form in ("html", "clips", "contact-sheet"):
        with pytest.raises(ValueError, match="none of the 1 videos is at hand"):
            written(form, tmp_path / "x.png", [found("gone.mp4", 6, 0.5)], Wishes(videos=by_name([])))


def test_one_label_for_all(tmp_path):
    answers = [replace(found("a.mp4", 0, 0.5), label="sit"), found("a.mp4", 3, 0.25)]
    assert [hit.title for hit in hits_of(answers, "wave")] == ["wave 0.50", "wave 0.25"]
    assert [hit.title for hit in hits_of(answers)] == ["sit 0.50", "0.25"]
    assert json.loads(json.dumps([hit.number for hit in hits_of(answers)])) == [1, 2]
