"""Make what lies in this folder: ``python data/make.py``."""

from pathlib import Path

from skimage.data import astronaut

from emokit.data.rendered import SAMPLE, rendered_faces
from emokit.inference import predict
from emokit.models import EXPRESSIONS, load_emofan
from emokit.plots import answer, face_grid

HERE = Path(__file__).parent


def main() -> None:
    samples = rendered_faces(**SAMPLE, folder=HERE / "rendered")
    order = samples["expression"].map(EXPRESSIONS[8].index)
    first = samples["subject"].unique()[:8]
    sheet = samples.assign(order=order)[samples["subject"].isin(first)].sort_values(["subject", "order"])
    face_grid(sheet["image"].tolist(), EXPRESSIONS[8]).savefig(HERE / "rendered_sheet.jpg", dpi=80)
    model = load_emofan("demo")
    answer(astronaut(), predict(astronaut(), model), model).savefig(HERE / "answer.jpg", dpi=80)


if __name__ == "__main__":
    main()
