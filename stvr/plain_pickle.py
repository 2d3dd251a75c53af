"""Read a pickle of nothing but data: whatever else it asks for is refused, and no code in it is run."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

import numpy as np


def load_plain(file: BinaryIO, encoding: str = "ASCII") -> Any:
    """Dicts, lists, numbers, text and numpy arrays, as numpy 1 and 2 pickle them.

    encoding: of the text that Python 2 wrote. Raises UnpicklingError for a file that asks for anything else, and
    whatever `pickle` raises for one that is broken.
    """
    return _Unpickler(file, encoding=encoding).load()


def _plain_dtype(code: str, *flags: Any) -> np.dtype[Any]:
    """numpy.dtype, but only for numbers and text: no objects, no records."""
    if not isinstance(code, str) or code[:1] not in "biufSU" or "," in code:
        raise pickle.UnpicklingError(f"it holds an array of {code!r}, wanted plain numbers")
    return np.dtype(code, *flags)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        home = module.replace("numpy._core", "numpy.core")
        if (home, name) in _ALLOWED:
            return _ALLOWED[home, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not data")


def _plain_text(text: str, encoding: str) -> bytes:
    """codecs.encode as protocol 0 to 2 of Python 3 writes bytes: text whose characters are the bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it encodes text as {encoding!r}, wanted latin1")
    return text.encode("latin1")


def _plain_buffer(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray[Any, Any]:
    """numpy's _frombuffer, as protocol 5 writes arrays."""
    if not isinstance(data, (bytes, bytearray)) or not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise pickle.UnpicklingError("it holds an array of something else than plain numbers")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy.core.numeric", "_frombuffer"): _plain_buffer,
    ("_codecs", "encode"): _plain_text,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _plain_dtype,
}
