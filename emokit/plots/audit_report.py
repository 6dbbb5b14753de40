"""The audit as a page: one self-contained HTML file, and the same in Markdown."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import pandas as pd
from torch import nn

from emokit.evaluation.audit import Audit, DataAudit
from emokit.plots.audit_sections import sections
from emokit.whole import whole

# Text is never taken for mathematics, and SVG has no random ids.
_STYLE = {"text.parse_math": False, "svg.hashsalt": "emokit"}


def write_audit(
    path: str | os.PathLike,
    found: Audit,
    *,
    data: DataAudit | None = None,
    causes: pd.DataFrame | None = None,
    mitigations: pd.DataFrame | None = None,
    title: str = "Audit of facial affect analysis",
    scope: str = "",
    model: Mapping[str, object] | nn.Module | None = None,
    dataset: Mapping[str, object] | None = None,
    date: str | None = None,
) -> Path:
    """Write the audit as ``path``, and as Markdown beside it.

    The same inputs give the same bytes, apart from the date.

    Parameters
    ----------
    path : path
        Ends in ``.html``; the Markdown ends in ``.md``.
    found : Audit
    data : DataAudit, optional
        Of the training data.
    causes, mitigations : DataFrame, optional
        From `emokit.evaluation.causes` and `emokit.evaluation.compare_mitigations`.
    title : str
    scope : str
        What the network is to be used for, by whom and on whom.
    model : Module or mapping, optional
        The network, which fills some fields of its card, or fields such as ``Licence``; both are
        ``describe_model(network) | {"Licence": …}`` with `emokit.evaluation.audit.describe_model`.
    dataset : mapping, optional
        Fields of the datasheet. What nobody stated is shown as such.
    date : str, optional
        By default today's.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ValueError
        The path does not end in ``.html``.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise ValueError(f"{path} does not end in .html, which a report needs; its Markdown goes beside it")
    # Whatever style the session has set, the report has its own.
    with plt.rc_context(), plt.ioff():
        plt.rcdefaults()
        plt.rcParams.update(_STYLE)
        parts = sections(found, data, causes, mitigations, scope, model, dataset)
    date = datetime.date.today().isoformat() if date is None else date
    folder = jinja2.Environment(
        loader=jinja2.PackageLoader("emokit.plots", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    folder.filters["md"] = _markdown
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, place in (("audit.html.j2", path), ("audit.md.j2", path.with_suffix(".md"))):
        text = folder.get_template(name).render(title=title, date=date, sections=parts)
        with whole(place) as beside:
            beside.write_text(text, encoding="utf-8", newline="\n")
    return path


def _markdown(text: object) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", " ".join(str(text).split()))
