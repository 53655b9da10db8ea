"""Lines of a log that came from a file: only calls of the session with plain values are taken for actions.

Nothing here runs them; a person may, and must not be handed anything else.
"""

from __future__ import annotations

import ast
import re

from napari_sam2.core import script

_LARGE = re.compile(r"labels_of_\d+(x\d+)*")  # an array that was too large to be written
_TARGETS = {"session", "run"}
_MAKERS = {*script.__all__, "range", "frozenset"}


def is_action(line: str) -> bool:
    """Say whether a line is one that `Session.log` may have: a call, of plain values, and nothing else."""
    if "\n" in line or "\r" in line:
        return False
    try:
        (statement,) = ast.parse(line).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if isinstance(statement, ast.Assign):
        is_run = [ast.unparse(target) for target in statement.targets] == ["run"]
        return is_run and _is_method_call(statement.value)
    return isinstance(statement, ast.Expr) and _is_method_call(statement.value)


def _is_method_call(node: ast.expr) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    owner, name = node.func.value, node.func.attr
    is_ours = isinstance(owner, ast.Name) and owner.id in _TARGETS and not name.startswith("_")
    return is_ours and _has_plain_arguments(node)


def _has_plain_arguments(call: ast.Call) -> bool:
    named = all(keyword.arg is not None for keyword in call.keywords)
    return named and all(map(_is_plain, (*call.args, *(word.value for word in call.keywords))))


def _is_plain(node: ast.expr | None) -> bool:
    """Say whether an expression only makes a value."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name):
        return _LARGE.fullmatch(node.id) is not None
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_is_plain, node.elts))
    if isinstance(node, ast.Dict):
        return all(map(_is_plain, (*node.keys, *node.values)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in _MAKERS and _has_plain_arguments(node)
    return False
