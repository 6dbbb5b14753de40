"""A review project: what annotators decide, in a log that only grows.

>>> store = Store("review.db", overlap=0.1)
>>> store.add("queue.parquet")
>>> (item,) = store.take("anna")
>>> store.decide(item, "anna", "wrong", expression="sad", valence=-0.6)

A decision is on disk when `Store.decide` returns; skip, undo and redo are appended, too. Any
number of notebooks may have a project open at once; those on several machines need PostgreSQL,
because SQLite does not work over network folders. Close an SQLite project before you copy it: while
it is open, its last decisions lie in a file beside it that ends in ``-wal``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import func, select

from emokit.cleaning import assignment, intake, journal
from emokit.cleaning.checks import (
    LABELS,
    VERDICTS,
    checked_annotator,
    checked_decision,
    checked_filter,
    checked_item,
    checked_settings,
)
from emokit.cleaning.database import Database
from emokit.cleaning.opinions import TOLERANCE, as_ratings, final_decisions
from emokit.cleaning.project import open_project
from emokit.cleaning.reading import counting, disagreeing, read_log, ruling, shared
from emokit.cleaning.schema import annotators, assignments, columns, facets, log, rulings
from emokit.data.tables import Chunks, Table

__all__ = ["VERDICTS", "Progress", "Store"]


class Progress(NamedTuple):
    """Opinions given, and how many they will be once none is open."""

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
        Share in [0, 1] of items that ``annotators_per_item`` annotators see, chosen by a hash of
        the id; the others are seen by one. By default 0.
    annotators_per_item : int, optional
        By default 2.
    lease : float, optional
        Minutes after which the open items of an annotator who is away return to the others; by
        default 60. The project keeps these three settings.

    Attributes
    ----------
    lease : float
        Minutes.

    Raises
    ------
    FileNotFoundError, PermissionError
        The file's folder does not exist, or may not be written.
    ValueError
        A setting is impossible or not the project's; ``where`` is no project, or a newer emokit's.
    TimeoutError, OSError, ConnectionError
        Here and in all methods: another process does not let go of the project, or the disk is full,
        and nothing was saved; or the server does not answer, and you enter it again.
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
        checked_settings(given)
        self._database = Database(where)
        with self._database.writing() as connection:
            self._settings = open_project(connection, self._database, given)
        self.lease: float = self._settings["lease"]

    def add(self, items: Table) -> int:
        """Append a queue or samples table, in the order in which it is to be reviewed.

        Parameters
        ----------
        items : DataFrame or path
            With ``id``; all columns are kept. It is written in chunks: where one call was
            stopped, the next goes on. Ids that are there already are left as they are.

        Returns
        -------
        int
            How many items are new.

        Raises
        ------
        ValueError
            As `emokit.data.read_table`; valence or arousal is no number in [-1, 1]; or a column
            that held numbers holds text.
        """
        chunks = Chunks(items, intake.CHUNK)
        about, new = intake.survey(items), 0
        with self._database.writing() as connection:
            intake.register(connection, about)
        sharing = self._settings["overlap"], self._settings["annotators_per_item"]
        for _, rows in chunks.read(range(len(chunks))):
            with self._database.writing() as connection:
                new += intake.add_rows(connection, rows, *sharing)
        return new

    def items(self, ids: Sequence[str]) -> pd.DataFrame:
        """Rows as they were added, in the order of ``ids``.

        Images that lay below the project's folder are found, too, when both have moved together.

        Raises
        ------
        ValueError
            There is no such item.
        """
        with self._database.reading() as connection:
            table = intake.read_rows(connection, ids)
        if "image" in table and self._settings["folders"]:
            table["image"] = table["image"].map(self._where_now, na_action="ignore")
        return table

    def take(self, annotator: str, n: int = 1, where: Mapping[str, str] | None = None) -> list[str]:
        """Ids of the next items that an annotator has open, in the order of the queue.

        First what they have taken back and what they were given; then new items, which are given
        to them now and to nobody else, unless they overlap; last what they have skipped.

        Parameters
        ----------
        annotator : str
        n : int
            From 1 to 1000.
        where : mapping, optional
            Values of columns, such as ``{"expression": "happy"}``: see `choices`.

        Returns
        -------
        list of str
            Less than ``n`` if there are no more.

        Raises
        ------
        ValueError
            ``annotator`` is empty, ``n`` out of range, or no item has such a value.
        """
        if not 1 <= n <= assignment.MOST:
            raise ValueError(f"take from 1 to {assignment.MOST} items at once, not {n!r}")
        # If the power fails, the worst that can be lost is who was to decide.
        with self._database.writing(wait=False) as connection:
            where = checked_filter(connection, where)
            who = journal.here(connection, annotator, self.lease)
            assignment.release(connection, time.time() - 60 * self.lease, but=who.number)
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
        informed: bool = False,
    ) -> int:
        """Append a decision; it is on disk when this returns.

        A later decision of the same annotator on the same item counts instead; the log keeps both.

        Parameters
        ----------
        item, annotator : str
        verdict : {"correct", "wrong", "unsure", "no face", "bad crop", "duplicate"}
        expression : str, optional
        valence, arousal : float, optional
            In [-1, 1]. What is None stays as the item came.
        note : str
        informed : bool
            The annotator had seen a model's opinion of the item.

        Returns
        -------
        int
            Its number in the log.

        Raises
        ------
        ValueError
            Before anything is written: the item or the verdict is unknown, the annotator is empty,
            valence or arousal is no number in [-1, 1], or the expression is neither one of
            AffectNet's eight nor one that items of the project came with.
        """
        decision = checked_decision(verdict, expression, valence, arousal, note, informed)
        return self._decide("decide", item, annotator, decision)

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
        informed: bool = False,
    ) -> int:
        """Append what holds in the end: as `decide`, but it overrules all in ``decisions(final=True)``."""
        decision = checked_decision(verdict, expression, valence, arousal, note, informed)
        return self._decide("adjudicate", item, annotator, decision)

    def skip(self, item: str, annotator: str) -> None:
        """Put an item at the end of this annotator's queue."""
        with self._database.writing() as connection:
            journal.skip(connection, journal.here(connection, annotator, self.lease), item)

    def undoable(self, annotator: str) -> str | None:
        """What the annotator's next `undo` takes back: "decide", "adjudicate", "skip", or None."""
        with self._database.reading() as connection:
            return journal.undoable(connection, annotator)

    def undo(self, annotator: str) -> str | None:
        """Take back this annotator's last decision, adjudication or skip.

        Returns
        -------
        str or None
            The item, which comes first in `take` again unless it was an adjudication; None if
            nothing is left.
        """
        with self._database.writing() as connection:
            return journal.undo(connection, journal.here(connection, annotator, self.lease))

    def redo(self, annotator: str) -> str | None:
        """Take back this annotator's last undo, unless they have entered something since.

        Returns
        -------
        str or None
            The item; None if nothing is left.
        """
        with self._database.writing() as connection:
            return journal.redo(connection, journal.here(connection, annotator, self.lease))

    def current(self, item: str, annotator: str) -> dict[str, Any] | None:
        """An annotator's decision on an item that counts now, by the names of `decisions`."""
        said = self.opinions(item)
        said = said[said["annotator"] == checked_annotator(annotator)]
        return None if said.empty else said.iloc[0].to_dict()

    def opinions(self, item: str) -> pd.DataFrame:
        """What counts now of one item, by the names of `decisions`."""
        with self._database.reading() as connection:
            of_item = assignments.c.position == checked_item(connection, item).position
            return read_log(connection, counting().where(of_item))

    def decisions(self, final: bool = False, tolerance: float = TOLERANCE) -> pd.DataFrame:
        """What counts now.

        Parameters
        ----------
        final : bool
            One row per item: its adjudication, else what more than half of its annotators say, with
            their mean valence and arousal. Items without either are absent.
        tolerance : float
            How far valence and arousal of a majority may lie apart.

        Returns
        -------
        DataFrame
            One row per item and annotator, in the order of the queue: ``id``; ``annotator``;
            ``time`` (UTC); ``verdict``; ``expression``, ``valence`` and ``arousal`` after the
            decision; ``note``.
        """
        with self._database.reading() as connection:
            if not final:
                return read_log(connection, counting())
            said = read_log(connection, counting(assignments.c.position))
            ruled = read_log(connection, ruling(rulings.c.position))
        table = final_decisions(said, ruled, tolerance)
        place = pd.concat([said, ruled]).drop_duplicates("id").set_index("id")["position"]
        return table.iloc[table["id"].map(place).argsort(kind="stable")].reset_index(drop=True)

    def disagreements(self, where: Mapping[str, str] | None = None, tolerance: float = TOLERANCE) -> list[str]:
        """Items, in the order of the queue, on which annotators disagree and nobody has adjudicated.

        They differ in verdict, in the expression after it, or in valence or arousal by more than
        ``tolerance``.

        Parameters
        ----------
        where : mapping, optional
            As in `take`.
        tolerance : float
        """
        with self._database.reading() as connection:
            return list(connection.scalars(disagreeing(checked_filter(connection, where), tolerance)))

    def agreement(self) -> pd.DataFrame:
        """Ratings of items that several annotators have rated, for `emokit.evaluation.pairwise` and `coefficients`.

        Returns
        -------
        DataFrame
            ``item``, ``annotator``, ``expression``, ``valence``, ``arousal``: labels that annotators
            vouch for, by the verdict "correct", or "wrong" with another label. Both saw the label
            that the item came with, so they are not independent of it. Join ``subject`` where
            persons have several faces.
        """
        with self._database.reading() as connection:
            old = [log.c[f"old_{name}"] for name in LABELS]
            return as_ratings(read_log(connection, counting(*old).where(shared())))

    def log(self) -> pd.DataFrame:
        """Every row ever appended, in order.

        Returns
        -------
        DataFrame
            ``seq``; ``time`` (UTC); ``annotator``; ``item``; ``action`` (decide, adjudicate, skip,
            undo, redo); ``old_expression``, ``old_valence``, ``old_arousal``, with which the item
            came; ``new_…``, which hold after the decision; ``verdict``; ``note``; ``informed``, whether
            the annotator had seen a model's opinion; ``version`` of emokit; ``target``, the ``seq`` that an undo or redo is about. `replay` tells from it
            what counted at any time.
        """
        shown = [column for column in log.c if column is not log.c.previous]
        with self._database.reading() as connection:
            return read_log(connection, select(*shown).order_by(log.c.seq)).astype({"target": "Int64"})

    def progress(self, annotator: str | None = None, where: Mapping[str, str] | None = None) -> Progress:
        """How far an annotator is, or all together.

        Returns
        -------
        Progress
            ``done``: opinions given. ``total``: with those that are open to this annotator, or
            to anybody.
        """
        with self._database.reading() as connection:
            where = checked_filter(connection, where)
            decided = assignments.c.turn.is_(None), *assignment.within(assignments.c.cell, where)
            done, number = select(func.count()).where(*decided), None
            if annotator is not None:
                name = checked_annotator(annotator)
                # Numbers start from 1: to somebody new, everything is open.
                number = connection.scalar(select(annotators.c.number).where(annotators.c.name == name)) or 0
                done = done.where(assignments.c.annotator == number)
            count = connection.scalar(done)
            return Progress(count, count + assignment.open_for(connection, number, where))

    def choices(self) -> dict[str, list[str]]:
        """Columns that `take` and `progress` filter by, and their values.

        Those are columns of text, or of true and false, with up to 100 values when they were
        first added, and of up to 20 whole numbers; not ``id``, ``image``, ``why`` and labels in numbers.
        """
        with self._database.reading() as connection:
            names = connection.scalars(select(columns.c.name).where(columns.c.filterable).order_by(columns.c.number))
            found: dict[str, list[str]] = {name: [] for name in names}
            for name, value in connection.execute(select(facets.c.name, facets.c.value).distinct()):
                found[name].append(value)
        return {name: sorted(values) for name, values in found.items()}

    def close(self) -> None:
        """Let go of the database; everything is saved already."""
        self._database.close()

    def _decide(self, action: str, item: str, annotator: str, decision: dict[str, Any]) -> int:
        with self._database.writing() as connection:
            who = journal.here(connection, annotator, self.lease)
            return journal.decide(connection, who, item, action, decision)

    def _where_now(self, image: str) -> str:
        """An image's path, in this project's folder if it has moved there from an earlier one."""
        path = Path(image)
        *earlier, now = map(Path, self._settings["folders"])
        if earlier and not path.exists():
            moved = (now / path.relative_to(old) for old in earlier if path.is_relative_to(old))
            return next((str(there) for there in moved if there.exists()), image)
        return image
