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
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.cleaned import apply_cleaned
from emokit.data.crops import tight_box
from emokit.data.problems import DataError, Problems
from emokit.data.tables import BOX, Table, read_table
from emokit.data.unpickle import load_pickle
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
_COLUMNS = ["subDirectory_filePath", "facial_landmarks", "expression", "valence", "arousal"]
_CHUNK = 20_000


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
        Report rows whose picture is missing (slow on network disks).
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
    parts = {"csv": _csv, "npy": _npy, "pickle": _pickle}[layout](path, problems)
    # A list may move faces from one class into another.
    n_read = n_expressions if cleaned is None else 8
    kept = [_checked(part, path, n_read, check_images, problems) for part in parts]
    if not kept:
        raise DataError(f"{path} holds no face; give the folder of a whole subset")
    samples = pd.concat([samples for samples, _ in kept], ignore_index=True)
    repeated = samples["id"].duplicated()
    for row in np.flatnonzero(repeated):
        problems.add(path, samples["id"].iloc[row], "the picture is listed twice")
    samples = samples[~repeated].reset_index(drop=True)
    samples.attrs["left_out"] = {
        reason: sum(counts[reason] for _, counts in kept) for reason in ("expression", "valence or arousal")
    }
    if cleaned is not None:
        samples = _cleaned(samples, read_table(cleaned), n_expressions, problems)
    return problems.attach(samples)


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


# Each layout becomes raw columns: row (what a message names), image, landmarks (n, 136),
# expression code, valence, arousal; NaN where a value is no number.


def _csv(path: Path, problems: Problems) -> Iterator[pd.DataFrame]:
    folder = path.parent / "Manually_Annotated_Images"
    folder = folder if folder.is_dir() else path.parent
    try:
        with pd.read_csv(path, chunksize=_CHUNK, dtype=str, usecols=_COLUMNS, keep_default_na=False) as chunks:
            for chunk in chunks:
                yield pd.DataFrame(
                    {
                        "row": chunk.index,
                        "image": [str(folder / name) if name else "" for name in chunk["subDirectory_filePath"]],
                        "landmarks": list(_landmarks(chunk["facial_landmarks"].tolist())),
                        **{c: _numbers(chunk[c].tolist()) for c in ("expression", "valence", "arousal")},
                    }
                )
    except (ValueError, OSError) as error:  # pandas' own kinds among them
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read ({error}); it needs the columns {', '.join(_COLUMNS)}") from error


def _npy(path: Path, problems: Problems) -> Iterator[pd.DataFrame]:
    names = sorted((p.name[:-8] for p in (path / "annotations").glob("*_exp.npy")), key=lambda n: (len(n), n))
    for start in range(0, len(names), _CHUNK):
        rows = []
        for name in names[start : start + _CHUNK]:
            values = {}
            for key, part in (("expression", "exp"), ("valence", "val"), ("arousal", "aro"), ("landmarks", "lnd")):
                file = path / "annotations" / f"{name}_{part}.npy"
                try:
                    found = np.load(file, allow_pickle=False)
                    values[key] = np.asarray(found, dtype=np.float64).ravel()
                except Exception as error:  # a damaged header fails in any of many ways
                    problems.add(file, None, f"cannot be read ({error})")
                    break
            else:
                rows.append({"row": name, "image": str(path / "images" / f"{name}.jpg"), **_labels(values)})
        if rows:
            yield pd.DataFrame(rows)


def _pickle(path: Path, problems: Problems) -> Iterator[pd.DataFrame]:
    listed = load_pickle(path)
    if not isinstance(listed, dict):
        raise DataError(f"{path} holds a {type(listed).__name__}, not a dict of file name to labels")
    rows = []
    for name, face in listed.items():
        if name == "folder":
            continue
        try:
            correct = bool(face.get("expression_correct", True))
            keys = {
                "expression": "expression",
                "valence": "valence",
                "arousal": "arousal",
                "landmarks": "landmarks_fan",
            }
            values = {key: np.asarray(face[of], dtype=np.float64).ravel() for key, of in keys.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.add(path, name, f"expression, valence, arousal and landmarks_fan are not all there ({error!r})")
            continue
        if correct:
            rows.append({"row": name, "image": str(path.parent / str(name)), **_labels(values)})
    if rows:
        yield pd.DataFrame(rows)


def _labels(values: dict[str, NDArray]) -> dict[str, object]:
    numbers = {k: values[k][0] if values[k].size == 1 else np.nan for k in ("expression", "valence", "arousal")}
    with np.errstate(over="ignore"):  # infinite landmarks are reported
        points = values["landmarks"].astype(np.float32)
    return {**numbers, "landmarks": points if points.size == 136 else np.full(136, np.nan, np.float32)}


def _numbers(texts: list[str]) -> NDArray[np.float64]:
    return pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(np.float64)


def _landmarks(texts: list[str]) -> NDArray[np.float32]:
    """(n, 136) from ``x;y;…``: all at once, and one by one only where that fails."""
    points = np.full((len(texts), 136), np.nan, np.float32)
    whole = np.array([text.count(";") == 135 for text in texts])
    good = [text for text, ok in zip(texts, whole, strict=True) if ok]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            points[whole] = np.fromstring(";".join(good), dtype=np.float64, sep=";").reshape(-1, 136)
    except (ValueError, Warning):  # overflow is a warning too
        for row in np.flatnonzero(whole):
            try:
                with np.errstate(over="ignore"):
                    points[row] = [float(x) for x in texts[row].split(";")]
            except ValueError:
                points[row] = np.nan
    return points


def _checked(
    raw: pd.DataFrame, path: Path, n_expressions: int, check_images: bool, problems: Problems
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The samples of ``raw``: labelled faces of the chosen classes without a problem."""
    code, valence, arousal = (raw[c].to_numpy() for c in ("expression", "valence", "arousal"))
    points = np.stack(raw["landmarks"].to_list()) if len(raw) else np.empty((0, 136), np.float32)
    wrong = np.zeros(len(raw), bool)

    def report(bad: NDArray[np.bool_], problem: str) -> None:
        for row in np.flatnonzero(bad & ~wrong):
            problems.add(path, raw["row"].iloc[row], problem)
        wrong[bad] = True

    report((raw["image"] == "").to_numpy(), "there is no file name")
    report(~np.isin(code, range(len(CODES))), "the expression is none of the codes 0 to 10")
    for name, value in (("valence", valence), ("arousal", arousal)):
        report(~((np.abs(value) <= 1) | (value == -2)), f"{name} is neither in [-1, 1] nor -2")
    names = np.array(CODES, dtype=object)[np.where(wrong, 0, code).astype(int)]
    other = ~np.isin(names, EXPRESSIONS[n_expressions]) & ~wrong
    silent = ((valence == -2) | (arousal == -2)) & ~other & ~wrong
    wrong |= other | silent
    box = tight_box(points.reshape(-1, 68, 2))
    report(~np.isfinite(points).all(axis=1), "the landmarks are not 136 numbers x;y;… for 68 points")
    report(~(box[:, 2:] > box[:, :2]).all(axis=1), "the landmarks span no box")
    if check_images:
        report(~np.array([os.path.isfile(image) for image in raw["image"]]), "the picture is missing")
    kept = ~wrong
    samples = pd.DataFrame(
        {
            "id": [os.path.splitext(os.path.relpath(image, path.parent))[0] for image in raw["image"][kept]],
            "image": raw["image"][kept].to_numpy(),
            **dict(zip(BOX, box[kept].T, strict=True)),
            "landmarks": pd.Series(list(points[kept]), dtype=object),
            "expression": names[kept],
            "valence": valence[kept],
            "arousal": arousal[kept],
        }
    )
    return samples, {"expression": int(other.sum()), "valence or arousal": int(silent.sum())}


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
        names = ["subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", *_COLUMNS[1:]]
        pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    elif layout == "pickle":
        path.write_bytes(pickle.dumps(listed, protocol=2))
