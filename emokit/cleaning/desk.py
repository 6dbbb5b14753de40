"""What one annotator has before them, what comes next, and how to go back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from emokit.cleaning.store import Progress, Store

MODES = ("one", "grid", "adjudicate")


class Desk:
    """One annotator's place in a project.

    Parameters
    ----------
    store : Store
    annotator : str
    mode : {"one", "grid", "adjudicate"}
        One item after the other; a page of one class; or what annotators disagree about.
    where : mapping of str to str
        See `Store.take`.
    ahead : int
        Items looked ahead; of a grid, one page.
    page : int
        Items on a page of the grid.

    Attributes
    ----------
    now : list of str
        Items that show: one, or a page.
    next : list of str
        What comes after them.
    step : int
        Grows with every change of ``now``, so that nobody decides what does not show any more.
    progress : Progress

    Raises
    ------
    ValueError
        No such mode; or as `Store.take`.
    """

    def __init__(
        self, store: Store, annotator: str, mode: str, where: Mapping[str, str], ahead: int = 8, page: int = 24
    ) -> None:
        self.store, self.annotator, self._ahead, self._page = store, annotator, ahead, page
        self.step, self._seen = -1, time.time()
        self.start(mode, where)

    def start(self, mode: str, where: Mapping[str, str]) -> None:
        """Begin anew, in another mode or with other filters."""
        if mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, got {mode!r}")
        self.store.progress(self.annotator, where)  # refuses wrong filters before anything changes
        self.step += 1
        self.mode, self.where = mode, dict(where)
        self.now: list[str] = []
        self.next: list[str] = []
        self._own: list[str] = []  # items that were this annotator's at the last look
        self._settled: list[str] = []  # adjudicated or left open here
        self._steps: list[int] = []  # items of every step that can be undone here
        self._undone: list[int] = []
        self._turn()

    @property
    def width(self) -> int:
        """Items that show at once."""
        return self._page if self.mode == "grid" else 1

    @property
    def upcoming(self) -> list[str]:
        """Items to be held ready."""
        return self.next[: max(self._ahead, self.width)]

    @property
    def runs_low(self) -> bool:
        """Whether it is time to `fill`."""
        return len(self.next) <= max(self._ahead // 2, self.width - 1)

    def fill(self) -> None:
        """Look up what comes next."""
        self._seen = time.time()
        if self.mode == "adjudicate":
            # Found by reading all decisions, so only when those of last time are through.
            if not self.next:
                here = {*self.now, *self._settled}
                self.next = [item for item in self.store.disagreements(self.where) if item not in here]
            done = len(self._settled)
            self.progress = Progress(done, done + len(self.now) + len(self.next))
            return
        if self.mode != "grid" or "expression" in self.where:
            self._own = self.store.take(self.annotator, self.width + max(self._ahead, self.width), self.where)
            self.next = [item for item in self._own if item not in self.now]
        self.progress = self.store.progress(self.annotator, self.where)

    def decide(self, verdict: str, **labels: Any) -> None:
        """Write a decision on what shows, as `Store.decide`, and go on."""
        self._come_back()
        item = self.now[0]
        write = self.store.adjudicate if self.mode == "adjudicate" else self.store.decide
        write(item, self.annotator, verdict, **labels)
        self._note([item], decided=1)
        self._turn()

    def decide_page(self, marks: Mapping[str, str]) -> None:
        """Write the verdicts of ``marks``, and "correct" for all others of the page, and go on.

        After a long absence, others of the page that somebody else was given are left to them.
        """
        if self._come_back():
            self.now = [item for item in self.now if item in marks or item in self._own]
        page = self.now
        for done, item in enumerate(page):
            try:
                self.store.decide(item, self.annotator, marks.get(item, "correct"))
            except Exception:
                # What is written stays written; the rest of the page still shows.
                if done:
                    self._note(page[:done], decided=done)
                    self.now = page[done:]
                raise
        self._note(page, decided=len(page))
        self._turn()

    def skip(self) -> None:
        """Leave what shows for later."""
        item = self.now[0]
        others = self._come_back() and item not in self._own
        if self.mode == "adjudicate" or others:  # nothing is written, so there is nothing to undo
            self.step += 1
            self._settled.append(item)
        else:
            self.store.skip(item, self.annotator)
            self._note([item], decided=0)
        self._turn()

    def undo(self) -> list[str]:
        """Take back the last step: an item, or the items of a page.

        Raises
        ------
        ValueError
            There is none, or it was made in another mode.
        """
        last = self.store.undoable(self.annotator)
        if last is None:
            raise ValueError("There is nothing to undo.")
        if (last == "adjudicate") != (self.mode == "adjudicate"):
            where = "Adjudicate" if last == "adjudicate" else "One by one or Grid"
            raise ValueError(f"The last step was made in another mode; undo it in {where}.")
        back = self._repeat(self.store.undo, self._steps.pop() if self._steps else 1)
        self.step += 1
        self._undone.append(len(back))
        self._settled = [item for item in self._settled if item not in back]
        self.now, self.next = back[::-1][: self.width], []
        if self.mode == "grid":  # a page is of one class
            self._open_class_of(back[0])
        self.fill()
        return back

    def redo(self) -> list[str]:
        """Take back the last `undo`.

        Raises
        ------
        ValueError
            There is none, or something was decided since.
        """
        done = self._repeat(self.store.redo, self._undone.pop() if self._undone else 1)
        if not done:
            raise ValueError("There is nothing to redo.")
        self.step += 1
        self._steps.append(len(done))
        self._settled += done
        self.next = [item for item in self.next if item not in done]
        if set(self.now) & set(done):
            self._turn()
        self.fill()
        return done

    def _repeat(self, move: Callable[[str], str | None], times: int) -> list[str]:
        return [item for item in (move(self.annotator) for _ in range(times)) if item is not None]

    def _come_back(self) -> bool:
        """After a long absence, look up anew what is still this annotator's; whether there was one."""
        away = time.time() - self._seen > 30 * self.store.lease  # half of it, in seconds
        if away:
            self.fill()
        return away

    def _note(self, items: list[str], decided: int) -> None:
        """A step is on disk."""
        self.step += 1
        self._seen = time.time()
        self._undone.clear()
        if items:
            self._steps.append(len(items))
        self._settled += items
        self.progress = self.progress._replace(done=self.progress.done + decided)

    def _turn(self) -> None:
        """Show what comes next."""
        self.now = []
        if len(self.next) < self.width:
            self.fill()
        if self.mode == "grid" and not self.next:
            self._open_class()
        self.now, self.next = self.next[: self.width], self.next[self.width :]

    def _open_class_of(self, item: str) -> None:
        """Go back to the class of ``item``."""
        self.where.pop("expression", None)
        expression = self.store.items([item]).get("expression")
        if expression is not None and expression.notna().all():
            self.where["expression"] = expression.iloc[0]

    def _open_class(self) -> None:
        """Go to the first class that has items left."""
        for name in self.store.choices().get("expression", []):
            if self.store.take(self.annotator, 1, self.where | {"expression": name}):
                self.where["expression"] = name
                self.fill()
                return
        self.where.pop("expression", None)
        self.fill()  # what is left has no class
