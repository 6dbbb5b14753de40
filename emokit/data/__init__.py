"""Every data set as one table of samples, and the crops that networks read."""

from emokit.data.afew_va import person_independent_folds, read_afew_va
from emokit.data.affectnet import read_affectnet
from emokit.data.cleaned import apply_cleaned
from emokit.data.crops import crop_face, crop_matrix, tight_box, to_photograph
from emokit.data.dataset import FaceDataset
from emokit.data.extraction import extract_frames
from emokit.data.harms import fade_pictures, shift_labels, thin_out
from emokit.data.images import ImageError, load_image
from emokit.data.noise import noisy_labels
from emokit.data.problems import DataError, skipped
from emokit.data.rendered import render_face, rendered_faces, sample_faces
from emokit.data.sewa import read_sewa, subject_independent_split
from emokit.data.tables import landmarks_of, read_table, write_table

__all__ = [
    "DataError",
    "FaceDataset",
    "ImageError",
    "apply_cleaned",
    "crop_face",
    "crop_matrix",
    "extract_frames",
    "fade_pictures",
    "landmarks_of",
    "load_image",
    "noisy_labels",
    "person_independent_folds",
    "read_afew_va",
    "read_affectnet",
    "read_sewa",
    "read_table",
    "render_face",
    "rendered_faces",
    "sample_faces",
    "shift_labels",
    "skipped",
    "subject_independent_split",
    "thin_out",
    "tight_box",
    "to_photograph",
    "write_table",
]
