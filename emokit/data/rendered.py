"""Rendered faces: the samples that anyone may see, train on and check estimates against.

The paper's data sets are gated, so the kit draws faces whose landmarks, expression, valence
and arousal are known exactly. They are cartoons with a rule behind them, not people: nothing
learnt from them is evidence about people.

The rule. An expression is a set of action units (`PROTOTYPES`); a face shows it at some
intensity with individual variation. Valence and arousal are weighted sums of the action units
(`VALENCE_WEIGHTS`, `AROUSAL_WEIGHTS`), drawn into the unit circle by the ``tanh`` of their
intensity; the weights put the prototypes where the paper's circumplex (Fig. 1) has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pooch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tqdm.auto import tqdm

from emokit.data.consistency import RULES, rule
from emokit.data.crops import tight_box
from emokit.data.face_drawing import Look, Scene, draw_face, mix
from emokit.data.face_geometry import AU_NAMES, ActionUnits, Geometry, Points, Pose, Shape, face_geometry
from emokit.data.images import write_picture
from emokit.data.tables import BOX, read_table, write_table
from emokit.models.emofan import EXPRESSIONS

T = TypeVar("T")

PROTOTYPES: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {"lip_corner_pull": 1, "lid_tighten": 0.55, "jaw_drop": 0.2},
    "sad": {"inner_brow_raise": 1, "brow_lower": 0.3, "lip_corner_depress": 1, "eye_close": 0.38, "gaze_y": 0.6},
    "surprise": {"inner_brow_raise": 1, "outer_brow_raise": 1, "lid_raise": 1, "jaw_drop": 0.9},
    "fear": {"inner_brow_raise": 1, "outer_brow_raise": 0.35, "brow_lower": 0.5, "lid_raise": 1,
             "lip_stretch": 1, "jaw_drop": 0.22},
    "disgust": {"nose_wrinkle": 1, "upper_lip_raise": 1, "brow_lower": 0.5, "lid_tighten": 0.8,
                "lip_corner_depress": 0.35},
    "anger": {"brow_lower": 1, "lid_raise": 0.5, "lid_tighten": 0.35, "lip_press": 1},
    "contempt": {"smirk": 1, "lid_tighten": 0.25, "eye_close": 0.18, "lip_press": 0.25},
}  # fmt: skip

VALENCE_WEIGHTS = {
    "lip_corner_pull": 1.2, "outer_brow_raise": 0.15, "inner_brow_raise": -0.1, "brow_lower": -0.55,
    "nose_wrinkle": -0.6, "upper_lip_raise": -0.3, "smirk": -0.55, "lip_corner_depress": -0.9,
    "lip_stretch": -0.45, "lip_press": -0.45,
}  # fmt: skip
AROUSAL_WEIGHTS = {
    "lid_raise": 0.6, "jaw_drop": 0.5, "outer_brow_raise": 0.3, "inner_brow_raise": 0.05,
    "brow_lower": 0.2, "lip_stretch": 0.35, "lip_press": 0.3, "nose_wrinkle": 0.45,
    "upper_lip_raise": 0.1, "lid_tighten": 0.1, "lip_corner_pull": 0.15, "smirk": 0.1,
    "lip_corner_depress": -0.35, "eye_close": -0.9,
}  # fmt: skip

# Part of every cache's name: raise it when the same seed gives other pictures.
_RECIPE = "v2"
SAMPLE = {"n": 128, "seed": 2000, "size": 256}

AGE_BANDS = ("young", "middle", "older")
SKIN_TONES = ("light", "medium", "dark")
CULTURES = ("A", "B", "C")
_SKINS = {
    "light": ((246, 214, 192), (232, 190, 160)),
    "medium": ((214, 165, 126), (178, 124, 86)),
    "dark": ((140, 92, 62), (92, 60, 44)),
}
_HAIRS = ((38, 28, 24), (78, 50, 32), (120, 80, 46), (190, 150, 92), (150, 70, 38))


def affect(au: ActionUnits) -> tuple[float, float]:
    """Valence and arousal that the rule gives to ``au``: inside the unit circle."""
    valence, arousal = (
        sum(weight * getattr(au, name) for name, weight in weights.items())
        for weights in (VALENCE_WEIGHTS, AROUSAL_WEIGHTS)
    )
    intensity = np.hypot(valence, arousal)
    squash = np.tanh(intensity) / intensity if intensity else 1.0
    return float(valence * squash), float(arousal * squash)


def action_units(expression: str, intensity: float = 1.0) -> ActionUnits:
    """The prototype of ``expression`` at ``intensity`` in [0, 1]."""
    if expression not in PROTOTYPES:
        raise ValueError(f"expression must be one of {', '.join(PROTOTYPES)}, got {expression!r}")
    return ActionUnits(**{k: v * intensity for k, v in PROTOTYPES[expression].items()})


def consistent(expression: str, valence: float, arousal: float) -> bool:
    """Whether the label fits valence and arousal (the consistency check of AffectNet labels)."""
    return bool(rule(RULES[expression])(valence, arousal))


def draw_action_units(expression: str, rng: np.random.Generator) -> ActionUnits:
    """Random action units that show ``expression``: varied intensity, calm or excited."""
    while True:
        if expression == "neutral":
            values = {name: abs(rng.normal(0, 0.035)) for name in AU_NAMES}
        else:
            base, intensity = PROTOTYPES[expression], rng.uniform(0.5, 1.0)
            values = {n: v * intensity * rng.uniform(0.8, 1.2) for n, v in base.items()}
            values = {n: values.get(n, 0) + abs(rng.normal(0, 0.035)) for n in AU_NAMES}
            # Calm and excited displays of one expression differ by lids and jaw.
            excitement = rng.normal(0, 0.28)
            values["lid_raise"] += max(excitement, 0) * 0.6
            if expression in ("happy", "surprise", "fear", "sad"):
                values["jaw_drop"] += max(excitement, 0) * 0.7
            values["eye_close"] += max(-excitement, 0) * (0.4 if expression == "sad" else 0.8)
        values = {n: float(np.clip(v, 0, 1)) for n, v in values.items()}
        values["gaze_x"] = float(np.clip(rng.normal(0, 0.3), -1, 1))
        values["gaze_y"] = float(np.clip(values["gaze_y"] + rng.normal(0, 0.15), -1, 1))
        au = ActionUnits(**values)
        if consistent(expression, *affect(au)):
            return au


def draw_person(rng: np.random.Generator, **groups: str) -> tuple[dict[str, str], Shape, Look]:
    """A random person: groups (age band, skin tone, culture), face shape and looks."""
    chosen = {
        "age_band": str(rng.choice(AGE_BANDS)),
        "skin_tone": str(rng.choice(SKIN_TONES)),
        "culture": str(rng.choice(CULTURES)),
    } | groups
    shape = Shape(
        jaw_width=rng.normal(1.0, 0.05), chin=rng.normal(1.0, 0.03), eye_size=rng.normal(1.0, 0.09),
        eye_distance=rng.normal(1.0, 0.035), eye_tilt=rng.normal(0.3, 0.5), brow_arch=rng.uniform(0.5, 1.25),
        brow_height=rng.normal(1.0, 0.06), nose_length=rng.normal(1.0, 0.06), nose_width=rng.normal(1.0, 0.12),
        mouth_width=rng.normal(1.0, 0.07), lips=rng.uniform(0.75, 1.3),
    )  # fmt: skip
    old = AGE_BANDS.index(chosen["age_band"])
    light_hair = 2 if chosen["skin_tone"] == "dark" else 3 if chosen["skin_tone"] == "medium" else 5
    hair = _HAIRS[rng.integers(light_hair)]
    grey = float(np.clip([0, 0.25, 0.85][old] + rng.normal(0, 0.15), 0, 1)) if old else 0.0
    first, last = _SKINS[chosen["skin_tone"]]
    style = rng.choice(
        ["bald", "short", "fringe", "long", "bun"], p=[0.06 + 0.06 * old, 0.34 - 0.06 * old, 0.2, 0.25, 0.15]
    )
    beard = rng.uniform(0.25, 0.85) if style in ("bald", "short") and rng.random() < 0.35 else 0.0
    eyes = ((62, 42, 28), (96, 68, 40)) + (((70, 110, 140), (90, 120, 80)) if light_hair == 5 else ())
    look = Look(
        skin=mix(first, last, rng.random()),
        hair=mix(hair, (205, 205, 205), grey),
        iris=eyes[rng.integers(len(eyes))],
        hair_style=str(style),
        beard=beard,
        glasses=bool(rng.random() < 0.1 + 0.1 * old),
        wrinkles=[0.0, 0.4, 1.0][old] * rng.uniform(0.8, 1.1),
        brow_weight=rng.uniform(0.75, 1.35),
        make_up=rng.uniform(0.2, 1) if style in ("long", "bun") and rng.random() < 0.5 else 0.0,
    )
    return chosen, shape, look


def draw_scene(rng: np.random.Generator) -> tuple[Pose, Scene]:
    """A random head pose, light, background and camera."""
    pose = Pose(*np.clip(rng.normal(0, [11, 7, 7]), -28, 28))
    scene = Scene(
        background=tuple(rng.uniform(60, 215) + rng.normal(0, 18, 3)),
        background_seed=int(rng.integers(2**31)),
        clothes=tuple(np.clip(rng.uniform(30, 200) + rng.normal(0, 40, 3), 0, 255)),
        light=rng.uniform(-80, 80),
        contrast=rng.uniform(0.15, 0.55),
        gain=rng.uniform(0.8, 1.15),
        warmth=rng.normal(0, 0.035),
        blur=max(0.0, rng.normal(0.2, 0.5)),
        noise=abs(rng.normal(0, 4)),
    )
    return pose, scene


def render(
    au: ActionUnits = ActionUnits(),
    shape: Shape = Shape(),
    look: Look = Look(),
    pose: Pose = Pose(),
    scene: Scene = Scene(),
    size: int = 256,
    scale: float | None = None,
    centre: Points | None = None,
) -> tuple[NDArray[np.uint8], Points]:
    """Picture (size, size, 3) of a face, RGB, and its 68 exact landmarks in pixels.

    ``scale`` is half the head's width in pixels, ``centre`` where the nose bridge lies.
    """
    scale = 0.26 * size if scale is None else scale
    centre = np.array([size / 2, size * 0.48]) if centre is None else np.asarray(centre, float)
    geometry: Geometry = face_geometry(au, shape, pose)
    image = draw_face(geometry, au, look, pose, scene, size, scale, centre)
    return image, geometry.landmarks * scale + centre


def describe_face(seed: int, subject: int, index: int, size: int = 256) -> tuple[dict, dict]:
    """Face ``index`` of person ``subject``: its samples-table row, and the arguments of `render`.

    The same arguments give the same face; a person's eight first faces show the eight
    expressions.
    """
    groups, shape, look = draw_person(np.random.default_rng([seed, subject]))
    rng = np.random.default_rng([seed, subject, index + 1])
    expression = EXPRESSIONS[8][(index + subject) % 8]
    au = draw_action_units(expression, rng)
    pose, scene = draw_scene(rng)
    scale = size * rng.uniform(0.20, 0.27)
    centre = size * (np.array([0.5, 0.47]) + rng.uniform(-0.05, 0.05, 2))
    landmarks = face_geometry(au, shape, pose).landmarks * scale + centre
    valence, arousal = affect(au)
    row = {
        "id": f"s{subject:05d}_{index:02d}",
        **dict(zip(BOX, tight_box(landmarks), strict=True)),
        "landmarks": landmarks,
        "expression": expression,
        "valence": valence,
        "arousal": arousal,
        "subject": f"s{subject:05d}",
        **groups,
    }
    names = ("au", "shape", "look", "pose", "scene", "size", "scale", "centre")
    return row, dict(zip(names, (au, shape, look, pose, scene, size, scale, centre), strict=True))


def render_face(seed: int, subject: int, index: int, size: int = 256) -> tuple[NDArray[np.uint8], dict]:
    """The picture (size, size, 3) and the samples-table row of the face that `describe_face` describes."""
    row, drawing = describe_face(seed, subject, index, size)
    return render(**drawing)[0], row


def rendered_faces(
    n: int, seed: int = 0, size: int = 256, folder: str | os.PathLike | None = None, workers: int | None = None
) -> pd.DataFrame:
    """Samples table of ``n`` rendered faces, eight of each person, with pictures on disk.

    Parameters
    ----------
    n : int
        Faces; the last person may have fewer than eight.
    seed : int
        Different seeds share no person.
    size : int
        Side of the pictures in pixels.
    folder : path, optional
        Where ``samples.csv`` and ``images/`` go; a folder of the user's cache by default. What
        lies there is used, and an interrupted rendering goes on.
    workers : int, optional
        Processes; all cores otherwise.
    """
    folder = Path(folder) if folder else _cache(f"faces-{_RECIPE}-{n}-{seed}-{size}")
    table = folder / "samples.csv"
    if not table.exists():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        rows = [row for person in _each_person(_person_files, n, workers, folder, n, seed, size) for row in person]
        samples = pd.DataFrame(rows).round(dict.fromkeys(BOX, 2))
        samples.insert(1, "image", "images/" + samples["id"] + ".jpg")
        write_table(samples, table)
    return read_table(table)


def sample_faces() -> pd.DataFrame:
    """The sample that ships in ``data/`` of the repository; rendered, once, where there is none."""
    shipped = Path(__file__).parents[2] / "data" / "rendered"
    return rendered_faces(**SAMPLE, folder=shipped if (shipped / "samples.csv").exists() else None)


def _cache(name: str) -> Path:
    return Path(pooch.os_cache("emokit")) / name


def _each_person(work: Callable[..., T], n: int, workers: int | None, *arguments) -> list[T]:
    """``work(subject, *arguments)`` for every person of ``n`` faces, in parallel."""
    persons = -(-n // 8)
    pool = Parallel(workers or -1, return_as="generator")
    parts = pool(delayed(work)(subject, *arguments) for subject in range(persons))
    return list(tqdm(parts, "rendering persons", persons, disable=None))


def _person_files(subject: int, folder: Path, n: int, seed: int, size: int) -> list[dict]:
    """Rows of a person's faces; pictures that are not there yet are drawn."""
    rows = []
    for index in range(min(8, n - 8 * subject)):
        row, drawing = describe_face(seed, subject, index, size)
        path = folder / "images" / f"{row['id']}.jpg"
        if not path.exists():
            write_picture(render(**drawing)[0], path)
        rows.append(row)
    return rows
