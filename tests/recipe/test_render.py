"""Diagnostics as text, character by character."""

from tlimb.errors import Diagnostic, Span
from tlimb.recipe.render import position, render


def show(text: str, part: str, hint: str = "") -> list[str]:
    start = text.index(part)
    return render([Diagnostic("code", Span(start, start + len(part)), "wrong", hint)], text, "a.tlr").split("\n")[2:]


def test_the_layout() -> None:
    text = "\n\n\npretrain resnet18 on ukb.agee\n"
    start = text.index("agee")
    problem = Diagnostic(
        "unknown-target", Span(start, start + 4), "ukb has no label 'agee'", "did you mean 'age'? ukb offers: age, sex, site"
    )
    assert render([problem], text, "brain-age.tlr").split("\n") == [
        "error[unknown-target]: ukb has no label 'agee'",
        "  --> brain-age.tlr:4:26",
        "4 | pretrain resnet18 on ukb.agee",
        "  |                          ^^^^ did you mean 'age'? ukb offers: age, sex, site",
    ]


def test_the_gutter_grows_with_the_line_number() -> None:
    assert show("\n" * 9 + "repeat x", "x") == ["10 | repeat x", "   |        ^"]


def test_tabs_wide_and_combining_characters() -> None:
    assert show("a\tb x", "x") == ["1 | a   b x", "  |       ^"]
    assert show("脳画像 x", "x") == ["1 | 脳画像 x", "  |        ^"]
    assert show("e\u0301 x", "x") == ["1 | e\u0301 x", "  |   ^"]
    assert show("x 脳 y", "脳") == ["1 | x 脳 y", "  |   ^^"]
    assert show("a \x1b[31m x", "x") == ["1 | a \ufffd[31m x", "  |         ^"]


def test_the_end_of_a_line_and_of_the_text() -> None:
    for text in ("on", "on\n", "on\r\n"):
        shown = render([Diagnostic("code", Span(2, 2), "wrong", "hint")], text, "a.tlr").split("\n")
        assert shown[1:] == ["  --> a.tlr:1:3", "1 | on", "  |   ^ hint"]
    assert render([Diagnostic("code", Span(0, 0), "wrong")], "", "a.tlr").split("\n")[1:] == ["  --> a.tlr:1:1", "1 |", "  | ^"]


def test_spans_of_several_lines() -> None:
    assert show("a [1,\r\n  2]\r\nb", "[1,\r\n  2]", "hint") == ["1 | a [1,", "  |   ^^^", "2 |   2]", "  |   ^^ hint"]
    long = "[\n1,\n2,\n3\n]"
    assert show(long, long) == ["1 | [", "  | ^", "… |", "5 | ]", "  | ^"]


def test_sorted_coloured_and_warnings() -> None:
    problems = [Diagnostic("b", Span(3, 4), "second"), Diagnostic("a", Span(0, 1), "first", severity="warning")]
    shown = render(problems, "x\n\ny", "a.tlr")
    assert shown.index("warning[a]: first") < shown.index("error[b]: second")
    assert "\x1b" not in shown
    assert "\x1b[1;31m" in render(problems, "x\n\ny", "a.tlr", color=True)


def test_position_counts_characters() -> None:
    text = "é脳\r\nab"
    assert [position(text, offset) for offset in (0, 2, 4, 6)] == [(1, 1), (1, 3), (2, 1), (2, 3)]
