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


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _plain_dtype,
}
