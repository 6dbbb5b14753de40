"""What an audit must say of itself: method, limits, ethics, and the cards of model and data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from emokit.evaluation.audit.faces import MOST_CLUSTERS
from emokit.evaluation.audit.findings import CORRECTIONS, VERDICTS
from emokit.evaluation.audit.run import Audit

ETHICS = (
    "What is measured is the expression that a face portrays, as annotators labelled it. Nobody's feelings, intentions "
    "or character can be read from it: whoever smiles to hide grief is labelled, and read, as happy.",
    "How people show affect, and how others read it, differs between cultures. Labels carry the habits of those who "
    "gave them. A network that serves one culture well may misread another, and agreement with annotators of another "
    "culture than the person's is not accuracy.",
    "The technology can be misused: to follow people and their habits across cameras and calls, to target them "
    "politically, or to judge those who cannot object, such as applicants, drivers, pupils or prisoners. A small "
    "difference between groups does not make such a use acceptable.",
    "An audit of predictions is one part of what is owed. Each application needs its own, with its own people and "
    "pictures; a public account of risks, benefits and alternatives; consent; and a way for those affected to "
    "object and be heard. Training data need auditing as predictions do.",
    "Groups come from what people, or a data set's sources, say of them. They were not guessed from pictures: such "
    "guesses fail most for the same people that a network fails, and nobody agreed to be sorted by looks.",
)

# What a reader expects, in this order; what nobody stated is shown as such.
MODEL_FIELDS = (
    "Name", "Version", "Developers", "Architecture", "Parameters", "Input size", "Outputs", "Weights (SHA-256)",
    "Licence", "Trained on", "Intended use", "Uses out of scope", "Contact",
)  # fmt: skip
DATA_FIELDS = (
    "Name", "Version", "Purpose", "Collected by", "Source of pictures", "Consent of those shown", "Annotators",
    "Annotation", "Source of groups", "Licence", "Known gaps", "Contact",
)  # fmt: skip
NOT_STATED = "not stated"


def method(found: Audit) -> list[str]:
    """How figures were made, so that another can make them again."""
    s, persons = found.settings, unit(found)
    tests = found.findings.loc[found.findings["p"].notna(), "test"]
    said = [
        f"Unit. {persons.capitalize()} are independent of each other"
        + ("; frames of one person are not, and are drawn and shuffled together. " if persons == "persons" else ". ")
        + f"A group's effective number of {persons} is Kish's, which is smaller where few have most faces.",
        f"Figures. Each metric of each group is fairlearn's MetricFrame over emokit's metrics. Intervals of "
        f"{s.level:.0%}, each for itself, are symmetric on a scale on which the metric is nearly normal: Student's t "
        f"times the standard deviation over {s.n_resamples:,} resamples of {persons}. Resamples of a share without an error "
        "have none either: its variance is at least Agresti and Coull's, which counts two more of either kind. Where no "
        "resample changes another metric, it has no interval.",
        "The rest of a group is every face of another group of the same columns. The best group is the best by its "
        "own figure, which flatters it; differences to it describe, and are not tested.",
        f"Family. Tested are the CCC and the signed error of valence and of arousal, and the accuracy of expressions, "
        f"of every group and intersection of at least {s.min_size} {persons} whose rest has as many, against the rest: "
        f"{found.tests} tests. Both groups of a column of two make one test. {CORRECTIONS[s.correction]}'s correction "
        + (
            f"keeps the chance of any false finding among them below {s.alpha:g}."
            if s.correction == "holm"
            else f"keeps the expected share of false ones among the findings below {s.alpha:g}."
        ),
    ]
    if (tests == "permutation").any():
        said.append(
            f"Permutation. Groups are shuffled over {persons}, {found.permutations:,} times, and the difference is divided by its error in the truth "
            "and in every shuffle, so that the test also holds its level where groups differ in spread, noise or size."
        )
    if (tests == "bootstrap").any():
        said.append(
            f"Bootstrap. Where {persons} have faces in several groups of a column, groups can't be shuffled; with more "
            f"than {MOST_CLUSTERS:,} {persons} they need not be. There the difference over its bootstrap error is held "
            "against Student's t."
        )
    worth = ", ".join(f"{value:g} {name}" for name, value in s.worth.items())
    said.append(
        f"Verdicts. Worth acting on is a difference of {worth}. "
        + " ".join(f"“{name}”: {words}." for name, words in VERDICTS.items() if name != "undefined")
        + " To exclude a difference, the interval at the level of the whole family must."
    )
    said.append(
        f"Detectable is the true difference that the test would find with a power of {s.power:.0%} at the present "
        "number, were the group as noisy as all faces together."
    )
    return said


def limits(found: Audit) -> list[str]:
    """What these data and this method can't tell."""
    said = [
        "Labels are judgements of annotators. Where these misread a group, a network that agrees with them looks fair, "
        "and one that does not looks biased.",
        "A difference to the rest depends on the rest: next to a harmed group, others look better than they are served.",
        "Groups that have other labels have another CCC for the same errors. The section on causes reweights for "
        "that; what goes along with a difference need not be its cause.",
        "Intervals and tests tell how far other people would move a figure, not how far another training of the "
        "network, other pictures of the same people, or another way of sampling people would.",
        "“No large difference” holds for these metrics, groups and pictures only. Groups that no column names were "
        "not audited.",
        "Whoever audits many versions of a network, or many ways to group, and reports one, finds something by chance: "
        "the correction covers this audit only.",
        *clipped(found),
    ]
    said = [*constant(found), *said]
    if unit(found) == "faces":
        said.insert(
            0,
            "There is no column of subjects: faces count as independent. If some show the same person, every interval "
            "is too narrow and every p-value too small.",
        )
    unknown = {name: int(found.samples[name].isna().sum()) for name in found.settings.groups}
    said += [
        f"{n:,} of {len(found.samples):,} faces have no {name}; they are in no group of it, nor in the rest."
        for name, n in unknown.items()
        if n
    ]
    return said


def constant(found: Audit) -> list[str]:
    """Of every target of which all faces got the same answer, what that means."""
    said = []
    for some in found.faces:
        if len(set(some.pred)) == 1:
            answer = some.pred[0] if some.target == "expression" else f"{some.pred[0]:.2f}"
            meaning = (
                "accuracy is the share of faces that happen to be labelled so"
                if some.target == "expression"
                else "the CCC is 0 in every group, which is no equal service, and the signed error tells how groups are labelled"
            )
            said.append(
                f"The model is constant: it says {answer} for the {some.target} of every face. It tells nobody apart: {meaning}."
            )
    return said


def clipped(found: Audit) -> list[str]:
    """Of every target, how many predictions lay outside [-1, 1]."""
    said = []
    for some in found.faces:
        if some.target != "expression":
            raw = found.predictions[some.target].iloc[some.rows].to_numpy(float)
            beyond = (np.abs(raw) > 1).sum()
            if beyond:
                said.append(
                    f"{beyond:,} of {len(raw):,} predictions of {some.target} lay outside [-1, 1] and were clipped."
                )
    return said


def unit(found: Audit) -> str:
    """Whom the audit counts."""
    return "persons" if "subject" in found.samples else "faces"


def card(fields: tuple[str, ...], stated: Mapping[str, object] | None) -> list[tuple[str, str]]:
    """Every field with what is stated of it; further ones after them."""
    stated = {name: str(value) for name, value in (stated or {}).items()}
    return [(name, stated.get(name, NOT_STATED)) for name in (*fields, *(n for n in stated if n not in fields))]


def describe_data(found: Audit) -> list[tuple[str, str]]:
    """What the audited samples say of themselves, for their datasheet."""
    samples, said = found.samples, [("Faces", f"{len(found.samples):,}")]
    if "subject" in samples:
        each = samples["subject"].value_counts()
        said.append(("Persons", f"{len(each):,}, with {each.min():,} to {each.max():,} faces each"))
    for name in ("valence", "arousal"):
        if name in samples and samples[name].notna().any():
            x = pd.to_numeric(samples[name])
            said.append(
                (
                    f"Labels of {name}",
                    f"{x.notna().sum():,}; mean {x.mean():.2f}, standard deviation {x.std(ddof=0):.2f}",
                )
            )
    if "expression" in samples and samples["expression"].notna().any():
        counts = samples["expression"].value_counts().sort_index()
        said.append(("Labels of expression", ", ".join(f"{name} {n:,}" for name, n in counts.items())))
    for name in found.settings.groups:
        counts = samples[name].value_counts(dropna=False).sort_index()
        words = ", ".join(f"{'unknown' if pd.isna(group) else group} {n:,}" for group, n in counts.items())
        said.append((f"Groups of {name}", words))
    return said
