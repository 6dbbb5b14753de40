"""AffectNet in its three layouts, as a samples table.

``csv``
    The original release: ``training.csv`` and ``validation.csv``, with pictures in
    ``Manually_Annotated_Images/`` or beside them.
``npy``
    The 8-label release: ``train_set`` and ``val_set`` with ``images/N.jpg`` and
    ``annotations/N_exp.npy``, ``N_val.npy``, ``N_aro.npy``, ``N_lnd.npy``.
``pickle``
    The cleaned lists of the paper's release: ``training_fullpath.pkl`` and
    ``validation_fullpath.pkl``, a dict of file name to labels.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.affectnet_layouts import COLUMNS, FACE, read_csv, read_npy, read_pickle
from emokit.data.cleaned import apply_cleaned
from emokit.data.crops import tight_box
from emokit.data.pictures import readable
from emokit.data.problems import DataError, Problems
from emokit.data.tables import BOX, Table, read_table
from emokit.models.emofan import EXPRESSIONS

CODES = (*EXPRESSIONS[8], "none", "uncertain", "no face")
FILES = {
    "csv": {"train": ["training.csv"], "validation": ["validation.csv"]},
    "npy": {"train": ["train_set"], "validation": ["val_set"]},
    "pickle": {
        "train": ["training_fullpath.pkl", "train_fullpath.pkl"],
        "validation": ["validation_fullpath.pkl", "val_fullpath.pkl", "test_fullpath.pkl"],
    },
}


def read_affectnet(
    folder: str | os.PathLike,
    subset: str = "train",
    *,
    layout: str | None = None,
    n_expressions: int = 8,
    check_images: bool = False,
    cleaned: Table | None = None,
    on_error: str = "raise",
) -> pd.DataFrame:
    """Samples table of AffectNet.

    Parameters
    ----------
    folder : path
        Where the layout's files lie.
    subset : {"train", "validation"}
    layout : {"csv", "npy", "pickle"}, optional
        Recognised by what lies in ``folder``.
    n_expressions : {8, 5}
        5 keeps neutral, happy, sad, surprise and anger.
    check_images : bool
        Decode every picture, in threads, and report rows whose picture is missing, damaged or none.
        Takes minutes for the whole data set.
    cleaned : DataFrame or path, optional
        A cleaned list of the subset: what it drops goes, labels that it corrects replace; see
        `emokit.data.apply_cleaned`. Corrected expressions decide which of the five classes a face
        is in.
    on_error : {"raise", "skip"}
        See `Problems`; `skipped` tells what was left out.

    Returns
    -------
    DataFrame
        Rows that are a face with one of the expressions, valence and arousal. The others
        (codes 8 to 10, −2 for none, not ``expression_correct``) are counted in
        ``attrs["left_out"]``.

    Raises
    ------
    DataError
        No such files, or a malformed row; the message names file and row.
    ValueError
        The cleaned list does not fit; the message names ids.
    """
    path, layout = _find(Path(folder), subset, layout)
    problems = Problems(on_error)
    # A list may move faces from one class into another.
    samples = _read(path, layout, n_expressions if cleaned is None else 8, problems)
    if check_images:
        samples = readable(samples, ((path, row) for row in samples.index), problems)
    samples.index = pd.RangeIndex(len(samples))
    if cleaned is not None:
        samples = _cleaned(samples, read_table(cleaned), n_expressions, problems)
    return problems.attach(samples)


def _read(path: Path, layout: str, n_expressions: int, problems: Problems) -> pd.DataFrame:
    """The samples of one file or folder; the index is the row that messages name."""
    kept, left_out = [], Counter({"expression": 0, "valence or arousal": 0})
    for raw, points in {"csv": read_csv, "npy": read_npy, "pickle": read_pickle}[layout](path, problems):
        samples, others = _checked(raw, points, path, n_expressions, problems)
        kept.append(samples)
        left_out.update(others)
    if not kept:
        raise DataError(f"{path} holds no face; give the folder of a whole subset")
    samples = _once(pd.concat(kept), path, problems)
    samples.attrs["left_out"] = dict(left_out)
    return samples


def _once(samples: pd.DataFrame, path: Path, problems: Problems) -> pd.DataFrame:
    """``samples`` without further rows of a picture."""
    # Hashes tell in a tenth of the memory that pandas takes.
    if len(np.unique(np.fromiter(map(hash, samples["id"]), np.int64, len(samples)))) == len(samples):
        return samples
    repeated = samples["id"].duplicated()
    first = pd.Series(samples.index, samples["id"])[~repeated.to_numpy()]
    for row, name in zip(samples.index[repeated], samples["id"][repeated], strict=True):
        problem = f"the picture {name} is listed in row {first[name]} too"
        problems.add(path, row, problem, "keep one of the two, or pass on_error='skip' to keep the first")
    return samples[~repeated]


def _cleaned(samples: pd.DataFrame, cleaned: pd.DataFrame, n_expressions: int, problems: Problems) -> pd.DataFrame:
    """``samples`` of all classes under a list of these, or of the chosen ones."""
    chosen = samples["expression"].isin(EXPRESSIONS[n_expressions])
    laid = apply_cleaned(samples[chosen | samples["id"].isin(cleaned["id"].astype(str))], cleaned, problems)
    kept = laid[laid["expression"].isin(EXPRESSIONS[n_expressions])].reset_index(drop=True)
    kept.attrs["left_out"]["expression"] += len(samples) - laid.attrs["cleaned"]["dropped"] - len(kept)
    return kept


def _find(folder: Path, subset: str, layout: str | None) -> tuple[Path, str]:
    if subset not in ("train", "validation") or layout not in (None, *FILES):
        raise ValueError(
            f"subset is 'train' or 'validation', layout one of {', '.join(FILES)}; got {subset!r}, {layout!r}"
        )
    names = {kind: files[subset] for kind, files in FILES.items() if layout in (None, kind)}
    for kind, files in names.items():
        for name in files:
            if (folder / name).exists():
                return folder / name, kind
    looked = ", ".join(name for files in names.values() for name in files)
    raise DataError(f"{folder} holds none of {looked}; give the folder that AffectNet was unpacked into")


def _checked(
    raw: pd.DataFrame, points: NDArray[np.float32], path: Path, n_expressions: int, problems: Problems
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The samples of ``raw``, with its index: labelled faces of the chosen classes without a problem."""
    code, valence, arousal = (raw[c].to_numpy() for c in ("expression", "valence", "arousal"))
    wrong = np.zeros(len(raw), bool)

    def report(bad: NDArray[np.bool_], problem: str) -> None:
        for row in np.flatnonzero(bad & ~wrong):
            problems.add(path, raw.index[row], problem)
        wrong[bad] = True

    report((raw["image"] == "").to_numpy(), "there is no file name")
    report(
        raw["image"].str.contains("\n", regex=False).to_numpy(), "the file name runs over two lines; a quote is open"
    )
    report(~np.isin(code, range(len(CODES))), "the expression is none of the codes 0 to 10")
    for name, value in (("valence", valence), ("arousal", arousal)):
        report(~((np.abs(value) <= 1) | (value == -2)), f"{name} is neither in [-1, 1] nor -2")
    names = np.array(CODES, dtype=object)[np.where(wrong, 0, code).astype(int)]
    other = ~np.isin(names, EXPRESSIONS[n_expressions]) & ~wrong
    silent = ((valence == -2) | (arousal == -2)) & ~other & ~wrong
    wrong |= other | silent
    for name in [name for name in FACE if name in raw]:
        value, least = raw[name].to_numpy(), 0 if name in ("face_x", "face_y") else 1
        report(~((value >= least) & np.isfinite(value)), f"{name} is no number of pixels from {least} up")
    # With faces innermost in memory, for NumPy is slow along short axes.
    box = tight_box(np.ascontiguousarray(points.T).reshape(68, 2, -1).transpose(2, 0, 1))
    report(~np.isfinite(points).all(axis=1), "the landmarks are not 136 numbers x;y;… for 68 points")
    report(~(box[:, 2:] > box[:, :2]).all(axis=1), "the landmarks span no box")
    kept = ~wrong
    samples = pd.DataFrame(
        {
            "id": _ids(raw["image"][kept], path.parent),
            "image": raw["image"][kept],
            **dict(zip(BOX, box[kept].T, strict=True)),
            "landmarks": pd.Series(list(points if kept.all() else points[kept]), raw.index[kept], dtype=object),
            "expression": names[kept],
            "valence": valence[kept],
            "arousal": arousal[kept],
        }
    )
    return samples, {"expression": int(other.sum()), "valence or arousal": int(silent.sum())}


def _ids(images: Iterable[str], folder: Path) -> list[str]:
    """Paths from ``folder`` on, without suffix."""
    start = f"{folder}{os.sep}"
    ids = []
    for image in images:
        within = image.removeprefix(start)
        # relpath is slow, and changes only paths that lead out or wind.
        if within == image or within != os.path.normpath(within) or within.startswith(("..", os.sep)):
            within = os.path.relpath(image, folder)
        ids.append(os.path.splitext(within)[0])
    return ids


def listed_face(face: Mapping[str, Any], correct: bool = True) -> dict[str, Any]:
    """A row of samples as the paper's cleaned lists hold it; -2 where it has no valence or arousal."""
    return {
        "expression": CODES.index(face["expression"]),
        **{name: -2.0 if pd.isna(face[name]) else float(face[name]) for name in ("valence", "arousal")},
        "landmarks_fan": np.asarray(face["landmarks"], dtype=np.float64).reshape(68, 2),
        "expression_correct": correct,
    }


def write_affectnet(
    samples: pd.DataFrame, folder: str | os.PathLike, subset: str = "train", *, layout: str = "csv"
) -> None:
    """Write labelled ``samples`` in one of AffectNet's layouts, as `read_affectnet` finds them.

    Pictures are copied; they must be JPEG files.
    """
    folder = Path(folder)
    path = folder / FILES[layout][subset][0]
    pictures = {"csv": folder / "Manually_Annotated_Images" / subset, "npy": path / "images", "pickle": folder / subset}
    pictures[layout].mkdir(parents=True, exist_ok=True)
    codes = samples["expression"].map(CODES.index).tolist()
    rows, listed = [], {"folder": str(subset)}
    for number, (face, code) in enumerate(zip(samples.to_dict("records"), codes, strict=True)):
        points = np.asarray(face["landmarks"], dtype=np.float64)
        name = f"{number if layout == 'npy' else face['id']}.jpg"
        shutil.copyfile(face["image"], pictures[layout] / name)
        if layout == "npy":
            (path / "annotations").mkdir(exist_ok=True)
            parts = {"exp": str(code), "val": str(face["valence"]), "aro": str(face["arousal"]), "lnd": points}
            for part, value in parts.items():
                np.save(path / "annotations" / f"{number}_{part}.npy", value)
        elif layout == "csv":
            x0, y0, x1, y1 = (round(face[c]) for c in BOX)
            text = ";".join(f"{v:.2f}" for v in points)
            rows.append([f"{subset}/{name}", x0, y0, x1 - x0, y1 - y0, text, code, face["valence"], face["arousal"]])
        else:
            listed[f"{subset}/{name}"] = listed_face(face)
    if layout == "csv":
        pd.DataFrame(rows, columns=COLUMNS).to_csv(path, index=False)
    elif layout == "pickle":
        path.write_bytes(pickle.dumps(listed, protocol=2))
