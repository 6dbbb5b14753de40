"""Pickles from elsewhere, read without running what is in them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

from emokit.data.problems import DataError

# What NumPy's arrays and scalars are rebuilt with, under old and new names.
_ARRAYS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # bytes in pickles of Python 2
    *(
        (module, name)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    ),
    *((module, "_frombuffer") for module in ("numpy.core.numeric", "numpy._core.numeric")),
}
# ``bytes`` rebuilds empty arrays of old protocols.
_BUILTINS = {"set", "frozenset", "bytes", "bytearray", "complex"}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        plain = module in ("builtins", "__builtin__") and name in _BUILTINS
        if plain or (module, name) in _ARRAYS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def load_pickle(path: str | os.PathLike) -> object:
    """What the pickle at ``path`` holds, if that is builtin containers, numbers, text and NumPy arrays.

    Raises
    ------
    DataError
        The file is no pickle, is cut short, or asks for anything else; nothing of it ran.
    """
    try:
        with Path(path).open("rb") as file:
            return _Restricted(file, encoding="latin1").load()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except Exception as error:  # a damaged pickle fails in any of many ways
        raise DataError(f"{path} was not read ({error}); only plain numbers, text and arrays are admitted") from error
