"""Every data set as one table of samples, and the crops that networks read."""

from emokit.data.crops import crop_face, crop_matrix, tight_box, to_photograph
from emokit.data.images import ImageError, load_image
from emokit.data.rendered import render_face, rendered_faces, sample_faces
from emokit.data.tables import landmarks_of, read_table, write_table

__all__ = [
    "ImageError",
    "crop_face",
    "crop_matrix",
    "landmarks_of",
    "load_image",
    "read_table",
    "render_face",
    "rendered_faces",
    "sample_faces",
    "tight_box",
    "to_photograph",
    "write_table",
]
