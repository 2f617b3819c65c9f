"""Prose check of `./dev check`: terms, first words and sentence lengths in docs, docstrings and comments.

The list of terms is Vale's (`.vale/styles/Portal/Terms.yml`), for those who have Vale in their editor.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
import tokenize
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from deploy.local import git
from deploy.local.layout import ROOT

TERMS = Path(".vale/styles/Portal/Terms.yml")
#: Longest sentence of a docstring, in words. The aim is 20, with a median of at most 10.
MOST_WORDS = 30
#: A docstring begins with a verb in the imperative or a noun: never with a clause or with speech.
FIRST_WORDS = frozenset(
    {"What", "How", "Who", "Whose", "Whoever", "Which", "Whether", "When", "Where", "Why"}
    | {"Say", "Says", "Tell", "Tells", "Ask", "Asks"}
)
#: Decisions of the past stay as they were accepted; a new one follows the terms.
EXEMPT = tuple(f"docs/decisions/{number:04}-" for number in range(1, 11))
_CODE = re.compile(r"```.*?```|`[^`]*`|<[^>\s]+>|https?://\S+", re.DOTALL)
_END = re.compile(r"(?<=[.!?])[)\"']*\s+(?=[\"'(`*]*[A-Z])|\n\s*\n|\n\s*(?=[-*|#]\s?|\d+\.\s)")
_WORD = re.compile(r"[\w'/.-]*\w[\w'/.-]*")
_DIRECTIVE = re.compile(r"#:?\s*(noqa|type:|pragma|fmt:|!|codespell)")


@dataclass(frozen=True)
class Text:
    """One docstring, comment or document. `line` is its first line in the file."""

    path: Path
    line: int
    kind: str
    content: str

    @cached_property
    def plain(self) -> str:
        """Return the text with each piece of code replaced by one word, on the same lines."""
        return _CODE.sub(lambda code: "Code" + "\n" * code[0].count("\n"), self.content)


def terms(root: Path = ROOT) -> dict[re.Pattern[str], str]:
    """Return the avoided terms, as patterns, with their replacements."""
    swap: dict[str, str] = yaml.safe_load((root / TERMS).read_text())["swap"]
    return {re.compile(rf"\b{term}\b", re.IGNORECASE): word for term, word in swap.items()}


def texts(root: Path, files: list[str]) -> list[Text]:
    """Return the texts of these files: whole Markdown files; docstrings and comments of Python."""
    found = []
    for name in files:
        path = root / name
        if name.endswith(".md"):
            found.append(Text(Path(name), 1, "document", path.read_text()))
        elif name.endswith(".py"):
            source = path.read_text()
            found += _docstrings(Path(name), source) + _comments(Path(name), source)
    return found


def faults(text: Text, avoided: dict[re.Pattern[str], str]) -> list[str]:
    """Return the faults of a text, each with its place and the correction."""
    found = [
        f"{text.path}:{text.line + text.plain[: match.start()].count(chr(10))}: "
        f"{match[0]!r}: write {word!r}"
        for pattern, word in avoided.items()
        for match in pattern.finditer(text.plain)
    ]
    if text.kind != "docstring":
        return found
    place = f"{text.path}:{text.line}"
    first = _WORD.search(text.plain)
    if first and first[0] in FIRST_WORDS:
        found.append(f"{place}: {first[0]!r}: begin with an imperative verb or a noun")
    for sentence in sentences(text):
        if len(sentence) > MOST_WORDS:
            start = " ".join(sentence[:6])
            found.append(f"{place}: {len(sentence)} words, at most {MOST_WORDS}: {start} ...")
    return found


def sentences(text: Text) -> list[list[str]]:
    """Return the words of each sentence; a row of a table and an item of a list end one too."""
    return [words for part in _END.split(text.plain) if (words := _WORD.findall(part or ""))]


def tracked(root: Path = ROOT) -> list[str]:
    """Return the files to check; those of the folder where there is no git."""
    listed = git.lines(
        root, "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "*.py"
    )
    found = _in_folder(root) if listed is None else listed
    return [name for name in found if (root / name).is_file() and not name.startswith(EXEMPT)]


def measures(found: list[Text]) -> list[str]:
    """Return sentence lengths by kind of text, as lines for a person."""
    lines = []
    for kind in ("docstring", "comment", "document"):
        lengths = [
            len(words) for text in found if text.kind == kind for words in sentences(text)
        ] or [0]
        over = sum(length > MOST_WORDS for length in lengths)
        lines.append(
            f"{kind + 's':<11} {len(lengths):6} sentences, median {statistics.median(lengths):.0f} words, "
            f"longest {max(lengths)}, {over} above {MOST_WORDS}"
        )
    return lines


def main() -> int:
    """Print the measures and every fault; return 1 if there is a fault."""
    found = texts(ROOT, tracked())
    avoided = terms()
    broken = [fault for text in found for fault in faults(text, avoided)]
    print("\n".join([*measures(found), *broken]))
    return 1 if broken else 0


def _docstrings(path: Path, source: str) -> list[Text]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            content = ast.get_docstring(node)
            if content is not None:
                found.append(Text(path, node.body[0].lineno, "docstring", content))
    return found


def _comments(path: Path, source: str) -> list[Text]:
    """Return the comments; those on consecutive lines of their own are one text."""
    found: list[Text] = []
    end = 0
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        if token.type != tokenize.COMMENT or _DIRECTIVE.match(token.string):
            continue
        content = token.string.lstrip("#:").strip()
        line = token.start[0]
        alone = token.line.lstrip().startswith("#")
        if alone and found and end == line - 1:
            last = found.pop()
            found.append(Text(path, last.line, "comment", f"{last.content}\n{content}"))
        else:
            found.append(Text(path, line, "comment", content))
        end = line if alone else 0
    return found


def _in_folder(root: Path) -> list[str]:
    hidden = {".venv", ".run", "node_modules"}
    found = (path.relative_to(root) for pattern in ("*.md", "*.py") for path in root.rglob(pattern))
    return sorted(str(path) for path in found if not hidden & set(path.parts))


if __name__ == "__main__":
    sys.exit(main())
