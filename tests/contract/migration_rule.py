"""Rule for migrations beside running processes of the previous release: they only add.

A step that removes something names in its file the step since which nothing uses it: `CONTRACTS =
"<revision>"`.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from alembic.migration import MigrationContext
from alembic.operations import Operations

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

# Starts of statements that old code tolerates.
_ADDS = (
    r"CREATE (TABLE|INDEX|SEQUENCE|SCHEMA|VIEW|TYPE|FUNCTION|STATISTICS|UNLOGGED TABLE)\b",
    r"(GRANT|COMMENT ON|INSERT INTO|UPDATE|SET LOCAL|ANALYZE)\b",
    # The layout of a table on disk concerns no code.
    r"ALTER (TABLE|INDEX) \S+ (SET|RESET) \(",
)
_ALTER_TABLE = re.compile(
    r"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?\S+ (.*)", re.IGNORECASE | re.DOTALL
)
_ADD_COLUMN = re.compile(
    r"ADD (?:COLUMN )?(?!CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)\w+ .*",
    re.IGNORECASE | re.DOTALL,
)


def statements_of(step: ModuleType) -> list[str]:
    """Return the statements of a step's upgrade, in order, without a database."""
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written}
    )
    with Operations.context(context):
        step.upgrade()
    without_comments = re.sub(r"--[^\n]*", "", written.getvalue())
    return [" ".join(one.split()) for one in _split(without_comments) if one.strip()]


def not_only_adding(statement: str) -> str | None:
    """Return the reason why old code could notice a statement, None when it cannot."""
    if any(re.match(allowed, statement, re.IGNORECASE) for allowed in _ADDS):
        return None
    altered = _ALTER_TABLE.fullmatch(statement)
    if altered is None:
        return "it does not add anything"
    for action in _outside_brackets(altered[1]):
        if not _ADD_COLUMN.fullmatch(action):
            return f"{action!r} changes what is there"
        if re.search(r"NOT NULL", action, re.IGNORECASE) and not re.search(
            r"DEFAULT|GENERATED", action, re.IGNORECASE
        ):
            return f"{action!r} refuses the rows that old code writes"
    return None


def concerns_a_new_table(statement: str, statements: Iterable[str]) -> bool:
    """Return whether rights are revoked from a table of the same step: old code does not use it."""
    taken = re.fullmatch(r"REVOKE .* ON (\S+) FROM \S+", statement, re.IGNORECASE)
    if taken is None:
        return False
    made = re.compile(rf"CREATE TABLE {re.escape(taken[1])} ", re.IGNORECASE)
    return any(made.match(one) for one in statements)


def _split(text: str) -> list[str]:
    """Split at semicolons outside of quotes and dollar quotes."""
    statement = r"(?:\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|[^;])+"
    return [found[0] for found in re.finditer(statement, text, re.DOTALL)]


def _outside_brackets(actions: str) -> list[str]:
    """Split the actions of an ALTER TABLE at commas outside of brackets."""
    found, depth = [""], 0
    for letter in actions:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [action.strip() for action in found]
