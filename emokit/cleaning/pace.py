"""How fast an annotator works, and when a pause is due."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

AWAY = 180  # seconds without a decision: the annotator had a pause
_RECENT = 100  # decisions that the rate looks back on


class Pace:
    """Times of decisions, told by `mark`.

    Parameters
    ----------
    pause : float
        Minutes of work after which a pause is due.
    clock : callable
        Seconds.
    """

    def __init__(self, pause: float = 25.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.pause, self._clock = pause, clock
        self._last = clock()
        self._recent: deque[tuple[float, int]] = deque(maxlen=_RECENT)
        self.worked = 0.0  # seconds since the last pause

    def mark(self, items: int = 1) -> None:
        """``items`` were decided just now."""
        now = self._clock()
        gap, self._last = now - self._last, now
        if gap > AWAY:
            self.worked = 0.0
            return
        self.worked += gap
        self._recent.append((gap, items))

    @property
    def rate(self) -> float | None:
        """Items per minute of work of late; None before the first."""
        seconds = sum(gap for gap, _ in self._recent)
        return 60 * sum(items for _, items in self._recent) / seconds if seconds else None

    @property
    def due(self) -> bool:
        """Whether a pause would do good."""
        return self.worked >= 60 * self.pause

    def later(self, minutes: float = 5.0) -> None:
        """Not now: due again after so many minutes of work."""
        self.worked = 60 * max(self.pause - minutes, 0.0)
