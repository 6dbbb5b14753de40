"""What to review first, so that most errors are found long before the faces end.

On rendered faces with planted errors: python -m emokit.cleaning.queue
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from emokit.cleaning.evidence import Evidence, by_duplicates, by_model, by_rules
from emokit.cleaning.folds import out_of_fold
from emokit.cleaning.rules import RULES, Rules
from emokit.data.noise import noisy_labels
from emokit.data.rendered import rendered_faces
from emokit.data.tables import Table, read_table
from emokit.models.weights import load_emofan


def review_queue(
    samples: Table,
    predictions: Table | None = None,
    *,
    rules: Rules = RULES,
    duplicates: bool = True,
    audit: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """``samples`` in the order in which to review them.

    A label is the more doubtful, the less a model that has not seen it believes it (confident
    learning), the further valence and arousal lie from the model's and from what the rule of the
    expression admits, and if a face that looks the same is labelled otherwise. Among these come
    faces drawn at random from those that nothing speaks against: their share of errors tells how
    many are left in what nobody reviews.

    Parameters
    ----------
    samples : DataFrame or path
    predictions : DataFrame or path, optional
        Of every sample, by a model that has not seen its label: see `out_of_fold`.
    rules : mapping or path
        See `check`; applied where samples have expression, valence and arousal.
    duplicates : bool
        Look for near-duplicates; opens every picture once.
    audit : float
        Share of any beginning of the queue that is drawn at random.
    seed : int

    Returns
    -------
    DataFrame
        All columns of ``samples``; ``score`` in [0, 1], higher for more doubtful labels; ``reason``:
        "duplicate", "rule", "label score", "disagreement", "audit", or "rest" where nothing speaks
        against the label; ``why``, everything that does, in words; ``doubted``, whether the model is
        among what does.

    Raises
    ------
    ValueError
        A sample has no prediction, or ``audit`` is no share; and as `check`.
    """
    if not 0 <= audit <= 1:
        raise ValueError(f"audit is a share between 0 and 1, got {audit}")
    samples = read_table(samples).reset_index(drop=True)
    found: list[Evidence] = []
    if duplicates and "image" in samples:
        found.append(by_duplicates(samples))
    if {"expression", "valence", "arousal"} <= set(samples):
        found.append(by_rules(samples, rules))
    if predictions is not None:
        found += by_model(samples, predictions)
    quality = np.ones(len(samples))
    reason, why = np.full(len(samples), "rest", dtype=object), np.full(len(samples), "", dtype=object)
    doubted = np.zeros(len(samples), bool)
    for evidence in found:
        quality *= evidence.quality
        reason[evidence.rows[reason[evidence.rows] == "rest"]] = evidence.reason
        doubted[evidence.rows] |= evidence.reason in ("label score", "disagreement")
        for row, words in zip(evidence.rows, evidence.why, strict=True):
            why[row] += f"; {words}" if why[row] else words
    score = 1 - quality
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(np.flatnonzero(reason == "rest"))[: int(audit * len(samples))]
    reason[drawn], why[drawn] = "audit", "drawn at random"
    order = _spread(np.argsort(-score, kind="stable"), drawn, audit)
    table = samples.assign(score=score, reason=reason, why=why, doubted=doubted)
    return table.iloc[order].reset_index(drop=True)


def _spread(order: NDArray[np.int64], drawn: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """``order`` with the ``drawn`` rows moved so that any beginning of it has this ``share`` of them."""
    places = ((np.arange(len(drawn)) + 1) / share).astype(int) - 1 if len(drawn) else []
    mixed, free = np.empty_like(order), np.ones(len(order), bool)
    free[places] = False
    mixed[places], mixed[free] = drawn, order[~np.isin(order, drawn)]
    return mixed


def queue_curve(queue: pd.DataFrame, wrong: Collection[str] | Sequence[bool], level: float = 0.95) -> pd.DataFrame:
    """Share of the errors that are found after each percent of the queue, beside random order.

    Parameters
    ----------
    queue : DataFrame
        From `review_queue`.
    wrong : ids of the errors, or a truth value for each row of the queue
    level : float
        Of the band that random orders keep within.

    Returns
    -------
    DataFrame
        101 rows: ``faces`` reviewed, and ``reviewed``, their share of the queue; ``found``, the share
        of the errors among them; ``random``, what random order finds on average, within ``low`` to
        ``high`` in ``level`` of all orders.

    Raises
    ------
    ValueError
        There is no error, or an id of ``wrong`` is not in the queue.
    """
    wrong = list(wrong)
    if len(wrong) == len(queue) and all(isinstance(value, bool | np.bool_) for value in wrong):
        hit = np.array(wrong)
    else:
        ids, wrong = queue["id"].astype(str), {str(name) for name in wrong}
        strange = sorted(wrong - set(ids))
        if strange:
            raise ValueError(f"{len(strange)} of {len(wrong)} errors are not in the queue, such as {strange[0]!r}")
        hit = ids.isin(wrong).to_numpy()
    n, errors = len(queue), int(hit.sum())
    if not errors:
        raise ValueError("there is no error to find; give their ids, or a truth value for each row")
    faces = np.round(np.linspace(0, n, 101)).astype(int)
    low, high = stats.hypergeom.interval(level, n, errors, faces)
    return pd.DataFrame(
        {
            "faces": faces,
            "reviewed": faces / n,
            "found": np.concatenate(([0], np.cumsum(hit)))[faces] / errors,
            "random": faces / n,
            "low": low / errors,
            "high": high / errors,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m emokit.cleaning.queue",
        description="Share of planted label errors in the beginning of the queue, on rendered faces of each seed.",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[3102, 3103, 3104, 3105, 3106])
    parser.add_argument("--faces", type=int, default=1600, help="of each seed")
    parser.add_argument("--wrong", type=float, default=0.1, help="share of faces with labels of another expression")
    parser.add_argument("--weights", default="demo", help="what load_emofan takes")
    parser.add_argument("--part", default="fan", choices=["fan", "head"], help="features that the heads learn from")
    args = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = load_emofan(args.weights)
    rows = []
    for seed in args.seeds:
        samples = noisy_labels(rendered_faces(args.faces, seed=seed), wrong=args.wrong, seed=seed)
        queue = review_queue(samples, out_of_fold(samples, model, part=args.part))
        curve = queue_curve(queue, queue["wrong"]).set_index("reviewed")
        rows.append(
            {"seed": seed, "errors": queue["wrong"].sum()}
            | {f"first {k} %": curve["found"].iloc[k] for k in (5, 10, 15, 20, 30)}
        )
    table = pd.DataFrame(rows).set_index("seed")
    print(f"Share of the errors found, {args.faces:,} faces each; random order finds 10 % of them in the first 10 %")
    print(table.to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
