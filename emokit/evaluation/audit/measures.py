"""What may go along with a group, measured face by face: pictures, landmarks, annotators."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import pandas as pd

from emokit.data.images import load_image
from emokit.data.tables import BOX, Table, landmarks_of, read_table
from emokit.evaluation.ratings import read_ratings


def image_quality(samples: Table) -> pd.DataFrame:
    """``samples`` with what their pictures are like within the faces' boxes.

    Parameters
    ----------
    samples : DataFrame or path
        With ``image``, ``x0 y0 x1 y1``.

    Returns
    -------
    DataFrame
        With ``brightness`` and ``contrast`` (mean and standard deviation of grey levels, in [0, 1]),
        ``sharpness`` (standard deviation of the Laplacian ÷ contrast) and ``face_size`` (longer
        side of the box, pixels). A dark skin is less bright in a good picture too: brightness is
        no flaw by itself.

    Raises
    ------
    ValueError
        A column or a number of a box is missing, or a box lies outside its picture.
    """
    samples = read_table(samples)
    missing = [name for name in ("image", *BOX) if name not in samples]
    if missing:
        raise ValueError(f"samples have no column {missing[0]!r}, without which a face's picture can't be measured")
    empty = samples[["image", *BOX]].isna()
    if empty.to_numpy().any():
        row = int(empty.any(axis=1).to_numpy().argmax())
        name = empty.columns[empty.iloc[row]][0]
        raise ValueError(
            f"row {row} of the samples ({samples['id'].iloc[row]!r}) has no {name}; fill it in, or leave it out"
        )
    rows = []
    for row in samples[["id", "image", *BOX]].itertuples(index=False):
        x0, y0, x1, y1 = (max(0, round(v)) for v in row[2:])
        face = load_image(row.image)[y0:y1, x0:x1]
        if not face.size:
            raise ValueError(f"the box of sample {row.id!r} lies outside its picture {row.image}")
        grey = cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2GRAY) / 255
        contrast = grey.std()
        edges = cv2.Laplacian(grey, cv2.CV_64F).std() / max(contrast, 1e-6)
        rows.append((grey.mean(), contrast, edges, max(row.x1 - row.x0, row.y1 - row.y0)))
    names = ["brightness", "contrast", "sharpness", "face_size"]
    return samples.assign(**dict(zip(names, np.transpose(rows), strict=True)))


def landmark_error(predictions: Table, samples: Table) -> pd.DataFrame:
    """``samples`` with ``landmark_error``: mean distance of predicted landmarks ÷ distance of the outer eye corners.

    Raises
    ------
    ValueError
        A table has no landmarks, or a sample no prediction.
    """
    samples, predictions = read_table(samples), read_table(predictions)
    for role, table in (("samples", samples), ("predictions", predictions)):
        if "landmarks" not in table:
            raise ValueError(f"{role} have no column 'landmarks'; landmark error needs them in both tables")
    said = predictions.set_index(predictions["id"].astype(str))
    ids = samples["id"].astype(str)
    absent = ids[~ids.isin(said.index)]
    if len(absent):
        raise ValueError(f"{len(absent)} samples have no prediction, such as {absent.iloc[0]!r}; predict them")
    true, pred = landmarks_of(samples), landmarks_of(said.loc[ids])
    eyes = np.linalg.norm(true[:, 36] - true[:, 45], axis=-1)
    return samples.assign(landmark_error=np.linalg.norm(pred - true, axis=-1).mean(axis=-1) / eyes)


def culture_match(samples: Table, ratings: Table, cultures: Mapping[str, str], column: str = "culture") -> pd.DataFrame:
    """``samples`` with ``culture_match``: the share of a face's annotators who are of its person's culture.

    SEWA has every recording annotated within its culture (paper, Methods); elsewhere it varies.

    Parameters
    ----------
    samples : DataFrame or path
        With ``column``.
    ratings : DataFrame or path
        Long table (`emokit.evaluation.ratings`).
    cultures : mapping
        Of every annotator.
    column : str
        The culture of a sample's person.

    Raises
    ------
    ValueError
        The column is missing, or the culture of an annotator.
    """
    samples, ratings = read_table(samples), read_ratings(ratings)
    if column not in samples:
        raise ValueError(f"samples have no column {column!r}; name the one that holds the person's culture")
    unknown = [name for name in ratings["annotator"].unique() if name not in cultures]
    if unknown:
        raise ValueError(f"cultures say nothing of annotator {unknown[0]!r}; name the culture of each")
    ids = samples["id"].astype(str)
    own = ratings["item"].map(pd.Series(samples[column].to_numpy(), ids))
    same = ratings["annotator"].map(cultures) == own
    share = same[own.notna()].groupby(ratings["item"]).mean()
    return samples.assign(culture_match=share.reindex(ids).to_numpy())
