"""Make what lies in this folder: ``python data/make.py``."""

from pathlib import Path

from emokit.data.rendered import SAMPLE, rendered_faces
from emokit.models import EXPRESSIONS
from emokit.plots import face_grid

HERE = Path(__file__).parent


def main() -> None:
    samples = rendered_faces(**SAMPLE, folder=HERE / "rendered")
    order = samples["expression"].map(EXPRESSIONS[8].index)
    first = samples["subject"].unique()[:8]
    sheet = samples.assign(order=order)[samples["subject"].isin(first)].sort_values(["subject", "order"])
    face_grid(sheet["image"].tolist(), EXPRESSIONS[8]).savefig(HERE / "rendered_sheet.jpg", dpi=80)


if __name__ == "__main__":
    main()
