"""The report and its charts: well-formed, self-contained, honest about differences, silent about people and places."""

import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tlimb.results import rank
from tlimb.results.charts import (
    Bar,
    Line,
    confusion_chart,
    forest_chart,
    line_chart,
    log_ticks,
    nice_ticks,
    roc_chart,
    scatter_chart,
    sweep_chart,
)
from tlimb.results.comparison import Comparison
from tlimb.results.flow import flow_chart
from tlimb.results.report import render, write_report
from tlimb.results.verdict import verdict

from .lab import AGE, SEX, Lab

VOID = {"meta", "br", "link", "img", "hr", "input"}
HOSTILE = 'train resnet18 on ixi.age # <script>alert(1)</script> "/home/jane/secret/weights.pth" {{ 7 * 7 }}'


class Page(HTMLParser):
    """Checks that tags nest, and gathers text, tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def transfer_lab(store: Path, *, control: float = 9.0, finetune: float = 4.0, seeds: int = 1) -> Lab:
    lab = Lab(store, title="Sex helps age", author="Lab A")
    data = lab.prepare(
        bad=[{"participant_id": "sub-T003", "session": "", "file": "/x/sub-T003/a.nii", "reason": "/x/sub-T003/a.nii is empty"}]
    )
    for seed in range(seeds):
        scratch = lab.fit("train", [AGE], noise=control, seed=seed, trainable=11_170_753)
        parent = lab.fit("pretrain", [SEX], noise=6, seed=seed)
        for rate, noise in ((1e-3, finetune), (1e-2, 30.0)):
            leaf = lab.fit("finetune", [AGE], settings={"lr": rate}, parent=parent, seed=seed, noise=noise)
            stages = {"ixi": data, "train": scratch, "pretrain": parent, "finetune": leaf}
            lab.variant({"finetune.lr": rate}, stages, ["train", "finetune"], seed)
    return lab


def report(lab: Lab) -> str:
    plan = lab.plan()
    return render(plan, lab.store, rank(plan, lab.store))


def test_the_report_is_well_formed_and_needs_nothing_else(tmp_path: Path) -> None:
    html = report(transfer_lab(tmp_path / "runs", seeds=2))
    page = Page(html)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object"}
    assert not [attrs for _, attrs in page.tags if attrs.get("src") or (attrs.get("href") or "#")[0] != "#"]
    for svg in re.findall(r"<svg.*?</svg>", html, re.S):
        root = ElementTree.fromstring(svg)
        assert root.attrib["aria-label"]
    for heading in ("Ranking", "Settings", "Predictions", "Learning curves", "People", "Stages", "Recipe", "Environment", "How to cite"):
        assert heading in page.text


def test_hostile_text_is_shown_not_obeyed_and_paths_are_taken_out(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path / "runs", recipe="<b>x</b>", text=HOSTILE, title="<script>1</script>", description="from /home/jane/private/notes.txt"
    )
    leaf = lab.fit("<i>train</i>", [AGE | {"name": "a<ge", "unit": "<u>"}], settings={"x": "</title><script>2</script>"})
    lab.variant({"x</svg>": "</title><script>2</script>"}, {"<i>train</i>": leaf}, ["<i>train</i>"])
    lost = lab.fit("train2", [AGE], done=False)
    lab.variant({"x</svg>": 2}, {"train2": lost}, ["train2"])
    lab.failed(lost, "/home/jane/data/sub-T001/anat/x.nii.gz: not a gzip file <script>")
    lab.warnings.append("allow overlap <script>")
    html = report(lab)
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "alert(1)" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "…/weights.pth" in page.text
    assert "jane" not in html
    assert "T001" not in html


def test_nothing_identifies_people_or_machines(tmp_path: Path) -> None:
    lab = transfer_lab(tmp_path / "runs")
    html = report(lab)
    assert not re.search(r"sub-[VT]\d|secret-host|secret-path", html)
    assert str(tmp_path) not in html
    assert "is empty" in Page(html).text


def test_verdict_when_transfer_helps(tmp_path: Path) -> None:
    lab = transfer_lab(tmp_path / "runs", seeds=2)
    plan = lab.plan()
    ranking = rank(plan, lab.store)
    text = " ".join(verdict(Comparison(plan, lab.store, ranking)))
    assert "Of 3 candidates, validation chose finetune (finetune.lr = 0.001)" in text
    assert "Transfer helped: mean absolute error" in text
    assert "14.8 years" in text
    assert "14.1 years" in text
    assert "60 people" in text
    assert "standard deviation" in text
    html = report(lab)
    assert re.search(r'<span class="helped">helped', html)
    assert re.search(r'<span class="hurt">hurt', html)
    assert 'class="winner"' in html


def test_no_winner_and_no_evidence_when_intervals_include_zero(tmp_path: Path) -> None:
    lab = transfer_lab(tmp_path / "runs", control=6.0, finetune=6.0)
    html = report(lab)
    text = Page(html).text
    assert 'class="winner"' not in html
    assert "No row is bold" in text
    assert "no evidence that transfer helped or hurt" in text
    assert "cannot be told apart" in text
    assert "single run" in text


def test_the_verdict_admits_what_it_cannot_say(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "runs")
    parent = lab.fit("pretrain", [SEX])
    leaf = lab.fit("finetune", [AGE], parent=parent, noise=25)
    lab.variant({}, {"pretrain": parent, "finetune": leaf}, ["finetune"])
    text = Page(report(lab)).text
    assert "Whether transfer helped cannot be said" in text
    assert "does not exclude that the network is no better than head size alone" in text


def test_classification_has_confusion_and_roc(tmp_path: Path) -> None:
    three = SEX | {"name": "group", "label": "group", "classes": ["control", "mild", "severe"]}
    for target in (SEX, three):
        lab = Lab(tmp_path / target["name"], by="val.balanced_accuracy")
        leaf = lab.fit("train", [target], noise=4)
        lab.variant({}, {"train": leaf}, ["train"])
        html = report(lab)
        assert f"Confusion of {target['name']}" in html
        assert f"ROC curve of {target['name']}" in html
    assert "tells control, mild and severe apart" in Page(html).text


def test_an_empty_store_still_gives_a_report(tmp_path: Path) -> None:
    lab = transfer_lab(tmp_path / "runs")
    plan = lab.plan()
    ranking = rank(plan, tmp_path / "nowhere")
    text = Page(render(plan, tmp_path / "nowhere", ranking)).text
    assert "No variant has a result yet" in text
    assert "not run yet" in text


def test_missing_predictions_and_history_do_not_stop_the_report(tmp_path: Path) -> None:
    lab = transfer_lab(tmp_path / "runs")
    for folder in lab.store.iterdir():
        for name in ("predictions.csv", "history.csv", "environment.json", "prepared.json"):
            (folder / name).unlink(missing_ok=True)
    text = Page(report(lab)).text
    assert "has no predictions.csv" in text


def test_several_targets_and_evaluations(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "runs", by="val.age.mae")
    leaf = lab.fit("multitask", [AGE, SEX])
    test = lab.fit("hcp", [AGE, SEX], parent=leaf, kind="evaluate", parts=["test"])
    lab.variant({}, {"multitask": leaf, "hcp": test}, ["multitask"])
    text = Page(report(lab)).text
    assert "age, test" in text
    assert "sex, test" in text
    assert "hcp.test.age.mae" in text


def test_hundreds_of_variants_stay_readable(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "runs")
    for index in range(120):
        leaf = lab.fit("train", [AGE], settings={"i": index}, noise=4 + index / 10)
        lab.variant({"lr": 10 ** -(index % 12), "depth": [10, 18][index % 2], "draw": index}, {"train": leaf}, ["train"])
    html = report(lab)
    page = Page(html)
    assert "The other 100 rows" in page.text
    assert html.count("Predicted against true age") == 20 * 2
    assert len(html) < 600_000


def test_the_same_store_gives_the_same_bytes(tmp_path: Path) -> None:
    lab = transfer_lab(tmp_path / "runs")
    plan = lab.plan()
    for name in ("a.html", "b.html"):
        write_report(plan, lab.store, tmp_path / name, rank(plan, lab.store))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert json.dumps(plan) == json.dumps(lab.plan())


def test_the_flow_draws_no_implied_edge_and_counts_stages(tmp_path: Path) -> None:
    lab = transfer_lab(tmp_path / "runs")
    svg = ElementTree.fromstring(flow_chart(lab.plan(), set(lab.stages)))
    words = [element.text for element in svg.iter("text")]
    assert "fit · 2 of 2 done" in words
    # ixi to train, ixi to pretrain, pretrain to finetune; not ixi to finetune, which pretrain implies.
    assert len([e for e in svg.iter("path") if e.get("class") == "edge"]) == 3


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 17), (1e-6, 3e-6), (20.1, 85.2), (99.9, 100.1), (-1e9, 1e9)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 11
    assert all(low - 1e-9 * abs(low) <= tick <= high + 1e-9 * abs(high) for tick in ticks)
    steps = {round((b - a) / (ticks[1] - ticks[0]), 6) for a, b in pairwise(ticks)}
    assert steps == {1.0}
    step = ticks[1] - ticks[0]
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 5)


def test_log_ticks() -> None:
    assert log_ticks(1e-4, 1e-1) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert log_ticks(1, 8) == [1, 2, 5]


def test_charts_take_odd_input() -> None:
    nan = math.nan
    for svg in (
        line_chart([], title="t", x_label="x", y_label="y"),
        line_chart([Line("a", [0], [1.0])], title="t", x_label="x", y_label="y"),
        line_chart([Line("a", [0, 1, 2], [nan, 1.0, 1.0]), Line("b", [0, 1], [nan, nan], None)], title="<", x_label="&", y_label='"'),
        scatter_chart([], [], title="t", x_label="x", y_label="y"),
        scatter_chart([5.0], [5.0], title="t", x_label="x", y_label="y"),
        confusion_chart([[0, 0], [0, 0]], ["a", "<b>"], title="t"),
        confusion_chart([[1] * 12] * 12, [f"a long class name {i}" for i in range(12)], title="t"),
        forest_chart([Bar("a", 1.0)], [], title="t", x_label="x"),
        forest_chart([], [], title="t", x_label="x"),
        roc_chart([Line("a", [0, 1], [0, 1])], title="t"),
        sweep_chart([(0, Bar("a", 1.0))], title="t", x_label="x", y_label="y"),
        sweep_chart(
            [(None, Bar("a", 1.0)), ("layer4", Bar("b", 2.0, 1.0, 3.0, 7)), (True, Bar("c", 1.0))], title="t", x_label="x", y_label="y"
        ),
        sweep_chart([(10.0**-i, Bar("a", float(i))) for i in range(10)], title="t", x_label="x", y_label="y"),
        sweep_chart([(i, Bar("a", 1.0)) for i in range(10)], title="t", x_label="x", y_label="y"),
    ):
        root = ElementTree.fromstring(svg)
        assert "nan" not in svg
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for text in root.iter("text"):
            assert 0 <= float(text.attrib["x"]) <= width
            assert 0 <= float(text.attrib["y"]) <= height
