"""The ranking: order, ties, seeds, failures, evaluations, and what it looks like as JSON, CSV and text."""

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tlimb.catalogue.metrics import METRICS, split_metric
from tlimb.errors import InputError
from tlimb.results import rank, ranking_csv, ranking_table, ranking_text, write_csv
from tlimb.results.ranking import natural
from tlimb.results.read import read_results, scrub

from .lab import AGE, SEX, Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "runs")


def sweep(lab: Lab, noises: dict[float, float], seeds: int = 1) -> None:
    for rate, noise in noises.items():
        for seed in range(seeds):
            parent = lab.fit("pretrain", [SEX], settings={"lr": rate}, seed=seed, noise=6)
            leaf = lab.fit("finetune", [AGE], settings={"lr": rate}, parent=parent, seed=seed, noise=noise)
            lab.variant({"lr": rate}, {"pretrain": parent, "finetune": leaf}, ["finetune"], seed)


def test_order_by_validation_metric_with_intervals(lab: Lab) -> None:
    sweep(lab, {1e-4: 12.0, 1e-3: 4.0, 1e-2: 25.0})
    ranking = rank(lab.plan(), lab.store)
    assert [(row.rank, row.settings["lr"]) for row in ranking.rows] == [(1, 1e-3), (2, 1e-4), (3, 1e-2)]
    best = ranking.rows[0]
    estimate = best.metrics["val.mae"]
    assert estimate.sd is None
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < estimate.mean < estimate.high
    assert best.trainable == 8_394_241
    assert best.baselines["test.mae"] == {"constant": 14.8, "head_size": 14.1}
    assert any("Single run" in note for note in ranking.notes)
    assert ranking.direction == "min"


def test_any_validation_metric_may_order_and_better_may_mean_higher(lab: Lab) -> None:
    sweep(lab, {1e-4: 12.0, 1e-3: 4.0, 1e-2: 25.0})
    ranking = rank(lab.plan(), lab.store, by="val.r2")
    values = [row.metrics["val.r2"].mean for row in ranking.rows]
    assert ranking.direction == "max"
    assert values == sorted(values, reverse=True)


def test_seeds_are_pooled(lab: Lab) -> None:
    sweep(lab, {1e-3: 5.0}, seeds=3)
    (row,) = rank(lab.plan(), lab.store).rows
    values = [json.loads((lab.folder(d) / "results.json").read_text())["metrics"]["test.mae"] for d in row.digests]
    mean = sum(values) / 3
    assert row.seeds == row.planned == 3
    assert row.metrics["test.mae"].mean == pytest.approx(mean)
    assert row.metrics["test.mae"].sd == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)
    assert row.state == "done"


def test_ties_go_to_fewer_trainable_parameters_then_to_the_name(lab: Lab) -> None:
    for name, trainable in (("v_b", 900), ("v_a", 900), ("v_c", 100)):
        leaf = lab.fit("train", [AGE], settings={"x": name}, trainable=trainable)
        for file in ("results.json", "predictions.csv"):
            text = (lab.folder(leaf) / file).read_text()
            if file == "results.json":
                document = json.loads(text)
                document["metrics"] = {"val.mae": 5.0, "test.mae": 6.0}
                text = json.dumps(document)
            (lab.folder(leaf) / file).write_text(text)
        lab.variant({"x": name}, {"train": leaf}, ["train"])
    plan = lab.plan()
    for variant in plan["variants"]:
        variant["id"] = variant["settings"]["x"]
    ranking = rank(plan, lab.store)
    assert [row.variant for row in ranking.rows] == ["v_c", "v_a", "v_b"]
    assert any("its predictions give" in note for note in ranking.notes)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("test.mae", "may not choose"),
        ("val.maee", "did you mean 'mae'"),
        ("mae", "not the name of a metric"),
        ("train.mae", "no part of the data"),
        ("val.auroc", "no ranked stage of this recipe has"),
        ("val.height.mae", "no ranked stage of this recipe has"),
    ],
)
def test_a_wrong_metric_is_refused_with_a_reason(lab: Lab, by: str, message: str) -> None:
    sweep(lab, {1e-3: 5.0})
    with pytest.raises(InputError, match=message) as caught:
        rank(lab.plan(), lab.store, by=by)
    assert caught.value.hint


def test_failures_stay_in_sight(lab: Lab) -> None:
    sweep(lab, {1e-3: 5.0})
    broken = lab.fit("pretrain", [SEX], settings={"lr": 1}, done=False)
    leaf = lab.fit("finetune", [AGE], settings={"lr": 1}, parent=broken, done=False)
    lab.variant({"lr": 1}, {"pretrain": broken, "finetune": leaf}, ["finetune"])
    lab.failed(broken, "the loss became NaN in epoch 2")
    waiting = lab.fit("finetune", [AGE], settings={"lr": 2}, done=False)
    lab.variant({"lr": 2}, {"finetune": waiting}, ["finetune"])
    torn = lab.fit("finetune", [AGE], settings={"lr": 3})
    (lab.folder(torn) / "results.json").write_text('{"format": 1, "met')
    lab.variant({"lr": 3}, {"finetune": torn}, ["finetune"])
    ranking = rank(lab.plan(), lab.store)
    reasons = {row.settings["lr"]: [failure.reason for failure in row.failures] for row in ranking.rows}
    assert [row.state for row in ranking.rows] == ["done", "failed", "failed", "failed"]
    assert reasons[1] == ["pretrain, which it needs: the loss became NaN in epoch 2"]
    assert reasons[2] == ["not run yet"]
    assert reasons[3] == ["its results.json is missing or broken"]
    assert len(ranking.failures) == 3
    assert "NaN in epoch 2" in ranking_text(ranking)


def test_a_row_with_a_failed_seed_says_so(lab: Lab) -> None:
    sweep(lab, {1e-3: 5.0}, seeds=2)
    lost = lab.fit("finetune", [AGE], settings={"lr": 1e-3}, seed=2, done=False)
    lab.variant({"lr": 1e-3}, {"finetune": lost}, ["finetune"], 2)
    ranking = rank(lab.plan(), lab.store)
    (row,) = ranking.rows
    assert (row.rank, row.seeds, row.planned, row.state) == (1, 2, 3, "partial")
    assert any("fewer seeds" in note for note in ranking.notes)


def test_an_empty_store_gives_a_ranking_of_things_not_run(lab: Lab, tmp_path: Path) -> None:
    sweep(lab, {1e-3: 5.0, 1e-2: 6.0})
    ranking = rank(lab.plan(), tmp_path / "elsewhere")
    assert [(row.rank, row.state) for row in ranking.rows] == [(None, "failed"), (None, "failed")]


def test_leaves_without_the_metric_follow_unranked(lab: Lab) -> None:
    one = lab.fit("finetune", [SEX], noise=6)
    two = lab.fit("finetune2", [AGE])
    lab.variant({}, {"finetune": one, "finetune2": two}, ["finetune", "finetune2"])
    ranking = rank(lab.plan(), lab.store)
    assert [(row.rank, row.stage) for row in ranking.rows] == [(1, "finetune2"), (None, "finetune")]
    assert any("no val.mae" in note for note in ranking.notes)


def test_several_targets_put_the_target_in_the_name(lab: Lab) -> None:
    leaf = lab.fit("multitask", [AGE, SEX])
    lab.variant({}, {"multitask": leaf}, ["multitask"])
    (row,) = rank(lab.plan(), lab.store, by="val.age.mae").rows
    (loose,) = rank(lab.plan(), lab.store, by="val.mae").rows
    assert row.key == loose.key == "val.age.mae"
    assert row.metrics["val.sex.auroc"].low is not None


def test_the_target_may_be_named_where_a_stage_has_only_one(lab: Lab) -> None:
    sweep(lab, {1e-3: 5.0})
    assert rank(lab.plan(), lab.store, by="val.age.mae").rows[0].key == "val.mae"


def test_evaluations_stand_in_the_row_of_what_they_evaluate(lab: Lab) -> None:
    leaf = lab.fit("finetune", [AGE])
    test = lab.fit("hcp", [AGE], parent=leaf, kind="evaluate", parts=["test"], noise=9)
    lab.variant({}, {"finetune": leaf, "hcp": test}, ["finetune", "hcp"])
    (row,) = rank(lab.plan(), lab.store).rows
    assert row.stage == "finetune"
    assert row.metrics["hcp.test.mae"].mean > row.metrics["test.mae"].mean
    assert row.metrics["hcp.test.mae"].low is not None


def test_a_failed_evaluation_is_named_in_the_row(lab: Lab) -> None:
    leaf = lab.fit("finetune", [AGE])
    test = lab.fit("hcp", [AGE], parent=leaf, kind="evaluate", done=False)
    lab.variant({}, {"finetune": leaf, "hcp": test}, ["finetune"])
    lab.failed(test, "no image of hcp could be read")
    (row,) = rank(lab.plan(), lab.store).rows
    assert row.rank == 1
    assert [(failure.stage, failure.reason) for failure in row.failures] == [("hcp", "no image of hcp could be read")]


def test_variants_that_share_a_stage_share_a_row(lab: Lab) -> None:
    control = lab.fit("train", [AGE], noise=9)
    for freeze in ("none", "layer4"):
        leaf = lab.fit("finetune", [AGE], settings={"freeze": freeze})
        lab.variant({"finetune.freeze": freeze, "lr": 0.1}, {"train": control, "finetune": leaf}, ["train", "finetune"])
    ranking = rank(lab.plan(), lab.store)
    (shared,) = [row for row in ranking.rows if row.stage == "train"]
    assert len(ranking.rows) == 3
    assert (shared.variant, shared.shared, shared.settings) == ("v1", ("v2",), {"lr": 0.1})
    assert "any" in ranking_text(ranking)


def test_folders_may_have_a_name_before_the_digest(lab: Lab) -> None:
    leaf = lab.fit("finetune", [AGE])
    lab.variant({}, {"finetune": leaf}, ["finetune"])
    lab.folder(leaf).rename(lab.store / f"finetune-lr-{leaf}")
    assert rank(lab.plan(), lab.store).rows[0].rank == 1


def test_results_of_a_newer_version_are_refused(lab: Lab) -> None:
    leaf = lab.fit("finetune", [AGE])
    lab.variant({}, {"finetune": leaf}, ["finetune"])
    (lab.folder(leaf) / "results.json").write_text(json.dumps({"format": 99, "digest": leaf, "metrics": {}}))
    with pytest.raises(InputError, match="format 99"):
        rank(lab.plan(), lab.store)


def test_json_csv_text_and_table_say_the_same(lab: Lab) -> None:
    sweep(lab, {1e-4: 12.0, 1e-3: 4.0}, seeds=2)
    ranking = rank(lab.plan(), lab.store)
    document = json.loads(json.dumps(ranking.document(), allow_nan=False))
    assert (document["format"], document["by"], document["rows"][0]["rank"]) == (1, "val.mae", 1)
    assert set(document["rows"][0]["metrics"]["val.mae"]) == {"mean", "sd", "low", "high"}
    rows = list(csv.DictReader(io.StringIO(ranking_csv(ranking))))
    assert [row["settings.lr"] for row in rows] == ["0.001", "0.0001"]
    assert float(rows[0]["test.mae.high"]) == document["rows"][0]["metrics"]["test.mae"]["high"]
    text = ranking_text(ranking)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(ranking_table(ranking))
    table = console.export_text()
    for word in ("finetune", "8,394,241", "0.001", "2/2"):
        assert word in text
        assert word in table


def test_csv_is_written_whole(lab: Lab, tmp_path: Path) -> None:
    sweep(lab, {1e-4: 12.0})
    ranking = rank(lab.plan(), lab.store)
    write_csv(ranking, tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_text() == ranking_csv(ranking)
    assert [path.name for path in tmp_path.glob("*results*")] == ["results.csv"]


def test_markup_in_a_name_is_text(lab: Lab) -> None:
    leaf = lab.fit("finetune", [AGE])
    lab.variant({"note": "[red]x[/red] [/nonsense]"}, {"finetune": leaf}, ["finetune"])
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(ranking_table(rank(lab.plan(), lab.store)))
    assert "[/nonsense]" in console.export_text()


def test_the_lab_and_the_statistics_agree(lab: Lab) -> None:
    """No note about disagreement: loops in the fixture, matrices in the code."""
    for target in (AGE, SEX):
        leaf = lab.fit(f"train_{target['name']}", [target])
        lab.variant({"t": target["name"]}, {"train": leaf}, ["train"])
    ranking = rank(lab.plan(), lab.store)
    assert not [note for note in ranking.notes if "predictions give" in note]


def test_natural_order() -> None:
    assert sorted(["v10", "v2", "v1"], key=natural) == ["v1", "v2", "v10"]


def test_split_metric_takes_names_apart() -> None:
    assert split_metric("val.age.mae") == ("val", "age", "mae")
    assert split_metric("test.auroc") == ("test", None, "auroc")
    assert {metric.direction for metric in METRICS.values()} == {"min", "max"}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot read /home/jane/data/sub-017/anat/x.nii.gz: empty", "cannot read …/x.nii.gz: empty"),
        ('finetune on a.b from "/data/Jane Doe/my weights.pth"', 'finetune on a.b from "…/my weights.pth"'),
        (r"C:\Users\jane\w.pth is broken", "…/w.pth is broken"),
        ("~/secret/w.pth", "…/w.pth"),
        ("see https://doi.org/10.1/x", "see https://doi.org/10.1/x"),
        ("error:/home/jane/x.csv", "error:…/x.csv"),
        ("sub-017_ses-1 of 1/2 and 160x192", "sub-…_ses-1 of 1/2 and 160x192"),
        ('from "weights/base.pth"', 'from "weights/base.pth"'),
    ],
)
def test_scrub(text: str, clean: str) -> None:
    assert scrub(text) == clean


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        read_results(tmp_path / "x", ["abcdef0123456789"])
