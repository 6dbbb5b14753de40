"""Who is who from frame to frame: identity of position."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

# Boxes that share this much are boxes of one face.
_SAME = 0.7


def overlap(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union, (n, m) in [0, 1], of ``boxes`` (n, 4) and ``others`` (m, 4) as x0, y0, x1, y1."""
    shared, areas, other_areas = _shared(boxes, others)
    return shared / (areas[:, None] + other_areas - shared)


def _shared(boxes: ArrayLike, others: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Areas of intersections (n, m), of ``boxes`` (n,) and of ``others`` (m,)."""
    boxes, others = (np.asarray(b, dtype=np.float64).reshape(-1, 4) for b in (boxes, others))
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    areas = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, others))
    return np.prod(np.clip(high - low, 0, None), axis=2), *areas


@dataclass
class Track:
    """A person followed: the last ``box``, when it was ``seen`` (s), and whether the network is at it
    (``steady``) or only the detector has seen it."""

    person: int
    box: list[float]
    seen: float
    steady: bool = False


class Tracker:
    """Persons are numbered from 0 as they appear; one who was away for too long comes back as another.

    Parameters
    ----------
    gap : float
        Seconds without a sight of a person after which the track ends.
    overlap : float
        Least intersection over union of a person's boxes from one sight to the next, in (0, 1].
    """

    def __init__(self, gap: float = 1.0, overlap: float = 0.3) -> None:
        if gap < 0 or not 0 < overlap <= 1:
            raise ValueError(f"gap is 0 s or more and overlap in (0, 1], got {gap} and {overlap}")
        self.gap, self.overlap = gap, overlap
        self.tracks: list[Track] = []
        self.persons = 0

    def look(self, time: float, boxes: ArrayLike) -> NDArray[np.int64]:
        """Take in what a detector sees: ``boxes`` (m, 4) at ``time`` (s).

        Boxes and tracks are paired so that the sum of overlaps is greatest; boxes left over that
        lie on no known face begin tracks.

        Returns
        -------
        array, shape (tracks,)
            For each of ``tracks``, the number of its box, or -1.
        """
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        self.tracks = [track for track in self.tracks if time - track.seen <= self.gap]
        overlaps = overlap([track.box for track in self.tracks], boxes)
        overlaps[overlaps < self.overlap] = 0
        sources = np.full(len(self.tracks), -1)
        for t, b in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
            if overlaps[t, b]:
                sources[t], track = b, self.tracks[t]
                # The network's own box fits better than the detector's.
                track.box, track.seen = (track.box if track.steady else boxes[b].tolist()), time
        for b in np.setdiff1d(np.arange(len(boxes)), sources):
            shared, area, areas = _shared(boxes[b], [track.box for track in self.tracks])
            if not (shared > np.minimum(area[:, None], areas) / 2).any():
                self.tracks.append(Track(self.persons, boxes[b].tolist(), time))
                self.persons += 1
                sources = np.append(sources, b)
        return sources

    def follow(self, person: int, time: float, box: ArrayLike) -> None:
        """Note the ``box`` (4,) in which the network saw ``person`` at ``time`` (s)."""
        track = next(track for track in self.tracks if track.person == person)
        track.box, track.seen, track.steady = np.asarray(box, dtype=np.float64).tolist(), time, True

    def merge(self) -> set[int]:
        """End the younger of tracks that lie on the same face; returns their persons."""
        boxes = [track.box for track in self.tracks]
        younger = np.tril(overlap(boxes, boxes) >= _SAME, -1).any(axis=1)
        ended = {track.person for track, ends in zip(self.tracks, younger, strict=True) if ends}
        self.tracks = [track for track in self.tracks if track.person not in ended]
        return ended

    @property
    def state(self) -> dict[str, Any]:
        """All that a tracker knows, as JSON can hold it."""
        return {"persons": self.persons, "tracks": [asdict(track) for track in self.tracks]}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.persons, self.tracks = state["persons"], [Track(**track) for track in state["tracks"]]
