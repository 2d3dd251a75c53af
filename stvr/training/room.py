"""Memory that processes share: one batch after another is read into it, and is handed over without its bytes."""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch
from torch import Tensor

from stvr.shared_memory import SharedMemory

SIZE = 1 << 34  # bytes at most; what was never written takes no memory
LARGE = 1 << 16  # bytes from which on a tensor is put into the room and not into the message
ALIGNMENT = 64
PINNED_AT_A_TIME = 1 << 26


class Room:
    """Pickled to start a process, it is the same memory there. It has no name, so nothing is left of it, ever."""

    def __init__(self, memory: SharedMemory | None = None) -> None:
        self.memory = memory or SharedMemory(SIZE)
        self.used = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return Room, (self.memory,)

    def empty(self, size: tuple[int, ...], /, *, dtype: torch.dtype) -> Tensor:
        """As `torch.empty`, in this room. ValueError where it is full."""
        numbers = torch.Size(size).numel()
        start, count = -(-self.used // ALIGNMENT) * ALIGNMENT, numbers * dtype.itemsize
        if start + count > SIZE:
            raise ValueError(f"a batch takes more than {SIZE >> 30} GiB. Give a smaller --batch-size.")
        self.used = start + count
        return self.memory.bytes[start : self.used].view(dtype).view(size)

    def pack(self, value: Any) -> bytes:
        """A value of tensors: those in the room, where large ones are brought, by their place; all else as pickled."""
        content = io.BytesIO()
        _Packer(self, content).dump(value)
        return content.getvalue()

    def unpack(self, packed: bytes) -> Any:
        """The value, whose large tensors lie in the room: they are lost when it is read into again."""
        return _Unpacker(self, io.BytesIO(packed)).load()

    def pin(self) -> None:
        """Lets CUDA copy out of what is used of it by itself."""
        if self.used > self.memory.locked:
            self.memory.lock_pages(min(-(-self.used // PINNED_AT_A_TIME) * PINNED_AT_A_TIME, SIZE))

    def close(self) -> None:
        self.memory.close()


class _Packer(pickle.Pickler):
    def __init__(self, room: Room, content: io.BytesIO) -> None:
        super().__init__(content, protocol=5)
        self.room, self.memory = room, room.memory.bytes.untyped_storage().data_ptr()

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.requires_grad:
            return None
        if value.untyped_storage().data_ptr() != self.memory or not value.is_contiguous():
            if value.nbytes < LARGE:
                return None
            value = self.room.empty(tuple(value.shape), dtype=value.dtype).copy_(value)
        return value.data_ptr() - self.memory, tuple(value.shape), str(value.dtype).removeprefix("torch.")


class _Unpacker(pickle.Unpickler):
    def __init__(self, room: Room, content: io.BytesIO) -> None:
        super().__init__(content)
        self.room = room

    def persistent_load(self, place: Any) -> Tensor:
        start, shape, name = place
        dtype: torch.dtype = getattr(torch, name)
        stop = start + torch.Size(shape).numel() * dtype.itemsize
        self.room.used = max(self.room.used, stop)
        return self.room.memory.bytes[start:stop].view(dtype).view(shape)
