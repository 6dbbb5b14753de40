"""What is wrong with a data set's files: raised at once, or kept as a table."""

from __future__ import annotations

import os

import pandas as pd


class DataError(ValueError):
    """A file or row of a data set that cannot be used; the message names it and the mend."""

    file: str | os.PathLike | None = None
    row: object = None
    problem: str | None = None

    @classmethod
    def at(cls, file: str | os.PathLike, row: object, problem: str, mend: str) -> DataError:
        """An error that remembers where it is, for `Problems.take`."""
        error = cls(f"{file if row is None else f'{file}, row {row}'}: {problem}; {mend}")
        error.file, error.row, error.problem = file, row, problem
        return error


class Problems:
    """Problems of one reading.

    Parameters
    ----------
    on_error : {"raise", "skip"}
        Raise `DataError` at the first problem, or keep them all and leave their rows out.
    """

    def __init__(self, on_error: str = "raise") -> None:
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error is 'raise' or 'skip', got {on_error!r}")
        self.on_error = on_error
        self.found: list[dict] = []

    def add(self, file: str | os.PathLike, row: object, problem: str, mend: str = "") -> None:
        """Report ``problem`` of ``row`` (a row number, frame or key; None for the whole ``file``)."""
        mend = mend or "mend the file, or pass on_error='skip' to leave such rows out"
        self.take(DataError.at(file, row, problem, mend))

    def take(self, error: DataError) -> None:
        """Raise ``error``, or keep it under the file and row that it names."""
        if self.on_error == "raise":
            raise error
        self.found.append({"file": str(error.file), "row": error.row, "problem": error.problem})

    def attach(self, samples: pd.DataFrame) -> pd.DataFrame:
        """``samples``, with the problems where `skipped` finds them."""
        samples.attrs["skipped"] = self.found
        return samples


def skipped(samples: pd.DataFrame) -> pd.DataFrame:
    """What a loader left out of ``samples``: columns file, row, problem."""
    return pd.DataFrame(samples.attrs.get("skipped", []), columns=["file", "row", "problem"])
