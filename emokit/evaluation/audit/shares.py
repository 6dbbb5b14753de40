"""How uncertain a share is of which next to no error, or nothing but errors, was seen.

Where everybody is right in a sample, everybody is right in each of its resamples: a bootstrap then
knows of no uncertainty at all. Agresti and Coull (1998) count two more of either kind, which lets a
share of 1 have a variance that falls with n. Faces of one person are not so many witnesses. How many
they are is told by the variance over persons where there are errors to tell; where there are none,
a person counts once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

SHARES = ("accuracy", "macro F1", "SAGR")
_MORE = 2  # counted on either side
_DOUBT = 0.1  # of a person's worth of errors, for persons who err in all of their faces or in none


def lacking(share: ArrayLike, variance: ArrayLike, faces: ArrayLike, persons: ArrayLike) -> Array:
    """What the ``variance`` of a bootstrap lacks to that of Agresti and Coull; next to 0 where there are errors enough.

    Parameters
    ----------
    share : array-like
        In [0, 1]; NaN where there is none.
    variance : array-like
        Of the share over resamples of persons.
    faces, persons : array-like
        Numbers of both; of persons in effect. All broadcast to one shape.
    """
    share, variance, faces, persons = np.broadcast_arrays(*map(np.asarray, (share, variance, faces, persons)))
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.maximum(faces / persons, 1)
        # The design effect: 1 where faces of one person err on their own, ``each`` where they err together.
        effect = np.minimum(faces * variance / (share * (1 - share)), each)
        errors = faces * np.minimum(share, 1 - share)
        effect = (np.where(errors > 0, errors * effect, 0) + _DOUBT * each**2) / (errors + _DOUBT * each)
        n = faces / effect
        middle = (n * share + _MORE) / (n + 2 * _MORE)
        least = middle * (1 - middle) / (n + 2 * _MORE)
    return np.where(np.isfinite(least - variance), np.maximum(least - variance, 0), 0)
