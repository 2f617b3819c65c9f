"""Each migration after a service's first only adds, so that an upgrade needs no pause; see the
rule.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from tests.contract.migration_rule import concerns_a_new_table, not_only_adding, statements_of

if TYPE_CHECKING:
    from alembic.script import Script

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(ROOT.glob("services/*/src/*/migrations"))


def steps(folder: Path) -> list[Script]:
    """Return a service's steps, the first one first."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return list(ScriptDirectory.from_config(config).walk_revisions())[::-1]


LATER = [step for folder in FOLDERS for step in steps(folder)[1:]]


def test_there_are_three_services_with_one_line_of_steps_each() -> None:
    assert [folder.parent.name for folder in FOLDERS] == [
        "gateway",
        "portal_query",
        "repair_writer",
    ]
    for folder in FOLDERS:
        numbers = [step.revision for step in steps(folder)]
        assert numbers == [f"{n:04d}" for n in range(1, len(numbers) + 1)], folder


@pytest.mark.parametrize("step", LATER, ids=lambda step: Path(step.path).stem)
def test_a_step_only_adds_unless_it_says_since_when_nothing_uses_what_it_takes(
    step: Script,
) -> None:
    statements = statements_of(step.module)
    noticed = {
        one: why
        for one in statements
        if (why := not_only_adding(one)) and not concerns_a_new_table(one, statements)
    }
    since = getattr(step.module, "CONTRACTS", None)

    assert statements
    if since is None:
        assert noticed == {}
    else:
        assert noticed, "CONTRACTS is said, and nothing is taken away"
        assert since < step.revision, (
            "what an older step left unused may go, not what this one does"
        )


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX one ON portal.repair (customer_id)",
        "CREATE TABLE writer.more (id bigint PRIMARY KEY, note text NOT NULL)",
        "ALTER TABLE writer.repair ADD COLUMN colour text",
        "ALTER TABLE writer.repair ADD COLUMN tint text NOT NULL DEFAULT '', ADD weight numeric(12,2)",
        "ALTER TABLE portal.repair SET (fillfactor = 80)",
        "GRANT SELECT ON portal.more TO query",
        "UPDATE writer.repair SET colour = 'green' WHERE colour IS NULL",
    ],
)
def test_old_code_does_not_notice(statement: str) -> None:
    assert not_only_adding(statement) is None


def test_rights_are_taken_from_new_tables_only() -> None:
    revoke = "REVOKE UPDATE, DELETE ON writer.more FROM CURRENT_USER"
    assert concerns_a_new_table(revoke, ["CREATE TABLE writer.more (id bigint)", revoke])
    assert not concerns_a_new_table(revoke, ["CREATE TABLE writer.more2 (id bigint)", revoke])
    assert not_only_adding(revoke) is not None


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE writer.repair",
        "DROP INDEX portal.repair_by_unit",
        "TRUNCATE portal.repair",
        "DELETE FROM portal.repair",
        "CREATE UNIQUE INDEX one ON writer.repair (source_ref)",
        "ALTER TABLE writer.repair DROP COLUMN cost",
        "ALTER TABLE writer.repair RENAME COLUMN cost TO price",
        "ALTER TABLE writer.repair RENAME TO job",
        "ALTER TABLE writer.repair ALTER COLUMN cost TYPE text",
        "ALTER TABLE writer.repair ALTER COLUMN batch_id SET NOT NULL",
        "ALTER TABLE writer.repair ADD COLUMN colour text NOT NULL",
        "ALTER TABLE writer.repair ADD COLUMN colour text, DROP COLUMN cost",
        "ALTER TABLE writer.repair ADD CONSTRAINT short CHECK (length(unit_number) < 20)",
        "ALTER TYPE writer.status RENAME VALUE 'DENIED' TO 'REFUSED'",
        "REVOKE SELECT ON portal.repair FROM query",
        "DO $$ BEGIN EXECUTE 'DROP TABLE writer.repair'; END $$",
    ],
)
def test_old_code_notices(statement: str) -> None:
    assert not_only_adding(statement)


def test_statements_are_read_from_a_step_as_it_runs() -> None:
    class Step:
        @staticmethod
        def upgrade() -> None:
            from alembic import op

            op.execute("CREATE TABLE a (b text DEFAULT ';')")
            op.drop_column("repair", "cost", schema="writer")

    found = statements_of(Step)  # type: ignore[arg-type]

    assert [bool(not_only_adding(one)) for one in found] == [False, True], found
