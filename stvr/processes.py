"""Processes that we start: how one begins and ends, and errors that can be sent to another."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Mapping
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import torch


def begin(environment: Mapping[str, str], threads: int) -> None:
    """In a new process. environment: of the one that it works for; that of the fork server may be older."""
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started us
    torch.set_num_threads(threads)


def end_with_parent() -> None:
    """In a new process of a pool: it ends with the one that started it, which may be killed, and would else work on."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_die_after, args=(parent.sentinel,), daemon=True).start()


def _die_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def end(process: BaseProcess) -> int:
    """Ends a process, gently if it lets us; its exit status, below 0 for a signal."""
    process.join(0.2)
    for stop in (process.terminate, process.kill):
        if process.is_alive():
            stop()
            process.join(5)
    return process.exitcode or 0


def portable(error: Exception) -> Exception:
    """The error itself where it can be sent, else one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
