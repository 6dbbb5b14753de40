"""Whether the 95 % intervals of agreement hold the truth 95 times in 100: ``python -m emokit.evaluation.coverage``.

In each simulated study, five annotators and a model, whose true agreement is known, rate faces,
persons or recordings drawn at random; every interval is set against the truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator
from tqdm.auto import tqdm

from emokit.data.annotators import Annotator, draw_annotators, simulated_ratings, true_agreement
from emokit.data.rendered import affect, draw_action_units
from emokit.evaluation.agreement import HUMANS, against_humans, average_agreement, leave_one_out, pairwise
from emokit.evaluation.coefficients import coefficients
from emokit.evaluation.profile import annotator_profiles
from emokit.models import EXPRESSIONS

MODEL = "model"
_KEY = ["figure", "who", "target", "metric"]
# A study this many times as large gives the truths that have no closed form.
_LARGE = 100


def persons(n: int = 500, seed: int = 0) -> pd.DataFrame:
    """Labels of rendered faces that stay undrawn: each person shows the eight expressions."""
    rows = []
    for person in range(n):
        rng = np.random.default_rng([seed, person])
        for expression in EXPRESSIONS[8]:
            valence, arousal = affect(draw_action_units(expression, rng))
            rows.append((f"{person}/{expression}", f"s{person}", expression, valence, arousal))
    return pd.DataFrame(rows, columns=["id", "subject", "expression", "valence", "arousal"])


def recordings(n: int = 200, seed: int = 0, seconds: float = 12, rate: float = 5) -> pd.DataFrame:
    """Valence and arousal of persons who go from face to face, ``rate`` times a second; nothing is drawn."""
    labels = persons(n, seed)[["valence", "arousal"]].to_numpy().reshape(n, 8, 2)
    time, rng = np.arange(round(seconds * rate)) / rate, np.random.default_rng(seed)
    parts = []
    for k, stations in enumerate(labels):
        valence, arousal = PchipInterpolator(np.linspace(0, seconds, 8), rng.permutation(stations))(time).T
        about = {"id": [f"r{k}/{frame}" for frame in range(len(time))], "subject": f"r{k}", "time": time}
        parts.append(pd.DataFrame(about | {"valence": valence, "arousal": arousal}))
    return pd.concat(parts, ignore_index=True)


# The population, the column of what is drawn from it, and how many of these make a study.
DESIGNS: dict[str, tuple[Callable[[], pd.DataFrame], str, int]] = {
    "faces": (persons, "id", 150),
    "persons": (persons, "subject", 30),
    "recordings": (recordings, "subject", 30),
}


def coverage(
    design: str, studies: int = 200, n_resamples: int = 400, seed: int = 0, progress: bool = True
) -> pd.DataFrame:
    """How often intervals hold the true agreement.

    Parameters
    ----------
    design : {"faces", "persons", "recordings"}
        A study has 150 faces; or eight faces of each of 30 persons, resampled by person; or 30
        recordings of 60 frames with lag and slow noise, resampled by recording. Humans have blind
        spots (`draw_annotators`), and a tenth of all ratings is missing.
    studies, n_resamples, seed : int
    progress : bool

    Returns
    -------
    DataFrame
        For each ``figure``, ``target`` and ``metric``: ``covered``, the share of intervals that
        hold the truth; ``below`` and ``above``, of those that lie on one side of it; ``width``,
        their mean; ``intervals``, their number. Truths of pairs, averages and differences are
        exact (`true_agreement`); leave-one-out agreement, profiles and coefficients have those of
        one study 100 times as large.
    """
    make, unit, n = DESIGNS[design]
    population = make()
    annotators = [*draw_annotators(5, seed), Annotator(MODEL, noise=(0.1, 0.1), slips=0.05, missing=0.1)]
    rng = np.random.default_rng(seed)
    large = _estimates(_study(population, unit, _LARGE * n, annotators, rng), n_resamples=2)
    truth = pd.concat([_exact(population, annotators), large]).drop_duplicates(_KEY).set_index(_KEY)["value"]
    found = [
        _estimates(_study(population, unit, n, annotators, rng), n_resamples=n_resamples, seed=study)
        for study in tqdm(range(studies), f"studies of {design}", disable=None if progress else True)
    ]
    table = pd.concat(found).join(truth.rename("true"), on=_KEY)
    table = table.assign(
        covered=table["true"].between(table["low"], table["high"]),
        below=table["high"] < table["true"],
        above=table["low"] > table["true"],
        width=table["high"] - table["low"],
    )
    shares = {name: (name, "mean") for name in ("covered", "below", "above", "width")}
    return (
        table.groupby(["figure", "target", "metric"], sort=False)
        .agg(**shares, intervals=("low", "count"))
        .reset_index()
    )


def _study(
    population: pd.DataFrame, unit: str, n: int, annotators: list[Annotator], rng: np.random.Generator
) -> pd.DataFrame:
    """Ratings of ``n`` units drawn with replacement; one that is drawn twice counts as two."""
    rows = population.groupby(unit, sort=False).indices
    drawn = [rows[name] for name in rng.choice(list(rows), n)]
    samples = population.iloc[np.concatenate(drawn)].reset_index(drop=True)
    number = "/" + pd.Series(np.repeat(np.arange(n), [len(d) for d in drawn]).astype(str))
    samples = samples.assign(id=samples["id"] + number, subject=samples["subject"] + number)
    return simulated_ratings(samples, annotators, seed=int(rng.integers(2**32)))


def _estimates(ratings: pd.DataFrame, **options: int) -> pd.DataFrame:
    """Every figure of one study with its interval."""
    humans = ratings[ratings["annotator"] != MODEL]
    pairs, profiles = pairwise(ratings, **options), annotator_profiles(ratings, MODEL, **options)
    parts = {
        "pairs": pairs.assign(who=pairs["first"] + " " + pairs["second"]),
        "average": average_agreement(ratings, MODEL, **options).rename(columns={"annotator": "who"}),
        "model less": against_humans(ratings, MODEL, **options).rename(
            columns={"against": "who", "difference": "value"}
        ),
        "leave one out": leave_one_out(ratings, MODEL, **options).rename(columns={"annotator": "who"}),
        "profile": profiles[profiles["metric"] != "CCC"].rename(columns={"annotator": "who"}),
        "coefficients": coefficients(humans, **options).rename(columns={"coefficient": "metric"}).assign(who="humans"),
    }
    parts = [part.assign(figure=[_figure(kind, who) for who in part["who"]]) for kind, part in parts.items()]
    return pd.concat(parts)[[*_KEY, "value", "low", "high"]]


def _figure(kind: str, who: str) -> str:
    """What is tabulated together: the mean of humans apart, all humans one by one together."""
    if kind not in ("average", "model less"):
        return kind
    return f"{kind}: {who if who in (HUMANS, MODEL) else 'each human'}"


def _exact(population: pd.DataFrame, annotators: list[Annotator]) -> pd.DataFrame:
    """True pairs, averages and differences."""
    pairs = true_agreement(population, annotators)
    machine = (pairs[["first", "second"]] == MODEL).any(axis=1)
    averages = {HUMANS: pairs[~machine], MODEL: pairs[machine]}
    for name in (a.name for a in annotators if a.name != MODEL):
        averages[name] = pairs[~machine & (pairs[["first", "second"]] == name).any(axis=1)]
    means = {who: rows.groupby(["target", "metric"])["value"].mean() for who, rows in averages.items()}
    parts = [pairs.assign(who=pairs["first"] + " " + pairs["second"], figure="pairs")]
    for who, mean in means.items():
        parts.append(mean.reset_index().assign(who=who, figure=_figure("average", who)))
        if who != MODEL:
            parts.append((means[MODEL] - mean).reset_index().assign(who=who, figure=_figure("model less", who)))
    return pd.concat(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m emokit.evaluation.coverage", description=__doc__)
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for design in args.designs:
        table = coverage(design, args.studies, args.resamples, args.seed)
        print(f"\n{design}\n{table.round(3).to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
