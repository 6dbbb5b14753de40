"""A review project: what annotators decide, as a log that only grows.

>>> store = Store("review.db", overlap=0.1)
>>> store.add("queue.parquet")
>>> [item] = store.take("anna")
>>> store.decide(item, "anna", "wrong", expression="sad", valence=-0.6)

A decision is on disk when `Store.decide` returns; undo and redo append, too. Any number of
notebooks may have the project open. Where they run on several machines, give all of them one
PostgreSQL URL: SQLite does not work over network folders.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Connection, func, insert, select, update

from emokit import __version__
from emokit.cleaning import assignment, intake
from emokit.cleaning.database import Database
from emokit.cleaning.history import DECISION_COLUMNS, standing
from emokit.cleaning.opinions import TOLERANCE, as_ratings, disagreeing, final_decisions
from emokit.cleaning.schema import (
    annotators,
    assignments,
    columns,
    facets,
    items,
    log,
    metadata,
    rulings,
    settings,
)
from emokit.data.tables import Chunks, Table

VERDICTS = ("correct", "wrong", "unsure", "no face", "bad crop", "duplicate")

_FORMAT = 1  # of the tables
_DEFAULTS = {"overlap": 0.0, "annotators_per_item": 2, "lease": 60.0}
_LABELS = ("expression", "valence", "arousal")
_LOG_COLUMNS = [column for column in log.c if column.name != "previous"]
_DECISION = [log.c.item.label("id"), log.c.annotator, log.c.time, log.c.verdict, *(log.c[f"new_{name}"].label(name) for name in _LABELS), log.c.note]  # fmt: skip


class Progress(NamedTuple):
    """Opinions given, and those together with the open ones."""

    done: int
    total: int


class Store:
    """A review project in an SQLite file or a PostgreSQL database.

    Parameters
    ----------
    where : path or str
        Of the SQLite file, which is made if need be; or an SQLAlchemy URL, such as
        ``postgresql+pg8000://user:password@host/faces``.
    overlap : float, optional
        Share of items, in [0, 1], that ``annotators_per_item`` annotators see, chosen by a hash of
        the id; one annotator sees each of the others. By default 0.
    annotators_per_item : int, optional
        By default 2.
    lease : float, optional
        Minutes after which the open items of an annotator who is away return to the others; by
        default 60. The project keeps these three settings.

    Raises
    ------
    FileNotFoundError, PermissionError
        The folder does not exist, or cannot be written.
    ValueError
        The project was made with other settings or by a newer emokit, or ``where`` is no project.
    """

    def __init__(
        self,
        where: str | Path,
        *,
        overlap: float | None = None,
        annotators_per_item: int | None = None,
        lease: float | None = None,
    ) -> None:
        given = {"overlap": overlap, "annotators_per_item": annotators_per_item, "lease": lease}
        _check_settings({name: value for name, value in given.items() if value is not None})
        self._database = Database(where)
        with self._database.writing() as connection:
            metadata.create_all(connection)
            kept = {row.name: json.loads(row.value) for row in connection.execute(select(settings))}
            if not kept:
                kept = {name: _DEFAULTS[name] if value is None else value for name, value in given.items()}
                kept |= {"format": _FORMAT, "folder": self._database.folder and str(self._database.folder)}
                connection.execute(insert(settings), [{"name": n, "value": json.dumps(v)} for n, v in kept.items()])
        self._settings = kept
        _check_kept(self._database.name, kept, given)

    def add(self, items: Table) -> int:
        """Append a queue or samples table; the order of its rows is the order of review.

        Parameters
        ----------
        items : DataFrame or path
            With ``id``; all columns are kept. Written in chunks: one that was stopped goes on
            when it is called again. Ids that are there already are left as they are.

        Returns
        -------
        int
            How many items are new.

        Raises
        ------
        ValueError
            As `emokit.data.read_table`; or valence or arousal is no number in [-1, 1].
        """
        about = intake.survey(items)
        with self._database.writing() as connection:
            intake.register(connection, about)
        chunks, new = Chunks(items, intake.CHUNK), 0
        for _, rows in chunks.read(range(len(chunks))):
            with self._database.writing() as connection:
                new += intake.add_rows(
                    connection, rows, self._settings["overlap"], self._settings["annotators_per_item"]
                )
        return new

    def items(self, ids: list[str]) -> pd.DataFrame:
        """Rows as they were added, in the order of ``ids``.

        Images that lay below the project's folder are found again where both have moved.

        Raises
        ------
        ValueError
            There is no such item.
        """
        made_in = self._settings["folder"] and Path(self._settings["folder"])
        with self._database.reading() as connection:
            return intake.read_rows(connection, list(ids), self._database.folder, made_in)

    def take(self, annotator: str, n: int = 1, where: Mapping[str, str] | None = None) -> list[str]:
        """Ids of the next items that an annotator has open, in the order of the queue.

        First what they have taken back and what they have been given; then new items, given to
        them now and to nobody else, unless it overlaps; last what they have skipped.

        Parameters
        ----------
        annotator : str
        n : int
        where : mapping, optional
            Values of filterable columns, such as ``{"expression": "happy"}``; see `choices`.

        Returns
        -------
        list of str
            Fewer than ``n`` where there are no more.
        """
        with self._database.writing() as connection:
            where = _checked_filter(connection, where)
            who = self._seen(connection, annotator)
            assignment.release(connection, time.time() - 60 * self._settings["lease"], but=who.number)
            return assignment.take(connection, who.number, n, where)

    def decide(
        self,
        item: str,
        annotator: str,
        verdict: str,
        *,
        expression: str | None = None,
        valence: float | None = None,
        arousal: float | None = None,
        note: str = "",
    ) -> int:
        """Append a decision; it is on disk when this returns.

        A later decision of the same annotator on the same item replaces it, but both stay in the log.

        Parameters
        ----------
        item, annotator : str
        verdict : {"correct", "wrong", "unsure", "no face", "bad crop", "duplicate"}
        expression : str, optional
        valence, arousal : float, optional
            In [-1, 1]. None leaves the label that the item came with.
        note : str

        Returns
        -------
        int
            Number of the row in the log.

        Raises
        ------
        ValueError
            Before anything is written: the item or the verdict is unknown, there is no annotator,
            or valence or arousal is no number in [-1, 1].
        """
        return self._decide("decide", item, annotator, verdict, (expression, valence, arousal), note)

    def adjudicate(
        self,
        item: str,
        annotator: str,
        verdict: str,
        *,
        expression: str | None = None,
        valence: float | None = None,
        arousal: float | None = None,
        note: str = "",
    ) -> int:
        """Append what holds in the end, as `decide`: it overrules all annotators in ``decisions(final=True)``."""
        return self._decide("adjudicate", item, annotator, verdict, (expression, valence, arousal), note)

    def skip(self, item: str, annotator: str) -> None:
        """Put an item at the end of this annotator's queue; appended, too."""
        with self._database.writing() as connection:
            place, who = _place(connection, item), self._seen(connection, annotator)
            seq = self._append(connection, who, "skip", place.id, previous=who.top)
            self._point(connection, who, top=seq, redo=None)
            self._settle(connection, who, place, turn=seq)

    def undo(self, annotator: str) -> str | None:
        """Take back this annotator's last decision, adjudication or skip.

        Returns
        -------
        str or None
            The item, which is open again and comes first in `take`; None if there is nothing left.
        """
        with self._database.writing() as connection:
            who = self._seen(connection, annotator)
            if who.top is None:
                return None
            entry = _row(connection, who.top)
            seq = self._append(connection, who, "undo", entry.item, target=entry.seq, previous=who.redo)
            self._point(connection, who, top=entry.previous, redo=seq)
            self._settle(connection, who, _place(connection, entry.item), turn=-seq, action=entry.action)
            return entry.item

    def redo(self, annotator: str) -> str | None:
        """Take back the last undo, unless this annotator has entered something since.

        Returns
        -------
        str or None
            The item; None if there is nothing to redo.
        """
        with self._database.writing() as connection:
            who = self._seen(connection, annotator)
            if who.redo is None:
                return None
            undone = _row(connection, who.redo)
            entry = _row(connection, undone.target)
            seq = self._append(connection, who, "redo", entry.item, target=entry.seq)
            self._point(connection, who, top=entry.seq, redo=undone.previous)
            turn = seq if entry.action == "skip" else None
            self._settle(connection, who, _place(connection, entry.item), turn=turn, action=entry.action)
            return entry.item

    def current(self, item: str, annotator: str) -> dict[str, Any] | None:
        """The decision of an annotator on an item that counts now, with the columns of `decisions`."""
        said = self.opinions(item)
        said = said[said["annotator"] == _checked_annotator(annotator)]
        return None if said.empty else said.iloc[0].to_dict()

    def opinions(self, item: str) -> pd.DataFrame:
        """Decisions of all annotators on one item that count now, with the columns of `decisions`."""
        with self._database.reading() as connection:
            position = _place(connection, item).position
            counting = select(*_DECISION).join(assignments, assignments.c.decision == log.c.seq)
            return _decision_table(connection, counting.where(assignments.c.position == position).order_by(log.c.seq))

    def log(self) -> pd.DataFrame:
        """Every row ever appended, in order.

        Returns
        -------
        DataFrame
            ``seq``; ``time`` (UTC); ``annotator``; ``item``; ``action`` (decide, adjudicate, skip,
            undo, redo); ``old_expression``, ``old_valence`` and ``old_arousal``, with which the item
            came; ``new_…``, which the decision leaves; ``verdict``; ``note``; ``version`` of
            emokit; ``target``, the ``seq`` that an undo or redo is about.
        """
        with self._database.reading() as connection:
            rows = connection.execute(select(*_LOG_COLUMNS).order_by(log.c.seq)).all()
        table = pd.DataFrame(rows, columns=[column.name for column in _LOG_COLUMNS])
        affect = [f"{age}_{name}" for age in ("old", "new") for name in _LABELS[1:]]
        return table.assign(
            time=pd.to_datetime(table["time"], utc=True), target=table["target"].astype("Int64")
        ).astype(dict.fromkeys(affect, float))

    def decisions(self, final: bool = False, tolerance: float = TOLERANCE) -> pd.DataFrame:
        """What counts now.

        Parameters
        ----------
        final : bool
            One row per item: the adjudication, else what more than half of its annotators say, with
            their mean valence and arousal. Items on which there is no such majority are absent.
        tolerance : float
            How far valence and arousal of annotators who agree may lie apart.

        Returns
        -------
        DataFrame
            In the order of the queue, one row per item and annotator: ``id``; ``annotator``;
            ``time`` (UTC); ``verdict``; ``expression``, ``valence`` and ``arousal`` after the
            decision; ``note``.
        """
        with self._database.reading() as connection:
            counting = select(*_DECISION).join(assignments, assignments.c.decision == log.c.seq)
            said = _decision_table(connection, counting.order_by(assignments.c.position, log.c.seq))
            if not final:
                return said
            ruled = _decision_table(connection, select(*_DECISION).join(rulings, rulings.c.seq == log.c.seq))
            order = connection.scalars(select(items.c.id).order_by(items.c.position)).all()
        table = final_decisions(said, ruled, tolerance)
        place = pd.Series(range(len(order)), index=order)
        return table.iloc[place[table["id"]].argsort()].reset_index(drop=True)

    def disagreements(self, tolerance: float = TOLERANCE) -> list[str]:
        """Items, in the order of the queue, on which annotators disagree and nobody has adjudicated.

        They disagree on the verdict, on the expression after it, or on valence or arousal by more
        than ``tolerance``.
        """
        said = self.decisions()
        with self._database.reading() as connection:
            ruled = select(items.c.id).join(rulings, rulings.c.position == items.c.position)
            settled = set(connection.scalars(ruled))
        return [item for item in disagreeing(said, tolerance) if item not in settled]

    def agreement(self) -> pd.DataFrame:
        """Ratings for `emokit.evaluation.pairwise` and `coefficients`.

        Returns
        -------
        DataFrame
            ``item``, ``annotator``, ``expression``, ``valence``, ``arousal``: the labels that
            annotators vouch for, by the verdict "correct", or "wrong" with another label.
        """
        with self._database.reading() as connection:
            counting = select(*_DECISION, *(log.c[f"old_{name}"] for name in _LABELS))
            counting = counting.join(assignments, assignments.c.decision == log.c.seq)
            rows = connection.execute(counting.order_by(assignments.c.position, log.c.seq)).all()
        old = [f"old_{name}" for name in _LABELS]
        table = pd.DataFrame(rows, columns=[*DECISION_COLUMNS, *old])
        return as_ratings(table[DECISION_COLUMNS], table[old].set_axis(_LABELS, axis=1))

    def progress(self, annotator: str | None = None, where: Mapping[str, str] | None = None) -> Progress:
        """How far an annotator is, or all together.

        Returns
        -------
        Progress
            ``done``: opinions given. ``total``: those, and the ones still open for this annotator, or
            for anybody.
        """
        with self._database.reading() as connection:
            where = _checked_filter(connection, where)
            done = select(func.count()).where(
                assignments.c.turn.is_(None), *assignment.within(assignments.c.cell, where)
            )
            number = None
            if annotator is not None:
                name = _checked_annotator(annotator)
                # Somebody new has number 0: nothing done, everything open.
                number = connection.scalar(select(annotators.c.number).where(annotators.c.name == name)) or 0
                done = done.where(assignments.c.annotator == number)
            count = connection.scalar(done)
            return Progress(count, count + assignment.open_for(connection, number, where))

    def choices(self) -> dict[str, list[str]]:
        """Columns that `take` and `progress` filter by, and their values.

        These are columns of text, or of true and false, with up to 100 values when they were first added.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                select(facets.c.name, facets.c.value)
                .join(columns, columns.c.name == facets.c.name)
                .group_by(facets.c.name, facets.c.value, columns.c.number)
                .order_by(columns.c.number, facets.c.value)
            ).all()
        return {name: [value for column, value in rows if column == name] for name in dict.fromkeys(r[0] for r in rows)}

    def close(self) -> None:
        """Close the files; nothing waits to be saved."""
        self._database.close()

    def _decide(
        self, action: str, item: str, annotator: str, verdict: str, labels: tuple[Any, Any, Any], note: str
    ) -> int:
        new = _checked_labels(verdict, labels, note)
        with self._database.writing() as connection:
            place, who = _place(connection, item), self._seen(connection, annotator)
            old = {name: getattr(place, name) for name in _LABELS}
            values = {f"old_{name}": label for name, label in old.items()}
            values |= {f"new_{name}": old[name] if new[name] is None else new[name] for name in _LABELS}
            seq = self._append(
                connection, who, action, item, previous=who.top, verdict=verdict, note=_unicode(note), **values
            )
            self._point(connection, who, top=seq, redo=None)
            self._settle(connection, who, place, turn=None, action=action)
            return seq

    def _append(self, connection: Connection, who: Any, action: str, item: str, **values: Any) -> int:
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        row = {"time": now, "annotator": who.name, "item": item, "action": action, "version": __version__}
        return connection.execute(insert(log), row | values).inserted_primary_key[0]

    def _seen(self, connection: Connection, annotator: str) -> Any:
        """The annotator's row, who is here now."""
        name, now = _checked_annotator(annotator), time.time()
        known = select(annotators).where(annotators.c.name == name)
        who = connection.execute(known).one_or_none()
        if who is None:
            connection.execute(insert(annotators), {"name": name, "seen": now})
            return connection.execute(known).one()
        # A write to disk only once in a while.
        if now - who.seen > 6 * self._settings["lease"]:
            connection.execute(update(annotators).where(annotators.c.number == who.number).values(seen=now))
        return who

    def _point(self, connection: Connection, who: Any, **pointers: int | None) -> None:
        connection.execute(update(annotators).where(annotators.c.number == who.number).values(**pointers))

    def _settle(self, connection: Connection, who: Any, place: Any, turn: int | None, action: str = "decide") -> None:
        """Bring up to date what follows from the log for one item."""
        rows = connection.execute(select(log).where(log.c.item == place.id).order_by(log.c.seq)).all()
        if action == "adjudicate":
            ruling = standing(rows, "adjudicate")
            connection.execute(rulings.delete().where(rulings.c.position == place.position))
            if ruling is not None:
                connection.execute(insert(rulings), {"position": place.position, "seq": ruling.seq})
            return
        assignment.hold(connection, who.number, place.position, place.cell)
        decision = standing(row for row in rows if row.annotator == who.name)
        connection.execute(
            update(assignments)
            .where(assignments.c.annotator == who.number, assignments.c.position == place.position)
            .values(turn=turn, decision=decision and decision.seq)
        )


def _place(connection: Connection, item: str) -> Any:
    row = connection.execute(select(items).where(items.c.id == str(item))).one_or_none()
    if row is None:
        raise ValueError(f"the project has no item {item!r}; add() it, or see whether ids have changed")
    return row


def _row(connection: Connection, seq: int) -> Any:
    return connection.execute(select(log).where(log.c.seq == seq)).one()


def _decision_table(connection: Connection, query: Any) -> pd.DataFrame:
    table = pd.DataFrame(connection.execute(query).all(), columns=DECISION_COLUMNS)
    return table.assign(time=pd.to_datetime(table["time"], utc=True)).astype({"valence": float, "arousal": float})


def _checked_annotator(annotator: str) -> str:
    if not isinstance(annotator, str) or not annotator.strip():
        raise ValueError(f"the annotator is {annotator!r}; give a name, so that the log says who decided")
    return _unicode(annotator.strip())


def _unicode(text: str) -> str:
    """``text``, of which halves of characters, as a browser cuts them, become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _checked_labels(verdict: str, labels: tuple[Any, Any, Any], note: str) -> dict[str, Any]:
    if verdict not in VERDICTS:
        raise ValueError(f"{verdict!r} is no verdict; choose one of {', '.join(VERDICTS)}")
    expression, *affect = labels
    if expression is not None and (not isinstance(expression, str) or not expression.strip()):
        raise ValueError(f"expression is {expression!r}; give its name, or None to leave it")
    if not isinstance(note, str):
        raise ValueError(f"the note is {note!r}; give text")
    numbers = []
    for name, value in zip(_LABELS[1:], affect, strict=True):
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if number is not None and not -1 <= number <= 1:
            raise ValueError(f"{name} is {value!r}; give a number in [-1, 1], or None to leave it")
        numbers.append(number)
    return dict(zip(_LABELS, (expression and _unicode(expression), *numbers), strict=True))


def _checked_filter(connection: Connection, where: Mapping[str, str] | None) -> dict[str, str]:
    where = dict(where or {})
    for name, value in where.items():
        known = connection.scalars(select(facets.c.value).where(facets.c.name == name).distinct()).all()
        if not known:
            names = connection.scalars(select(columns.c.name).where(columns.c.filterable).order_by(columns.c.number))
            raise ValueError(f"items cannot be filtered by {name!r}, only by {', '.join(names) or 'nothing'}")
        if value not in known:
            raise ValueError(f"no item has the {name} {value!r}; there are {', '.join(sorted(known))}")
    return where


def _check_settings(given: dict[str, Any]) -> None:
    if not 0 <= given.get("overlap", 0) <= 1:
        raise ValueError(f"overlap is a share in [0, 1], got {given['overlap']!r}")
    if given.get("annotators_per_item", 1) < 1:
        raise ValueError(f"annotators_per_item is at least 1, got {given['annotators_per_item']!r}")
    if not given.get("lease", 1) > 0:
        raise ValueError(f"lease is in minutes, more than 0, got {given['lease']!r}")


def _check_kept(name: str, kept: dict[str, Any], given: dict[str, Any]) -> None:
    if kept["format"] != _FORMAT:
        raise ValueError(f"{name} was made by a newer emokit; update yours")
    for setting, value in given.items():
        if value is not None and value != kept[setting]:
            raise ValueError(
                f"{name} was made with {setting}={kept[setting]!r}, not {value!r}; leave the setting out, or make "
                "another project"
            )
