import warnings

import matplotlib
import pytest

from emokit.models import load_emofan

matplotlib.use("agg")


@pytest.fixture(scope="session")
def demo():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_emofan("demo")
