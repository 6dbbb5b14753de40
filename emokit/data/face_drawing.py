"""Draw a face's geometry as a picture: skin, hair, light and everything that is not a landmark."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from emokit.data.face_geometry import ActionUnits, Geometry, Points, Pose, rotate, smooth

Colour = tuple[float, float, float]
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Look:
    """Appearance of one person; colours are RGB in 0–255."""

    skin: Colour = (224, 180, 150)
    hair: Colour = (70, 45, 30)
    iris: Colour = (80, 60, 40)
    hair_style: str = "short"  # bald, short, fringe, long, bun
    beard: float = 0.0  # opacity
    glasses: bool = False
    wrinkles: float = 0.0  # 0 for the young, 1 for the old
    brow_weight: float = 1.0
    make_up: float = 0.0


@dataclass(frozen=True)
class Scene:
    """What differs from picture to picture besides the face itself."""

    background: Colour = (150, 165, 180)
    background_seed: int = 0
    clothes: Colour = (60, 80, 120)
    light: float = 0.0  # direction in degrees, 0 from above, positive from the right
    contrast: float = 0.35  # strength of shading
    gain: float = 1.0
    warmth: float = 0.0
    blur: float = 0.0  # standard deviation in pixels
    noise: float = 0.0  # standard deviation in grey levels


class Canvas:
    """RGB picture that takes anti-aliased, soft-edged, half-transparent shapes."""

    def __init__(self, size: int, scale: float, centre: Points) -> None:
        self.pixels = np.zeros((size, size, 3), np.float32)
        self.scale, self.centre = scale, centre

    def to_pixels(self, points: Points) -> Points:
        return points * self.scale + self.centre

    def mask(self, points: Points, *, width: float = 0.0, blur: float = 0.0) -> NDArray[np.float32]:
        """Coverage of a polygon, or of a line ``width`` face units wide; ``blur`` likewise."""
        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        fixed = np.round(self.to_pixels(points) * 2**_SUBPIXEL_BITS).astype(np.int32)[None]
        if width:
            thickness = max(1, round(width * self.scale))
            cv2.polylines(mask, fixed, False, 255, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
        else:
            cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        mask = mask.astype(np.float32) / 255
        return cv2.GaussianBlur(mask, (0, 0), blur * self.scale) if blur * self.scale > 0.3 else mask

    def paint(self, mask: NDArray[np.float32], colour: Colour, alpha: float = 1.0) -> None:
        # Most shapes are small: only the rectangle around them is touched.
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if len(rows):
            around = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            cover = (mask[around] * alpha)[:, :, None]
            self.pixels[around] += cover * (np.asarray(colour, np.float32) - self.pixels[around])

    def fill(self, points: Points, colour: Colour, alpha: float = 1.0, blur: float = 0.0) -> None:
        self.paint(self.mask(points, blur=blur), colour, alpha)

    def line(self, points: Points, colour: Colour, width: float, alpha: float = 1.0, blur: float = 0.0) -> None:
        self.paint(self.mask(points, width=width, blur=blur), colour, alpha)


def shade(colour: Colour, factor: float) -> Colour:
    return tuple(float(np.clip(c * factor, 0, 255)) for c in colour)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    return tuple(x + share * (y - x) for x, y in zip(a, b, strict=True))


def ellipse(centre: Points, radius_x: float, radius_y: float, n: int = 40) -> Points:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.asarray(centre) + np.column_stack((radius_x * np.cos(t), radius_y * np.sin(t)))


def draw_face(
    geometry: Geometry,
    au: ActionUnits,
    look: Look,
    pose: Pose,
    scene: Scene,
    size: int,
    scale: float,
    centre: Points,
) -> NDArray[np.uint8]:
    """Picture (size, size, 3) of a face whose unit is ``scale`` pixels, around ``centre``."""
    canvas = Canvas(size, scale, centre)
    rng = np.random.default_rng(scene.background_seed)
    _background(canvas, scene, rng)

    def at(points: list | Points, z: float = 0.0) -> Points:
        """Flat shapes given in face units before the pose."""
        points = np.asarray(points, float)
        return rotate(np.column_stack((points, np.full(len(points), z))), pose)

    _hair_behind(canvas, look, at)
    _neck(canvas, look, scene, at)
    head = canvas.mask(geometry.curves["head"])
    _skin(canvas, head, geometry, look, scene, at)
    _folds(canvas, head, geometry, au, look, at)
    _nose(canvas, geometry, au, look)
    for side in ("left", "right"):
        _eye(canvas, geometry, look, side, scale)
    _mouth(canvas, geometry, look, head)
    for side in ("left", "right"):
        _brow(canvas, geometry, look, side)
    _hair_front(canvas, geometry, look, at)
    if look.glasses:
        _glasses(canvas, geometry, at)
    return _develop(canvas.pixels, scene, rng)


def _background(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    size = len(canvas.pixels)
    coarse = rng.normal(0, 9, (5, 5, 3)) + rng.normal(0, 22, (5, 5, 1)) + np.asarray(scene.background)
    canvas.pixels[:] = cv2.resize(coarse.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(0, 4)):
        spot = rng.uniform(-3, 3, 2)
        colour = tuple(rng.uniform(40, 230, 3))
        canvas.fill(ellipse(spot, *rng.uniform(0.3, 1.2, 2)), colour, 0.5, blur=float(rng.uniform(0.05, 0.3)))


def _hair_behind(canvas: Canvas, look: Look, at) -> None:
    dark = shade(look.hair, 0.72)
    if look.hair_style == "long":
        shape = [(-1.0, -1.1), (-0.55, -1.52), (0, -1.62), (0.55, -1.52), (1.0, -1.1), (1.22, -0.3),
                 (1.28, 0.6), (1.32, 1.7), (0.6, 1.8), (-0.6, 1.8), (-1.32, 1.7), (-1.28, 0.6), (-1.22, -0.3)]  # fmt: skip
        canvas.fill(at(smooth(np.array(shape), closed=True), -0.3), dark, blur=0.03)
    elif look.hair_style != "bald":
        canvas.fill(at(ellipse((0, -0.52), 1.08, 1.08), -0.15), dark, blur=0.02)
        if look.hair_style == "bun":
            canvas.fill(at(ellipse((0, -1.62), 0.42, 0.36), -0.3), dark, blur=0.02)


def _neck(canvas: Canvas, look: Look, scene: Scene, at) -> None:
    shoulders = [
        (-2.3, 3.4),
        (-2.1, 2.2),
        (-1.3, 1.95),
        (-0.55, 1.72),
        (0.55, 1.72),
        (1.3, 1.95),
        (2.1, 2.2),
        (2.3, 3.4),
    ]
    canvas.fill(at(smooth(np.array(shoulders)), -0.5), scene.clothes, blur=0.02)
    neck = [(-0.58, 0.5), (-0.56, 1.62), (-0.68, 1.85), (0, 2.15), (0.68, 1.85), (0.56, 1.62), (0.58, 0.5)]
    canvas.fill(at(neck, -0.3), shade(look.skin, 0.72), blur=0.02)
    for side in (-1, 1):
        canvas.fill(at(ellipse((side * 1.03, -0.02), 0.13, 0.27), -0.15), shade(look.skin, 0.86), blur=0.01)


def _skin(canvas: Canvas, head, geometry: Geometry, look: Look, scene: Scene, at) -> None:
    canvas.paint(head, look.skin)
    # The face turns away from the light towards its rim and towards the far side.
    distance = cv2.GaussianBlur(head, (0, 0), 0.22 * canvas.scale)
    rim = head * np.clip(1.25 - 1.1 * distance, 0, 1)
    canvas.paint(rim, shade(look.skin, 0.62), scene.contrast * 1.3)
    angle = np.deg2rad(scene.light)
    grid = np.mgrid[: len(head), : len(head)][::-1].transpose(1, 2, 0) - canvas.centre
    side = (grid @ np.array([np.sin(angle), -np.cos(angle)]) / canvas.scale).astype(np.float32)
    canvas.paint(head * np.clip(-side * 0.6, 0, 1), shade(look.skin, 0.5), scene.contrast)
    canvas.paint(head * np.clip(side * 0.5, 0, 1), mix(look.skin, (255, 250, 240), 0.5), scene.contrast * 0.6)
    for s in (-1, 1):
        blush = mix(look.skin, (205, 85, 75), 0.45)
        canvas.fill(at(ellipse((s * 0.56, 0.30), 0.22, 0.17), 0.4), blush, 0.38 + 0.2 * look.make_up, blur=0.09)
        socket = at(ellipse((s * 0.43, -0.24), 0.27, 0.15), 0.5)
        canvas.fill(socket, shade(look.skin, 0.72), 0.4, blur=0.07)
    if look.beard:
        jaw = geometry.landmarks
        beard = np.vstack((jaw[2:15], jaw[[54, 53, 51, 49, 48]] + [0, -0.06]))
        canvas.paint(canvas.mask(beard, blur=0.05) * head, look.hair, look.beard * 0.8)


def _folds(canvas: Canvas, head, geometry: Geometry, au: ActionUnits, look: Look, at) -> None:
    """Lines that come with age and with the action units."""
    dark = shade(look.skin, 0.52)
    marks = geometry.landmarks

    def fold(points, strength: float, width: float = 0.03) -> None:
        if strength > 0.02:
            canvas.paint(canvas.mask(points, width=width, blur=0.012) * head, dark, min(strength, 1) * 0.75)

    raised = max(au.inner_brow_raise, au.outer_brow_raise) * 0.75
    for y, k in ((-0.74, 1.0), (-0.86, 0.8), (-0.98, 0.6)):
        bend = [(x, y - 0.04 * np.cos(2.4 * x) - 0.06 * raised) for x in np.linspace(-0.52, 0.52, 9)]
        fold(at(bend, 0.4), k * (raised * 0.8 + 0.3 * look.wrinkles))
    gap = (marks[21] + marks[22]) / 2
    for s in (-1, 1):
        frown = gap + np.array([(s * 0.055, -0.05), (s * 0.05, 0.06), (s * 0.062, 0.14)])
        fold(frown, au.brow_lower * 1.1 + 0.15 * look.wrinkles, 0.032)
        nose = marks[28] + np.array([(s * 0.05, -0.05), (s * 0.14, 0.02), (s * 0.20, 0.10)])
        fold(nose, au.nose_wrinkle * 1.2)
        fold(nose + [0, 0.09], au.nose_wrinkle)
        wing, corner = (marks[31], marks[48]) if s < 0 else (marks[35], marks[54])
        side = wing + [s * 0.06, -0.04]
        end = corner + [s * 0.13, 0.02]
        middle = (side + end) / 2 + [s * 0.07, -0.02]
        depth = 0.85 * au.lip_corner_pull + 0.8 * au.nose_wrinkle + 0.6 * au.upper_lip_raise
        depth += 0.5 * look.wrinkles + (0.8 * au.smirk if s > 0 else 0)
        t = np.linspace(0, 1, 9)[:, None]
        fold((1 - t) ** 2 * side + 2 * t * (1 - t) * middle + t**2 * end, depth)
        down = corner + np.array([(s * 0.05, 0.03), (s * 0.09, 0.12), (s * 0.08, 0.2)])
        fold(down, au.lip_corner_depress * 0.9 + 0.25 * look.wrinkles)
        outer = marks[36] if s < 0 else marks[45]
        for dy in (-0.06, 0.0, 0.06):
            crow = outer + np.array([(s * 0.07, dy * 0.6), (s * 0.2, dy * 2)])
            fold(crow, 0.5 * look.wrinkles + 0.5 * au.lid_tighten * au.lip_corner_pull, 0.02)
        bag = (marks[40:42] if s < 0 else marks[46:48]).mean(axis=0)
        arc = bag + np.array([(-0.17, 0.02), (-0.08, 0.075), (0.04, 0.085), (0.16, 0.04)])
        fold(arc, 0.35 * look.wrinkles + 0.55 * au.lid_tighten, 0.02)
    if au.lip_press or au.lip_corner_depress:
        chin = marks[57] + np.array([(-0.15, 0.13), (0, 0.09), (0.15, 0.13)])
        fold(chin, 0.55 * au.lip_press + 0.5 * au.lip_corner_depress)


def _nose(canvas: Canvas, geometry: Geometry, au: ActionUnits, look: Look) -> None:
    bridge, base = geometry.curves["bridge"], geometry.curves["nose_base"]
    dark, light = shade(look.skin, 0.55), mix(look.skin, (255, 250, 240), 0.45)
    tip = bridge[-1]
    side = np.vstack((bridge[4:], base[16:], base[-1:] + [0.02, -0.1]))
    canvas.fill(side, shade(look.skin, 0.7), 0.4, blur=0.05)
    canvas.line(bridge[4:], light, 0.06, 0.45, blur=0.035)
    canvas.fill(ellipse(tip, 0.07, 0.06), light, 0.5, blur=0.04)
    canvas.line(base, dark, 0.03, 0.55, blur=0.012)
    for i, turn in ((0, 1), (-1, -1)):
        wing = base[i] + np.array([(turn * 0.02, -0.13), (-turn * 0.03, -0.07), (0, 0.0)])
        canvas.line(wing, dark, 0.028, 0.55, blur=0.01)
        nostril = base[8 if i == 0 else -9] + [0, -0.018]
        canvas.fill(ellipse(nostril, 0.05, 0.024 + 0.012 * au.nose_wrinkle), shade(look.skin, 0.28), 0.85, blur=0.008)


def _eye(canvas: Canvas, geometry: Geometry, look: Look, side: str, scale: float) -> None:
    outline, lid = geometry.curves[f"eye_{side}"], geometry.curves[f"lid_{side}"]
    iris = geometry.curves[f"iris_{side}"][0]
    opening = canvas.mask(outline)
    canvas.paint(opening, (242, 240, 236))
    ball = canvas.mask(ellipse(iris, 0.122, 0.122)) * opening
    canvas.paint(ball, shade(look.iris, 0.6))
    canvas.paint(canvas.mask(ellipse(iris, 0.098, 0.098)) * opening, look.iris)
    canvas.paint(canvas.mask(ellipse(iris, 0.055, 0.055)) * opening, (15, 12, 12))
    canvas.paint(canvas.mask(ellipse(iris + [0.035, -0.04], 0.024, 0.024)) * opening, (255, 255, 255), 0.9)
    shadow = canvas.mask(lid + [0, 0.015], width=0.05, blur=0.012) * opening
    canvas.paint(shadow, (60, 45, 45), 0.5)
    lash = mix(shade(look.skin, 0.25), (20, 15, 15), 0.5 + 0.5 * look.make_up)
    canvas.line(lid, lash, 0.034 + 0.012 * look.make_up, 0.95)
    lower = np.vstack((outline[20:], outline[:1]))
    canvas.line(lower, shade(look.skin, 0.45), 0.018, 0.6)
    canvas.line(lid[3:-3] + [0, -0.072], shade(look.skin, 0.5), 0.018, 0.55, blur=0.008)


def _mouth(canvas: Canvas, geometry: Geometry, look: Look, head) -> None:
    outer, inner = geometry.curves["lips_outer"], geometry.curves["lips_inner"]
    lips = mix(shade(look.skin, 0.78), (175, 55, 65), 0.42 + 0.35 * look.make_up)
    canvas.fill(outer, lips, 0.95, blur=0.008)
    n = len(outer) // 2
    canvas.paint(canvas.mask(outer[: n + 1], width=0.02, blur=0.01), shade(look.skin, 0.6), 0.4)
    canvas.line(outer[n + 8 : -8] + [0, -0.035], mix(lips, (255, 235, 230), 0.4), 0.035, 0.5, blur=0.02)
    mouth = canvas.mask(inner)
    canvas.paint(mouth, (62, 18, 22))
    height = np.ptp(inner[:, 1])
    n = len(inner) // 2
    centre, width = inner.mean(axis=0), np.ptp(inner[:, 0])
    top = inner[: n + 1]
    teeth = np.vstack((top + [0, -0.01], top[::-1] + [0, min(0.115, 0.75 * height)]))
    if height > 0.05:
        canvas.paint(canvas.mask(teeth) * mouth, (240, 236, 226), 0.95)
    if height > 0.2:
        tongue = ellipse(centre + [0, 0.42 * height], 0.36 * width, 0.28 * height)
        canvas.paint(canvas.mask(tongue, blur=0.02) * mouth, (186, 88, 92), 0.9)
    canvas.line(top, shade(lips, 0.35), 0.022, 0.85)
    canvas.line(inner[n:], shade(lips, 0.5), 0.014, 0.5)


def _brow(canvas: Canvas, geometry: Geometry, look: Look, side: str) -> None:
    curve = geometry.curves[f"brow_{side}"]
    taper = np.interp(np.linspace(0, 1, len(curve)), [0, 0.35, 1], [0.012, 0.042, 0.05])
    if side == "right":
        taper = taper[::-1]
    taper = taper[:, None] * [0, 1] * look.brow_weight
    colour = shade(mix(look.hair, (60, 45, 40), 0.25), 0.82)
    canvas.fill(np.vstack((curve - taper, (curve + taper)[::-1])), colour, 0.93, blur=0.01)


def _hair_front(canvas: Canvas, geometry: Geometry, look: Look, at) -> None:
    if look.hair_style == "bald":
        return
    line = {
        "short": [(-0.99, -0.35), (-0.90, -0.80), (-0.62, -1.04), (0, -1.10), (0.62, -1.04), (0.90, -0.80), (0.99, -0.35)],
        "fringe": [(-0.99, -0.1), (-0.90, -0.62), (-0.5, -0.80), (0.05, -0.84), (0.55, -0.92), (0.88, -0.72), (0.99, -0.1)],
        "long": [(-1.0, 0.35), (-0.90, -0.55), (-0.52, -0.94), (-0.1, -1.16), (0.45, -1.0), (0.90, -0.55), (1.0, 0.35)],
        "bun": [(-0.98, -0.3), (-0.88, -0.86), (-0.5, -1.10), (0, -1.16), (0.5, -1.10), (0.88, -0.86), (0.98, -0.3)],
    }[look.hair_style]  # fmt: skip
    top = [
        (1.10, -0.45),
        (1.04, -0.95),
        (0.72, -1.38),
        (0.3, -1.55),
        (-0.3, -1.55),
        (-0.72, -1.38),
        (-1.04, -0.95),
        (-1.10, -0.45),
    ]
    if look.hair_style == "long":
        top = [(1.2, 0.9), *top, (-1.2, 0.9)]
    hair = at(smooth(np.array(line + top), closed=True))
    canvas.fill(hair, look.hair, blur=0.018)
    for dx in (-0.45, -0.1, 0.3):
        strand = [(dx - 0.15, -1.48), (dx, -1.32), (dx + 0.04, -1.18)]
        canvas.line(at(strand), mix(look.hair, (255, 245, 230), 0.28), 0.05, 0.5, blur=0.03)


def _glasses(canvas: Canvas, geometry: Geometry, at) -> None:
    frame = (35, 32, 34)
    rings = []
    for side in ("left", "right"):
        centre = geometry.curves[f"eye_{side}"].mean(axis=0) + [0, 0.02]
        ring = ellipse(centre, 0.31, 0.25)
        rings.append(centre)
        canvas.fill(ring, (225, 235, 240), 0.10)
        canvas.line(np.vstack((ring, ring[:1])), frame, 0.035, 0.9)
    left, right = rings
    canvas.line(
        np.array([left + [0.31, -0.03], (left + right) / 2 + [0, -0.07], right + [-0.31, -0.03]]), frame, 0.035, 0.9
    )


def _develop(pixels: NDArray[np.float32], scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    pixels = pixels * scene.gain * np.float32([1 + scene.warmth, 1, 1 - scene.warmth])
    if scene.blur > 0.2:
        pixels = cv2.GaussianBlur(pixels, (0, 0), scene.blur)
    if scene.noise:
        pixels = pixels + rng.normal(0, scene.noise, pixels.shape)
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)
