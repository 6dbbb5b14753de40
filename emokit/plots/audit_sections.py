"""What an audit's report says, section by section."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version

import numpy as np
import pandas as pd
from torch import nn

import emokit
from emokit.evaluation.audit import Audit, DataAudit, describe_model
from emokit.evaluation.audit.statements import (
    DATA_FIELDS,
    ETHICS,
    MODEL_FIELDS,
    card,
    describe_data,
    limits,
    method,
)
from emokit.plots.audit import coverage_map
from emokit.plots.audit_details import appendix, causes_of, misreadings, mitigations_of
from emokit.plots.audit_findings import findings, pictures, summary
from emokit.plots.audit_parts import Grid, Section, name_of, number, percent, picture
from emokit.plots.parts import in_words

_PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "fairlearn", "statsmodels", "matplotlib")


def sections(
    found: Audit,
    data: DataAudit | None,
    causes: pd.DataFrame | None,
    mitigations: pd.DataFrame | None,
    scope: str,
    model: Mapping[str, object] | nn.Module | None,
    dataset: Mapping[str, object] | None,
) -> list[Section]:
    """All of them, in order; arguments are those of `emokit.plots.write_audit`."""
    model = describe_model(model) if isinstance(model, nn.Module) else model
    return [
        *summary(found, scope),
        findings(found),
        pictures(found),
        *([] if causes is None else [causes_of(found, causes)]),
        misreadings(found),
        *([] if data is None else [_data(data)]),
        *([] if mitigations is None else [mitigations_of(mitigations)]),
        Section("Method", method(found)),
        Section("Limits", limits(found)),
        Section("Ethics", ETHICS),
        Section("Model card", grids=[Grid("", ["Field", "Stated"], [list(r) for r in card(MODEL_FIELDS, model)])]),
        Section("Datasheet of the audited data", grids=[_sheet(found, dataset)]),
        appendix(found),
        _made(found),
    ]


def _data(data: DataAudit) -> Section:
    reach = {} if data.reach.empty else data.reach.set_index(["columns", "group"])["reached"].to_dict()
    apart = data.labels.set_index(["columns", "group"])
    rows = []
    for row in data.representation.itertuples():
        key = row.columns, row.group
        mean = [
            in_words(apart.at[key, f"{t}_mean"], "+z.2f") if key in apart.index and f"{t}_mean" in apart else ""
            for t in ("valence", "arousal")
        ]
        rows.append(
            [name_of(row), f"{row.n:,}", f"{row.share:.1%}", number(row.subjects), percent(row.largest), *mean,
             percent(apart.at[key, "imbalance"]) if key in apart.index and "imbalance" in apart else "",
             percent(reach.get(key, np.nan))]
        )  # fmt: skip
    header = [
        "Group",
        "Faces",
        "Share",
        "Persons",
        "Of one person",
        "Mean valence",
        "Mean arousal",
        "Labels apart",
        "Circumplex reached",
    ]
    grids = [Grid("Who is in the data", header, rows)]
    if len(data.annotators):
        rows = [
            [name_of(r), f"{r.ratings:.1f}", f"{r.annotators:,}", percent(r.busiest), percent(getattr(r, "same_culture", np.nan))]
            for r in data.annotators.itertuples()
        ]  # fmt: skip
        header = ["Group", "Ratings a face", "Annotators", "By the busiest", "Of the same culture"]
        grids.append(Grid("Who annotated them", header, rows))
    if len(data.cleaning):
        rows = [
            [name_of(r), f"{r.n:,}", f"{r.removed:,}", percent(r.share), percent(r.rest)] for r in data.cleaning.itertuples()
        ]  # fmt: skip
        grids.append(Grid("What cleaning removed", ["Group", "Faces", "Removed", "Share", "Of the rest"], rows))
    pictures = [] if data.coverage.empty else [
        picture(coverage_map(data, name), f"Labels on the circumplex by {name}; the table lists what is reached")
        for name in data.groups
    ]  # fmt: skip
    said = [] if data.warnings else ["Nothing here calls for a warning; that covers these groups and labels only."]
    return Section("Training data", said, data.warnings, grids, pictures)


def _sheet(found: Audit, stated: Mapping[str, object] | None) -> Grid:
    rows = [*describe_data(found), *card(DATA_FIELDS, stated)]
    return Grid("", ["Field", "Stated, or counted"], [list(row) for row in rows])


def _made(found: Audit) -> Section:
    versions = [f"emokit {emokit.__version__}", f"Python {platform.python_version()}"]
    versions += [f"{name} {version(name)}" for name in _PACKAGES]
    s = found.settings
    options = ", ".join(
        f"{name} {getattr(s, name)}" for name in s.__dataclass_fields__ if name not in ("groups", "worth")
    )
    said = [
        f"Made with {', '.join(versions)}.",
        f"Permutations made of each test: {found.permutations:,}; resamples: {s.n_resamples:,}; seed {s.seed}.",
        f"Options: groups {', '.join(s.groups)}; {options}; worth {', '.join(f'{k} {v:g}' for k, v in s.worth.items())}.",
        f"SHA-256 of what was audited: samples {_fingerprint(found.samples)}, predictions {_fingerprint(found.predictions)}.",
    ]
    return Section("Versions and seeds", said)


def _fingerprint(table: pd.DataFrame) -> str:
    """Of all columns but landmarks and paths, which differ between machines."""
    columns = sorted(map(str, set(table.columns) - {"landmarks", "image"}))
    hashes = pd.util.hash_pandas_object(table[columns].reset_index(drop=True), index=False)
    return sha256("\n".join(columns).encode() + hashes.to_numpy().tobytes()).hexdigest()[:16]
