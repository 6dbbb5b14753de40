"""Geometry of a rendered face: action units and identity in, curves and 68 landmarks out.

Face units: x to the image's right, y down, z to the camera; the head is two units wide and
its origin lies on the nose bridge. Everything is linear in the action units, so that equal
steps of an action unit are equal steps of the landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True)
class ActionUnits:
    """Facial movements in the manner of FACS, each in [0, 1] (gaze in [-1, 1])."""

    inner_brow_raise: float = 0.0  # AU1
    outer_brow_raise: float = 0.0  # AU2
    brow_lower: float = 0.0  # AU4
    lid_raise: float = 0.0  # AU5
    lid_tighten: float = 0.0  # AU6 and AU7
    eye_close: float = 0.0  # AU43
    nose_wrinkle: float = 0.0  # AU9
    upper_lip_raise: float = 0.0  # AU10
    lip_corner_pull: float = 0.0  # AU12
    smirk: float = 0.0  # AU14, on one side
    lip_corner_depress: float = 0.0  # AU15
    lip_stretch: float = 0.0  # AU20
    lip_press: float = 0.0  # AU23 and AU24
    jaw_drop: float = 0.0  # AU26
    gaze_x: float = 0.0
    gaze_y: float = 0.0


AU_NAMES = tuple(f.name for f in fields(ActionUnits))


@dataclass(frozen=True)
class Shape:
    """Proportions of one person's face, each near 1."""

    jaw_width: float = 1.0
    chin: float = 1.0
    eye_size: float = 1.0
    eye_distance: float = 1.0
    eye_tilt: float = 0.0
    brow_arch: float = 1.0
    brow_height: float = 1.0
    nose_length: float = 1.0
    nose_width: float = 1.0
    mouth_width: float = 1.0
    lips: float = 1.0


@dataclass(frozen=True)
class Pose:
    """Head rotation in degrees: ``yaw`` to the image's right, ``pitch`` down, ``roll`` clockwise."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class Geometry:
    """Curves of a face, each (n, 2), in face units after the pose; ``landmarks`` is (68, 2)."""

    landmarks: Points
    curves: dict[str, Points]


# Half of the jaw line from the ear to the chin: (x, y) of the contour's landmarks 16 to 8.
_JAW = np.array(
    [(1.0, -0.16), (0.99, 0.10), (0.96, 0.35), (0.89, 0.59), (0.78, 0.80),
     (0.62, 0.98), (0.43, 1.12), (0.22, 1.21), (0.0, 1.24)]
)  # fmt: skip
_SKULL = np.array([(1.0, -0.16), (0.985, -0.50), (0.90, -0.86), (0.70, -1.15), (0.38, -1.32), (0.0, -1.38)])


def depth(points: Points, extra: float | Points = 0.0) -> Points:
    """Put (n, 2) points of the face's surface on its ellipsoid, (n, 3)."""
    r = 1 - (points[:, 0] / 1.05) ** 2 - (points[:, 1] / 1.7) ** 2
    z = 0.62 * np.sqrt(np.clip(r, 0, None)) + extra
    return np.column_stack((points, z))


def rotate(points: Points, pose: Pose) -> Points:
    """Project (n, 3) points after the head's rotation, (n, 2)."""
    yaw, pitch, roll = np.deg2rad([pose.yaw, pose.pitch, pose.roll])
    x, y, z = points.T
    x, z = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
    y = y * np.cos(pitch) + z * np.sin(pitch)
    return np.column_stack((x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)))


def smooth(points: Points, steps: int = 8, closed: bool = False) -> Points:
    """Catmull–Rom curve through ``points``, ``steps`` to a segment."""
    if closed:
        p = np.vstack((points[-1], points, points[:2]))
    else:
        p = np.vstack((2 * points[0] - points[1], points, 2 * points[-1] - points[-2]))
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    curve = curve.transpose(1, 0, 2).reshape(-1, points.shape[1])
    return curve if closed else np.vstack((curve, points[-1]))


def _eye(au: ActionUnits, shape: Shape, side: int) -> tuple[Points, Points, Points]:
    """Upper lid, lower lid (outer to inner corner, 21 points each) and iris centre."""
    centre = np.array([side * 0.43 * shape.eye_distance, -0.17])
    half = 0.235 * (0.8 + 0.2 * shape.eye_size)
    opening = 1 - 0.97 * au.eye_close
    up = 0.128 * shape.eye_size * (1 + 0.62 * au.lid_raise - 0.38 * au.lid_tighten) * opening
    low = 0.075 * shape.eye_size * (1 + 0.35 * au.lid_raise - 0.85 * au.lid_tighten) * opening
    low -= 0.055 * au.eye_close * shape.eye_size  # a closed lid rests on the lower one
    t = np.linspace(-1, 1, 21)  # outer to inner
    bow = (1 - t**2) ** 0.75
    x = centre[0] - side * half * t
    tilt = 0.035 * (t + shape.eye_tilt * -t)
    up_y = centre[1] + tilt - np.maximum(up, -low + 0.004) * bow
    upper = np.column_stack((x, up_y))
    lower = np.column_stack((x, centre[1] + tilt + low * bow))
    iris = centre + [0.075 * au.gaze_x, -0.012 + 0.035 * au.gaze_y + 0.02 * au.eye_close]
    return upper, lower, iris


def _brow(au: ActionUnits, shape: Shape, side: int) -> Points:
    """Five points, outer to inner."""
    s = np.linspace(0, 1, 5)
    x = 0.76 - 0.58 * s - 0.06 * au.brow_lower * s
    arch = np.array([0.0, 0.085, 0.115, 0.085, 0.03]) * shape.brow_arch
    inner, outer = s**1.3, (1 - s) ** 0.8
    y = -0.40 - 0.06 * (shape.brow_height - 1) * 4 - arch
    y = y - 0.23 * au.inner_brow_raise * inner - 0.19 * au.outer_brow_raise * outer
    y = y - 0.05 * au.outer_brow_raise * (1 - inner) + au.brow_lower * (0.03 + 0.15 * inner)
    y = y + 0.05 * au.inner_brow_raise * outer * (1 - au.outer_brow_raise)
    return np.column_stack((side * x * (0.6 + 0.4 * shape.eye_distance), y))


def _mouth(au: ActionUnits, shape: Shape) -> tuple[Points, Points]:
    """Outer lip (12 points) and inner lip (8), in landmark order."""
    width = 0.345 * shape.mouth_width
    width *= 1 + 0.36 * au.lip_corner_pull + 0.36 * au.lip_stretch - 0.20 * au.lip_press - 0.22 * au.jaw_drop
    y0 = 0.70 + 0.04 * (shape.nose_length - 1)
    corner_y = -0.17 * au.lip_corner_pull + 0.15 * au.lip_corner_depress + 0.10 * au.jaw_drop
    thin = 1 - 0.62 * au.lip_press - 0.25 * au.lip_stretch - 0.2 * au.lip_corner_pull
    up, low = 0.085 * shape.lips * thin, 0.105 * shape.lips * thin
    part = 0.085 * max(au.lip_corner_pull - 0.35, 0) / 0.65 + 0.13 * au.lip_stretch
    part += 0.08 * au.upper_lip_raise * (1 - au.lip_press)
    gap_up = 0.45 * part + 0.08 * au.upper_lip_raise
    gap_low = 0.55 * part + 0.46 * au.jaw_drop
    rise = -0.11 * au.upper_lip_raise - 0.03 * au.jaw_drop
    push = -0.05 * au.lip_corner_depress  # the chin boss lifts the lower lip
    left = np.array([-width, y0 + corner_y])
    right = np.array([width, y0 + corner_y])
    right = right + [0.12 * au.smirk, -0.21 * au.smirk]

    def across(t: Points, y: Points) -> Points:
        """Points at x = t · width and y below the lips' line, bent to meet the corners."""
        edge = np.where(t < 0, left[1], right[1]) - y0
        x = np.where(t < 0, -t * left[0], t * right[0])
        return np.column_stack((x, y0 + y + edge * np.abs(t) ** 1.6))

    t5, t3 = np.array([-0.66, -0.26, 0, 0.26, 0.66]), np.array([-0.45, 0, 0.45])
    bow = np.array([0.62, 1.0, 0.86, 1.0, 0.62])
    swell = np.array([0.66, 0.96, 1.0, 0.96, 0.66])
    hold = 1 - np.abs(t5) ** 3
    upper = across(t5, (rise - gap_up) * hold - up * bow)
    lower = across(t5[::-1], (gap_low + push) * hold + low * swell)
    hold3 = np.array([0.88, 1.0, 0.88])
    inner_up = across(t3, (rise * 0.9 - gap_up + 0.004) * hold3)
    inner_low = across(t3[::-1], (gap_low + push) * hold3 + 0.006)
    inner_low[:, 1] = np.maximum(inner_low[:, 1], inner_up[::-1, 1] + 0.004)
    outer = np.vstack((left, upper, right, lower))
    inset = np.array([0.045, 0.0])
    inner = np.vstack((left + inset, inner_up, right - inset, inner_low))
    return outer, inner


def face_geometry(au: ActionUnits, shape: Shape = Shape(), pose: Pose = Pose()) -> Geometry:
    """All curves of a face and its 68 landmarks, in face units."""
    jaw = _JAW * [1, shape.chin]
    low = np.clip((_JAW[:, 1] - 0.2) / 1.04, 0, 1)
    jaw[:, 0] *= 1 + (shape.jaw_width - 1) * low
    jaw[:, 1] += 0.27 * au.jaw_drop * low
    contour = np.vstack((jaw * [-1, 1], jaw[-2::-1]))  # landmarks 0 to 16
    skull = np.vstack((_SKULL[1:], _SKULL[-2:0:-1] * [-1, 1]))
    head = smooth(np.vstack((contour, skull)), closed=True)

    lift = 0.06 * au.nose_wrinkle
    base_y = 0.35 * shape.nose_length - lift
    wing = 0.165 * shape.nose_width * (1 + 0.2 * au.nose_wrinkle + 0.08 * au.lip_corner_pull)
    bridge = np.column_stack((np.zeros(4), np.linspace(-0.19, base_y - 0.09, 4)))
    base_x = np.array([-1, -0.5, 0, 0.5, 1]) * wing
    nostrils = np.column_stack((base_x, base_y + np.array([-0.02, 0.02, 0.045, 0.02, -0.02])))
    bridge_z, base_z = np.array([0.02, 0.09, 0.17, 0.26]), np.array([0.06, 0.13, 0.19, 0.13, 0.06])

    brow_l, brow_r = _brow(au, shape, -1), _brow(au, shape, 1)[::-1]
    eyes = {side: _eye(au, shape, side) for side in (-1, 1)}
    outer, inner = _mouth(au, shape)

    def flat(points: Points, extra: float | Points = 0.0) -> Points:
        return rotate(depth(points, extra), pose)

    def rim(points: Points) -> Points:
        return rotate(np.column_stack((points, np.full(len(points), -0.05))), pose)

    curves = {
        "head": rim(head),
        "jaw": rim(smooth(contour)),
        "brow_left": flat(smooth(brow_l), 0.04),
        "brow_right": flat(smooth(brow_r), 0.04),
        "bridge": flat(smooth(bridge), np.interp(np.linspace(0, 3, 25), range(4), bridge_z)),
        "nose_base": flat(smooth(nostrils), np.interp(np.linspace(0, 4, 33), range(5), base_z)),
        "lips_outer": flat(np.vstack((smooth(outer[:7]), smooth(np.vstack((outer[6:], outer[:1])))[1:-1])), 0.03),
        "lips_inner": flat(np.vstack((smooth(inner[:5]), smooth(np.vstack((inner[4:], inner[:1])))[1:-1])), 0.03),
    }
    marks = [rim(contour), flat(brow_l, 0.04), flat(brow_r, 0.04), flat(bridge, bridge_z), flat(nostrils, base_z)]
    pick = [0, 6, 14, 20]  # corners and the two lid landmarks of 21 lid points
    for side, name in ((-1, "left"), (1, "right")):
        upper, lower, iris = eyes[side]
        curves[f"lid_{name}"] = flat(upper)
        curves[f"eye_{name}"] = flat(np.vstack((upper, lower[-2:0:-1])))
        curves[f"iris_{name}"] = flat(iris[None])
        up, low = upper[pick], lower[pick]
        if side == -1:  # outer corner, upper lid, inner corner, lower lid back
            marks.append(flat(np.vstack((up, low[2], low[1]))))
        else:  # inner corner, upper lid, outer corner, lower lid back
            marks.append(flat(np.vstack((up[::-1], low[1], low[2]))))
    marks += [flat(outer, 0.03), flat(inner, 0.03)]
    return Geometry(np.vstack(marks), curves)
