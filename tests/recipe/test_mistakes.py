"""Every mistake: its code, its exact span, its words and, where there is one, a fix that mends it."""

import pytest

from tlimb.recipe.parse import parse
from tlimb.recipe.patch import apply

# Text, code, what the span covers, a part of the message and of the hint, the text after the fix.
MISTAKES = [
    ("finetune on", "incomplete-statement", "", "expected a data set after 'on'", "", None),
    ("finetune on # c", "incomplete-statement", "", "expected a data set after 'on'", "", None),
    ("finetune on with lr=1", "unexpected-text", "with", "expected a data set after 'on', found 'with'", "", None),
    ("finetune freeze on a.b", "unexpected-text", "on", "expected a layer after 'freeze', found 'on'", "", None),
    ("finetune wiht lr=1", "unknown-clause", "wiht", "expected an architecture or a clause", "did you mean 'with'?", "finetune with lr=1"),
    ("finetune on a.b form c", "unknown-clause", "form", "found 'form'", "did you mean 'from'?", "finetune on a.b from c"),
    ("finetune on a.b lr=1", "unknown-clause", "lr", "found 'lr'", "write 'with' before 'lr'", "finetune on a.b with lr=1"),
    ("finetune with a=1 b=2", "unknown-clause", "b", "expected ','", "write ',' before 'b'", "finetune with a=1, b=2"),
    ("finetune on a.b evaluate on c.d", "unknown-clause", "evaluate", "", "a new line ends", "finetune on a.b; evaluate on c.d"),
    ("finetune on a.b\n  evaluate on c.d", "unknown-clause", "evaluate", "", "at the margin", "finetune on a.b\nevaluate on c.d"),
    ("finetune on a.b on c.d", "duplicate-clause", "on", "'on' stands twice", "the first is 'on a.b'", None),
    ("finetune with a=1..2", "unexpected-text", "..", "found '..'", "a range stands only in 'sweep", None),
    ("finetune on a.b.c", "bad-name", "b.c", "a label is one word", "DATASET.LABEL", None),
    ("finetune on a.c[b]", "unexpected-text", "a.c[b]", "the part stands after the data set", "write 'a[b].c'", "finetune on a[b].c"),
    ("finetune on a as b.c", "bad-name", "b.c", "a stage is named by one word", "", None),
    ("finetune on brain-age.x", "bad-name", "brain-age.x", "is not a name", "'brain_age.x'", "finetune on brain_age.x"),
    (
        "pretran net on a.b",
        "unknown-statement",
        "pretran",
        "no statement starts with 'pretran'",
        "did you mean 'pretrain'?",
        "pretrain net on a.b",
    ),
    ("on a.b", "unknown-statement", "on", "no statement starts with 'on'", "statements start with", None),
    ("= 3", "unknown-statement", "=", "expected a statement, found '='", "", None),
    ("sweep lr = [1]", "unexpected-text", "=", "expected 'in' after 'lr'", "write 'in' instead", "sweep lr in [1]"),
    ("sweep lr [1]", "unexpected-text", "[", "expected 'in' after 'lr'", "write 'in' before", "sweep lr in [1]"),
    ("sweep lr in []", "unexpected-text", "]", "expected a value after '['", "", None),
    ("sweep lr in", "incomplete-statement", "", "expected a list or range such as [1, 2] or 1..5 after 'in'", "", None),
    ("rank val.mae", "unexpected-text", "val.mae", "expected 'by' after 'rank'", "write 'by' before", "rank by val.mae"),
    ("repeat", "incomplete-statement", "", "expected a number after 'repeat'", "", None),
    ("repeat 3 4", "unexpected-text", "4", "expected the end of the statement after '3'", "leave it out", "repeat 3 "),
    ("repeat 2.5", "not-a-whole-number", "2.5", "the number of seeds is a whole number", "", None),
    ("split a b 1", "unexpected-text", "b", "expected 'into' after 'a'", "write 'into'", "split a into b 1"),
    ("set a 3", "unexpected-text", "3", "expected '=' after 'a'", "write '='", "set a = 3"),
    ("set a =", "incomplete-statement", "", "expected a value after '='", "", None),
    ("augment a b", "unexpected-text", "b", "expected ','", "write ','", "augment a, b"),
    ("set a = 1.2.3", "bad-number", "1.2.3", "'1.2.3' is not a number", "", None),
    ("set a = 10abc", "bad-number", "10abc", "'10abc' is not a number", "", None),
    ("set a = .5", "bad-number", ".5", "'.5' is not a number", "", None),
    ("set a = 1e999", "bad-number", "1e999", "the number is too large", "", None),
    ("set a = 'x'", "stray-character", "'", "has no meaning here", "double quotes", None),
    ("set a = \u00a03", "stray-character", "\u00a0", "NO-BREAK SPACE", "", None),
    ("finetune on a.", "incomplete-statement", ".", "expected a name after 'a.'", "", None),
    ("finetune @", "stray-character", "@", "the character '@'", "", None),
    ('set a = "abc', "unclosed-string", '"abc', "the string is never closed", "", 'set a = "abc"'),
    ('set a = "a\\nb"', "bad-escape", "\\n", "is not an escape", "'\\\\'", 'set a = "a\\\\nb"'),
    ("data a(b=[1, 2", "unclosed-bracket", "(", "'(' is never closed", "add '])'", "data a(b=[1, 2])"),
    ("data a(b=[1, 2)", "mismatched-bracket", ")", "'[' is closed by ')'", "write ']'", "data a(b=[1, 2]"),
    ("data a)", "unexpected-text", ")", "found ')'", "leave it out", "data a"),
]


@pytest.mark.parametrize(("text", "code", "span", "message", "hint", "mended"), MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_mistake(text: str, code: str, span: str, message: str, hint: str, mended: str | None) -> None:
    (problem,) = parse(text).diagnostics
    assert problem.code == code
    assert text[problem.span.start : problem.span.end] == span
    assert message in problem.message
    assert hint in problem.hint
    assert (apply(text, problem.fix)[0] if problem.fix else None) == mended


def test_eight_mistakes_give_eight_diagnostics() -> None:
    lines = [
        "pretran net on ukb.age",
        "finetune on",
        "sweep lr in [1e-4,",
        "finetune on ukb.sex wiht epochs=1",
        'set name = "open',
        "repeat 2.5; rank val.mae",
        "finetune on ukb.sex on hcp.sex",
        "evaluate on hcp.sex",
    ]
    text = "\r\n".join(lines)
    parsed = parse(text)
    found = [
        (text.count("\n", 0, problem.span.start), problem.code, text[problem.span.start : problem.span.end])
        for problem in parsed.diagnostics
    ]
    assert found == [
        (0, "unknown-statement", "pretran"),
        (1, "incomplete-statement", ""),
        (2, "unclosed-bracket", "["),
        (3, "unknown-clause", "wiht"),
        (4, "unclosed-string", '"open'),
        (5, "not-a-whole-number", "2.5"),
        (5, "unexpected-text", "val.mae"),
        (6, "duplicate-clause", "on"),
    ]
    assert len(parsed.recipe.statements) == 3


def test_a_mistake_stays_in_its_statement() -> None:
    parsed = parse('repeat 1\nset a = [\nrepeat 2\nset b = "x\nrepeat 3; @; repeat 4')
    assert len(parsed.recipe.statements) == 4
    assert len(parsed.diagnostics) == 3
