"""Faces and what a network says of them (paper, Figs. 2 and 4)."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from emokit.data.augment import Augment
from emokit.data.dataset import FaceDataset
from emokit.data.images import Picture, load_image
from emokit.data.tables import BOX, landmarks_of
from emokit.inference.inside import FaceMaps, face_maps
from emokit.models.emofan import EmoFAN
from emokit.plots.circumplex import COLOURS, INK, circumplex

# Runs of the 68 points that belong together, and whether they close.
_PARTS = [
    (range(0, 17), False), (range(17, 22), False), (range(22, 27), False), (range(27, 31), False),
    (range(31, 36), False), (range(36, 42), True), (range(42, 48), True), (range(48, 60), True),
    (range(60, 68), True),
]  # fmt: skip
_MARK = "#00e5ff"


def draw_landmarks(points: ArrayLike, ax: Axes, size: float = 5, colour: str = _MARK) -> Axes:
    """The 68 landmarks (68, 2) as dots joined by brow, eye, nose, mouth and jaw lines."""
    points = np.asarray(points)
    for part, closed in _PARTS:
        line = points[[*part, part[0]] if closed else list(part)]
        ax.plot(*line.T, color=colour, linewidth=0.25 * size**0.5, alpha=0.7, zorder=2)
    ax.scatter(*points.T, s=size, color=colour, edgecolor="black", linewidth=0.05 * size**0.5, zorder=3)
    return ax


def photo(image: Picture, predictions: pd.DataFrame, zoom: float | None = None, ax: Axes | None = None) -> Axes:
    """A photograph with every face's box and landmarks, numbered where there are several.

    ``zoom`` shows only the faces and ``zoom`` times their size around them.
    """
    pixels = load_image(image)
    ax = ax or plt.subplots(layout="constrained")[1]
    ax.imshow(pixels)
    for (_, face), points in zip(predictions.iterrows(), landmarks_of(predictions), strict=True):
        x0, y0, x1, y1 = face[BOX]
        ax.add_patch(plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=1.5))
        if not np.isnan(points).any():
            draw_landmarks(points, ax, size=3 if zoom is None else 12)
        if len(predictions) > 1:
            ax.annotate(str(face["face"]), (x0, y0), color="black", backgroundcolor="white", fontsize=8)
    limit = np.array(pixels.shape[1::-1]) - 0.5
    first, last = np.array([-0.5, -0.5]), limit
    if zoom is not None and len(predictions):
        boxes = predictions[BOX].to_numpy(float).reshape(-1, 2, 2)
        low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
        reach = zoom * (high - low).max()
        first, last = np.maximum(low - reach, -0.5), np.minimum(high + reach, limit)
    ax.set(xlim=(first[0], last[0]), ylim=(last[1], first[1]))
    ax.axis("off")
    return ax


def map_overlay(maps: FaceMaps, values: ArrayLike, ax: Axes | None = None) -> Axes:
    """A map (h, w), such as ``maps.attention`` or one heatmap, over its grey crop."""
    ax = ax or plt.subplots(layout="constrained")[1]
    size = maps.crop.shape[0]
    ax.imshow(maps.crop.mean(axis=2), cmap="gray", vmin=0, vmax=255)
    values = np.clip(values, 0, None)
    opacity = np.clip(values / max(values.max(), 1e-9) * 1.2, 0, 0.85)
    extent = (-0.5, size - 0.5, size - 0.5, -0.5)
    ax.imshow(values, cmap="inferno", alpha=opacity, extent=extent, interpolation="bilinear")
    ax.axis("off")
    return ax


def expression_bars(face: pd.Series, ax: Axes | None = None) -> Axes:
    """Probability of each expression, for one row of a predictions table."""
    ax = ax or plt.subplots(figsize=(4, 3), layout="constrained")[1]
    bars = {name[2:]: face[name] for name in face.index if str(name).startswith("p_")}
    names = list(bars)
    ax.barh(names, list(bars.values()), color=[COLOURS.get(name, INK) for name in names], height=0.7)
    for place, (name, value) in enumerate(bars.items()):
        weight = "bold" if name == face["expression"] else "normal"
        ax.annotate(f"{value:.0%}", (value, place), (4, 0), textcoords="offset points", va="center", weight=weight)
    ax.set(xlim=(0, 1.18), xticks=())
    ax.invert_yaxis()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def answer(image: Picture, predictions: pd.DataFrame, model: EmoFAN, face: int = 0) -> Figure:
    """One slide: the photograph, and all that ``model`` says of one of its faces.

    Parameters
    ----------
    image : path, array or PIL image
    predictions : DataFrame
        What `predict` returned for ``image``.
    model : EmoFAN
    face : int
        Row of ``predictions`` to show.
    """
    figure = plt.figure(figsize=(12.8, 6.4), layout="constrained")
    axes = figure.subplot_mosaic(
        [["photo", "heatmaps", "bars"], ["photo", "attention", "circumplex"]], width_ratios=[1.6, 0.9, 1.1],
        height_ratios=[1, 1],
    )  # fmt: skip
    photo(image, predictions, zoom=0.7, ax=axes["photo"])
    row = predictions.iloc[face]
    maps = face_maps(image, row[BOX].to_numpy(float), model)
    map_overlay(maps, maps.heatmaps.max(axis=0), axes["heatmaps"])
    map_overlay(maps, maps.attention, axes["attention"])
    expression_bars(row, axes["bars"])
    circumplex(row["valence"], row["arousal"], [row["expression"]], ax=axes["circumplex"], s=160)
    titles = {"photo": "Face box and 68 landmarks", "heatmaps": "Landmark heatmaps", "attention": "Attention",
              "bars": "Portrayed expression",
              "circumplex": f"Valence {_signed(row['valence'])}, arousal {_signed(row['arousal'])}"}  # fmt: skip
    for name, title in titles.items():
        axes[name].set_title(title, fontsize=13, loc="left", color=INK)
    return figure


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")  # adding zero makes −0 a 0


def face_grid(
    images: Sequence[Picture],
    titles: Sequence[str] | None = None,
    columns: int = 8,
    points: ArrayLike | None = None,
) -> Figure:
    """Faces side by side; ``titles`` for each, or for the first row only if there are ``columns``."""
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.6 * columns, 1.6 * rows + 0.3), squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.03},
        layout="constrained",
    )  # fmt: skip
    for ax in axes.flat:
        ax.axis("off")
    for k, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        ax.imshow(load_image(image))
        if points is not None:
            draw_landmarks(points[k], ax, size=2)
        if titles is not None and k < len(titles):
            ax.set_title(titles[k], fontsize=11, color=INK, pad=3)
    return figure


def augmentation_grid(faces: FaceDataset, n: int = 8, augment: Augment = Augment(), seed: int = 0) -> Figure:
    """What training sees of the first ``n`` faces: as they are cut, and augmented, with their landmarks."""
    batch = torch.utils.data.default_collate([faces[k] for k in range(n)])
    images, landmarks = batch["image"].float() / 255, batch["landmarks"]
    plain = Augment(0, 0, 0, 0, 0)
    rows = [make(images, landmarks, faces.size, torch.Generator().manual_seed(seed)) for make in (plain, augment)]
    pixels = torch.cat([row[0] for row in rows]).mul(255).byte().permute(0, 2, 3, 1).numpy()
    figure = face_grid(list(pixels), columns=n, points=torch.cat([row[1] for row in rows]).numpy())
    for ax, name in zip((figure.axes[0], figure.axes[n]), ("crops", "augmented"), strict=True):
        ax.set_title(name, loc="left", fontsize=11, color=INK, pad=3)
    return figure
