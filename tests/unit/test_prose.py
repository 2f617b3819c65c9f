"""The prose check and the check of commit subjects: each rule finds its fault and accepts correct text."""

from pathlib import Path

import pytest
from deploy.local import commit_subjects, prose

AVOIDED = prose.terms()
# Joined here, so that the check accepts this file.
NO_ONE = "no" + "body"


def faults(content: str, kind: str = "docstring") -> list[str]:
    return prose.faults(prose.Text(Path("a.py"), 7, kind, content), AVOIDED)


@pytest.mark.parametrize(
    "content",
    [
        "Return the counts of a customer.",
        "The relay sends rows to Kafka. It deletes them after the acknowledgement.",
        f"Call `{NO_ONE}` by its name: code is no prose.",
        "- first item with some words\n- second item with some words\n" * 5,
    ],
)
def test_correct_text_has_no_fault(content: str) -> None:
    assert faults(content) == []


def test_a_term_is_named_with_its_line_and_its_replacement() -> None:
    found = faults(f"Return the counts.\n\nIf {NO_ONE} reads them, they expire.", "comment")

    assert len(found) == 1
    assert found[0].startswith(f"a.py:9: '{NO_ONE}': write '")


@pytest.mark.parametrize("content", ["What a caller sends.", "Say whether it is open."])
def test_a_docstring_begins_with_a_verb_or_a_noun(content: str) -> None:
    assert "imperative" in "".join(faults(content))
    assert faults(content, "comment") == []


def test_a_sentence_of_a_docstring_is_bounded() -> None:
    assert faults("Return " + "word " * 29 + ".") == []
    assert "31 words" in "".join(faults("Return " + "word " * 30 + "."))


def test_a_full_stop_within_a_name_ends_no_sentence() -> None:
    text = prose.Text(Path("a.py"), 1, "docstring", "Read main.py of e.g. the gateway. Then stop.")

    assert len(prose.sentences(text)) == 2


def test_docstrings_and_comments_of_a_file_are_read(tmp_path: Path) -> None:
    source = (
        '"""Module."""\n\n# One comment\n# of two lines.\nx = 1  # noqa: E501\ny = 2  # trailing\n'
    )
    (tmp_path / "a.py").write_text(source)

    found = prose.texts(tmp_path, ["a.py"])

    assert [(text.kind, text.line, text.content) for text in found] == [
        ("docstring", 1, "Module."),
        ("comment", 3, "One comment\nof two lines."),
        ("comment", 6, "trailing"),
    ]


def test_a_folder_without_git_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "b.py").touch()
    (tmp_path / "a.md").touch()

    assert prose.tracked(tmp_path) == ["a.md"]


@pytest.mark.parametrize(
    "subject",
    ["writer: reject a gap in a stream", "http: refuse a body", "fixup! writer: reject a gap"],
)
def test_a_correct_subject_has_no_fault(subject: str) -> None:
    assert commit_subjects.fault(subject) == ""


@pytest.mark.parametrize(
    "subject",
    [
        "reject a gap in a stream",
        "writer: Reject a gap",
        "writer: rejected a gap",
        "writer: rejecting a gap",
        "writer: reject a gap.",
        "writer: fix",
        "Writer: reject a gap",
        "writer: reject " + "a" * 60,
    ],
)
def test_a_wrong_subject_is_named(subject: str) -> None:
    assert subject in commit_subjects.fault(subject)


def test_without_history_no_subject_is_judged(tmp_path: Path) -> None:
    assert commit_subjects.subjects(tmp_path) is None


def test_the_hook_checks_the_first_line_of_a_message(tmp_path: Path) -> None:
    message = tmp_path / "COMMIT_EDITMSG"

    message.write_text("writer: reject a gap\n\nBecause Of This.\n")
    assert commit_subjects.main([str(message)]) == 0
    message.write_text("Rejected a gap\n")
    assert commit_subjects.main([str(message)]) == 1
