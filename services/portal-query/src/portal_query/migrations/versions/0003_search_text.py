"""The texts of a repair as they are searched: NFC, case folded, white space folded, nothing invisible.

Postgres computes them at each write, so that a search only compares: folding 4 000 repairs of the
longest texts takes ten seconds, comparing them a third of one. Plain texts (ASCII without
runs of white space) are their own search text in lower case: for them the column is NULL and costs
nothing. Adding it rewrites the table once.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BREAKS = (r"E'\t'", r"E'\n'", r"E'\r'")
_TEXTS = """(unit_number || '|' || description || '|' || damage_type || '|' || customer_notes)"""
_PLAIN = " AND ".join(
    (
        f"octet_length({_TEXTS}) = length({_TEXTS})",
        *(f'strpos({_TEXTS} COLLATE "C", {space}) = 0' for space in ("'  '", *_BREAKS)),
    )
)
# As `repair_events.text.INVISIBLE` had it when this step was written.
_INVISIBLE = (
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    r"\u2800\ufff9-\ufffb\U00013441\U00013442\U00016fe4\U0001d159]+"
)
_SPACES = (
    r"\u0009-\u000d\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # and U+0020
)
# Replacing costs most, so a single space stays as it is.
_WHITE_SPACE = f"[{_SPACES} ]{{2,}}|[{_SPACES}]"
# One text for all four: nothing that is looked for holds the separator, so none spans two of them.
_JOINED = "(unit_number || U || description || U || damage_type || U || customer_notes)".replace(
    "U", r"E'\x1f'"
)
_VISIBLE = f"regexp_replace({_JOINED}, '{_INVISIBLE}', '', 'g')"
# Most texts are NFC already, and to ask costs a quarter of making them so.
_NFC = f"CASE WHEN {_VISIBLE} IS NFC NORMALIZED THEN {_VISIBLE} ELSE normalize({_VISIBLE}, NFC) END"
_FOLDED = f"regexp_replace(casefold(({_NFC}) COLLATE pg_unicode_fast), '{_WHITE_SPACE}', ' ', 'g')"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE portal.repair ADD COLUMN search_text text GENERATED ALWAYS AS"
        f" (CASE WHEN {_PLAIN} THEN NULL ELSE {_FOLDED} END) STORED"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE portal.repair DROP COLUMN search_text")
