"""The annotator's desk in a notebook: one face after the other, pages of one class, or disagreements.

Every decision is on disk before the next face shows: the browser has its picture already, and
shows it when the kernel says that `Store.decide` has returned.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets

from emokit.cleaning.desk import Desk
from emokit.cleaning.pace import Pace
from emokit.cleaning.shown import face_shown
from emokit.cleaning.store import VERDICTS, Store
from emokit.data.rendered import action_units, affect
from emokit.data.tables import Table, read_table
from emokit.evaluation.agreement import HUMANS, average_agreement
from emokit.models.emofan import EXPRESSIONS

_STATIC = Path(__file__).parent / "static"
_SCRIPTS = ("parts.js", "keys.js", "faces.js", "circumplex.js", "one.js", "grid.js", "review.js")
# Pixels of the longer side, and what shows in sides of the network's crop.
_LARGE, _SMALL = {"size": 768, "context": 1.5}, {"size": 256, "context": 1.0}
_KEPT = 64  # encoded faces, for a second view or an undo
_AGREEMENT = 5.0  # seconds between two looks at the annotators' agreement, at least


def _module() -> str:
    """One ES module of several, because a widget is loaded as one file."""
    text = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return re.sub(r"^(import .*|export (?!default))", "", text, flags=re.MULTILINE)


class Review(anywidget.AnyWidget):
    """Review the labels of a project in JupyterLab, Notebook or VS Code; press h for the keys.

    Pictures, labels and decisions pass between the notebook's own kernel and your browser, and
    go nowhere else. The model's opinion stays in the kernel until the annotator has decided or
    asks for it, so that it does not anchor them.

    Parameters
    ----------
    store : Store, path or URL
    annotator : str
        Whose decisions these are; the same name goes on where it stopped.
    mode : {"one", "grid", "adjudicate"}
        One face after the other; a page of one class, of which the odd ones out are picked; or
        what annotators disagree about.
    predictions : DataFrame or path, optional
        The model's opinion: predictions table.
    where : mapping of str to str, optional
        Only items with these values, such as ``{"reason": "rule"}``; see `Store.choices`.
    ahead : int
        Faces that the browser holds ready.
    page : int
        Faces on a page of the grid.
    pause : float
        Minutes of work after which the widget reminds of a pause.

    Raises
    ------
    ValueError
        No such mode or filter; and of the predictions as in `read_table`.
    """

    _esm = _module()
    _css = _STATIC / "review.css"
    settings = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        store: Store | str | Path,
        annotator: str,
        mode: str = "one",
        *,
        predictions: Table | None = None,
        where: Mapping[str, str] | None = None,
        ahead: int = 8,
        page: int = 24,
        pause: float = 25.0,
    ) -> None:
        self.store, self.pace = store if isinstance(store, Store) else Store(store), Pace(pause)
        self.desk = Desk(self.store, annotator, mode, where or {}, ahead, page)
        self._opinions = None if predictions is None else read_table(predictions)
        if predictions is not None:
            self._opinions.index = self._opinions["id"].astype(str)
        self._faces: dict[tuple[str, str], tuple[dict[str, Any], bytes | None]] = {}
        self._last: dict[str, Any] | None = None
        self._informed: set[str] = set()  # items of which the model's opinion has shown
        self._agreed = self._agreeing = 0.0  # when the agreement was looked up, and how long that took
        # JupyterLab handles a widget's messages in a thread of its own.
        self._lock = threading.RLock()
        places = {name: affect(action_units(name, 0.8)) for name in EXPRESSIONS[8]}
        super().__init__(settings={"verdicts": list(VERDICTS), "places": places})
        self.on_msg(self._hear)

    def _hear(self, _widget: object, message: dict[str, Any], _buffers: list[memoryview]) -> None:
        """Answer a message of one of the views."""
        with self._lock:
            step = self.desk.step
            # Another view, or the same key twice, was faster: show what is now.
            if message.get("step", step) != step:
                self._tell()
                return
            try:
                getattr(self, f"_on_{message['do']}")(message)
            except Exception as error:  # whatever it is, the annotator has to see it
                if self.desk.step != step:
                    self._tell()
                self.send({"kind": "failed", "text": str(error) or type(error).__name__})

    def _on_hello(self, _message: dict[str, Any]) -> None:
        # The column `why` may say what the model thinks.
        choices = {name: values for name, values in self.store.choices().items() if name != "why"}
        self.send({"kind": "choices", "choices": choices})
        self._tell()
        self._tell_agreement()

    def _on_face(self, message: dict[str, Any]) -> None:
        face, jpeg = self._face(message["item"])
        self.send({"kind": "face", "mode": self.desk.mode} | face, [] if jpeg is None else [jpeg])

    def _on_opinion(self, message: dict[str, Any]) -> None:
        item = message["item"]
        self._informed.add(item)
        row = self.store.items([item]).iloc[0]
        why = {name: row[name] for name in ("reason", "why") if pd.notna(row.get(name))}
        self.send({"kind": "opinion", "item": item, "opinion": self._opinion(item)} | why)

    def _on_decide(self, message: dict[str, Any]) -> None:
        item = self.desk.now[0]
        old = self._face(item)[0]["expression"]
        labels = {name: message.get(name) for name in ("expression", "valence", "arousal")}
        self.desk.decide(message["verdict"], **labels, note=message.get("note", ""), informed=item in self._informed)
        last = {"item": item, "verdict": message["verdict"], "old": old, "opinion": self._opinion(item)}
        if last["opinion"]:  # which shows now, and would be known after an undo
            self._informed.add(item)
        self._went_on(1, last | labels)

    def _on_page(self, message: dict[str, Any]) -> None:
        size, marks = len(self.desk.now), message["marks"]
        self.desk.decide_page(marks)
        self._went_on(size, {"page": size, "odd": len(marks)})

    def _on_skip(self, _message: dict[str, Any]) -> None:
        item = self.desk.now[0]
        self.desk.skip()
        self._went_on(0, {"item": item, "verdict": "skipped"})

    def _on_undo(self, _message: dict[str, Any]) -> None:
        self._last = {"verdict": "undone", "item": self.desk.undo()[-1]}
        self._tell()

    def _on_redo(self, _message: dict[str, Any]) -> None:
        self._last = {"verdict": "redone", "item": self.desk.redo()[-1]}
        self._tell()

    def _on_start(self, message: dict[str, Any]) -> None:
        self.desk.start(message["mode"], {name: value for name, value in message["where"].items() if value})
        self._last = None
        self._tell()
        self._tell_agreement()

    def _on_later(self, _message: dict[str, Any]) -> None:
        self.pace.later()
        self._tell()

    def _went_on(self, decided: int, last: dict[str, Any]) -> None:
        """Answer first, then look further ahead."""
        self._last = last
        if decided:
            self.pace.mark(decided)
        self._tell()
        if self.desk.runs_low:
            self.desk.fill()
            self._tell()
        # Of large projects, it takes a while: seldom then, so that nobody waits for it.
        if time.monotonic() - self._agreed > max(_AGREEMENT, 20 * self._agreeing):
            self._tell_agreement()

    def _tell(self) -> None:
        """Tell all views what is to be seen now."""
        desk, rate = self.desk, self.pace.rate
        done, total = desk.progress
        state = {"step": desk.step, "mode": desk.mode, "where": desk.where, "now": desk.now, "next": desk.upcoming}
        pace = {"rate": rate, "left": (total - done) / rate * 60 if rate else None, "rest": self.pace.due}
        self.send({"kind": "state", **state, "done": done, "total": total, **pace, "last": self._last})

    def _tell_agreement(self) -> None:
        """Tell an adjudicator how far the annotators agree by now."""
        if self.desk.mode != "adjudicate":
            return
        start = time.monotonic()
        ratings, figures = self.store.agreement(), []
        if ratings["annotator"].nunique() > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # who shares no item agrees on none
                table = average_agreement(ratings, n_resamples=2)  # intervals are not shown
            shown = table["annotator"].eq(HUMANS) & table["metric"].isin(["accuracy", "CCC"])
            figures = _plain(table.loc[shown, ["target", "metric", "value", "n"]])
        self.send({"kind": "agreement", "figures": figures})
        self._agreed = time.monotonic()
        self._agreeing = self._agreed - start

    def _face(self, item: str) -> tuple[dict[str, Any], bytes | None]:
        """What is shown of an item in this mode, of the last few from memory."""
        mode = self.desk.mode
        if (item, mode) not in self._faces:
            try:
                row = self.store.items([item]).to_dict("records")[0]
                face, jpeg = face_shown(row, **(_SMALL if mode == "grid" else _LARGE))
                if mode == "adjudicate":
                    face["opinions"] = _plain(self.store.opinions(item).drop(columns="time"))
            except Exception as error:  # whatever is wrong with one face, it can be judged
                return {"item": item, "expression": None, "problem": str(error) or type(error).__name__}, None
            self._faces[item, mode] = face, jpeg
            while len(self._faces) > _KEPT:
                del self._faces[next(iter(self._faces))]
        return self._faces[item, mode]

    def _opinion(self, item: str) -> dict[str, Any] | None:
        """What the model thinks of an item."""
        if self._opinions is None or item not in self._opinions.index:
            return None
        row = self._opinions.loc[[item]]
        said = row.reindex(columns=["expression", "valence", "arousal"])
        said["probability"] = row.get(f"p_{row['expression'].iloc[0]}") if "expression" in row else None
        return _plain(said)[0]


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON: None where a cell is empty."""
    return table.astype(object).where(table.notna(), None).to_dict("records")
