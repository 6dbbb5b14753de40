import warnings

import matplotlib
import pytest
from browsing import jupyterlab

from emokit.models import load_emofan

matplotlib.use("agg")


@pytest.fixture(scope="session")
def demo():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_emofan("demo")


@pytest.fixture
def lab(tmp_path):
    """Address of a JupyterLab in ``tmp_path``."""
    with jupyterlab(tmp_path) as address:
        yield address
