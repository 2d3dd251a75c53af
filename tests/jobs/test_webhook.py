"""A webhook that fails, is slow or is not there loses events that are counted, and holds nothing up."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stvr.jobs.webhook import ROOM, TRIES, Webhook


def test_one_that_never_answers_holds_nothing_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        hook = Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.05, first_wait=0.01)
        begun = time.monotonic()
        for number in range(3 * ROOM):
            hook.send({"number": number})
        assert time.monotonic() - begun < 1
        counts = hook.close(seconds=0.5)
    assert counts.sent == 0
    assert counts.failed + counts.dropped >= 3 * ROOM - 1  # one may be on its way
    assert "timed out" in counts.reason


def test_one_that_is_not_there_is_tried_a_few_times():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    hook = Webhook(f"http://127.0.0.1:{port}/", first_wait=0.05)
    begun = time.monotonic()
    hook.send({})
    counts = hook.close()
    assert (counts.sent, counts.failed, counts.dropped) == (0, 1, 0)
    assert "refused" in counts.reason
    waits = sum(0.05 * 2**number for number in range(TRIES - 1))
    assert waits <= time.monotonic() - begun < waits + 3


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a", "host/a", "http://", "http://host/\u00fc"])
def test_an_address_of_another_kind_is_refused(url):
    with pytest.raises(ValueError, match="wanted the address of a webhook"):
        Webhook(url)


def test_one_that_leads_elsewhere_is_not_followed():
    asked: list[str] = []

    class Leading(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(f"POST {self.path}")
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            asked.append(f"GET {self.path}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Leading) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hook = Webhook(f"http://127.0.0.1:{server.server_port}/hook", first_wait=0.01)
        hook.send({"event": "open"})
        counts = hook.close()
        server.shutdown()
    assert (counts.sent, counts.failed, counts.reason) == (0, 1, "HTTP 302")
    assert asked == ["POST /hook"] * TRIES


def test_a_name_that_is_none_is_a_failure_and_the_next_event_is_tried():
    hook = Webhook("http://a..b/", first_wait=0.01)
    hook.send({})
    hook.send({})
    counts = hook.close()
    assert (counts.sent, counts.failed, counts.dropped) == (0, 2, 0)
