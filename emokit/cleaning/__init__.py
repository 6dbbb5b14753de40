"""Labels checked, reviewed and mended; nothing that an annotator decides is lost."""

import importlib

# Names load their module when they are used: some import cleanlab, SQLAlchemy or widgets.
_WHERE = {
    "RULES": "rules",
    "Review": "widget",
    "Store": "store",
    "VERDICTS": "store",
    "check": "rules",
    "cleaned_list": "lists",
    "cleaning_report": "report",
    "frozen_features": "features",
    "image_signatures": "duplicates",
    "out_of_fold": "folds",
    "queue_curve": "queue",
    "read_rules": "rules",
    "replay": "history",
    "report_in_words": "report",
    "review_queue": "queue",
    "write_cleaned_pickle": "lists",
}

__all__ = list(_WHERE)


def __getattr__(name: str):
    if name in _WHERE:
        return getattr(importlib.import_module(f"emokit.cleaning.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'emokit.cleaning' has no attribute {name!r}")
