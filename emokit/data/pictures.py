"""Pictures that cannot be opened, found while a data set is read and not in the middle of a training."""

from __future__ import annotations

import os
from collections.abc import Iterable
from multiprocessing.pool import ThreadPool

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from emokit.data.images import ImageError, load_image
from emokit.data.problems import Problems

Place = tuple[str | os.PathLike, object]


def readable(samples: pd.DataFrame, places: Iterable[Place], problems: Problems) -> pd.DataFrame:
    """The rows of ``samples`` whose ``image`` can be decoded to its end; the others are reported.

    Parameters
    ----------
    samples : DataFrame
    places : iterable of (file, row)
        What a report names, for every row.
    problems : Problems

    Raises
    ------
    DataError
        A picture is missing, damaged or none, unless ``problems`` keeps such rows.
    """
    kept = np.ones(len(samples), bool)
    # Pillow decodes without Python's lock, so threads use all cores.
    with ThreadPool() as pool:
        found = tqdm(pool.imap(_damage, samples["image"], 16), "pictures", len(samples), disable=None, delay=2)
        for number, (damage, place) in enumerate(zip(found, places, strict=True)):
            if damage:
                kept[number] = False
                problems.add(*place, damage)
    return samples[kept]


def _damage(image: str) -> str | None:
    """Why ``image`` cannot be used; decoded as training does it, because headers outlive what follows them."""
    try:
        load_image(image)
    except ImageError as error:
        return str(error)
    return None
