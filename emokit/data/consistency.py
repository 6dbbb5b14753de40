"""The consistency check of the paper's release: does an expression fit its valence and arousal?

A rule is text such as ``valence > 0 and intensity > 0.2``: comparisons of ``valence``,
``arousal``, ``intensity`` (√(valence² + arousal²)) and numbers, joined by ``and``, ``or`` and
parentheses. It is parsed, never run as code.
"""

from __future__ import annotations

import ast
import operator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The paper's release; a label on a strict boundary fails.
RULES: dict[str, str] = {
    "neutral": "intensity < 0.2",
    "happy": "valence > 0 and intensity > 0.2",
    "sad": "valence < 0 and intensity > 0.2",
    "surprise": "arousal > 0 and intensity > 0.2",
    "fear": "arousal >= 0 and valence <= 0 and intensity > 0.2",
    "disgust": "valence < 0 and intensity > 0.3",
    "anger": "arousal > 0 and intensity > 0.2",
    "contempt": "valence < 0 and intensity > 0.2",
}
NAMES = ("valence", "arousal", "intensity")

_COMPARE = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_LONGEST = 500  # characters; the parser of longer nonsense may run out of stack
_DIGITS = 6  # more are an accident of arithmetic or of single precision


class Rule:
    """One rule, parsed.

    Parameters
    ----------
    text : str

    Attributes
    ----------
    text : str
    parts : tuple of Rule
        What has to hold at once: the sides of the outermost ``and``, or the rule itself.

    Raises
    ------
    ValueError
        The text is no rule; the message quotes it and says where it errs.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            if not isinstance(text, str) or len(text) > _LONGEST:
                raise SyntaxError(f"it is no text of at most {_LONGEST} characters")
            self._tree = ast.parse(text.strip(), mode="eval").body
            _check(self._tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problem = error.msg if isinstance(error, SyntaxError) else str(error)
            raise ValueError(
                f"the rule {text!r} cannot be read ({problem}); write comparisons of {', '.join(NAMES)} and numbers, "
                "joined by 'and' and 'or', such as 'valence > 0 and intensity > 0.2'"
            ) from error

    @property
    def parts(self) -> tuple[Rule, ...]:
        if isinstance(self._tree, ast.BoolOp) and isinstance(self._tree.op, ast.And):
            return tuple(rule(ast.unparse(side)) for side in self._tree.values)
        return (self,)

    def __call__(self, valence: ArrayLike, arousal: ArrayLike) -> NDArray[np.bool_]:
        """Whether labels in [-1, 1], both of one shape, obey the rule."""
        return _truth(self._tree, measures(valence, arousal))


@lru_cache(maxsize=1024)
def rule(text: str) -> Rule:
    """The `Rule` of ``text``, parsed once."""
    return Rule(text)


def measures(valence: ArrayLike, arousal: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """What rules may speak of: valence, arousal and intensity, each of the shape given."""
    valence, arousal = (np.round(np.asarray(values, dtype=np.float64), _DIGITS) for values in (valence, arousal))
    return {"valence": valence, "arousal": arousal, "intensity": np.round(np.hypot(valence, arousal), _DIGITS)}


def _check(node: ast.expr) -> None:
    """Refuse whatever is not part of a rule."""
    if isinstance(node, ast.BoolOp):
        for side in node.values:
            _check(side)
    elif isinstance(node, ast.Compare):
        for sign in node.ops:
            if type(sign) not in _COMPARE:
                raise SyntaxError("it compares by another sign than <, <=, > and >=")
        operands = (node.left, *node.comparators)
        for operand in operands:
            _check_operand(operand)
        if not any(isinstance(operand, ast.Name) for operand in operands):
            raise SyntaxError(f"{ast.unparse(node)!r} speaks of none of {', '.join(NAMES)}")
    else:
        raise SyntaxError(f"{ast.unparse(node)!r} is no comparison")


def _check_operand(node: ast.expr) -> None:
    if isinstance(node, ast.Name):
        if node.id not in NAMES:
            raise SyntaxError(f"{node.id!r} is none of {', '.join(NAMES)}")
    elif _number(node) is None:
        raise SyntaxError(f"{ast.unparse(node)!r} is neither a name nor a number")


def _number(node: ast.expr) -> float | None:
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node, sign = node.operand, -1
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return sign * float(node.value)
    return None


def _truth(node: ast.expr, known: dict[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    if isinstance(node, ast.BoolOp):
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return join.reduce([_truth(side, known) for side in node.values])
    values = [known[x.id] if isinstance(x, ast.Name) else _number(x) for x in (node.left, *node.comparators)]
    holds = [_COMPARE[type(sign)](left, right) for sign, left, right in zip(node.ops, values, values[1:], strict=False)]
    return np.logical_and.reduce(holds)
