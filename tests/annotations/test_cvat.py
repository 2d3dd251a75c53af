"""Promises of the reader of CVAT for video 1.1; positions between keyframes were worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from stvr.annotations.cvat import CVAT, read_cvat
from stvr.annotations.cvat_file import read_cvat_file
from stvr.annotations.labelled import link_annotations
from stvr.video.frame_times import FrameTimes


def shape(frame: int, x: float, outside: int = 0, inside: str = "", extra: str = "") -> str:
    return (f'<box frame="{frame}" keyframe="1" outside="{outside}" occluded="0" xtl="{x}" ytl="10" xbr="{x + 40}" '
            f'ybr="50" z_order="0"{extra}>{inside}</box>')


def write(tmp_path: Path, tracks: str, meta: str = "", head: str = "", source: str = "films/day one.mp4",
          name: str = "cvat") -> Path:
    text = f"""<?xml version="1.0" encoding="utf-8"?>{head}
<annotations><version>1.1</version><meta><task><id>1</id><size>60</size><start_frame>0</start_frame>{meta}
<original_size><width>200</width><height>100</height></original_size><source>{source}</source></task></meta>
{tracks}</annotations>"""
    (tmp_path / f"{name}.xml").write_text(text)
    return tmp_path / f"{name}.xml"


def test_boxes_between_two_keyframes_lie_on_a_straight_line(tmp_path: Path):
    shapes = shape(10, 0) + shape(20, 100) + shape(30, 0, outside=1)
    path = write(tmp_path, f'<track id="4" label="wave">{shapes}</track>')
    (track,) = read_cvat_file(path).tracks
    assert track.frames.tolist() == list(range(10, 30))
    assert track.boxes[:10, 0].tolist() == pytest.approx([0, 10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert track.boxes[10:, 0].tolist() == [100] * 10  # towards a box that is outside there is nothing to go to
    np.testing.assert_allclose(track.boxes[5], [50, 10, 90, 50])


def test_a_track_is_gone_from_an_outside_keyframe_to_the_next(tmp_path: Path):
    shapes = shape(0, 0) + shape(3, 30, outside=1) + shape(6, 60) + shape(8, 80, outside=1)
    (track,) = read_cvat_file(write(tmp_path, f'<track label="wave">{shapes}</track>')).tracks
    assert track.frames.tolist() == [0, 1, 2, 6, 7]


def test_the_last_keyframe_holds_to_the_end_of_the_task(tmp_path: Path):
    (track,) = read_cvat_file(write(tmp_path, f'<track label="wave">{shape(57, 5)}</track>')).tracks
    assert track.frames.tolist() == [57, 58, 59]
    every_fifth = "<frame_filter>step=5</frame_filter>"  # 60 frames of the task are 300 of the video
    (track,) = read_cvat_file(write(tmp_path, f'<track label="wave">{shape(290, 5)}</track>', every_fifth)).tracks
    assert track.frames.tolist() == list(range(290, 300))


def test_frames_become_seconds_and_pixels_shares(tmp_path: Path):
    path = write(tmp_path, f'<track id="4" label="wave">{shape(25, 20)}{shape(50, 20, outside=1)}</track>')
    annotations = read_cvat(path, {"day one": 25.0}).checked()
    row = annotations.boxes.iloc[0]
    assert (row.video, row.person, row.start, row.stop) == ("day one", "4", 1.0, 1.04)
    assert [row.x1, row.y1, row.x2, row.y2] == pytest.approx([0.1, 0.1, 0.3, 0.5])
    assert annotations.names == {1: "wave"}
    assert annotations.extents == {"day one": (0.0, 2.4)}
    (tubelet,) = link_annotations(annotations)
    assert (tubelet.span.start, tubelet.span.stop) == (3, 6)


def test_an_attribute_may_say_what_a_person_does(tmp_path: Path):
    def does(what: str) -> str:
        return f'<attribute name="action">{what}</attribute>'

    shapes = (shape(0, 0, inside=does("walk")) + shape(24, 0, inside=does("walk, talk")) + shape(48, 0, inside=does(""))
              + shape(59, 0, outside=1))
    car = f'<track id="2" label="car">{shape(0, 9)}</track>'
    path = write(tmp_path, f'<track id="1" label="person">{shapes}</track>{car}')
    annotations = read_cvat(path, 24.0, attribute="action").checked()
    assert annotations.names == {1: "talk", 2: "walk"}
    assert [(t.label, t.span.start, t.span.stop) for t in link_annotations(annotations)] == [
        ((2,), 0, 3), ((1, 2), 3, 6)]
    with pytest.raises(ValueError, match="no track with the attribute 'activity'"):
        read_cvat(path, 24.0, attribute="activity").checked()


BOMB = ('<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>')


@pytest.mark.parametrize("head", [BOMB, '<!DOCTYPE a SYSTEM "file:///etc/passwd">', "<!DOCTYPE a>"])
def test_a_document_type_is_refused_before_anything_expands(tmp_path: Path, head: str):
    with pytest.raises(ValueError, match="declares a document type"):
        read_cvat(write(tmp_path, "", head=head), 24.0).checked()


@pytest.mark.parametrize(("tracks", "meta", "says"), [
    ("<track", "", "is not XML"),
    ("<image/>", "", "`CVAT for images`"),
    (f'<track label="a">{shape(0, 0, extra=chr(32) + "rotation=" + chr(34) + "30" + chr(34))}</track>', "",
     "turned by 30 degrees"),
    ('<track label="a"><box frame="1"/></track>', "", "a box without frame and xtl"),
    (f'<track label="a">{shape(0, float("nan"))}</track>', "", "finite corners"),
    ("", "", "holds no track"),
    ("", "</task><task>", "2 tasks"),
])
def test_what_does_not_fit_is_one_line(tmp_path: Path, tracks: str, meta: str, says: str):
    with pytest.raises(ValueError, match=says) as refusal:
        read_cvat(write(tmp_path, tracks, meta), 24.0).checked()
    assert "\n" not in str(refusal.value)


def test_a_video_whose_rate_is_not_known_is_named(tmp_path: Path):
    path = write(tmp_path, f'<track label="wave">{shape(0, 0)}</track>')
    with pytest.raises(LookupError, match=r"'films/day one\.mp4', whose frame rate is not known"):
        read_cvat(path, {"another": 24.0}).checked()


WAVE = f'<track id="0" label="wave">{shape(0, 0)}{shape(24, 0, outside=1)}</track>'


@pytest.mark.parametrize(("beside", "says"), [
    ('<track id="1" label="wave"><polygon frame="0" outside="0" points="1,1;9,1;9,9"/></track>',
     "1 tracks left out: they are no boxes but of the shape polygon (first: cvat.xml, track 1)"),
    ('<track id="1" label="sit"><skeleton frame="0"><points label="head" points="2,2"/></skeleton></track>' * 2,
     "2 tracks left out: they are no boxes but of the shape skeleton (first: cvat.xml, track 1)"),
    ('<track id="1" label="wave"/>', "1 tracks left out: they have no shape (first: cvat.xml, track 1)"),
    (f'<track id="1" label="wave">{shape(0, 0, outside=1)}</track>',
     "1 tracks left out: they are never in the picture (first: cvat.xml, track 1)"),
    ('<tag frame="3" label="night"/>', "1 tags left out: they are of whole frames (first: cvat.xml, frame 3)"),
    (f'<track id="1" label="">{shape(0, 0)}{shape(5, 0, outside=1)}</track>',
     "5 boxes left out: their action is empty or __undefined__ (first: cvat.xml, track 1, frame 0)"),
    (f'<track id="1" label="__undefined__">{shape(0, 0)}{shape(5, 0, outside=1)}</track>',
     "5 boxes left out: their action is empty or __undefined__ (first: cvat.xml, track 1, frame 0)"),
    (f'<track id="1" label="wave">{shape(0, -500)}{shape(5, 0, outside=1)}</track>',
     "5 boxes left out: they lie outside the picture (first: cvat.xml, track 1, frame 0)"),
])
def test_what_is_no_box_of_an_action_is_left_out_and_counted(tmp_path: Path, beside: str, says: str):
    rows = read_cvat(write(tmp_path, WAVE + beside), 24.0)
    assert [str(each) for each in rows.left_out] == [says]
    assert set(rows.table["person"]) == {"0"}
    assert len(rows.table) == 24
    assert rows.names == {1: "wave"}


@pytest.mark.parametrize("word", ["1", "true", "True", "TRUE", "yes"])
def test_outside_is_understood_in_every_spelling(tmp_path: Path, word: str):
    gone = shape(3, 0).replace('outside="0"', f'outside="{word}"')
    (track,) = read_cvat_file(write(tmp_path, f'<track label="wave">{shape(0, 0)}{gone}</track>')).tracks
    assert track.frames.tolist() == [0, 1, 2]


def test_another_word_for_outside_is_refused(tmp_path: Path):
    gone = shape(3, 0).replace('outside="0"', 'outside="perhaps"')
    with pytest.raises(ValueError, match="track 0, frame 3: outside is 'perhaps', wanted 0 or 1"):
        read_cvat_file(write(tmp_path, f'<track id="0" label="wave">{shape(0, 0)}{gone}</track>'))


def test_a_checkbox_is_the_action_of_its_name(tmp_path: Path):
    def ticked(word: str) -> str:
        return f'<attribute name="wave">{word}</attribute>'

    shapes = shape(0, 0, inside=ticked("true")) + shape(24, 0, inside=ticked("false")) + shape(48, 0, outside=1)
    rows = read_cvat(write(tmp_path, f'<track id="0" label="person">{shapes}</track>'), 24.0, attribute="wave")
    assert rows.names == {1: "wave"}
    assert rows.table["start"].max() == 23 / 24
    assert rows.left_out[0].count == 24


def test_a_box_turned_all_the_way_round_is_upright(tmp_path: Path):
    turned = shape(0, 0, extra=' rotation="359.99"')
    assert len(read_cvat_file(write(tmp_path, f'<track label="wave">{turned}</track>')).tracks) == 1


def test_two_boxes_of_a_track_in_one_frame_are_a_fault(tmp_path: Path):
    with pytest.raises(ValueError, match="track 0, frame 5: it has two boxes in this frame"):
        read_cvat_file(write(tmp_path, f'<track id="0" label="wave">{shape(5, 0)}{shape(5, 90)}</track>'))
    again = shape(5, 0) + shape(5, 0, outside=1) + shape(5, 0)  # CVAT writes so where a track was split
    assert len(read_cvat_file(write(tmp_path, f'<track label="wave">{again}</track>')).tracks) == 1


def rows_of(tmp_path: Path, *files: tuple[str, str]) -> list:
    """Of files given as (source, tracks), named a, b, ..."""
    paths = [write(tmp_path, tracks, source=source, name=name) for name, (source, tracks) in
             zip("abcd", files, strict=False)]
    return CVAT.rows(paths, CVAT.options(fps=24.0))


def standing(track: int, start: int, stop: int, x: float, label: str = "wave") -> str:
    return f'<track id="{track}" label="{label}">{shape(start, x)}{shape(stop, x, outside=1)}</track>'


def test_jobs_of_a_task_join_people_whose_boxes_agree_and_part_the_others(tmp_path: Path):
    parts = rows_of(tmp_path, ("clip.mp4", standing(0, 0, 30, 0)),
                    ("clip.mp4", standing(0, 24, 60, 0) + standing(1, 24, 60, 90)),
                    ("clip.mp4", standing(0, 0, 60, 150)))
    assert [set(part.table["person"]) for part in parts] == [{"0"}, {"0", "1"}, {"c:0"}]
    moments = [(row.person, row.start) for part in parts for row in part.table.itertuples()]
    assert len(moments) == len(set(moments)) == 60 + 36 + 60
    assert [line.split(":")[0] for part in parts for line in part.said] == ["b.xml", "c.xml"]
    assert {part.extents["clip"] for part in parts} == {(0.0, 2.5)}


def test_where_two_files_have_a_person_at_once_both_their_actions_stay(tmp_path: Path):
    parts = rows_of(tmp_path, ("clip.mp4", standing(0, 0, 24, 0, "wave")), ("clip.mp4", standing(0, 16, 40, 5, "jump")))
    first, second = (part.checked().boxes for part in parts)
    assert parts[0].names == {1: "jump", 2: "wave"}
    assert first["labels"].tolist() == [(2,)] * 16 + [(1, 2)] * 8
    assert second["labels"].tolist() == [(1,)] * 16
    assert set(first["x1"]) == {0.0}  # in the overlap the first file's box counts


def test_one_stem_in_two_folders_is_two_videos(tmp_path: Path):
    parts = rows_of(tmp_path, ("day1/clip.mp4", standing(0, 0, 24, 0)), ("day2/clip.mp4", standing(0, 0, 24, 0)))
    assert [set(part.table["video"]) for part in parts] == [{"day1/clip"}, {"day2/clip"}]
    assert [set(part.table["person"]) for part in parts] == [{"0"}, {"0"}]


def test_a_file_without_an_action_does_not_stop_the_others(tmp_path: Path):
    parts = rows_of(tmp_path, ("a.mp4", WAVE), ("b.mp4", '<track id="1" label="wave"/>'))
    assert [len(part.table) for part in parts] == [24, 0]
    assert [each.videos for each in parts[1].left_out if each.videos] == [["b"]]


def test_boxes_of_a_track_stand_when_the_videos_own_stamps_say(tmp_path: Path):
    # 30 frames in the first second, 5 a second from then on: frame 32 is shown from 1.4 to 1.6 s
    clock = FrameTimes(10.0, np.array([*(frame / 30 for frame in range(30)), *(1 + each / 5 for each in range(31))]))
    path = write(tmp_path, f'<track id="0" label="wave">{shape(32, 0)}{shape(33, 0, outside=1)}</track>')
    (row,) = read_cvat(path, {"day one": clock}).table.itertuples()
    assert (row.start, row.stop) == pytest.approx((1.4, 1.6))
