"""What annotators and notebooks enter, checked before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from emokit.cleaning.schema import columns, facets, items
from emokit.models.emofan import EXPRESSIONS

VERDICTS = ("correct", "wrong", "unsure", "no face", "bad crop", "duplicate")
LABELS = ("expression", "valence", "arousal")


def checked_annotator(annotator: str) -> str:
    if not isinstance(annotator, str) or not annotator.strip():
        raise ValueError(f"the annotator is {annotator!r}; give a name, so that the log says who decided")
    return _unicode(annotator.strip())


def checked_item(connection: Connection, item: str) -> Any:
    """The item's row."""
    row = connection.execute(select(items).where(items.c.id == str(item))).one_or_none()
    if row is None:
        raise unknown_item(item)
    return row


def unknown_item(item: str) -> ValueError:
    return ValueError(f"the project has no item {item!r}; add() it, or see whether ids have changed")


def checked_decision(
    verdict: str, expression: str | None, valence: Any, arousal: Any, note: str, informed: bool
) -> dict[str, Any]:
    """Columns of the log; a label that is None is to stay."""
    if verdict not in VERDICTS:
        raise ValueError(f"{verdict!r} is no verdict; choose one of {', '.join(VERDICTS)}")
    if expression is not None and (not isinstance(expression, str) or not expression.strip()):
        raise ValueError(f"expression is {expression!r}; give its name, or None to leave it")
    if not isinstance(note, str):
        raise ValueError(f"the note is {note!r}; give text")
    return {
        "verdict": verdict,
        "note": _unicode(note),
        "informed": bool(informed),
        "new_expression": expression and _unicode(expression),
        "new_valence": _checked_affect("valence", valence),
        "new_arousal": _checked_affect("arousal", arousal),
    }


def checked_expression(connection: Connection, expression: str | None) -> None:
    """A slip of the pen is found now, not when the list is made."""
    if expression is None or expression in EXPRESSIONS[8]:
        return
    if connection.scalar(select(items.c.position).where(items.c.expression == expression).limit(1)) is None:
        raise ValueError(
            f"{expression!r} is no expression; choose one of {', '.join(EXPRESSIONS[8])}, or one that an item of this "
            "project came with"
        )


def checked_filter(connection: Connection, where: Mapping[str, str] | None) -> dict[str, str]:
    where = {str(name): str(value) for name, value in (where or {}).items()}
    for name, value in where.items():
        values = select(facets.c.value).where(facets.c.name == name)
        if connection.scalar(values.where(facets.c.value == value).limit(1)) is None:
            known = connection.scalars(values.distinct()).all()
            if known:
                raise ValueError(f"no item has the {name} {value!r}; there are {', '.join(sorted(known))}")
            names = connection.scalars(select(columns.c.name).where(columns.c.filterable).order_by(columns.c.number))
            raise ValueError(f"items cannot be filtered by {name!r}, only by {', '.join(names) or 'nothing'}")
    return where


def checked_settings(given: Mapping[str, Any]) -> None:
    overlap, annotators, lease = given["overlap"], given["annotators_per_item"], given["lease"]
    if overlap is not None and not 0 <= overlap <= 1:
        raise ValueError(f"overlap is a share in [0, 1], got {overlap!r}")
    if annotators is not None and (annotators != int(annotators) or annotators < 1):
        raise ValueError(f"annotators_per_item is a whole number from 1 on, got {annotators!r}")
    if lease is not None and not lease > 0:
        raise ValueError(f"lease is a number of minutes above 0, got {lease!r}")


def _checked_affect(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not -1 <= number <= 1:
        raise ValueError(f"{name} is {value!r}; give a number in [-1, 1], or None to leave it")
    return number


def _unicode(text: str) -> str:
    """``text``, in which halves of characters, as a browser may cut them, become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
