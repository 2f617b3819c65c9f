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
# The characters that follow others (canonical combining class above 0) of Unicode 16, the version
# of Postgres 18. A test compares them with what Postgres itself reorders.
MARKS = (
    r"\u0300-\u034e\u0350-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    r"\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    r"\u0711\u0730-\u074a\u07eb-\u07f3\u07fd\u0816-\u0819\u081b-\u0823\u0825-\u0827"
    r"\u0829-\u082d\u0859-\u085b\u0897-\u089f\u08ca-\u08e1\u08e3-\u08ff\u093c\u094d"
    r"\u0951-\u0954\u09bc\u09cd\u09fe\u0a3c\u0a4d\u0abc\u0acd\u0b3c\u0b4d\u0bcd\u0c3c\u0c4d"
    r"\u0c55\u0c56\u0cbc\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u0e38-\u0e3a\u0e48-\u0e4b\u0eb8-\u0eba"
    r"\u0ec8-\u0ecb\u0f18\u0f19\u0f35\u0f37\u0f39\u0f71-\u0f75\u0f7a-\u0f7d\u0f80-\u0f84"
    r"\u0f86\u0f87\u0fc6\u1037\u1039\u103a\u108d\u135d-\u135f\u1714\u1715\u1734\u17d2\u17dd"
    r"\u18a9\u1939-\u193b\u1a17\u1a18\u1a60\u1a75-\u1a7c\u1a7f\u1ab0-\u1abd\u1abf-\u1ace\u1b34"
    r"\u1b44\u1b6b-\u1b73\u1baa\u1bab\u1be6\u1bf2\u1bf3\u1c37\u1cd0-\u1cd2\u1cd4-\u1ce0"
    r"\u1ce2-\u1ce8\u1ced\u1cf4\u1cf8\u1cf9\u1dc0-\u1dff\u20d0-\u20dc\u20e1\u20e5-\u20f0"
    r"\u2cef-\u2cf1\u2d7f\u2de0-\u2dff\u302a-\u302f\u3099\u309a\ua66f\ua674-\ua67d\ua69e\ua69f"
    r"\ua6f0\ua6f1\ua806\ua82c\ua8c4\ua8e0-\ua8f1\ua92b-\ua92d\ua953\ua9b3\ua9c0\uaab0"
    r"\uaab2-\uaab4\uaab7\uaab8\uaabe\uaabf\uaac1\uaaf6\uabed\ufb1e\ufe20-\ufe2f\U000101fd"
    r"\U000102e0\U00010376-\U0001037a\U00010a0d\U00010a0f\U00010a38-\U00010a3a\U00010a3f"
    r"\U00010ae5\U00010ae6\U00010d24-\U00010d27\U00010d69-\U00010d6d\U00010eab\U00010eac"
    r"\U00010efd-\U00010eff\U00010f46-\U00010f50\U00010f82-\U00010f85\U00011046\U00011070"
    r"\U0001107f\U000110b9\U000110ba\U00011100-\U00011102\U00011133\U00011134\U00011173"
    r"\U000111c0\U000111ca\U00011235\U00011236\U000112e9\U000112ea\U0001133b\U0001133c"
    r"\U0001134d\U00011366-\U0001136c\U00011370-\U00011374\U000113ce-\U000113d0\U00011442"
    r"\U00011446\U0001145e\U000114c2\U000114c3\U000115bf\U000115c0\U0001163f"
    r"\U000116b6\U000116b7\U0001172b\U00011839\U0001183a\U0001193d\U0001193e\U00011943"
    r"\U000119e0\U00011a34\U00011a47\U00011a99\U00011c3f\U00011d42\U00011d44\U00011d45"
    r"\U00011d97\U00011f41\U00011f42\U0001612f\U00016af0-\U00016af4\U00016b30-\U00016b36"
    r"\U00016ff0\U00016ff1\U0001bc9e\U0001d165-\U0001d169\U0001d16d-\U0001d172"
    r"\U0001d17b-\U0001d182\U0001d185-\U0001d18b\U0001d1aa-\U0001d1ad\U0001d242-\U0001d244"
    r"\U0001e000-\U0001e006\U0001e008-\U0001e018\U0001e01b-\U0001e021\U0001e023\U0001e024"
    r"\U0001e026-\U0001e02a\U0001e08f\U0001e130-\U0001e136\U0001e2ae\U0001e2ec-\U0001e2ef"
    r"\U0001e4ec-\U0001e4ef\U0001e5ee\U0001e5ef\U0001e8d0-\U0001e8d6\U0001e944-\U0001e94a"
)
# Putting marks in order takes the square of their run: a text of 4 000 took half a second, twice,
# at each write. Beyond thirty (UAX 15, Stream-Safe Text Format) the marks of a run are left out.
_MAX_MARKS = 30
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
_BOUNDED = f"regexp_replace({_VISIBLE}, '([{MARKS}]{{{_MAX_MARKS}}})[{MARKS}]+', '\\1', 'g')"
# Most texts are NFC already, and to ask costs a quarter of making them so.
_NFC = f"CASE WHEN {_VISIBLE} IS NFC NORMALIZED THEN {_VISIBLE} ELSE normalize({_BOUNDED}, NFC) END"
_FOLDED = f"regexp_replace(casefold(({_NFC}) COLLATE pg_unicode_fast), '{_WHITE_SPACE}', ' ', 'g')"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE portal.repair ADD COLUMN search_text text GENERATED ALWAYS AS"
        f" (CASE WHEN {_PLAIN} THEN NULL ELSE {_FOLDED} END) STORED"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE portal.repair DROP COLUMN search_text")
