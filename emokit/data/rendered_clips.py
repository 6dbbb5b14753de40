"""Rendered persons in motion, and annotators who follow them: stand-ins for gated videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from emokit.data.annotators import delayed, slow
from emokit.data.crops import tight_box
from emokit.data.face_geometry import ActionUnits, Pose
from emokit.data.rendered import affect, draw_action_units, draw_person, draw_scene, render
from emokit.data.tables import BOX
from emokit.models.emofan import EXPRESSIONS


def rendered_clip(
    seed: int, subject: int, clip: int, frames: int, size: int = 128, hold: int = 15
) -> Iterator[tuple[NDArray[np.uint8], dict]]:
    """Pictures (size, size, 3) and samples-table rows of one person going from expression to expression.

    The person is `render_face`'s of the same ``seed`` and ``subject``. A random expression is
    reached every ``hold`` frames, along monotone curves, so that no action unit overshoots;
    valence and arousal follow from the action units of each frame. Rows carry no expression:
    between two of them there is none.
    """
    groups, shape, look = draw_person(np.random.default_rng([seed, subject]))
    rng = np.random.default_rng([seed, subject, clip, 1])
    stations = max(2, 2 + (frames - 1) // hold)
    names = ["neutral", *rng.choice(EXPRESSIONS[8], stations - 1)]
    units = np.array([astuple(draw_action_units(str(name), rng)) for name in names])
    scenes = [draw_scene(rng) for _ in names]
    poses = np.array([astuple(pose) for pose, _ in scenes]) / 2
    when = np.arange(stations) * hold
    unit_curve, pose_curve = (PchipInterpolator(when, values) for values in (units, poses))
    scale, centre = size * 0.25, np.array([0.5, 0.47]) * size
    for frame in range(frames):
        au = ActionUnits(*unit_curve(frame))
        image, landmarks = render(au, shape, look, Pose(*pose_curve(frame)), scenes[0][1], size, scale, centre)
        valence, arousal = affect(au)
        yield (
            image,
            {
                "id": f"s{subject:05d}_{clip:02d}/{frame:05d}",
                **dict(zip(BOX, tight_box(landmarks), strict=True)),
                "landmarks": landmarks,
                "valence": valence,
                "arousal": arousal,
                "subject": f"s{subject:05d}",
                "frame": frame,
                **groups,
            },
        )


def simulated_traces(truth: NDArray, annotators: int, rate: float, seed: int) -> NDArray[np.float64]:
    """Ratings (n, annotators) in [-1, 1] of a true trace (n,), ``rate`` times a second.

    Each annotator has a bias (standard deviation 0.05), a scale (1 ± 0.1), slow noise (0.05)
    and answers 0.2 to 0.6 s late.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(len(truth)) / rate
    ratings = []
    for _ in range(annotators):
        late = delayed(truth, time, rng.uniform(0.2, 0.6))
        noise = slow(rng.normal(size=len(truth)), rate)
        noise *= 0.05 / max(noise.std(), 1e-9)
        ratings.append(late * rng.normal(1, 0.1) + rng.normal(0, 0.05) + noise)
    return np.clip(np.column_stack(ratings), -1, 1)
