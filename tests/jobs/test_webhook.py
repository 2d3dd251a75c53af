"""A webhook that fails, is slow or is not there loses events that are counted, and holds nothing up."""

from __future__ import annotations

import socket
import time

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


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a", "host/a", "http://"])
def test_an_address_of_another_kind_is_refused(url):
    with pytest.raises(ValueError, match="wanted the address of a webhook"):
        Webhook(url)
