"""What the store takes and survives: ``python -m emokit.cleaning.store_bench``.

A queue of 450,000 faces with landmarks and five columns to filter by; how long it takes to open,
to show the next face and to decide, when all is to be done and when half is; then writers that are
killed, and annotators who decide at once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import bindparam, insert, select, update
from tqdm.auto import tqdm

from emokit import __version__
from emokit.cleaning import assignment, journal
from emokit.cleaning.schema import assignments, items, log
from emokit.cleaning.store import Store
from emokit.data.tables import landmarks_column
from emokit.models import EXPRESSIONS

FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"expression": "happy"},
    {"expression": "disgust", "reason": "duplicate"},
    {"gender": "f", "ancestry": "a", "age": "0-9"},
)
# Once started and with everything imported, it forks a process in milliseconds.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["__main__", "emokit.cleaning.store"])


def queue(n: int, first: int = 0, seed: int = 0) -> pd.DataFrame:
    """Review queue of ``n`` made-up faces, as AffectNet's: ids count from ``first``."""
    rng, number = np.random.default_rng([seed, first]), np.arange(first, first + n)
    choices = {
        "expression": EXPRESSIONS[8],
        "reason": ["rule", "disagreement", "label score", "duplicate", "audit"],
        "gender": ["f", "m"],
        "ancestry": list("abcdefg"),
        "age": [f"{10 * k}-{10 * k + 9}" for k in range(9)],
    }
    return pd.DataFrame(
        {
            "id": [f"{k // 1000}/{k:08}" for k in number],
            "image": [f"/affectnet/{k // 1000}/{k:08}.jpg" for k in number],
            **dict(zip(["x0", "y0", "x1", "y1"], rng.uniform(0, 256, (4, n)), strict=True)),
            **{name: rng.choice(values, n) for name, values in choices.items()},
            "valence": rng.uniform(-1, 1, n),
            "arousal": rng.uniform(-1, 1, n),
            "score": rng.uniform(size=n),
            "landmarks": landmarks_column(rng.uniform(0, 256, (n, 68, 2))),
        }
    )


def timings(store: Store, annotator: str, steps: int = 100) -> pd.DataFrame:
    """Milliseconds of an annotator's steps, per filter.

    Parameters
    ----------
    store : Store
        With a `queue`.
    annotator : str
    steps : int
        Faces decided per filter.

    Returns
    -------
    DataFrame
        ``filter``; ``what``: "next" (`Store.take` and `Store.items` of one face), "decide",
        "progress", "undo"; ``median`` and ``worst``.
    """
    rows = []
    for where in FILTERS:
        name = ", ".join(where.values()) or "none"
        for _ in range(steps):
            (item,), ms = _timed(_next, store, annotator, where)
            rows.append((name, "next", ms))
            rows.append((name, "decide", _timed(store.decide, item, annotator, "correct")[1]))
            rows.append((name, "progress", _timed(store.progress, annotator, where)[1]))
        rows.append((name, "undo", _timed(store.undo, annotator)[1]))
        store.redo(annotator)
    table = pd.DataFrame(rows, columns=["filter", "what", "ms"])
    return table.groupby(["filter", "what"], sort=False)["ms"].agg(median="median", worst="max").reset_index()


def decide_in_bulk(store: Store, annotator: str, n: int) -> None:
    """Have an annotator decide on their next ``n`` items, without waiting for the disk each time."""
    for start in range(0, n, assignment.MOST):
        with store._database.writing() as connection:
            who = journal.here(connection, annotator, lease=60)
            ids = assignment.take(connection, who.number, min(assignment.MOST, n - start), {})
            about = {"time": "2026-01-01T00:00:00+00:00", "annotator": annotator, "action": "decide"}
            about |= {"verdict": "correct", "note": "", "version": __version__}
            rows = [about | {"item": item} for item in ids]
            added = insert(log).returning(log.c.seq, sort_by_parameter_order=True)
            seqs = connection.scalars(added, rows).all()
            seq_of = dict(zip(ids, seqs, strict=True))
            places = connection.execute(select(items.c.id, items.c.position).where(items.c.id.in_(ids)))
            mine = (assignments.c.annotator == who.number, assignments.c.position == bindparam("p"))
            done = update(assignments).where(*mine).values(turn=None, decision=bindparam("s"))
            connection.execute(done, [{"p": position, "s": seq_of[item]} for item, position in places])


class Writers(NamedTuple):
    """What processes were told is on disk, and what of that the log lacks."""

    told: list[tuple[str, str, str]]  # annotator, item, note
    lost: list[tuple[str, str, str]]


def kill_writers(where: str | Path, kills: int, seed: int = 0, progress: bool = False) -> Writers:
    """Kill one deciding process after the other, each after some decisions."""
    rng, told = random.Random(seed), []
    for number in tqdm(range(kills), "kills", disable=not progress):
        process, pipe = _process(_write, where, "anna", f"{number}", None)
        # It never rests, so the kill hits it anywhere in a later decision.
        told += [pipe.recv() for _ in range(rng.randint(1, 5))]
        process.kill()
        told += _told(pipe)
        process.join()
    return Writers(told, _lost(where, told))


def annotate_together(where: str | Path, annotators: Sequence[str], most: int | None = None) -> Writers:
    """Let annotators, a process each, decide until nothing is left, or ``most`` times; a name may come twice."""
    writers = [_process(_write, where, name, f"tab {k}", most) for k, name in enumerate(annotators)]
    told = [row for _, pipe in writers for row in _told(pipe)]
    for process, _ in writers:
        process.join()
    return Writers(told, _lost(where, told))


def _opening(where: str | Path) -> float:
    """Milliseconds in which a new process opens a project and has the first face."""
    process, pipe = _process(_open, where)
    ms = pipe.recv()
    process.join()
    return ms


def _open(where: str | Path, pipe: Connection) -> None:
    pipe.send(_timed(lambda: _next(Store(where), "anna", {}))[1])


def _process(target: Callable, *arguments: Any) -> tuple[Any, Connection]:
    """A process that calls ``target``, and what it says there."""
    receiver, sender = _SERVER.Pipe(duplex=False)
    process = _SERVER.Process(target=target, args=(*arguments, sender), daemon=True)
    process.start()
    sender.close()  # so that its end is heard
    return process, receiver


def _write(where: str | Path, annotator: str, tab: str, most: int | None, pipe: Connection) -> None:
    store, done = Store(where), 0
    while done != most and (ids := store.take(annotator)):
        note = f"{tab}/{done}"
        store.decide(ids[0], annotator, "wrong", valence=-0.5, note=note)
        pipe.send((annotator, ids[0], note))
        done += 1


def _told(pipe: Connection) -> Iterable[tuple[str, str, str]]:
    """What a process says until it ends."""
    while True:
        try:
            yield pipe.recv()
        except EOFError:
            return


def _lost(where: str | Path, told: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    store = Store(where)
    kept = set(store.log()[["annotator", "item", "note"]].itertuples(index=False, name=None))
    store.close()
    return [row for row in told if row not in kept]


def _next(store: Store, annotator: str, where: dict[str, str]) -> list[str]:
    ids = store.take(annotator, 1, where)
    store.items(ids)
    return ids


def _timed(call: Callable, *arguments: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call(*arguments)
    return result, 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m emokit.cleaning.store_bench", description=__doc__)
    parser.add_argument("--where", help="an empty PostgreSQL database, by its URL; an SQLite file by default")
    parser.add_argument("--items", type=int, default=450_000)
    parser.add_argument("--steps", type=int, default=100, help="faces decided per filter")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--annotators", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = args.where or Path(folder) / "review.db"
        store = Store(where, overlap=0.1)
        start = time.perf_counter()
        for first in tqdm(range(0, args.items, 50_000), "adding"):
            store.add(queue(min(50_000, args.items - first), first))
        print(f"added {args.items} items in {time.perf_counter() - start:.0f} s")
        store.close()
        opened = [_opening(where) for _ in range(20)]
        print(f"opened, with the first face, in {np.median(opened):.0f} ms (median), {max(opened):.0f} ms (worst)")
        store = Store(where)
        print(f"\nnothing done, ms\n{timings(store, 'anna', args.steps).round(1).to_string(index=False)}", flush=True)
        share = args.items // 2 // args.annotators
        for k in tqdm(range(args.annotators), "others decide half"):
            decide_in_bulk(store, f"annotator {k}", share)
        print(f"\nhalf done, ms\n{timings(store, 'anna', args.steps).round(1).to_string(index=False)}", flush=True)
        killed = kill_writers(where, args.kills, progress=True)
        print(f"\n{args.kills} kills: {len(killed.told)} decisions acknowledged, {len(killed.lost)} lost")
        names = [f"annotator {k}" for k in range(args.annotators)]
        start = time.perf_counter()
        together = annotate_together(where, names, most=100)
        seconds = time.perf_counter() - start
        given = pd.Series([item for _, item, _ in together.told]).value_counts()
        shared = [item for item in given.index[given > 1] if assignment.places(item, 0.1, 2) == 1]
        print(
            f"{args.annotators} annotators: {len(together.told)} decisions at once in {seconds:.1f} s, "
            f"{len(together.lost)} lost, {len(shared)} items given to two without overlap"
        )
        store.close()


if __name__ == "__main__":
    main()
