"""Files that others find whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what is ``path`` once the block ends well; until then, an old file stays as it was."""
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write ``content`` as a whole file that people can read."""
    with whole(path) as beside:
        beside.write_text(json.dumps(content, indent=2))
