"""Memory that processes share, without a name: nothing is left of it when the last of them has ended, however."""

from __future__ import annotations

import mmap
import os
import tempfile
from multiprocessing import reduction
from typing import Any

import torch
from torch import Tensor


class SharedMemory:
    """`size` bytes, (size,) uint8; what was never written takes none. Sent to another process, it is the same there."""

    def __init__(self, size: int, file: int | None = None) -> None:
        self.size, self._file, self.locked = size, nameless_file(size) if file is None else file, 0
        self.bytes: Tensor = torch.frombuffer(mmap.mmap(self._file, size), dtype=torch.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        return _same_memory, (self.size, reduction.DupFd(self._file))

    def lock_pages(self, size: int) -> None:
        """Lets CUDA copy out of the first `size` bytes, and into them, by itself. RuntimeError where it can't."""
        self.unlock_pages()
        if code := int(torch.cuda.cudart().cudaHostRegister(self.bytes.data_ptr(), size, 0)):
            raise RuntimeError(f"CUDA cannot pin {size} bytes of memory: its error {code}.")
        self.locked = size

    def unlock_pages(self) -> None:
        if self.locked:
            torch.cuda.cudart().cudaHostUnregister(self.bytes.data_ptr())
            self.locked = 0

    def close(self) -> None:
        """Gives it back, once no tensor in it is left."""
        if self._file < 0:
            return
        self.unlock_pages()
        self.bytes = torch.empty(0, dtype=torch.uint8)
        os.close(self._file)
        self._file = -1

    def __del__(self) -> None:
        if hasattr(self, "bytes"):
            self.close()


def nameless_file(size: int) -> int:
    """Of memory where the system has such files, without the limit of /dev/shm."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("stvr")
    else:
        with tempfile.TemporaryFile() as opened:
            file = os.dup(opened.fileno())
    os.truncate(file, size)
    return file


def _same_memory(size: int, file: Any) -> SharedMemory:
    return SharedMemory(size, file.detach())
