"""Harms planted in a samples table, to see whether an audit finds them.

Each is done to one group of one column, and changes nothing else. What was planted is known, so
findings can be checked; it says nothing about people.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from emokit.data.images import load_image, write_picture
from emokit.data.rendered import _cache
from emokit.data.tables import Table, read_table


def shift_labels(samples: Table, column: str, group: str, valence: float = 0.0, arousal: float = 0.0) -> pd.DataFrame:
    """``samples`` in which a group's labels are shifted: annotators who misread it.

    Parameters
    ----------
    samples : DataFrame or path
    column, group : str
        ``"age_band"``, ``"older"``.
    valence, arousal : float
        Added; results are clipped to [-1, 1].

    Returns
    -------
    DataFrame
        With ``true_valence`` and ``true_arousal`` added.

    Raises
    ------
    ValueError
        There is no such column, group or label.
    """
    samples, own = _group(samples, column, group)
    for target, shift in (("valence", valence), ("arousal", arousal)):
        if target not in samples:
            raise ValueError(f"the samples table has no column {target!r}; a shift is planted in existing labels")
        samples[f"true_{target}"] = samples[target]
        samples[target] = samples[target].where(~own, (samples[target] + shift).clip(-1, 1))
    return samples


def thin_out(samples: Table, column: str, group: str, keep: float = 0.1, seed: int = 0) -> pd.DataFrame:
    """``samples`` with few persons of a group left, each with all their faces: under-representation.

    Parameters
    ----------
    samples : DataFrame or path
        Without ``subject``, each face counts as a person.
    column, group : str
    keep : float
        Share of the group's persons that stays; one stays at least.
    seed : int

    Raises
    ------
    ValueError
        There is no such column or group, or the share is outside (0, 1].
    """
    samples, own = _group(samples, column, group)
    if not 0 < keep <= 1:
        raise ValueError(f"keep is above 0 and at most 1, got {keep}")
    who = samples["subject" if "subject" in samples else "id"]
    persons = who[own].unique()
    stays = np.random.default_rng(seed).permutation(persons)[: max(1, round(keep * len(persons)))]
    return samples[~own | who.isin(stays)].reset_index(drop=True)


def fade_pictures(
    samples: Table, column: str, group: str, contrast: float = 0.3, folder: str | os.PathLike | None = None
) -> pd.DataFrame:
    """``samples`` in which the pictures of a group have low contrast, as by a poor camera or light.

    Parameters
    ----------
    samples : DataFrame or path
    column, group : str
    contrast : float
        What is left of every pixel's distance to the picture's mean colour, in [0, 1].
    folder : path, optional
        Where faded pictures go; a folder of the user's cache by default. What lies there is used.

    Raises
    ------
    ValueError
        There is no such column, group or ``image``, or the contrast is outside [0, 1].
    """
    samples, own = _group(samples, column, group)
    if "image" not in samples:
        raise ValueError("the samples table has no column 'image'; only pictures can lose contrast")
    if not 0 <= contrast <= 1:
        raise ValueError(f"contrast lies between 0 and 1, got {contrast}")
    pictures = samples.loc[own, "image"]
    # Other pictures, or another contrast, are another folder.
    key = sha256("\n".join([f"{contrast:.4f}", *map(str, pictures)]).encode()).hexdigest()[:12]
    folder = Path(folder) if folder else _cache(f"faded-{key}")
    folder.mkdir(parents=True, exist_ok=True)
    faded = []
    for row, picture in pictures.items():
        path = folder / f"{samples['id'][row]}.png".replace("/", "_")
        if not path.exists():
            image = load_image(picture).astype(np.float64)
            mean = image.mean(axis=(0, 1))
            write_picture(np.rint(mean + contrast * (image - mean)).astype(np.uint8), path)
        faded.append(str(path.absolute()))
    samples["image"] = samples["image"].astype(object)
    samples.loc[own, "image"] = faded
    return samples


def _group(samples: Table, column: str, group: str) -> tuple[pd.DataFrame, pd.Series]:
    samples = read_table(samples)
    if column not in samples:
        raise ValueError(f"samples have no column {column!r}; they have {', '.join(map(str, samples.columns))}")
    own = samples[column] == group
    if not own.any():
        known = ", ".join(map(str, samples[column].dropna().unique()))
        raise ValueError(f"no sample is {group!r} in {column!r}; there are {known}")
    return samples, own
