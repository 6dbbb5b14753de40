"""Lightning's trainer as part of a library: it greets nobody, and an interrupt only interrupts."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's greetings and hints, which are about other uses of it."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for hint in (
                ".*does not have many workers",
                ".*no `val_dataloader`",
                ".*Checkpoint directory .* exists",
                ".*LeafSpec",
            ):
                warnings.filterwarnings("ignore", hint)
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lightning answers an interrupt by ending the process and then ignores it: a notebook must live on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        signal.signal(signal.SIGINT, handler)
