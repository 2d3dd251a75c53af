"""A watch tells, of what it reads as it comes, what is told of the same file when all of it is there."""

from __future__ import annotations

import json
import threading
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from film import write_film
from streamed import as_ts, fifo, http_stream
from tiny import HEAD

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import save_head
from stvr.jobs.alarms import Rules
from stvr.jobs.known_alarms import named_alarms
from stvr.jobs.locate import locate
from stvr.jobs.watch import Watch, WatchOptions
from stvr.session import Session
from stvr.session.saved import read_query, saved_queries, write_query
from stvr.session.watching import delay_of
from stvr.structures import ClipSpec, FeatureSpec, Span
from stvr.tubelets import link
from stvr.tubelets.linking import Scored, suppress

ASKED = {"box": (20, 10, 80, 90), "at": 1.5}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    """A head that was never trained, on features of pictures so small that a clip takes milliseconds."""
    return write_head(tmp_path_factory.mktemp("small") / "head.safetensors", ClipSpec(image_size=32))


def write_head(path: Path, clip: ClipSpec, seed: int = 1) -> Path:
    backbone, options = load_backbone(endpoint="Mixed_3c", precision="float32"), MatchingOptions(**HEAD)
    spec = FeatureSpec("i3d", backbone.weights, backbone.weights_digest, backbone.map_specs(clip), clip)
    torch.manual_seed(seed)
    save_head(path, build_head(options, spec), options, spec, {"step": 0})
    return path


@pytest.fixture(scope="module")
def session(untrained) -> Session:
    return Session.open(untrained, kept_bytes=0)


@pytest.fixture(scope="module")
def queries(session, films):
    return {"first": session.query(films[0], **ASKED), "other": session.query(films[2], (0.2, 0.2, 0.7, 0.9), at=2.0)}


@pytest.fixture(scope="module")
def long_film(tmp_path_factory) -> Path:
    """Four shots, 25 clips."""
    return write_film(tmp_path_factory.mktemp("watched") / "long.mp4", 70, 40, 60, 30)


def events_of(session, queries, source, **options):
    said: list[str] = []
    watch = Watch(session, queries, str(source), WatchOptions(**options), said.append)
    return list(watch.events()), watch, said


def story(event):
    """What locate tells of a tubelet, of a close."""
    return {name: event[name] for name in ("score", "start_seconds", "stop_seconds", "width", "height", "boxes")}


def closes(events, query="first"):
    return sorted((story(each) for each in events if each["event"] == "close" and each["query"] == query),
                  key=lambda each: (each["start_seconds"], each["score"]))  # fmt: skip


def assert_alike(found, wanted, pixels=0.0):
    assert len(found) == len(wanted)
    for name in ("start_seconds", "stop_seconds"):
        assert [each[name] for each in found] == pytest.approx([each[name] for each in wanted])
    for one, other in zip(found, wanted, strict=True):
        assert (one["width"], one["height"]) == (other["width"], other["height"])
        assert one["score"] == pytest.approx(other["score"], abs=1e-4 if pixels else 0)
        boxes = [[box["box"] for box in each["boxes"]] for each in (one, other)]
        np.testing.assert_allclose(*boxes, atol=pixels)


def offline(session, query, file):
    """All tubelets of the online linker, before any is suppressed."""
    video = session.video(file)
    facts = video.facts
    found = session.detections(query, video.clips(Span(facts.video, 0, facts.num_clips)))
    tubelets = link(found, facts.video, 0, contrast=session.head.time_contrast, nms_iou=1.0, max_tubelets=10**9)
    return [(each.span.start / 3, each.span.stop / 3, round(each.score, 6)) for each in tubelets]


def test_a_file_closes_what_the_online_linker_finds_in_it(session, queries, long_film):
    events, watch, _ = events_of(session, queries, long_film)
    for name, query in queries.items():
        found = [(each["start_seconds"], each["stop_seconds"], each["score"]) for each in closes(events, name)]
        np.testing.assert_allclose(sorted(found), sorted(offline(session, query, long_film)), atol=1e-9)
    assert watch.closed == sum(each["event"] == "close" for each in events) > 4


def test_what_locate_answers_is_among_what_closes(session, queries, long_film, untrained, films):
    """And the rest is what suppression takes away: what tells the story of a better one."""
    answer = next(locate(untrained, films[0], references=[long_film], **ASKED))
    lines = [story({**line, "event": "close"}) for line in answer.to_json()]
    events, _, _ = events_of(session, {"first": queries["first"]}, long_film)
    assert all(line in closes(events) for line in lines)
    video = session.video(long_film).facts
    tubelets = link(session.detections(queries["first"], session.video(long_film).clips(
        Span(video.video, 0, video.num_clips))), video.video, 0, contrast=session.head.time_contrast, nms_iou=1.0,
        max_tubelets=10**9)  # fmt: skip
    assert len(tubelets) == len(closes(events)) >= len(lines)
    scored = [Scored(each, np.full(len(each.span), each.score)) for each in tubelets]
    assert len(lines) == min(len(suppress(scored, 0.3)), 10)


def test_a_pipe_tells_what_the_file_does(session, queries, long_film, tmp_path):
    with fifo(tmp_path / "pipe", as_ts(long_film)) as pipe:
        events, _, _ = events_of(session, queries, pipe)
    wanted, _, _ = events_of(session, queries, long_film)
    for name in queries:
        assert_alike(closes(events, name), closes(wanted, name), pixels=0.2)  # a batch of one clip rounds otherwise
    told = [[(each["event"], each["query"], each["seconds"]) for each in every] for every in (events, wanted)]
    assert told[0] == told[1]  # the same is told in the same order


def test_an_address_that_breaks_off_closes_what_is_open_and_begins_anew(session, queries, long_film, tmp_path):
    with http_stream(as_ts(long_film, Fraction(1)), as_ts(long_film, Fraction(21))) as address:
        events, watch, said = events_of(session, queries, address, give_up_seconds=0.3, first_wait=0.05)
    assert watch.gave_up
    wanted = closes(events_of(session, queries, long_film)[0])
    later = [{**each, "start_seconds": each["start_seconds"] + 20, "stop_seconds": each["stop_seconds"] + 20}
             for each in wanted]  # fmt: skip
    assert_alike(closes(events), [*wanted, *later], pixels=0.2)
    stopped = [each for each in events if each.get("reason", "").startswith("the source stopped")]
    assert stopped
    assert len({each["id"] for each in events if each["event"] == "open"}) == sum(
        each["event"] == "open" for each in events)  # fmt: skip
    assert sum("opening it again" in line for line in said) >= 1


def test_several_queries_share_the_backbone_and_the_looks(session, queries, films, monkeypatch):
    seen, looked = [], []
    backbone, head = session.eyes().backbone, session.head
    run, stream = type(backbone).__call__, type(head).stream
    monkeypatch.setattr(type(backbone), "__call__",
                        lambda self, frames: (seen.append(len(frames)), run(self, frames))[1])
    monkeypatch.setattr(type(head), "stream",
                        lambda self, state, each: (looked.append(1), stream(self, state, each))[1])
    events_of(session, queries, films[1])
    assert (sum(seen), sum(looked)) == (12, 2)
    events_of(session, {"first": queries["first"]}, films[1])
    assert (sum(seen), sum(looked)) == (24, 4)


def test_the_delay_that_is_stated_is_kept(films, long_film, tmp_path):
    """I3D's Mixed_3c sees 9 frames ahead, so 2 clips; one more says that these were not the last."""
    session = Session.open(write_head(tmp_path / "head.safetensors", ClipSpec(image_size=32, context="video")))
    assert delay_of(session).clips == 3
    queries = {"first": session.query(films[0], **ASKED)}
    with fifo(tmp_path / "pipe", as_ts(long_film)) as pipe:
        events, _, _ = events_of(session, queries, pipe)
    late = [each["delay_seconds"] for each in events]
    assert max(late) == pytest.approx(1.0)
    ends = 25 / 3
    assert all(each["delay_seconds"] == pytest.approx(1.0) for each in events
               if each["event"] == "extend" and each["seconds"] < ends - 2)  # fmt: skip
    assert_alike(closes(events), closes(events_of(session, queries, long_film)[0]), pixels=0.2)


def test_a_cool_down_lets_nothing_else_open(session, queries, long_film):
    free, _, _ = events_of(session, queries, long_film)
    events, watch, _ = events_of(session, queries, long_film, rules=Rules(cool_down_seconds=3.0))
    for name in queries:
        before, opened = ([each["seconds"] for each in every if each["event"] == "open" and each["query"] == name]
                          for every in (free, events))
        assert opened[0] == before[0]
        assert all(later - earlier >= 3 - 1e-6 for earlier, later in pairwise(opened))
        assert 1 < len(opened) < len(before)
        told = sum(each["event"] == "close" and each["query"] == name for each in events)
        assert told + watch.silent[name].cool_down == len(closes(free, name))


def test_what_is_too_weak_is_silent_and_counted(session, queries, long_film):
    free, _, _ = events_of(session, queries, long_film)
    scores = sorted(each["score"] for each in closes(free))
    least = (scores[len(scores) // 2] + scores[len(scores) // 2 + 1]) / 2
    events, watch, _ = events_of(session, queries, long_film, rules=Rules(min_score=least))
    strong = [each for each in closes(free) if each["score"] >= least]
    assert [each for each in strong if each not in closes(events)] == []
    assert watch.silent["first"].weak == len(closes(free)) - len(closes(events))


def test_extends_come_once_a_second_or_as_often_as_asked(session, queries, long_film):
    for every, least in ((1.0, 1.0), (2.0, 2.0), (0.0, 1 / 3)):
        events, _, _ = events_of(session, queries, long_film, rules=Rules(every_seconds=every))
        words = {}
        for event in events:
            if event["event"] in ("open", "extend"):
                words.setdefault(event["id"], []).append(event["seconds"])
        apart = [later - before for each in words.values() for before, later in pairwise(each)]
        assert min(apart) == pytest.approx(least)


def test_a_false_alarm_that_is_named_is_never_told_again(session, queries, long_film, tmp_path):
    """Which tubelets those are is counted here from the scores of the boxes themselves."""
    first = {"first": queries["first"]}
    events, _, _ = events_of(session, first, long_film, alarms=tmp_path / "alarms")
    opened = [each["id"] for each in events if each["event"] == "open"]
    assert sorted(opened) == sorted(path.stem for path in (tmp_path / "alarms").iterdir())
    marked = next(each for each in events if each["event"] == "close" and each["id"] in opened)
    never = named_alarms(tmp_path / "alarms", [marked["id"]], session)
    quiet, watch, _ = events_of(session, first, long_film, never=never)
    assert watch.silent["first"].never > 0
    assert watch.silent["first"].never == len(closes(events)) - len(closes(quiet))
    assert all(each in closes(events) for each in closes(quiet))
    itself, watch, _ = events_of(session, first, long_film, never=[queries["first"]])
    assert closes(itself) == closes(events)  # nothing is closer to the query than the query
    with pytest.raises(LookupError, match="holds no alarm 'nothing'"):
        named_alarms(tmp_path / "alarms", ["nothing"], session)
    with pytest.raises(ValueError, match="--alarms FOLDER"):
        named_alarms(None, ["nothing"], session)


def write_jumps(path: Path) -> Path:
    """A bar of a room hops in seconds 1 to 3 and 6 to 8 of 10; else everything stands still."""
    rows, columns = np.mgrid[:64, :64]
    room = 90 + 20 * np.sin(rows / 7 + columns / 5)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "4"})
        stream.width = stream.height = 64
        for frame in range(240):
            picture = np.repeat(room[..., None], 3, 2)
            height = 10 * abs(np.sin(frame / 3)) if 24 <= frame % 120 < 72 else 0
            picture[(rows >= 34 - height) & (rows < 56 - height) & (columns >= 20) & (columns < 34)] = (220, 60, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8))))
        container.mux(stream.encode(None))
    return path


def test_what_looks_like_a_false_alarm_is_told_no_more(tmp_path):
    """Two hops are told of. Once the first is named as a false alarm neither is: they look alike, unlike the query."""
    file = write_jumps(tmp_path / "jumps.mp4")
    extract([file], tmp_path / "store", load_backbone(endpoint="Mixed_3c", precision="float32"),
            ClipSpec(image_size=32), report=lambda step: None)  # fmt: skip
    session = Session.open(None, store=tmp_path / "store", statistics=tmp_path / "store", kept_bytes=0)
    query = {"hop": session.query(file, (14, 10, 44, 64), at=2.0, span=(1.0, 3.0))}
    events, _, _ = events_of(session, query, file, alarms=tmp_path / "alarms", rules=Rules(min_score=0.3))
    opened = [each for each in events if each["event"] == "open"]
    assert [int(each["start_seconds"] // 5) for each in opened] == [0, 1]
    assert all(1 <= each["start_seconds"] % 5 < each["stop_seconds"] % 5 <= 3.5 for each in opened)
    never = named_alarms(tmp_path / "alarms", [opened[0]["id"]], session)
    quiet, watch, _ = events_of(session, query, file, never=never, rules=Rules(min_score=0.3))
    assert quiet == []
    assert watch.silent["hop"].never == 2


def test_a_watch_that_is_stopped_closes_what_is_open(session, queries, long_film, monkeypatch):
    told, asked = [], type(session).asked

    def stopped(self, look, query):
        if len(told) > 20:
            raise KeyboardInterrupt
        return asked(self, look, query)

    monkeypatch.setattr(type(session), "asked", stopped)
    def hear() -> None:
        for event in Watch(session, queries, str(long_film)).events():
            told.append(event)

    with pytest.raises(KeyboardInterrupt):
        hear()
    opened, ended = ({each["id"] for each in told if each["event"] in kinds} for kinds in (["open"], ["close", "drop"]))
    assert opened == ended
    assert "the watch was stopped" in {each["reason"] for each in told if each["event"] == "close"}


def test_a_saved_query_asks_what_the_query_asks(session, queries, films, tmp_path):
    for name, query in queries.items():
        write_query(tmp_path / "saved" / f"{name}.safetensors", session, query)
    found = {name: read_query(path, session) for name, path in saved_queries([tmp_path / "saved"]).items()}
    assert [sorted(found), [each.span for each in found["first"].tubelets]] == [
        ["first", "other"], [each.span for each in queries["first"].tubelets]]  # fmt: skip
    wanted, _, _ = events_of(session, queries, films[1])
    assert [closes(events_of(session, found, films[1])[0], name) for name in queries] == [
        closes(wanted, name) for name in queries]  # fmt: skip
    write_head(tmp_path / "head.safetensors", session.spec.clip, seed=2)
    with pytest.raises(ValueError, match="saved with another head"):
        read_query(tmp_path / "saved" / "first.safetensors", Session.open(tmp_path / "head.safetensors"))
    with pytest.raises(ValueError, match="holds no query"):
        read_query(tmp_path / "head.safetensors", session)


def test_from_the_command_line(stvr, untrained, films, long_film, tmp_path):
    """A query saved alone, asked beside another of the piped file; the closes are those of `stvr locate`."""
    asked = ["--checkpoint", untrained, "--query", films[0], "--box", "20,10,80,90", "--at", 1.5]
    ended = stvr("watch", *asked, "--save", tmp_path / "wave.safetensors")
    assert (ended.status, ended.out) == (0, "")
    with fifo(tmp_path / "pipe", as_ts(long_film)) as pipe:
        ended = stvr("watch", pipe, "--checkpoint", untrained, "--saved", tmp_path / "wave.safetensors",
                     "--out", tmp_path / "events.jsonl")  # fmt: skip
    assert ended.status == 0, ended.err
    assert "as soon as it is there" in ended.err
    piped = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    ended = stvr("watch", long_film, *asked)
    assert ended.status == 0, ended.err
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert_alike(closes(piped, "wave"), closes(events, films[0].stem), pixels=0.2)
    assert f"{len(closes(events, films[0].stem))} tubelets closed" in ended.err
    stvr("locate", *asked, long_film, "--out", tmp_path / "answers")
    lines = [json.loads(line) for line in (tmp_path / "answers" / "tubelets.jsonl").read_text().splitlines()]
    told = closes(events, films[0].stem)
    assert len(lines) > 0
    assert all(story(line) in told for line in lines)


def test_standard_input(stvr, untrained, films, tmp_path, monkeypatch):
    with fifo(tmp_path / "pipe", as_ts(films[1])) as pipe, open(pipe) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        ended = stvr("watch", "-", "--checkpoint", untrained, "--query", films[0], "--box", "20,10,80,90", "--at", 1.5)
    assert ended.status == 0, ended.err
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert {each["event"] for each in events} >= {"open", "extend", "close"}
    assert {each["source"] for each in events} == {"stdin"}


FAULTS = [
    ("watch", "there is nothing to watch"),
    ("watch {film}", "there is nothing to look for"),
    ("watch {film} --query {film}", "Give --query, --box and --at together"),
    ("watch {film} --saved {p}/nowhere", "there is no such saved query"),
    ("watch {film} --saved {p}", "holds no saved query"),
    ("watch {film} {q} --save {p}/name", "is a file NAME.safetensors"),
    ("watch {film} {q} --webhook ftp://host/", "wanted the address of a webhook"),
    ("watch {film} {q} --never a", "--alarms FOLDER"),
    ("watch {p}/nowhere.mp4 {q}", "nowhere.mp4 does not exist"),
    ("watch http://127.0.0.1:9/a.ts {q}", "http://127.0.0.1:9/a.ts cannot be read as a video"),
]


@pytest.mark.parametrize(("command", "says"), FAULTS, ids=[command for command, _ in FAULTS])
def test_a_fault_is_one_line_and_status_2(stvr, untrained, films, tmp_path, command, says):
    q = f"--checkpoint {untrained} --query {films[0]} --box 20,10,80,90 --at 1.5"
    command = command + "" if "{q}" in command else command + f" --checkpoint {untrained}"
    ended = stvr(*command.format(film=films[1], p=tmp_path, q=q).split())
    assert ended.status == 2
    told = [line for line in ended.err.splitlines() if "analytic ones, which see motion" not in line
            and not line.startswith(("stvr: watching", "stvr: of a clip", "stvr: 0 tubelets"))]  # fmt: skip
    assert len(told) == 1, ended.err
    assert says in told[0]


@pytest.mark.parametrize(("name", "says"), [("nowhere.mp4", "does not exist"), ("", "is a folder")])
def test_a_source_that_is_no_file_is_refused_before_anything_is_opened(stvr, tmp_path, name, says):
    ended = stvr("watch", tmp_path / name, "--saved", tmp_path / "unread.safetensors")
    assert (ended.status, len(ended.err.splitlines())) == (2, 1), ended.err
    assert f"{tmp_path / name} {says}. Name a video file, a pipe" in ended.err


class Hook:
    """A webhook on this machine: what it got, and the answers that it gives one after the other."""

    def __init__(self, *answers: int) -> None:
        self.got: list[dict] = []
        self.answers = list(answers)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = hook.answers.pop(0) if hook.answers else 200
                if answer == 200:
                    hook.got.append(event)
                self.send_response(answer)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_a_webhook_gets_what_opens_and_closes(stvr, untrained, films):
    hook = Hook(500)  # the first try fails
    ended = stvr("watch", films[1], "--checkpoint", untrained, "--query", films[0], "--box", "20,10,80,90", "--at", 1.5,
                 "--webhook", hook.url)  # fmt: skip
    hook.close()
    assert ended.status == 0, ended.err
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert hook.got == [each for each in events if each["event"] != "extend"]
    assert f"{len(hook.got)} events sent to {hook.url}" in ended.err
