"""Promises of the reader of CVAT for video 1.1; positions between keyframes were worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from stvr.annotations.cvat import read_cvat, read_cvat_file
from stvr.annotations.labelled import link_annotations


def shape(frame: int, x: float, outside: int = 0, inside: str = "", extra: str = "") -> str:
    return (f'<box frame="{frame}" keyframe="1" outside="{outside}" occluded="0" xtl="{x}" ytl="10" xbr="{x + 40}" '
            f'ybr="50" z_order="0"{extra}>{inside}</box>')


def write(tmp_path: Path, tracks: str, meta: str = "", head: str = "") -> Path:
    text = f"""<?xml version="1.0" encoding="utf-8"?>{head}
<annotations><version>1.1</version><meta><task><id>1</id><size>60</size><start_frame>0</start_frame>{meta}
<original_size><width>200</width><height>100</height></original_size><source>films/day one.mp4</source></task></meta>
{tracks}</annotations>"""
    (tmp_path / "cvat.xml").write_text(text)
    return tmp_path / "cvat.xml"


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
