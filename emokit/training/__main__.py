"""``python -m emokit.training run.yaml [name=value …]``, alone or under ``torchrun``."""

import json
import sys

import yaml

from emokit.training.config import read_config
from emokit.training.run import fit


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python -m emokit.training run.yaml [name=value ...]")
    path, *pairs = sys.argv[1:]
    changes = {name: yaml.safe_load(value) for name, value in (pair.split("=", 1) for pair in pairs)}
    print(json.dumps(fit(read_config(path, **changes)), indent=2))


if __name__ == "__main__":
    main()
