"""The annotator's desk in a notebook: one face after the other, pages of one class, or disagreements.

Every decision is on disk before the next face shows: the browser has its picture already, and
swaps it in when the kernel says that `Store.decide` has returned.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets

from emokit.cleaning.pace import Pace
from emokit.cleaning.shown import face_shown
from emokit.cleaning.store import VERDICTS, Progress, Store
from emokit.data.rendered import action_units, affect
from emokit.data.tables import Table, read_table
from emokit.models.emofan import EXPRESSIONS

MODES = ("one", "grid", "adjudicate")
_STATIC = Path(__file__).parent / "static"
_SCRIPTS = ("parts.js", "keys.js", "faces.js", "circumplex.js", "one.js", "grid.js", "review.js")
_SIZES = {"one": 768, "grid": 256, "adjudicate": 768}  # pixels of the longer side
_CONTEXT = {"one": 1.5, "grid": 1.0, "adjudicate": 1.5}  # in sides of the network's crop
_KEPT = 64  # encoded faces, for a second view or an undo


def _module() -> str:
    """One ES module of several: a widget is loaded as one file."""
    text = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return re.sub(r"^(import .*|export (?!default))", "", text, flags=re.MULTILINE)


class Review(anywidget.AnyWidget):
    """Review the labels of a project in JupyterLab, Notebook or VS Code; press h for the keys.

    Pictures, labels and decisions go between the notebook's own kernel and your browser, and
    nowhere else. The model's opinion stays in the kernel until the annotator has decided or asks
    for it, so that it does not anchor them.

    Parameters
    ----------
    store : Store
    annotator : str
        Whose decisions these are; the same name goes on where it stopped.
    mode : {"one", "grid", "adjudicate"}
        One face after the other; a page of one class, of which the odd ones out are picked; or
        what annotators disagree about.
    predictions : DataFrame or path, optional
        The model's opinion: predictions table.
    where : mapping of str to str, optional
        Only items with these values, such as ``{"expression": "happy"}``; see `Store.choices`.
    ahead : int
        Faces that the browser holds ready.
    page : int
        Faces on a page of the grid.
    pause : float
        Minutes of work after which the widget reminds of a pause.

    Raises
    ------
    ValueError
        No such mode, or of the predictions as in `read_table`.
    """

    _esm = _module()
    _css = _STATIC / "review.css"
    settings = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        store: Store,
        annotator: str,
        mode: str = "one",
        *,
        predictions: Table | None = None,
        where: Mapping[str, str] | None = None,
        ahead: int = 8,
        page: int = 24,
        pause: float = 25.0,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, got {mode!r}")
        self.store, self.annotator, self.pace = store, annotator, Pace(pause)
        self._opinions = None if predictions is None else _by_id(read_table(predictions))
        self._n_ahead, self._page = ahead, page
        self._faces: dict[tuple[str, str], tuple[dict[str, Any], bytes | None]] = {}
        # JupyterLab handles a widget's messages in a thread of its own.
        self._lock = threading.RLock()
        self._step = 0
        self._start(mode, dict(where or {}))
        places = {name: affect(action_units(name, 0.8)) for name in EXPRESSIONS[8]}
        super().__init__(settings={"annotator": annotator, "verdicts": list(VERDICTS), "places": places})
        self.on_msg(self._hear)

    def _hear(self, _widget: object, message: dict[str, Any], _buffers: list[memoryview]) -> None:
        """Answer one message of a view."""
        answers = {
            "hello": self._hello, "faces": self._send_faces, "opinion": self._send_opinion,
            "decide": self._decide, "page": self._decide_page, "skip": self._skip,
            "undo": self._undo, "redo": self._redo, "start": self._restart, "later": self._later,
        }  # fmt: skip
        with self._lock:
            # Another view of this widget, or the same key twice, was faster: show what is now.
            if message.get("step", self._step) != self._step:
                self._tell()
                return
            try:
                answers[message["do"]](message)
            except Exception as error:  # whatever it is, the annotator has to see it
                self.send({"kind": "failed", "step": self._step, "text": str(error) or type(error).__name__})

    def _hello(self, _message: dict[str, Any]) -> None:
        # Details may hold what the model thinks.
        choices = {name: values for name, values in self.store.choices().items() if name != "why"}
        self.send({"kind": "choices", "choices": choices})
        self._tell()

    def _start(self, mode: str, where: dict[str, str]) -> None:
        """Begin anew with these filters."""
        self.mode, self.where = mode, where
        self._now: list[str] = []
        self._next: list[str] = []
        self._settled: list[str] = []
        self._steps: list[int] = []  # items of every step that can be undone
        self._undone: list[int] = []
        self._last: dict[str, Any] | None = None
        if mode == "grid" and "expression" not in where:
            self._open_class()
        else:
            self._fill()
        self._turn()

    def _restart(self, message: dict[str, Any]) -> None:
        self._start(message["mode"], {name: value for name, value in message["where"].items() if value})
        self._step += 1
        self._tell()

    @property
    def _width(self) -> int:
        return self._page if self.mode == "grid" else 1

    def _fill(self) -> None:
        """Look up what comes after the faces that show."""
        if self.mode == "adjudicate":
            # Found by reading all decisions, so only when the last of them are through.
            if not self._next:
                here = {*self._settled, *self._now}
                self._next = [item for item in self.store.disagreements() if item not in here]
            done = len(self._settled)
            self._progress = Progress(done, done + len(self._now) + len(self._next))
            return
        wanted = 2 * self._page if self.mode == "grid" else 1 + self._n_ahead
        queue = self.store.take(self.annotator, wanted, self.where)
        self._next = [item for item in queue if item not in self._now]
        self._progress = self.store.progress(self.annotator, self.where)

    def _turn(self) -> None:
        """Show the next face or page."""
        self._now = []
        if len(self._next) < self._width:
            self._fill()
        if self.mode == "grid" and not self._next:
            self._open_class()
        self._now, self._next = self._next[: self._width], self._next[self._width :]

    def _open_class(self) -> None:
        """Go to the first class that has faces left."""
        for name in self.store.choices().get("expression", []):
            self.where["expression"] = name
            self._fill()
            if self._next:
                return

    def _advance(self, done: int, last: dict[str, Any] | None) -> None:
        """The step is on disk: answer first, then look further ahead."""
        self._step += 1
        self._last = last
        self._undone.clear()
        self._steps.append(max(done, 1))
        self._progress = self._progress._replace(done=self._progress.done + done)
        if done:
            self.pace.mark(done)
        self._turn()
        self._tell()
        self._fill()
        self._tell()

    def _decide(self, message: dict[str, Any]) -> None:
        item = self._now[0]
        write = self.store.adjudicate if self.mode == "adjudicate" else self.store.decide
        labels = {name: message.get(name) for name in ("expression", "valence", "arousal")}
        write(item, self.annotator, message["verdict"], **labels, note=message.get("note", ""))
        self._settled.append(item)
        face, _ = self._face(item)
        last = {"item": item, "verdict": message["verdict"], "old": face["expression"], **labels}
        self._advance(1, last | {"opinion": self._opinion(item)})

    def _decide_page(self, message: dict[str, Any]) -> None:
        page, marks = list(self._now), message["marks"]
        for item in page:
            self.store.decide(item, self.annotator, marks.get(item, "correct"))
            self._now.remove(item)  # what is written stays written if the next one fails
        odd = sum(item in marks for item in page)
        self._advance(len(page), {"page": len(page), "odd": odd})

    def _skip(self, _message: dict[str, Any]) -> None:
        item = self._now[0]
        if self.mode == "adjudicate":
            self._settled.append(item)
        else:
            self.store.skip(item, self.annotator)
        self._advance(0, {"item": item, "verdict": "skipped"})

    def _undo(self, _message: dict[str, Any]) -> None:
        adjudicating = self.mode == "adjudicate"
        back = []
        for _ in range(self._steps.pop() if self._steps else not adjudicating):
            item = self.store.undo(self.annotator)
            # What is taken back comes first in `take`, unless it was an adjudication.
            if item is not None and not adjudicating and self.store.take(self.annotator) != [item]:
                self.store.redo(self.annotator)
                raise ValueError("Your last step was an adjudication; undo it in that mode.")
            back += [] if item is None else [item]
        if not back:
            raise ValueError("There is nothing to undo.")
        self._undone.append(len(back))
        self._settled = [item for item in self._settled if item not in back]
        self._now, self._next = back[::-1][: self._width], []
        if self.mode == "grid":  # a page is of one class
            self.where["expression"] = self._face(back[0])[0]["expression"]
        self._show({"verdict": "undone", "item": back[-1]})

    def _redo(self, _message: dict[str, Any]) -> None:
        items = [self.store.redo(self.annotator) for _ in range(self._undone.pop() if self._undone else 1)]
        done = [item for item in items if item is not None]
        if not done:
            raise ValueError("There is nothing to redo.")
        self._steps.append(len(done))
        self._settled += done
        if not self._now or self._now[0] in done:
            self._next = [item for item in self._next if item not in done]
            self._turn()
        self._show({"verdict": "redone", "item": done[-1]})

    def _show(self, last: dict[str, Any]) -> None:
        """Undo or redo is on disk."""
        self._step += 1
        self._last = last
        self._fill()
        self._tell()

    def _later(self, _message: dict[str, Any]) -> None:
        self.pace.later()
        self._tell()

    def _tell(self) -> None:
        """Every view what is to be seen now."""
        rate, (done, total) = self.pace.rate, self._progress
        self.send(
            {
                "kind": "state", "step": self._step, "mode": self.mode, "where": self.where,
                "now": self._now, "next": self._next[: max(self._n_ahead, self._width)], "done": done, "total": total, "rate": rate,
                "left": (total - done) / rate if rate else None, "rest": self.pace.due, "last": self._last,
            }
        )  # fmt: skip

    def _send_faces(self, message: dict[str, Any]) -> None:
        for item in message["items"]:
            face, jpeg = self._face(item)
            self.send({"kind": "face", "mode": self.mode} | face, [] if jpeg is None else [jpeg])

    def _face(self, item: str) -> tuple[dict[str, Any], bytes | None]:
        key = (item, self.mode)
        if key not in self._faces:
            row = self.store.items([item]).to_dict("records")[0]
            face, jpeg = face_shown(row, _SIZES[self.mode], _CONTEXT[self.mode])
            if self.mode == "adjudicate":
                face["opinions"] = _plain(self.store.opinions(item))
            self._faces[key] = face, jpeg
            while len(self._faces) > _KEPT + 2 * self._page:
                del self._faces[next(iter(self._faces))]
        return self._faces[key]

    def _send_opinion(self, message: dict[str, Any]) -> None:
        item = message["item"]
        row = self.store.items([item]).iloc[0]
        why = {name: row[name] for name in ("reason", "why") if name in row and row[name] == row[name]}
        self.send({"kind": "opinion", "item": item, "opinion": self._opinion(item), **why})

    def _opinion(self, item: str) -> dict[str, Any] | None:
        if self._opinions is None or item not in self._opinions.index:
            return None
        row = self._opinions.loc[item]
        found = {name: row[name] for name in ("expression", "valence", "arousal") if name in row}
        if f"p_{found.get('expression')}" in row:
            found["probability"] = row[f"p_{found['expression']}"]
        return _plain(pd.DataFrame([found]))[0]


def _by_id(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions.set_index(predictions["id"].astype(str))


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON: None where a cell is empty."""
    return table.astype(object).where(table.notna(), None).to_dict("records")
