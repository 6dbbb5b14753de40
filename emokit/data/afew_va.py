"""AFEW-VA as a samples table: clips ``001`` … ``600``, each with its frames and one JSON file.

``NNN.json`` holds ``actor``, ``video_id`` and, per frame, 68 landmarks and valence and arousal
as whole numbers from −10 to 10, which become −1 to 1.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from emokit.data.cleaned import apply_cleaned
from emokit.data.crops import tight_box
from emokit.data.pictures import readable
from emokit.data.problems import DataError, Problems
from emokit.data.tables import BOX, Table, write_table

LIMIT = 10  # valence and arousal are whole numbers from -LIMIT to LIMIT


def read_afew_va(
    folder: str | os.PathLike, *, check_images: bool = False, cleaned: Table | None = None, on_error: str = "raise"
) -> pd.DataFrame:
    """Samples table of AFEW-VA.

    Parameters
    ----------
    folder : path
        Holds the numbered clips, at any depth (the release comes in twelve parts).
    check_images : bool
        Decode every picture, in threads, and report frames whose picture is damaged or none; without
        it, only missing and empty files are found. Takes minutes for the whole data set.
    cleaned : DataFrame or path, optional
        A cleaned list: what it drops goes, labels that it corrects replace; see
        `emokit.data.apply_cleaned`.
    on_error : {"raise", "skip"}
        See `Problems`; `skipped` tells what was left out.

    Returns
    -------
    DataFrame
        One row per frame: ``id`` (clip/frame), ``image``, box, ``landmarks``, ``valence``,
        ``arousal``, ``subject`` (the actor), ``clip``, ``frame``.

    Raises
    ------
    DataError
        No clips, a malformed file or frame, or a picture that no frame describes; the message
        names it.
    ValueError
        The cleaned list does not fit; the message names ids.
    """
    folder, problems = Path(folder).absolute(), Problems(on_error)
    # Found by their pictures too: a clip that has lost its JSON is to be named.
    files = (p for kind in ("json", "png") for p in folder.glob(f"**/*.{kind}"))
    clips = sorted({p.parent / f"{p.parent.name}.json" for p in files if p.parent.name.isdecimal()})
    if not clips:
        raise DataError(f"{folder} holds no clips such as 001/001.json; give the folder AFEW-VA was unpacked into")
    rows: list[dict] = []
    seen: dict[str, Path] = {}
    for path in clips:
        if path.stem in seen:
            problems.add(path, None, f"clip {path.stem} is there twice, in {seen[path.stem]} too")
            continue
        seen[path.stem] = path
        rows += _clip(path, problems)
    if not rows:
        raise DataError(
            f"no frame in {folder} can be used; {len(problems.found)} problems, the first: {problems.found[:1]}"
        )
    samples = pd.DataFrame(rows)
    if check_images:
        places = ((image.with_name(f"{image.parent.name}.json"), image.stem) for image in map(Path, samples["image"]))
        samples = readable(samples, places, problems).reset_index(drop=True)
    if cleaned is not None:
        samples = apply_cleaned(samples, cleaned, problems).reset_index(drop=True)
    return problems.attach(samples)


def _clip(path: Path, problems: Problems) -> list[dict]:
    try:
        clip = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
        actor, frames = clip["actor"], clip["frames"].items()
        if isinstance(actor, bool) or not isinstance(actor, str | int) or actor == "" or not frames:
            raise ValueError("the actor has no name" if frames else "there are no frames")
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        problems.add(path, None, f"is no JSON with 'actor' and 'frames' ({error!r})")
        return []
    rows = []
    pictures = {p.stem: p.stat().st_size for p in path.parent.glob("*.png") if p.stem.isdecimal()}
    for name in sorted(pictures.keys() - clip["frames"].keys()):
        problems.add(path, name, f"the frame {name}.png has no annotation")
    for name, frame in frames:
        image = path.parent / f"{name}.png"
        try:
            points = _numbers(frame["landmarks"])
            valence, arousal = (float(_numbers(frame[key])) for key in ("valence", "arousal"))
            number = int(name)
        except (KeyError, TypeError, ValueError) as error:
            problems.add(path, name, f"landmarks, valence and arousal are not all numbers ({error!r})")
            continue
        if points.shape != (68, 2) or not np.isfinite(points).all() or not (np.ptp(points, axis=0) > 0).all():
            problems.add(path, name, f"landmarks are not 68 points that span a box (shape {points.shape})")
        elif not all(abs(v) <= LIMIT and v == round(v) for v in (valence, arousal)):
            whole = f"whole numbers from -{LIMIT} to {LIMIT}"
            problems.add(path, name, f"valence {valence:g} and arousal {arousal:g} are not both {whole}")
        elif name not in pictures:
            problems.add(path, name, f"the frame {image.name} is missing")
        elif not pictures[name]:
            problems.add(path, name, f"the frame {image.name} is empty")
        else:
            rows.append(
                {
                    "id": f"{path.stem}/{name}",
                    "image": str(image),
                    **dict(zip(BOX, tight_box(points), strict=True)),
                    "landmarks": points.astype(np.float32).ravel(),
                    "valence": valence / LIMIT,
                    "arousal": arousal / LIMIT,
                    "subject": str(actor),
                    "clip": path.stem,
                    "frame": number,
                }
            )
    return rows


def _unique(pairs: list[tuple[str, object]]) -> dict:
    """A JSON object whose keys differ; Python's reader would keep the last of equal ones."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(k for k in keys if keys.count(k) > 1)!r} is there twice")
    return found


def _numbers(cells: object) -> np.ndarray:
    """``cells`` as an array, refusing text and truth values that NumPy would turn into numbers."""
    values = np.asarray(cells)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{values.dtype} instead of numbers")
    return values.astype(np.float64)


def person_independent_folds(
    samples: pd.DataFrame, n_folds: int = 5, seed: int = 0, store: str | os.PathLike | None = None
) -> pd.Series:
    """Fold, from 0, of every sample: no person is in two folds, and folds are about equally large.

    Parameters
    ----------
    samples : DataFrame
        With ``id`` and ``subject``.
    n_folds : int
        5 in the paper.
    seed : int
    store : path, optional
        A CSV of subject and fold: read if it is there, otherwise written.

    Raises
    ------
    ValueError
        Fewer persons than folds, or a sample without subject.
    DataError
        A stored file that cannot be read, has other folds, or does not cover the samples.
    """
    subjects = samples["subject"].astype(str)
    if samples["subject"].isna().any():
        raise ValueError("person-independent folds need the subject of every sample; leave the others out")
    if store is not None and Path(store).exists():
        folds = _stored(store, n_folds)
        unknown = sorted(set(subjects) - set(folds.index))
        if unknown:
            raise DataError(f"{store} has no fold for subject {unknown[0]!r}; delete it to make new folds")
        return subjects.map(folds).rename("fold")
    if subjects.nunique() < n_folds:
        raise ValueError(f"{n_folds} folds need as many persons; there are {subjects.nunique()}")
    from sklearn.model_selection import GroupKFold  # takes longer to import than all else that loaders need

    # GroupKFold fills the smallest fold with the largest person left; names in random order
    # decide only between persons of equal size.
    names = np.sort(subjects.unique())  # so that the order of rows does not matter
    codes = pd.Series(np.random.default_rng(seed).permutation(len(names)), index=names)
    fold = pd.Series(0, index=samples.index, name="fold")
    split = GroupKFold(n_folds).split(samples, groups=subjects.map(codes))
    for number, (_, chosen) in enumerate(split):
        fold.iloc[chosen] = number
    if store is not None:
        table = pd.DataFrame({"subject": subjects, "fold": fold}).drop_duplicates().sort_values("subject")
        write_table(table, store)
    return fold


def _stored(store: str | os.PathLike, n_folds: int) -> pd.Series:
    """Fold of every subject, from a file."""
    try:
        # An actor may be called NA.
        table = pd.read_csv(store, dtype=str, keep_default_na=False)
        folds = table.set_index("subject")["fold"].astype(int)
    except (ValueError, KeyError, OSError) as error:
        raise DataError(f"{store} is no table of subject and fold ({error}); delete it to make new folds") from error
    if not folds.index.is_unique:
        raise DataError(f"{store} has subject {folds.index[folds.index.duplicated()][0]!r} twice; keep one of them")
    if set(folds) != set(range(n_folds)):
        raise DataError(f"{store} has the folds {sorted(set(folds))}, not {n_folds}; delete it to make new folds")
    return folds


def write_afew_va(samples: pd.DataFrame, folder: str | os.PathLike) -> None:
    """Write ``samples`` (PNG files, with ``clip`` and ``frame``) as `read_afew_va` finds them.

    Valence and arousal are rounded to tenths, as whole numbers of the release are.
    """
    for clip, frames in samples.groupby("clip"):
        path = Path(folder) / str(clip)
        path.mkdir(parents=True, exist_ok=True)
        labels = {}
        for face in frames.to_dict("records"):
            name = f"{face['frame']:05d}"
            shutil.copyfile(face["image"], path / f"{name}.png")
            labels[name] = {
                "landmarks": np.asarray(face["landmarks"], dtype=float).reshape(68, 2).round(2).tolist(),
                "valence": round(face["valence"] * 10),
                "arousal": round(face["arousal"] * 10),
            }
        actor = frames["subject"].iloc[0]
        (path / f"{clip}.json").write_text(json.dumps({"actor": actor, "video_id": str(clip), "frames": labels}))
