"""SEWA as a samples table: annotated frames of recordings such as ``C1_S001_P001_VC1``.

A recording's name gives culture, session and person. Beside its video lie the annotators'
traces, ``<recording>_{Valence,Arousal}_{A,V,AV}_Aligned.csv``: time in seconds, then one
column per annotator. Public descriptions leave open whether the files have a header and
which separator they use, so both are recognised; and whether person numbers start anew in every
session, which ``persons`` says. Other names can be given as ``pattern``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.cleaned import apply_cleaned
from emokit.data.problems import DataError, Problems
from emokit.data.tables import Table
from emokit.data.traces import read_trace

PATTERN = (
    r"(?P<recording>(?P<culture>C\d+)_(?P<session>S\d+)_(?P<person>P\d+)_\w+?)"
    r"_(?P<dimension>Valence|Arousal)_(?P<channel>A|V|AV)_Aligned\.csv"
)
VIDEOS = (".avi", ".mp4", ".mkv", ".mov")
_TRACE = re.compile(r".+_(Valence|Arousal)_(A|V|AV)_Aligned\.csv")


def read_sewa(
    folder: str | os.PathLike,
    *,
    channel: str = "AV",
    pattern: str = PATTERN,
    persons: Literal["culture", "session"] = "culture",
    every: int = 1,
    cleaned: Table | None = None,
    on_error: str = "raise",
) -> pd.DataFrame:
    """Samples table of SEWA: one row per annotated video frame.

    Parameters
    ----------
    folder : path
        Holds recordings at any depth.
    channel : {"A", "V", "AV"}
        Whether annotators heard, saw, or heard and saw the recording.
    pattern : str
        Regular expression of trace files' names, with the groups recording, culture, session,
        person, dimension and channel.
    persons : {"culture", "session"}
        Within what a person's number is unique. "culture" is the safe reading: it never takes
        one person for two.
    every : int
        Read each ``every``-th frame; neighbours differ little.
    cleaned : DataFrame or path, optional
        A cleaned list of the same frames: what it drops goes, labels that it corrects replace the
        mean of the annotators; see `emokit.data.apply_cleaned`.
    on_error : {"raise", "skip"}
        See `Problems`; `skipped` tells what was left out.

    Returns
    -------
    DataFrame
        ``id`` (recording/frame); ``video``, ``frame``, ``time`` (s); ``culture``, ``session``,
        ``subject``; ``valence`` and ``arousal``, the mean of the annotators at the frame's time,
        and each annotator's own as ``valence_1``, …; `extract_frames` adds ``image``. Frames
        before or after the traces, or while no annotator rates, are left out and counted in
        ``attrs["left_out"]``.

    Raises
    ------
    DataError
        No traces, a malformed trace or video, a name that ``PATTERN`` does not fit, or a
        recording that is there twice; the message names file and row.
    ValueError
        The cleaned list does not fit; the message names ids.
    """
    if persons not in ("culture", "session") or every < 1:
        raise ValueError(f"persons is 'culture' or 'session' and every at least 1, got {persons!r} and {every}")
    folder, problems = Path(folder).absolute(), Problems(on_error)
    names = re.compile(pattern)
    recordings: dict[str, dict[str, Path]] = {}
    about: dict[str, re.Match] = {}
    for path in sorted(folder.rglob("*.csv")):
        match = names.fullmatch(path.name)
        if match is None:
            # A pattern of the user's may mean to leave recordings out; the default one does not.
            if pattern == PATTERN and _TRACE.fullmatch(path.name):
                problems.add(path, None, "the name does not begin as C1_S001_P001_VC1", "rename it, or give a pattern")
        elif match["channel"] == channel:
            paths = recordings.setdefault(match["recording"], {})
            first = paths.setdefault(match["dimension"].lower(), path)
            if first != path:
                problems.add(path, None, f"the same trace is in {first.parent}", "keep one of the two")
            about[match["recording"]] = match
    if not recordings:
        raise DataError(f"{folder} holds no *_{channel}_Aligned.csv; give SEWA's folder, or a pattern of its names")
    tables, left_out = [], 0
    for recording, paths in recordings.items():
        try:
            table, outside = _recording(recording, paths)
        except DataError as error:
            problems.take(error)
            continue
        left_out += outside
        match = about[recording]
        culture, session = match["culture"], f"{match['culture']}_{match['session']}"
        subject = f"{culture if persons == 'culture' else session}_{match['person']}"
        table = table[table["frame"] % every == 0]
        tables.append(table.assign(culture=culture, session=session, subject=subject))
    if not tables:
        raise DataError(f"no recording in {folder} can be used; the first problem: {problems.found[0]['problem']}")
    samples = pd.concat(tables, ignore_index=True)
    samples.attrs["left_out"] = left_out
    if cleaned is not None:
        samples = apply_cleaned(samples, cleaned, problems).reset_index(drop=True)
    return problems.attach(samples)


def _recording(recording: str, paths: dict[str, Path]) -> tuple[pd.DataFrame, int]:
    """Annotated frames of a recording, and how many others it has."""
    for dimension in ("valence", "arousal"):
        if dimension not in paths:
            raise DataError.at(next(iter(paths.values())), None, f"there is no {dimension} trace beside it", "add it")
    where = paths["valence"].parent
    video = next((p for s in VIDEOS if (p := where / f"{recording}{s}").is_file()), None)
    if video is None:
        problem = f"there is no such video, nor one that ends in {', '.join(VIDEOS[1:])}"
        raise DataError.at(where / f"{recording}{VIDEOS[0]}", None, problem, "put it beside the traces")
    times = _frame_times(video)
    traces = {dimension: read_trace(path) for dimension, path in paths.items()}
    (_, valence), (_, arousal) = traces["valence"], traces["arousal"]
    if valence.shape[1] != arousal.shape[1]:
        problem = f"it has {arousal.shape[1]} annotators, the valence trace {valence.shape[1]}"
        raise DataError.at(paths["arousal"], None, problem, "keep the columns of those who rated both")
    for dimension, (time, _) in traces.items():
        if time[-1] > 2 * times[-1] + 1:
            problem = f"it runs to {time[-1]:g} s, but the video to {times[-1]:g} s"
            raise DataError.at(paths[dimension], None, problem, "give times in seconds")
    first = max(time[0] for time, _ in traces.values())
    last = min(time[-1] for time, _ in traces.values())
    frames = np.flatnonzero((times >= first) & (times <= last))
    if not len(frames):
        problem = f"it and {paths['arousal'].name} rate no frame of the video together"
        raise DataError.at(paths["valence"], None, problem, "check their times")
    columns: dict[str, object] = {
        "id": [f"{recording}/{k:06d}" for k in frames],
        "video": str(video),
        "frame": frames,
        "time": times[frames],
    }
    for dimension in ("valence", "arousal"):
        time, ratings = traces[dimension]
        each = np.column_stack([_at(times[frames], time, ratings[:, k]) for k in range(ratings.shape[1])])
        rated = ~np.isnan(each)
        with np.errstate(invalid="ignore"):
            columns[dimension] = np.where(rated, each, 0).sum(axis=1) / rated.sum(axis=1)
        columns |= {f"{dimension}_{k + 1}": each[:, k] for k in range(each.shape[1])}
    table = pd.DataFrame(columns).dropna(subset=["valence", "arousal"])
    return table, len(times) - len(table)


def _at(times: NDArray, known: NDArray, ratings: NDArray) -> NDArray[np.float64]:
    """``ratings`` at ``times``, on straight lines; NaN beside a gap, where the others' consensus counts."""
    return np.interp(times, known, ratings)


def _frame_times(video: Path) -> NDArray[np.float64]:
    capture = cv2.VideoCapture(str(video))
    rate, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    readable = capture.isOpened() and capture.grab()
    capture.release()
    if not readable or rate <= 0 or count <= 0:
        raise DataError.at(video, None, "it cannot be decoded", "replace it or leave out the recording")
    return np.arange(count) / rate


def subject_independent_split(
    samples: pd.DataFrame, test_share: float = 0.2, validation_share: float = 0.2, seed: int = 0
) -> pd.Series:
    """ "train", "validation" or "test" for every sample, no person in two of them.

    The partners of a session stay together too: each hears and sees the other. In every
    culture the shares are of such groups: at least one of each kind, if there are three.

    Raises
    ------
    ValueError
        All persons of a culture belong together.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    (sessions, session_names), (subjects, subject_names) = (pd.factorize(samples[c]) for c in ("session", "subject"))
    size = len(session_names) + len(subject_names)
    links = coo_array((np.ones(len(samples)), (sessions, subjects + len(session_names))), shape=(size, size))
    groups = connected_components(links, directed=False)[1][sessions]
    split = np.full(len(samples), "train", dtype=object)
    rng = np.random.default_rng(seed)
    for culture in sorted(samples["culture"].unique()):
        there = np.unique(groups[(samples["culture"] == culture).to_numpy()])
        if len(there) < 2:
            raise ValueError(
                f"all recordings of culture {culture} share persons or sessions, so that none can be held out; "
                "if person numbers start anew in every session, read them with persons='session'"
            )
        order = rng.permutation(there)
        n_test = max(1, round(test_share * len(order))) if test_share else 0
        n_validation = max(1, round(validation_share * len(order))) if validation_share and len(order) > 2 else 0
        split[np.isin(groups, order[:n_test])] = "test"
        split[np.isin(groups, order[n_test : n_test + n_validation])] = "validation"
    return pd.Series(split, index=samples.index, name="split")


def write_sewa(
    recording: str,
    frames: Iterable[NDArray[np.uint8]],
    ratings: dict[str, NDArray[np.float64]],
    folder: str | os.PathLike,
    rate: float = 20,
) -> None:
    """Write one recording as `read_sewa` finds it: a Motion-JPEG video and two traces.

    Parameters
    ----------
    recording : str
        Such as ``C1_S001_P001_VC1_000001``.
    frames : iterable of (H, W, 3) uint8
        RGB; written as they come.
    ratings : dict
        "Valence" and "Arousal": (n, annotators) at every frame.
    rate : float
        Frames per second.
    """
    path = Path(folder) / recording
    path.mkdir(parents=True, exist_ok=True)
    writer = None
    for frame in frames:
        if writer is None:
            codec = cv2.VideoWriter_fourcc(*"MJPG")
            writer = cv2.VideoWriter(str(path / f"{recording}.avi"), codec, rate, frame.shape[1::-1])
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    if writer is not None:
        writer.release()
    for dimension, values in ratings.items():
        table = pd.DataFrame(values, columns=[f"annotator_{k + 1}" for k in range(values.shape[1])])
        table.insert(0, "time", np.arange(len(values)) / rate)
        table.round(4).to_csv(path / f"{recording}_{dimension}_AV_Aligned.csv", index=False)
