"""A search of a folder and of its index: the same answers, what was disliked falls, what is given up ends."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from moving import HEIGHT, WIDTH, place

from stvr.library import Library, build_index
from stvr.studio.indexed_shelf import IndexedShelf
from stvr.studio.plain_shelf import PlainShelf
from stvr.studio.searches import Busy, Searches
from stvr.studio.shelf import Cancelled, TrackedExample, example_of


def box(kind: str, second: float, across: float):
    return tuple(edge / side for edge, side in zip(place(kind, second, across), (WIDTH, HEIGHT) * 2, strict=True))


@pytest.fixture(scope="module")
def example(asked: Path) -> TrackedExample:
    return TrackedExample(asked, 1.0, tuple((at, box("striped", at, 0.3)) for at in (0.5, 0.75, 1.0, 1.25, 1.5)))


@pytest.fixture(scope="module")
def indexed(library: Path, shelf: PlainShelf) -> IndexedShelf:
    build_index([library], library.parent / "index", store=library.parent / "store", tell=lambda line: None,
                report=lambda step: None)  # fmt: skip
    return IndexedShelf("index", Library.open(library.parent / "index", device="cpu"))


def found(shelf, like, unlike=()):
    answers, failed = shelf.search(like, unlike, 20, lambda *told: None, lambda: False)
    assert not failed
    return [(each.video, each.begin, each.end, round(each.score, 5)) for each in answers], answers


def test_an_index_that_looks_at_everything_answers_as_the_folder(shelf, indexed, example):
    one, _ = found(shelf, [example])
    other, _ = found(indexed, [example])
    assert one[0][0] == "striped_part2"
    assert {each[0] for each in one} == {"striped_part2", "dotted_h264", "dotted_uneven"}
    assert sorted(one) == sorted(other)


@pytest.mark.parametrize("kind", ["plain", "indexed"])
def test_what_was_disliked_falls_and_nothing_rises(shelf, indexed, example, kind):
    asked = {"plain": shelf, "indexed": indexed}[kind]
    _, before = found(asked, [example])
    _, after = found(asked, [example], [example_of(before[0], asked.clip)])
    scores = {(each.video, each.begin): each.score for each in after}
    assert before[0].video == "striped_part2"
    assert scores["striped_part2", before[0].begin] < before[0].score
    assert all(scores[each.video, each.begin] <= each.score for each in before if (each.video, each.begin) in scores)


def test_what_was_disliked_stands_last_whatever_it_scores(shelf, example):
    _, before = found(shelf, [example])
    search = Searches(shelf).start([example], before[:1], 20)
    assert search.ended.wait(60)
    assert (search.answers[-1].video, search.answers[-1].begin) == (before[0].video, before[0].begin)
    rest = [each.score for each in search.answers[:-1]]
    assert rest == sorted(rest, reverse=True)


def test_a_video_that_cannot_be_read_is_told_and_the_others_are_asked(session, shelf, example, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"nothing that could be decoded")
    more = PlainShelf("more", session, [*(each.path for each in shelf.videos), tmp_path / "broken.mp4"])
    answers, failed = more.search([example], [], 20, lambda *told: None, lambda: False)
    assert list(failed) == ["broken"]
    assert answers[0].video == "striped_part2"


def test_a_search_that_is_given_up_asks_no_further_video(shelf, indexed, example):
    for each in (shelf, indexed):
        told: list[float] = []

        def report(done, total, answers, told=told):
            told.append(done)

        with pytest.raises(Cancelled):
            each.search([example], [], 20, report, lambda told=told: bool(told))
        assert len(told) == 1


class Waits(PlainShelf):
    """Waits before its second video until it is let on."""

    on = Event()

    def ask(self, video, wanted, tell):
        if video.name != self.videos[0].name:
            assert self.on.wait(30)
        return super().ask(video, wanted, tell)


def test_no_more_searches_run_at_once_than_may_and_each_can_be_given_up(session, library, example):
    shelf = Waits("waits", session, sorted(library.glob("*.mp4")))
    searches = Searches(shelf, at_once=1)
    first = searches.start([example], [], 20)
    with pytest.raises(Busy):
        searches.start([example], [], 20)
    first.cancel()
    shelf.on.set()
    assert first.ended.wait(30)
    assert first.state == "cancelled"
    second = searches.start([example], [], 20)
    assert second.ended.wait(30)
    assert second.state == "done"
    assert second.done <= second.total == 4


def test_an_example_that_does_not_fit_fails_in_one_line(shelf, asked):
    search = Searches(shelf).start([TrackedExample(asked, 99.0, ((99.0, (0.1, 0.1, 0.5, 0.5)),))], [], 20)
    assert search.ended.wait(30)
    assert search.state == "failed"
    assert "99" in search.error
    assert "\n" not in search.error
