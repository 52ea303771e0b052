"""SVG, Mermaid and Graphviz: well-formed whatever names there are."""

import re
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from drawing.pictures import pictures
from tlimb.drawing.dot import dot
from tlimb.drawing.layout import lay_out
from tlimb.drawing.marks import SIGNS, Mark
from tlimb.drawing.mermaid import mermaid
from tlimb.drawing.picture import Link, Node, Picture
from tlimb.drawing.segments import Look
from tlimb.drawing.svg import svg

SVG = "{http://www.w3.org/2000/svg}"
ODD = "\"><b>&amp;\\n]]'#;`{}\n\t"
odd_names = st.text(st.sampled_from(ODD + "aé語\x00\ufffe"), min_size=1, max_size=10)
PICTURE = Picture(
    (Node("data:demo", None, "data", "demo"), Node("a", 0, "train", ODD, (ODD,), 12), Node("rank:", 1, "rank", "rank")),
    (Link("data:demo", "a", "data", ODD), Link("a", "rank:", "rank")),
)


@settings(max_examples=60, deadline=None)
@given(pictures(most=6, names=odd_names), st.sampled_from(sorted(SIGNS)))
def test_svg_is_well_formed_and_holds_every_box_and_link(picture: Picture, state: str) -> None:
    marks = {node.id: Mark(state, '4/10 "<') for node in picture.nodes}  # type: ignore[arg-type]
    root = ElementTree.fromstring(svg(lay_out(picture), Look(marks), ODD))
    assert len(root.findall(f".//{SVG}g/{SVG}rect")) == len(picture.nodes)
    assert len(root.findall(f".//{SVG}path[@class='head']")) == len(picture.links)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height


def test_svg_needs_nothing_else_and_is_light_and_dark() -> None:
    text = svg(lay_out(PICTURE), Look())
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"url\(|href|<script|@import", text)
    assert "demo" in ElementTree.fromstring(text).findtext(f"{SVG}desc", "")


def test_mermaid_escapes_what_it_reads() -> None:
    lines = mermaid(PICTURE, {"a": Mark("failed", "1✖")}).splitlines()
    assert lines[0] == "flowchart LR"
    assert lines[1] == '    n0[("demo")]'
    label = re.fullmatch(r'    n1\("(.*)"\)', lines[2])
    assert label
    assert not set('"&`\\') & set(label[1])
    assert re.sub(r"#(quot|lt|gt|amp|\d+);|<br/>", "", label[1]).count("<") == 0
    assert label[1].startswith("✖ #quot;#gt;")
    assert lines[4].startswith('    n0 -.->|"')
    assert lines[5] == "    n1 --> n2"
    assert lines[-2:] == ["    classDef failed stroke:red", "    class n1 failed"]


@settings(max_examples=60, deadline=None)
@given(pictures(most=6, names=odd_names))
def test_texts_in_quotes_end_where_they_should(picture: Picture) -> None:
    for line in dot(picture).splitlines()[3:-1]:
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
        assert re.fullmatch(r"  n\d+( -> n\d+)?( \[[a-z=, ]*\])?;", bare), line
    for line in mermaid(picture).splitlines()[1:]:
        bare = re.sub(r'"[^"]*"', "", line)
        assert re.fullmatch(r"    (n\d+(\(\)|\[\]|\[\(\)\]|\{\{\}\})|n\d+ (-->|-\.->) n\d+)", bare), line
