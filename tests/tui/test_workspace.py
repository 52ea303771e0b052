"""The recipe behind the app: no text is lost, no node vanishes while a line is typed, and files keep their bytes."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlimb.errors import Edit, InputError, Span
from tlimb.recipe.check import check
from tlimb.recipe.parse import parse
from tlimb.recipe.tree import Training
from tlimb_tui.merge import chunks, merge
from tlimb_tui.workspace import Workspace

RECIPE = """# brain age, then sex
pretrain resnet18 on demo.age as first
finetune freeze layer2 on demo.sex  # new head
evaluate on demo.sex
sweep lr in [1e-4, 1e-3]
"""


def verbs(workspace: Workspace) -> list[str]:
    return [node.verb for node in workspace.recipe.statements if isinstance(node, Training)]


# ---------------------------------------------------------------------- typing
@pytest.mark.parametrize("line", [1, 2, 3, 4])
def test_no_statement_vanishes_while_its_line_is_typed(line: int) -> None:
    lines = RECIPE.splitlines(keepends=True)
    workspace = Workspace(text=RECIPE)
    count = len(workspace.recipe.statements)
    written = lines[line].rstrip("\n")
    for length in range(len(written), 3, -1):
        typed = "".join([*lines[:line], written[:length] + "\n", *lines[line + 1 :]])
        workspace.set_text(typed)
        assert len(workspace.recipe.statements) == count
        for node in workspace.recipe.statements:
            assert typed[node.span.start : node.span.end].strip()
    workspace.set_text(RECIPE)
    assert workspace.recipe == parse(RECIPE).recipe
    assert workspace.broken == frozenset()


def test_the_node_of_a_broken_line_stays_within_it() -> None:
    workspace = Workspace(text=RECIPE)
    text = RECIPE.replace("on demo.sex  #", "on demo.  #")
    workspace.set_text(text)
    (number,) = workspace.broken
    node = workspace.recipe.statements[number]
    assert isinstance(node, Training)
    assert text[node.span.start : node.span.end] == "finetune freeze layer2 on demo."
    clause = node.clause("on")
    assert clause is not None
    assert node.span.start <= clause.span.start <= clause.span.end <= node.span.end
    assert len(workspace.diagnostics) == 1
    assert workspace.in_the_way([Edit(Span(node.span.start + 3, node.span.start + 4), "x")]) == number
    assert workspace.in_the_way([Edit(Span(0, 0), "# "), Edit(Span(len(text), len(text)), "\n")]) is None


def test_a_deleted_line_takes_its_node_with_it() -> None:
    workspace = Workspace(text=RECIPE)
    workspace.set_text(RECIPE.replace("finetune freeze layer2 on demo.sex  # new head\n", "\n"))
    assert verbs(workspace) == ["pretrain", "evaluate"]
    workspace.set_text(RECIPE.replace("finetune freeze layer2 on demo.sex  # new head\n", "fine\n"))
    assert verbs(workspace) == ["pretrain", "evaluate"]


def test_two_broken_lines_keep_their_own_nodes() -> None:
    workspace = Workspace(text=RECIPE)
    workspace.set_text(RECIPE.replace("finetune freeze", "finetune freeze ="))
    workspace.set_text(workspace.text.replace("evaluate on", "evaluate on ="))
    assert verbs(workspace) == ["pretrain", "finetune", "evaluate"]
    assert len(workspace.broken) == 2
    assert len(workspace.diagnostics) == 2


def test_what_hangs_on_a_broken_line_is_no_mistake_of_its_own() -> None:
    workspace = Workspace(text="pretrain resnet18 on demo.age as first\nfinetune on demo.sex from first\n")
    workspace.set_text(workspace.text.replace("as first", "as first="))
    assert [item.span.start < workspace.text.index("\n") for item in workspace.diagnostics] == [True]
    fresh = Workspace(text=workspace.text)
    assert len(fresh.diagnostics) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12), st.text('as =[]"#;\nfinetuo1.', max_size=6)), max_size=8))
def test_whatever_is_typed_the_workspace_agrees_with_a_fresh_parse(edits: list[tuple[int, int, str]]) -> None:
    workspace = Workspace(text=RECIPE)
    for place, length, new in edits:
        start = place % (len(workspace.text) + 1)
        workspace.set_text(workspace.text[:start] + new + workspace.text[start + length :])
        assert workspace.parsed == parse(workspace.text)
        assert workspace._meaning == check(workspace.recipe, workspace.catalogue, workspace.datasets)
        kept = [node for number, node in enumerate(workspace.recipe.statements) if number not in workspace.broken]
        assert tuple(kept) == workspace.parsed.recipe.statements
        for node in workspace.recipe.statements:
            assert 0 <= node.span.start < node.span.end <= len(workspace.text)
        for problem in workspace.diagnostics:
            assert problem.span.end <= len(workspace.text) + 1


def test_the_statement_at_a_place() -> None:
    workspace = Workspace(text=RECIPE)
    assert workspace.statement_at(0) is None
    assert workspace.statement_at(RECIPE.index("resnet")) == 0
    assert workspace.statement_at(RECIPE.index("# new")) == 1
    assert workspace.statement_at(len(RECIPE)) is None


# ---------------------------------------------------------------------- data sets, store
def test_a_lazy_workspace_reads_no_data_set_before_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("participant_id,age\n1,30\n2,40\n")
    (tmp_path / "datasets.yaml").write_text("mine:\n  format: table\n  root: .\n  table: t.csv\n  labels: {age: {column: agee}}\n")
    file = tmp_path / "a.tlr"
    file.write_text("train resnet18 on mine.age\n")
    workspace = Workspace.open(file, lazy=True)
    assert workspace.reading == ("mine",)
    assert workspace.diagnostics == ()
    workspace.read_datasets()()()
    assert workspace.reading == ()
    assert [item.code for item in workspace.diagnostics] == ["bad-dataset"]


def test_a_broken_catalogue_leaves_the_built_in_data(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text("- nothing\n")
    file = tmp_path / "a.tlr"
    file.write_text("train resnet18 on demo.age\n")
    workspace = Workspace.open(file)
    assert workspace.datasets_error is not None
    assert "datasets.yaml" in workspace.datasets_error.message
    assert workspace.diagnostics == ()


def test_a_store_of_a_newer_version_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "store.json").write_text('{"format": 99}')
    workspace = Workspace(tmp_path / "a.tlr", RECIPE)
    assert workspace.store is None
    assert workspace.store_error is not None
    assert "update TLIMB" in workspace.store_error.hint


def test_a_plan_of_an_older_text_is_not_taken() -> None:
    workspace = Workspace(text=RECIPE)
    work = workspace.planning()
    workspace.set_text(RECIPE.replace("1e-4, ", ""))
    assert not workspace.planned(work())
    assert workspace.planned(workspace.planning()())
    assert workspace.plan is not None


# ---------------------------------------------------------------------- files
@pytest.mark.parametrize("text", ["a\r\nb\n", "\ufefftrain resnet18 on demo.age\r\n", "# \x0c \u2028 \x85\ntrain x on y", ""])
def test_a_file_is_saved_as_it_was_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.tlr"
    file.write_bytes(text.encode())
    workspace = Workspace.open(file)
    assert not workspace.dirty
    workspace.save()
    assert file.read_bytes() == text.encode()


def test_saving_keeps_mode_and_links(tmp_path: Path) -> None:
    file = tmp_path / "real.tlr"
    file.write_text("x")
    file.chmod(0o640)
    (tmp_path / "link.tlr").symlink_to(file)
    workspace = Workspace.open(tmp_path / "link.tlr")
    workspace.set_text("y")
    workspace.save()
    assert (tmp_path / "link.tlr").is_symlink()
    assert file.read_text() == "y"
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.tlr", "real.tlr"]


def test_what_cannot_be_written_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    workspace = Workspace(text="x")
    with pytest.raises(InputError, match="no name"):
        workspace.save()
    with pytest.raises(InputError, match="cannot be written"):
        workspace.save(tmp_path / "absent" / "a.tlr")
    assert workspace.text == "x"


def test_odd_line_endings_are_told_and_can_be_mended(tmp_path: Path) -> None:
    from tlimb.recipe.patch import apply

    workspace = Workspace(text="# a\r\n# b\r\n# c\n# d\u2028e\ntrain resnet18 on demo.age\r\n")
    (warning,) = [item for item in workspace.diagnostics if item.code == "line-endings"]
    assert warning.severity == "warning"
    assert "LF" in warning.message
    mended, _ = apply(workspace.text, warning.fix)
    assert mended == "# a\r\n# b\r\n# c\r\n# d\r\ne\r\ntrain resnet18 on demo.age\r\n"
    assert [item for item in Workspace(text="# a\r\n# b\r\n").diagnostics if item.code == "line-endings"] == []


# ---------------------------------------------------------------------- another program writes the file
def changed(workspace: Workspace, text: str) -> str | None:
    assert workspace.path is not None
    workspace.path.write_text(text)
    os.utime(workspace.path, ns=(1, len(text)))
    return workspace.changed_on_disk()


def test_a_change_on_disk_is_seen_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "a.tlr", RECIPE)
    workspace.save()
    assert workspace.changed_on_disk() is None
    assert changed(workspace, "repeat 3\n") == "repeat 3\n"
    assert workspace.changed_on_disk() is None
    assert workspace.taken("repeat 3\n").text == "repeat 3\n"


def test_changes_of_different_statements_are_merged(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "a.tlr", RECIPE)
    workspace.save()
    workspace.set_text(RECIPE.replace("resnet18", "resnet34"))
    theirs = changed(workspace, RECIPE.replace("1e-4, ", "") + "repeat 3\n")
    assert theirs is not None
    merged = workspace.taken(theirs)
    assert merged.conflicts == ()
    assert merged.text == RECIPE.replace("resnet18", "resnet34").replace("1e-4, ", "") + "repeat 3\n"
    assert workspace.saved == theirs


def test_of_changes_of_the_same_statement_none_is_lost() -> None:
    merged = merge(RECIPE, RECIPE.replace("layer2", "layer3"), RECIPE.replace("layer2", "layer4"))
    (place,) = merged.conflicts
    lines = merged.text[place:].splitlines()
    assert lines[0] == "finetune freeze layer3 on demo.sex  # new head"
    assert lines[1] == "# on disk: finetune freeze layer4 on demo.sex  # new head"


texts = st.lists(
    st.sampled_from(["train a on b\n", "# x\n", "\n", "set a = 1; repeat 3\n", "sweep x in [\n 1]\n", "repeat 2"]), max_size=6
).map("".join)


@settings(max_examples=150, deadline=None)
@given(texts, texts, texts)
def test_merging_loses_no_line(base: str, ours: str, theirs: str) -> None:
    assert "".join(chunks(base)) == base
    assert merge(base, ours, ours).text == ours
    assert merge(base, base, theirs).text == theirs
    assert merge(base, ours, base).text == ours
    merged = merge(base, ours, theirs).text
    for line in ours.splitlines():
        assert line in merged or line in base
    for line in theirs.splitlines():
        assert line in merged or line in base


def test_a_table_of_data_sets_that_cannot_be_read_is_named_where_a_data_set_is_missed(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text("mine: {format: [bids\n")
    workspace = Workspace(None, folder=tmp_path)
    workspace.set_text("train resnet18 on mine.age\n")
    (problem,) = workspace.diagnostics
    assert problem.code == "unknown-dataset"
    assert "datasets.yaml" in problem.hint
