"""Whether audits find simulated harms, and nothing else: ``python -m emokit.evaluation.audit.power``.

Everything is simulated: no face is rendered, and no network trained or asked. Each simulated audit
takes the labels of 150 persons, eight faces each, as rendering would have them. Every face, or every
person, is in one of three groups of each of three columns: 400 faces a group. Predictions are truth +
a leaning of its own for each person + noise. Then the predictions, or the labels, of one group are
changed as a harm would change them. (Notebook 06 renders faces and trains networks, once.)
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from tqdm.auto import tqdm

from emokit.evaluation.audit.figures import Drawn
from emokit.evaluation.audit.findings import WORTH, Settings, tested
from emokit.evaluation.audit.run import faces_of
from emokit.evaluation.coverage import persons
from emokit.evaluation.metrics import ccc
from emokit.models import EXPRESSIONS

COLUMNS = {
    "age_band": ("young", "middle", "older"),
    "skin_tone": ("light", "medium", "dark"),
    "culture": ("A", "B", "C"),
}
HARMED = ("age_band", "older")
DESIGNS = ("persons", "faces")
HARMS = ("none", "under-represented", "shifted labels", "low contrast")
PERSONS, EACH = 150, 8
POPULATION = 1000
AFFECT = ["valence", "arousal"]


def power(
    design: str = "persons",
    harm: str = "none",
    audits: int = 200,
    noise: float = 0.1,
    leaning: float = 0.03,
    fall: float = 0.1,
    shift: float = 0.05,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """How often a simulated harm is found, and how often something else is.

    Parameters
    ----------
    design : {"persons", "faces"}
        All faces of a person are in one group; or each is in a group of its own.
    harm : {"none", "under-represented", "shifted labels", "low contrast"}
        What is simulated: more noise, as of a group under-represented in training, or predictions of
        less spread, as of pictures of low contrast, until the CCC of the group is lower by ``fall``; or
        labels lower by ``shift``, so that its faces are read too high.
    audits : int
    noise, leaning : float
        Standard deviations of a face's and of a person's error.
    fall, shift : float
        In CCC, and in valence and arousal.
    seed : int
    progress : bool

    Returns
    -------
    DataFrame
        A row per target and metric that the harm changes by the simulated size, and one more:
        ``design``, ``simulated_harm``, ``finding``; ``found``, the share of audits in which the harmed
        group differs in the simulated direction, or, for "false alarm", in which any group differs of
        columns that no harm was simulated in; ``standard_error`` of that share; ``covered``, the share
        of 95 % intervals that hold the simulated difference.

    Raises
    ------
    ValueError
        There is no such design or harm.
    """
    if design not in DESIGNS or harm not in HARMS:
        raise ValueError(f"designs are {', '.join(DESIGNS)} and harms {', '.join(HARMS)}; got {design!r} and {harm!r}")
    rng = np.random.default_rng(seed)
    population = persons(POPULATION, seed)
    metric, size = ("signed error", shift) if harm == "shifted labels" else ("CCC", -fall)
    dose = shift if metric == "signed error" else _dose(harm, population, noise, leaning, fall, seed)
    planted = [] if harm == "none" else [f"{target} {metric}" for target in AFFECT]
    hits: dict[str, list[tuple[bool, bool]]] = {name: [] for name in (*planted, "false alarm")}
    for number in tqdm(range(audits), f"simulated {harm}, {design}", disable=None if progress else True):
        samples = _drawn(population, design, rng)
        said = _said(samples, noise, leaning, rng)
        _plant(harm, dose, said, samples, samples[HARMED[0]] == HARMED[1], rng)
        table = _findings(said, samples, number)
        innocent = ~table["columns"].str.contains(HARMED[0]) | (harm == "none")
        hits["false alarm"].append((table.loc[innocent, "differs"].any(), False))
        harmed = table[(table["columns"] == HARMED[0]) & (table["group"] == HARMED[1]) & (table["metric"] == metric)]
        for row in harmed[harmed["target"].isin(AFFECT)].itertuples() if planted else ():
            right = row.differs and np.sign(row.difference) == np.sign(size)
            hits[f"{row.target} {metric}"].append((right, row.low <= size <= row.high))
    rows = []
    for finding, pairs in hits.items():
        share, covered = np.mean(pairs, axis=0)
        error = np.sqrt(share * (1 - share) / audits)
        rows.append((design, harm, finding, share, error, np.nan if finding == "false alarm" else covered))
    return pd.DataFrame(rows, columns=["design", "simulated_harm", "finding", "found", "standard_error", "covered"])


def _findings(said: pd.DataFrame, samples: pd.DataFrame, seed: int) -> pd.DataFrame:
    """What `audit` finds; metrics that are not tested are left out, which saves half of the time."""
    settings = Settings(
        tuple(COLUMNS), intersections=2, min_size=20, alpha=0.05, correction="holm", worth=WORTH, power=0.9,
        n_resamples=1000, n_permutations=4000, level=0.95, seed=seed,
    )  # fmt: skip
    faces = faces_of(samples, said, settings.groups, None, settings.intersections)
    table = tested([Drawn(some, settings.n_resamples, seed) for some in faces], settings).findings
    return table.assign(differs=table["p_adjusted"] <= settings.alpha)


def _drawn(population: pd.DataFrame, design: str, rng: np.random.Generator) -> pd.DataFrame:
    """Persons drawn from the population, with groups of equal size."""
    chosen = rng.choice(len(population) // EACH, PERSONS, replace=False)
    samples = population.iloc[(chosen[:, None] * EACH + np.arange(EACH)).ravel()].reset_index(drop=True)
    for column, groups in COLUMNS.items():
        if design == "persons":
            samples[column] = np.repeat(rng.permutation(np.resize(groups, PERSONS)), EACH)
        else:
            samples[column] = rng.permutation(np.resize(groups, len(samples)))
    return samples


def _said(samples: pd.DataFrame, noise: float, leaning: float, rng: np.random.Generator) -> pd.DataFrame:
    """What the network answers before any harm; a fifth of its expressions are wrong."""
    said = samples[["id", "expression"]].copy()
    wrong = rng.random(len(said)) < 0.2
    said.loc[wrong, "expression"] = rng.choice(EXPRESSIONS[8], wrong.sum())
    for target in AFFECT:
        own = np.repeat(rng.normal(0, leaning, len(samples) // EACH), EACH)
        said[target] = samples[target] + own + rng.normal(0, noise, len(samples))
    return said


def _plant(
    harm: str, dose: float | dict[str, float], said: pd.DataFrame, samples: pd.DataFrame, harmed: pd.Series,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Change ``said``, or the labels of ``samples``, where ``harmed``; then clip what is said."""
    for target in AFFECT if harm != "none" else ():
        if harm == "shifted labels":
            samples.loc[harmed, target] -= dose
        elif harm == "under-represented":
            said.loc[harmed, target] += rng.normal(0, dose[target], harmed.sum())
        else:
            said.loc[harmed, target] -= dose[target] * samples.loc[harmed, target]
    said[AFFECT] = said[AFFECT].clip(-1, 1)


def _dose(
    harm: str, population: pd.DataFrame, noise: float, leaning: float, fall: float, seed: int
) -> dict[str, float]:
    """How much of ``harm`` lowers the CCC of a group by ``fall``."""
    all_of_it = pd.Series(True, population.index)

    def measured(target: str, amount: float) -> float:
        rng = np.random.default_rng(seed)
        said = _said(population, noise, leaning, rng)
        _plant(harm, dict.fromkeys(AFFECT, amount), said, population, all_of_it, rng)
        return ccc(population[target], said[target])

    if harm == "none":
        return {}
    return {t: brentq(lambda x, t=t: measured(t, x) - measured(t, 0) + fall, 0, 0.9, xtol=1e-3) for t in AFFECT}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m emokit.evaluation.audit.power", description=__doc__)
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    parser.add_argument("--harms", nargs="+", choices=HARMS, default=list(HARMS))
    parser.add_argument("--audits", type=int, default=200)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--leaning", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{args.audits} simulated audits of simulated predictions; nothing is rendered or trained", flush=True)
    about = {"audits": args.audits, "noise": args.noise, "leaning": args.leaning, "seed": args.seed}
    for design in args.designs:
        for harm in args.harms:
            print(power(design, harm, **about).round(3).to_string(index=False, na_rep=""), flush=True)


if __name__ == "__main__":
    main()
