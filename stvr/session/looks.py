"""What a session keeps of the references it has looked at: the latest, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from threading import Lock
from typing import Any

from torch import Tensor

Looks = Sequence[Any]  # of one reference, a few clips each, in order


class KeptLooks:
    """Looks by the key of their source; those asked for longest ago go first. Several threads may use it."""

    def __init__(self, room: int) -> None:
        self.room, self.bytes = room, 0
        self._kept: OrderedDict[Hashable, tuple[Looks, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Looks | None:
        with self._lock:
            if key is None or key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def keep(self, key: Hashable, looks: Looks) -> None:
        """Unless there is no room even for these alone."""
        size = sum(map(bytes_of, looks))
        with self._lock:
            if key is None or key in self._kept or size > self.room:
                return
            self._kept[key] = looks, size
            self.bytes += size
            while self.bytes > self.room:
                _, (_, gone) = self._kept.popitem(last=False)
                self.bytes -= gone

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self.bytes = 0


class Gathering:
    """The looks at one source as they are made; it lets go of all of them once they are too many to keep."""

    def __init__(self, room: int) -> None:
        self.room, self.bytes = room, 0
        self.looks: list[Any] | None = []

    def add(self, look: Any) -> None:
        if self.looks is None:
            return
        self.bytes += bytes_of(look)
        self.looks.append(look)
        if self.bytes > self.room:
            self.looks = None


def bytes_of(value: Any) -> int:
    """Of all tensors in a value, each counted once."""
    tensors = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors_in(value)}
    return sum(tensors.values())


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from tensors_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from tensors_in(each)
