"""The page of all texts: problems, messages and sentences that a user can meet, read from the sources.

`python -m tests.contract.texts > docs/texts.md` writes the page. A `{...}` is a value.
"""

from __future__ import annotations

import ast
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from repair_writer.api.problems import PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "texts.md"
_QUERY = "services/portal-query/src/portal_query/"
_WRITER = "services/repair-writer/src/repair_writer/"
_GATEWAY = "services/gateway/src/gateway/"
#: Sources whose sentences a user can meet.
_USERS = (
    f"{_GATEWAY}login.py", f"{_GATEWAY}forms.py", f"{_GATEWAY}form_posts.py",
    f"{_GATEWAY}sessions.py", f"{_GATEWAY}judgement.py", f"{_GATEWAY}refusals.py",
    f"{_QUERY}api/*.py", f"{_QUERY}api/pages/*.py",
    f"{_WRITER}*.py", f"{_WRITER}api/*.py", "shared/src/repair_events/*.py",
    "shared/src/service_runtime/http*.py", "shared/src/service_runtime/errors.py",
)  # fmt: skip
#: They describe the interface, start a process or talk to operators.
_OTHERS = frozenset(
    {
        "admin.py", "command_line.py", "described.py", "docs.py", "documentation.py",
        "key_admin.py", "key_commands.py", "main.py", "openapi.py", "schema.py", "settings.py",
    }
)  # fmt: skip
#: Calls whose texts are for operators, programmers or the description of the interface.
_NOT_SHOWN = frozenset(
    {
        "add_api_route", "Field", "Header", "Path", "Query", "Body", "cast", "TypeVar", "compile",
        "debug", "info", "warning", "error", "exception", "AssertionError", "RuntimeError",
        "Counter", "Gauge", "Histogram", "operation", "query", "NotDurableError", "RaceLostError", "Parameter",
    }
)  # fmt: skip
_DESCRIPTIONS = frozenset({"summary", "description", "responses", "example", "examples"})
_PROBLEMS = frozenset({"Problem", "problem_of", "Refusal"})
_WHAT = frozenset({"unavailable", "overloaded"})
_SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|LOCK|SET|VALUES|ON|WHERE|FROM)\b")
_SHOWN_CLASSES = frozenset({"error", "trouble", "waits", "done", "told", "failed", "notice"})
_VOID = frozenset({"input", "br", "img", "link", "meta", "hr", "path", "use"})


class Row(NamedTuple):
    """One line of the page."""

    section: str
    cells: tuple[str, ...]
    source: str


def page() -> str:
    """Return the page as Markdown."""
    rows = list(_python_rows())
    problems = [*_table(), *(row for row in rows if row.section == "problem")]
    parts = [
        "# All texts of errors\n",
        "Written by `python -m tests.contract.texts > docs/texts.md`. A `{...}` is a value.\n",
        "## Problems\n",
        "`code` is stable; programs read it. People read `title` and `detail`.\n",
        _markdown(("status", "code", "title", "detail"), problems),
        "## Messages of the gateway's pages\n",
        _markdown(
            ("status", "title", "text", "advice", "button"),
            [row for row in rows if row.section == "message"],
        ),
        "## Sentences in forms, pages and bodies\n",
        _markdown(("sentence",), [row for row in rows if row.section == "sentence"]),
        "## Texts in templates\n",
        _markdown(("text",), _template_rows()),
        "## Texts in scripts\n",
        _markdown(("text",), _script_rows()),
    ]
    return "\n".join(parts)


def _markdown(head: tuple[str, ...], rows: Iterable[Row]) -> str:
    lines = [(*head, "source"), ("---",) * (len(head) + 1)]
    found = dict.fromkeys((*row.cells, f"`{row.source}`") for row in rows)
    lines += sorted(found, key=lambda cells: (cells[-1] if len(cells) == 2 else "", cells))
    return "".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n" for cells in lines
    )


def _table() -> Iterator[Row]:
    for code, (status, title, detail) in PROBLEMS.items():
        yield Row("problem", (str(status), code, title, detail), "repair_writer/api/problems.py")


def _python_rows() -> Iterator[Row]:
    paths = {path for pattern in _USERS for path in ROOT.glob(pattern)}
    paths |= {ROOT / _GATEWAY / "answers.py", ROOT / _GATEWAY / "pages.py"}
    for path in sorted(paths):
        if path.name not in _OTHERS:
            name = str(path.relative_to(ROOT)).partition("/src/")[2]
            reader = _Reader(name)
            reader.visit(ast.parse(path.read_text()))
            yield from reader.rows


class _Reader(ast.NodeVisitor):
    def __init__(self, source: str) -> None:
        self.source = source
        self.rows: list[Row] = []
        self._constants: dict[str, str] = {}

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        name = getattr(node.target, "id", "")
        if isinstance(node.value, ast.Constant):
            self._constants[name] = str(node.value.value)
        if node.value is not None and name != "PROBLEMS":
            self.visit(node.value)

    def visit_Subscript(self, _: ast.Subscript) -> None:
        """Skip annotations: their texts describe a field."""

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for one in node.body:  # the decorators of a route describe it
            self.visit(one)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - a name of ast

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in _DESCRIPTIONS:
            self.visit(node.value)

    def visit_arg(self, _: ast.arg) -> None:
        """Skip annotations."""

    def visit_Call(self, node: ast.Call) -> None:
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        values = [self._value(one) for one in node.args]
        named = {one.arg: self._value(one.value) for one in node.keywords if one.arg}
        if name == "Message":
            padded = [*values, *[""] * 6]
            self._add("message", (*padded[:4], padded[5]))
        elif name in _PROBLEMS:
            cells = _problem(name, values, named)
            if _words(f"{cells[2]} {cells[3]}"):  # else it passes a problem on
                self._add("problem", cells)
        elif name in _WHAT:
            status, title, _ = PROBLEMS[name]
            self._add("problem", (str(status), name, title, f"{(values or ['{what}'])[0]} ..."))
        elif name not in _NOT_SHOWN:
            self.generic_visit(node)

    def _value(self, node: ast.expr) -> str:
        constant = self._constants.get(node.id) if isinstance(node, ast.Name) else None
        return _text(node) if constant is None else constant

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._sentence(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._sentence(_text(node))

    def _sentence(self, text: str) -> None:
        if _words(text) > 2 and re.search("[a-z]{3}", text) and not _SQL.match(text):
            self._add("sentence", (text,))

    def _add(self, section: str, cells: Iterable[str]) -> None:
        clean = tuple(" ".join(cell.split()) for cell in cells)
        self.rows.append(Row(section, clean, self.source))


def _problem(name: str, values: list[str], named: dict[str, str]) -> tuple[str, ...]:
    """Return status, code, title and detail of a call."""
    if name == "problem_of" or "code" in named:
        code = named.get("code") or values[0]
        detail = named.get("detail", values[1] if len(values) > 1 else "")
        status, title, _ = PROBLEMS.get(code, ("", "", ""))
        return (str(status), code, title, detail)
    return tuple([*values, "", "", ""][:4])


def _text(node: ast.expr) -> str:
    """Return a text as it is read, each value in it as `{...}`."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.FormattedValue):
        return f"{{{ast.unparse(node.value)}}}"
    return f"{{{ast.unparse(node)}}}"


def _words(text: str) -> int:
    """Return the number of words outside the values."""
    rest = re.sub(r"{[^{}]*(?:{[^{}]*}[^{}]*)*}", " ", text)
    return sum(bool(re.search("[A-Za-z]", word)) for word in rest.split())


def _template_rows() -> Iterator[Row]:
    for pattern in (f"{_GATEWAY}web/templates/*.html", f"{_QUERY}web/templates/*.html"):
        for path in sorted(ROOT.glob(pattern)):
            yield from _texts_of(path, str(path.relative_to(ROOT)).partition("/src/")[2])
    for path in sorted((ROOT / "deploy" / "nginx" / "pages").glob("*.html")):
        yield from _texts_of(path, str(path.relative_to(ROOT)), whole=True)


def _texts_of(path: Path, source: str, *, whole: bool = False) -> Iterator[Row]:
    parser = _Shown(whole=whole)
    parser.feed(re.sub(r"{%.*?%}|{#.*?#}", " ", path.read_text(), flags=re.DOTALL))
    for text in parser.texts:
        clean = re.sub(r"{{\s*(.*?)\s*}}", r"{\1}", " ".join(text.split()))
        if _words(clean) > 1:
            yield Row("template", (clean,), source)


class _Shown(HTMLParser):
    """The texts of elements that report something; `whole`: of all paragraphs and headings."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self._whole = whole
        self._open: list[str] = []
        self._from: int | None = None
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._from is None and (
            set((given.get("class") or "").split()) & _SHOWN_CLASSES
            or given.get("role") in {"alert", "status"}
            or (self._whole and tag in {"p", "h1"})
        ):
            self._from = len(self._open)
            self.texts.append("")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if self._from is not None and len(self._open) <= self._from:
            self._from = None

    def handle_data(self, data: str) -> None:
        if self._from is not None:
            self.texts[-1] += f" {data}"


def _script_rows() -> Iterator[Row]:
    for path in sorted((ROOT / _QUERY / "web" / "scripts").glob("*.ts")):
        for plain, filled in re.findall(r'"([^"\n]+)"|`([^`]+)`', _without_comments(path)):
            text = re.sub(r"\${(.*?)}", r"{\1}", " ".join((plain or filled).split()))
            if _words(text) > 1 and re.match(r"[A-Z{]", text):
                yield Row("script", (text,), f"portal_query/web/scripts/{path.name}")


def _without_comments(path: Path) -> str:
    return re.sub(r"/\*[\s\S]*?\*/|^\s*//.*$", "", path.read_text(), flags=re.MULTILINE)


if __name__ == "__main__":
    sys.stdout.write(page())
