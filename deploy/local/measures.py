"""Measures of the source tree, printed by `./dev check --measures`; they change nothing and never fail.

They cover the services and the shared packages, without tests and migrations; prose covers all files.
"""

from __future__ import annotations

import ast
import re
import statistics
from collections import Counter
from pathlib import Path

from deploy.local import prose
from deploy.local.layout import ROOT

SOURCES = ("shared/src", "services/*/src")
#: Field whose spread is measured: text of a customer, in every layer from the form to the page.
FIELD = "customer_notes"
#: Irregular participles and pronouns that say little as a whole identifier.
_WEAK_WORDS = (
    "held kept said told made known found left given taken sent lost gone seen heard begun done got put read shown "
    "drawn written stood spoken hidden met built bound brought thought came went whom who whose what which nobody "
    "somebody everybody whoever other others one ones it its his her ours theirs these those such same rest every "
    "all each any some none anybody"
)
WEAK = frozenset(_WEAK_WORDS.split())
_REGULAR = re.compile(r"[a-z]+ed")
_NOUNS = frozenset({"seed", "feed", "speed", "need", "embed", "shed"})

Trees = dict[Path, ast.Module]


def lines(root: Path = ROOT) -> list[str]:
    """Return every measure as a line for a person."""
    trees = _trees(root)
    return [
        *prose.measures(prose.texts(root, prose.tracked(root))),
        _lengths("functions", _function_lengths(trees)),
        _lengths("files", [len((root / path).read_text().splitlines()) for path in trees]),
        weak_identifiers(trees),
        homonyms(trees),
        _files_of_field(root, trees),
    ]


def weak_identifiers(trees: Trees) -> str:
    """Return the share of defined identifiers that are a bare participle or pronoun."""
    names = [name.strip("_").lower() for tree in trees.values() for name in _defined(tree)]
    weak = Counter(name for name in names if name in WEAK or _is_participle(name))
    share = 100 * weak.total() / max(1, len(names))
    most = ", ".join(f"{name} {count}" for name, count in weak.most_common(5))
    return f"participles and pronouns: {share:.2f} % of {len(names)} identifiers ({most})"


def homonyms(trees: Trees) -> str:
    """Return the share of class names that two modules of one import root define."""
    modules: dict[tuple[str, str], set[Path]] = {}
    for path, tree in trees.items():
        package = path.parts[path.parts.index("src") + 1]
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                modules.setdefault((package, node.name), set()).add(path)
    twice = sorted(name for (_, name), paths in modules.items() if len(paths) > 1)
    share = 100 * len(twice) / max(1, len(modules))
    return f"class names in two modules: {share:.1f} % of {len(modules)} ({', '.join(twice[:8])})"


def _trees(root: Path) -> Trees:
    found = (path for base in SOURCES for path in root.glob(f"{base}/**/*.py"))
    paths = sorted(path for path in found if "migrations" not in path.parts)
    return {path.relative_to(root): ast.parse(path.read_text()) for path in paths}


def _defined(tree: ast.Module) -> list[str]:
    """Return the names that a module defines: functions, classes, arguments and assigned names."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.arg):
            found.append(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.append(node.attr)
    return found


def _is_participle(name: str) -> bool:
    return _REGULAR.fullmatch(name) is not None and name not in _NOUNS


def _function_lengths(trees: Trees) -> list[int]:
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _lengths(what: str, found: list[int]) -> str:
    p90 = sorted(found)[len(found) * 9 // 10] if found else 0
    middle = statistics.median(found or [0])
    return f"{what + ':':<11} {len(found):6}, median {middle:.0f} lines, p90 {p90}, longest {max(found or [0])}"


def _files_of_field(root: Path, trees: Trees) -> str:
    named = [path for path in trees if re.search(rf"\b{FIELD}\b", (root / path).read_text())]
    return f"files that the field {FIELD} touches: {len(named)}"


if __name__ == "__main__":
    print("\n".join(lines()))
