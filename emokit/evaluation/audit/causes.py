"""Would a difference remain between groups that are alike in something else?

Faces of the group and of the rest are reweighted until both have the distribution over strata
that all faces have: of labels, of picture quality, of landmark error, of who annotated them. What
then is gone of a difference goes along with that; whether it is its cause, weights can't tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.evaluation.audit.differences import TESTED
from emokit.evaluation.audit.faces import METRICS, Faces, blocks
from emokit.evaluation.audit.figures import terms_and_figures
from emokit.evaluation.audit.run import Audit
from emokit.evaluation.intervals import interval, resamples

Array = NDArray[np.float64]

LABEL = "label"
_FEW = 5  # faces that a stratum has of both, to be compared
_OVERLAP = 0.5  # share of faces in such strata, below which nothing is said
_NOTABLE = 0.1  # of the difference; less is not worth a word


def causes(found: Audit, by: str | Sequence[str] = (LABEL,), bins: int = 8) -> pd.DataFrame:
    """Differences to the rest, as found and between faces made alike in each of ``by``.

    Parameters
    ----------
    found : Audit
    by : str or sequence of str
        ``"label"``, the label of the same target, or columns of the audited samples, such as
        those of `image_quality`, `landmark_error` or `culture_match`. Numbers of more than
        ``bins`` values are put into that many bins of equally many faces.
    bins : int

    Returns
    -------
    DataFrame
        For every group with enough persons, tested metric and cause: ``imbalance``, how
        differently group and rest are spread over strata (total variation, 0 alike, 1 apart);
        ``overlap``, the share of faces in strata that have five of both; the ``difference`` of all
        faces, ``adjusted`` for the cause over these strata, and ``explained``, which is the former
        less the latter, each with ``_low`` and ``_high``; and ``says``: "explains it", "explains
        part", "does not explain it", "hides more" (the difference grows), "nothing to explain"
        (its interval holds 0), or "can't be separated" where less than half of the faces overlap.

    Raises
    ------
    ValueError
        There is no such column, it is empty for a face, there is none, or bins are fewer than 2.
    """
    by = [by] if isinstance(by, str) else list(by)
    if not by:
        raise ValueError(f"by names no cause; give {LABEL!r}, or columns of the audited samples")
    if bins < 2:
        raise ValueError(f"strata need at least 2 bins, got {bins}")
    tables = [_alike(some, _strata(found, some, name, bins), name, found) for name in by for some in found.faces]
    return pd.concat(tables, ignore_index=True)


def _strata(found: Audit, some: Faces, name: str, bins: int) -> NDArray[np.int64]:
    if name == LABEL:
        column = pd.Series(some.true)
    elif name in found.samples:
        column = found.samples[name].iloc[some.rows]
    else:
        raise ValueError(
            f"the audited samples have no column {name!r}; they have {', '.join(map(str, found.samples.columns))}. "
            "Add it before the audit"
        )
    if column.isna().any():
        raise ValueError(f"column {name!r} is empty for {column.isna().sum()} faces; fill it in, or leave them out")
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > bins:
        return pd.qcut(column, bins, labels=False, duplicates="drop").to_numpy()
    return pd.factorize(column, sort=True)[0]


def _alike(some: Faces, strata: NDArray[np.int64], name: str, found: Audit) -> pd.DataFrame:
    settings, size = found.settings, int(strata.max()) + 1
    clusters, n = blocks(some.persons, some.n_persons, settings.seed)
    terms, figures = terms_and_figures(some)
    sums = some.crossed(strata, list(map(str, range(size)))).sums(terms, clusters, n).reshape(n, -1, size, len(terms))
    own, rest = _both(some, sums.sum(axis=0))
    common = (own[..., 0] >= _FEW) & (rest[..., 0] >= _FEW)
    share = (own + rest)[..., 0] * common

    def differences(sums: Array) -> Array:
        """(..., groups, metrics, 2): of all faces as they are, and alike over common strata."""
        both = _both(some, sums)
        with np.errstate(divide="ignore", invalid="ignore"):
            even = [np.where(p[..., :1] > 0, p / p[..., :1], 0) * share[..., None] for p in both]
        plain, alike = ([figures(p.sum(axis=-2)) for p in pair] for pair in (both, even))
        return np.stack((plain[0] - plain[1], alike[0] - alike[1]), axis=-1)

    value, flat = differences(sums.sum(axis=0)), sums.reshape(n, -1)
    many = [
        differences((c @ flat).reshape(-1, *sums.shape[1:])) for c in resamples(n, settings.n_resamples, settings.seed)
    ]
    many = np.concatenate(many)
    counts = some.counts
    fewer = counts[["effective", "effective_rest"]].min(axis=1).to_numpy()
    spread = [part[..., 0] / part[..., 0].sum(axis=-1, keepdims=True) for part in (own, rest)]
    about = counts[["columns", "group"]].assign(
        target=some.target, cause=name,
        imbalance=np.abs(spread[0] - spread[1]).sum(axis=-1) / 2,
        overlap=share.sum(axis=-1) / (own + rest)[..., 0].sum(axis=-1),
    )  # fmt: skip
    tables = []
    for metric in TESTED[some.target]:
        k = list(METRICS[some.target]).index(metric)
        three, drawn = (np.concatenate((x, x[..., :1] - x[..., 1:]), -1) for x in (value[:, k], many[:, :, k]))
        low, high = interval(three, drawn, ["difference"] * 3, fewer, settings.level)
        table = about.assign(metric=metric)
        for j, column in enumerate(("difference", "adjusted", "explained")):
            table = table.assign(**{column: three[:, j], f"{column}_low": low[:, j], f"{column}_high": high[:, j]})
        tables.append(table[fewer >= settings.min_size])
    table = pd.concat(tables)
    return table.assign(says=_says(table))


def _both(some: Faces, sums: Array) -> tuple[Array, Array]:
    """Sums (..., groups, strata, k) of groups and of their rest."""
    flat = sums.reshape(*sums.shape[:-2], -1)
    return sums, some.rest(flat).reshape(sums.shape)


def _says(table: pd.DataFrame) -> NDArray:
    sure = (table["explained_low"] > 0) | (table["explained_high"] < 0)
    sure &= table["explained"].abs() > _NOTABLE * table["difference"].abs()
    gone = (table["adjusted_low"] <= 0) & (table["adjusted_high"] >= 0)
    smaller = table["adjusted"].abs() < table["difference"].abs()
    cases = {
        "can't be separated": table["overlap"] < _OVERLAP,
        "hides more": sure & ~smaller,
        "nothing to explain": ~((table["difference_low"] > 0) | (table["difference_high"] < 0)),
        "explains it": sure & gone,
        "explains part": sure,
    }
    return np.select(list(cases.values()), list(cases), "does not explain it")
