"""The layouts of UK Biobank, the Human Connectome Project and folders of images."""

from collections import Counter
from pathlib import Path

import pytest

from tlimb.catalogue.datasets import Dataset, describe, find_datasets, suggest_entry
from tlimb.errors import InputError


def touch(root: Path, *names: str, content: bytes = b"x") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def dataset(folder: Path, text: str) -> Dataset:
    (folder / "datasets.yaml").write_text(text, encoding="utf-8")
    return find_datasets(folder)["lab"]


def scans(found: Dataset) -> list[tuple[str, str, dict[str, object]]]:
    return [(scan.participant_id, scan.session, dict(scan.labels)) for scan in found.listing().scans]


# ------------------------------------------------------------------ UK Biobank
T1 = "T1/T1_brain_to_MNI.nii.gz"
HEADERS = {
    "csv": '"eid","31-0.0","21003-0.0","21003-2.0","21003-3.0","1558-0.0"',
    "r": "f.eid\tf.31.0.0\tf.21003.0.0\tf.21003.2.0\tf.21003.3.0\tf.1558.0.0",
    "rap": "participant.eid,participant.p31,participant.p21003_i0,participant.p21003_i2,participant.p21003_i3,participant.p1558_i0",
}
UKB = "lab: {format: ukbiobank, root: ukb, table: t.csv"


@pytest.fixture
def ukb(tmp_path: Path) -> Path:
    root = touch(tmp_path / "ukb", f"1000001_20252_2_0/{T1}", f"1000001_20252_3_0/{T1}", f"20252/1000002_20252_2_0/{T1}")
    touch(root, "1000003_20252_2_0/T1/other.nii.gz", "1000004_20252_2_0.zip", f"1000005_20252_2_0/{T1}")
    (root / "t.csv").write_text(
        HEADERS["csv"]
        + '\n"1000001","0","50","60","63","1"\n"1000002","1","55","65","","-3"\n"1000003","1","41","","",""\n"1000009","0","","","",""\n'
    )
    return tmp_path


def test_ukbiobank_joins_fields_with_bulk_folders(ukb: Path) -> None:
    found = dataset(ukb, UKB + "}")
    assert scans(found) == [
        ("1000001", "2", {"age": 60.0, "sex": "F"}),
        ("1000001", "3", {"age": 63.0, "sex": "F"}),
        ("1000002", "2", {"age": 65.0, "sex": "M"}),
        ("1000005", "2", {"age": None, "sex": None}),
    ]
    assert {(problem.kind, problem.participant_id) for problem in found.listing().problems} == {
        ("participant-without-image", "1000003"),
        ("missing-content", "1000004"),
        ("image-without-participant", "1000005"),
    }
    assert "unzip -d 1000004_20252_2_0 1000004_20252_2_0.zip" in found.listing().problems[0].message
    assert [scan[:2] for scan in scans(dataset(ukb, UKB + ", session: 3}"))] == [("1000001", "3")]


@pytest.mark.parametrize("spelling", HEADERS)
def test_three_spellings_of_fields_are_one(ukb: Path, spelling: str) -> None:
    separator = "\t" if spelling == "r" else ","
    (ukb / "ukb/t.csv").write_text(HEADERS[spelling] + "\n" + separator.join(["1000001", "0", "50", "60", "63", "1"]) + "\n")
    labels = "{sex: {field: 31, classes: {female: 0, male: 1}}, first: {field: 21003, instance: 0}, age: {field: 21003}}"
    assert [values for _, _, values in scans(dataset(ukb, UKB + f", labels: {labels}}}"))][:2] == [
        {"sex": "female", "first": 50.0, "age": 60.0},
        {"sex": "female", "first": 50.0, "age": 63.0},
    ]


def test_unanswered_questions_are_missing(ukb: Path) -> None:
    entry = UKB + ", labels: {alcohol: {field: 1558, classes: {daily: 1, never: 6}}}}"
    found = dataset(ukb, entry)
    assert [values["alcohol"] for _, _, values in scans(found)] == ["daily", "daily", None, None]
    assert not [problem for problem in found.listing().problems if problem.kind == "bad-label"]
    plain = dataset(ukb, entry.replace("never: 6}", "never: 6}, missing: []"))
    assert [problem.message for problem in plain.listing().problems if problem.kind == "bad-label"] == [
        "t.csv:3: 1000002, alcohol: '-3' in column '1558' is none of the classes daily, never"
    ]


def test_several_bulk_fields_are_channels(ukb: Path) -> None:
    touch(ukb / "ukb", "1000001_20253_2_0/T2_FLAIR/T2_FLAIR_brain_to_MNI.nii.gz", "1000001_25755_2_0.txt")
    found = dataset(ukb, UKB + ", image: [T1, T2_FLAIR]}")
    assert found.channels == 2
    assert [[file.name for file in scan.images] for scan in found.listing().scans] == [
        ["T1_brain_to_MNI.nii.gz", "T2_FLAIR_brain_to_MNI.nii.gz"]
    ]
    assert [scan.images[0].name for scan in dataset(ukb, UKB + ", image: 25755}").listing().scans] == ["1000001_25755_2_0.txt"]


def test_who_withdrew_is_left_out(ukb: Path) -> None:
    (ukb / "ukb/w.csv").write_text("1000001\n")
    assert [scan[0] for scan in scans(dataset(ukb, UKB + ", withdrawn: w.csv}"))] == ["1000002", "1000005"]


@pytest.mark.parametrize(
    ("rest", "message", "hint"),
    [
        (", labels: {sex: {field: 32}}}", "no column of field 32", "32-0.0"),
        (", labels: {age: {field: 21003, instance: 1}}}", "no column 21003-1.0", "21003-0.0, 21003-2.0, 21003-3.0"),
        (", labels: {iq: }}", "labels.iq: key 'field' is absent", "field: 21003"),
        (", labels: {iq: {field: many}}}", "whole numbers", "instance"),
        (", image: T9}", "'T9' names no field", "20252/T1"),
        (", image: 20252/T1/none.nii.gz}", "no 1000001_20252_2_0/T1/none.nii.gz", "image"),
        (", image: '20227'}", "holds no EID_20227_INSTANCE_ARRAY", "unpacked"),
        (", withdrawn: none.csv}", "none.csv: cannot be read", "withdrawn"),
    ],
)
def test_a_wrong_ukbiobank_entry_says_where_and_why(ukb: Path, rest: str, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        dataset(ukb, UKB + rest).listing()
    assert hint in error.value.hint


# ------------------------------------------------------------------ HCP
@pytest.fixture
def hcp(tmp_path: Path) -> Path:
    for subject in ("100307", "100408", "101107"):
        touch(tmp_path / "hcp", f"{subject}/T1w/T1w_acpc_dc_restore.nii.gz", f"{subject}/MNINonLinear/T1w_restore.2.nii.gz")
        for run in ("REST1_LR", "REST2_RL"):
            touch(tmp_path / "hcp", f"{subject}/MNINonLinear/Results/rfMRI_{run}/rfMRI_{run}_Atlas.ptseries.nii")
    (tmp_path / "hcp/unrestricted_lab_1.csv").write_text("Subject,Gender,Age\n100307,F,26-30\n100408,M,36+\n999999,M,22-25\n")
    return tmp_path


HCP = "lab: {format: hcp, root: hcp"
RESTRICTED = "Subject,Age_in_Yrs,Family_ID\n100307,27,f1\n100408,36,f1\n101107,x,f2\n"


def test_hcp_without_the_restricted_table_knows_ranges_and_warns(hcp: Path) -> None:
    found = dataset(hcp, HCP + "}")
    assert scans(found) == [
        ("100307", "", {"sex": "F", "age_group": "26-30"}),
        ("100408", "", {"sex": "M", "age_group": "36+"}),
        ("101107", "", {"sex": None, "age_group": None}),
    ]
    assert Counter(problem.kind for problem in found.listing().problems) == {"image-without-participant": 1, "no-families": 1}
    with pytest.raises(InputError, match="stands in the restricted table") as error:
        dataset(hcp, HCP + ", labels: {age: }}").listing()
    assert "age_group" in error.value.hint


def test_hcp_takes_ages_and_families_from_the_restricted_table(hcp: Path) -> None:
    (hcp / "hcp/RESTRICTED_lab_1.csv").write_text(RESTRICTED)
    listing = dataset(hcp, HCP + ", labels: {age: , sex: }}").listing()
    assert listing.groups == {"100307": "family f1", "100408": "family f1", "101107": "family f2"}
    assert [dict(scan.labels) for scan in listing.scans][:2] == [{"age": 27.0, "sex": "F"}, {"age": 36.0, "sex": "M"}]
    assert [problem.message for problem in listing.problems if problem.kind == "bad-label"] == [
        "RESTRICTED_lab_1.csv:4: 101107, age: 'x' in column 'Age_in_Yrs' is not a number"
    ]
    assert not [problem for problem in listing.problems if problem.kind == "no-families"]


def test_hcp_runs_are_scans_of_one_participant(hcp: Path) -> None:
    listing = dataset(hcp, HCP + ", image: rest}").listing()
    assert Counter(scan.participant_id for scan in listing.scans) == {"100307": 2, "100408": 2, "101107": 2}
    assert {scan.session for scan in listing.scans} == {""}
    touch(hcp / "hcp", "100408/MNINonLinear/Results/rfMRI_REST1_LR/other.ptseries.nii")
    with pytest.raises(InputError, match="rfMRI_REST1_LR holds several files that fit") as error:
        dataset(hcp, HCP + ", image: rest}").listing()
    assert "write image with more of the name" in error.value.hint
    only = dataset(hcp, HCP + ', image: "MNINonLinear/Results/rfMRI_REST?_??/*_Atlas.ptseries.nii"}')
    assert len(only.listing().scans) == 6


@pytest.mark.parametrize(
    ("rest", "message", "hint"),
    [
        (", image: T1}", "'T1' is unknown", "T1w_mni"),
        (", image: T2w}", "none of the 3 participants", "rest"),
        (", behavioural: none.csv}", "none.csv: the table cannot be read", "correct"),
        (", labels: {iq: {column: PMAT}}}", "no column 'PMAT'", "known"),
    ],
)
def test_a_wrong_hcp_entry_says_where_and_why(hcp: Path, rest: str, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        dataset(hcp, HCP + rest).listing()
    assert hint in error.value.hint


# ------------------------------------------------------------------ images
def test_class_folders_are_a_label(tmp_path: Path) -> None:
    touch(tmp_path / "cells", "sick/a.png", "sick/b.TIF", "healthy/c.nii.gz", "healthy/d.npy", "healthy/notes.txt")
    found = dataset(tmp_path, "lab: {format: images, root: cells}")
    assert scans(found) == [
        ("c", "", {"class": "healthy"}),
        ("d", "", {"class": "healthy"}),
        ("a", "", {"class": "sick"}),
        ("b", "", {"class": "sick"}),
    ]
    assert found.labels["class"].classes == ("healthy", "sick")


def test_a_pattern_says_who_when_and_which_channel(tmp_path: Path) -> None:
    names = [f"{arm}/p{who}_v{visit}_{dye}.tif" for arm, who in (("a", 1), ("b", 2)) for visit in "12" for dye in ("dapi", "gfp")]
    touch(tmp_path / "cells", *names[:-1], "a/odd.tif")
    entry = 'lab: {format: images, root: cells, pattern: "{arm}/{participant}_v{session}_{channel}.tif", channels: [gfp, dapi]}'
    found = dataset(tmp_path, entry)
    assert found.channels == 2
    assert scans(found) == [("p1", "1", {"arm": "a"}), ("p1", "2", {"arm": "a"}), ("p2", "1", {"arm": "b"})]
    assert [file.name for file in found.listing().scans[0].images] == ["p1_v1_gfp.tif", "p1_v1_dapi.tif"]
    assert {problem.kind: problem.message for problem in found.listing().problems} == {
        "unmatched-file": "1 images do not fit the pattern {arm}/{participant}_v{session}_{channel}.tif, e.g. a/odd.tif",
        "participant-without-image": "b/p2_v2_dapi.tif: p2 has no channel gfp",
    }


def test_a_table_of_labels_beside_images(tmp_path: Path) -> None:
    touch(tmp_path / "cells", "a.png", "b.png", "c.png")
    (tmp_path / "cells/labels.csv").write_text("id,age,sex\na,30,F\nb,old,M\nd,20,M\n")
    name, text = suggest_entry(tmp_path / "cells")
    found = dataset(tmp_path, text.replace(name, "lab", 1))
    assert scans(found) == [
        ("a", "", {"age": 30.0, "sex": "F"}),
        ("b", "", {"age": None, "sex": "M"}),
        ("c", "", {"age": None, "sex": None}),
    ]
    assert {problem.kind for problem in found.listing().problems} == {
        "bad-label",
        "image-without-participant",
        "participant-without-image",
    }
    assert "labels.csv:3: b, age: 'old'" in next(problem.message for problem in found.listing().problems if problem.kind == "bad-label")


@pytest.mark.parametrize(
    ("rest", "message", "hint"),
    [
        ("}", "called 'scan' lie in 2 folders", "{participant}/*"),
        (', pattern: "{who}"}', "has no {participant}", "{session}"),
        (', pattern: "{participant}_{channel}"}', "need each other", "channels: ["),
        (", channels: [a, b]}", "need each other", "{channel}"),
        (', pattern: "{participant}.png"}', "no image in .* fits", "images end in"),
        (', pattern: "{participant}/*", table: t.csv}', "has no column 'participant_id'", "known: name"),
    ],
)
def test_a_wrong_images_entry_says_where_and_why(tmp_path: Path, rest: str, message: str, hint: str) -> None:
    touch(tmp_path / "cells", "a/scan.png", "b/scan.png")
    (tmp_path / "cells/t.csv").write_text("name\na\n")
    with pytest.raises(InputError, match=message) as error:
        dataset(tmp_path, "lab: {format: images, root: cells" + rest).listing()
    assert hint in error.value.hint


# ------------------------------------------------------------------ all
def test_every_layout_is_recognised(ukb: Path, hcp: Path) -> None:
    touch(ukb / "pictures", "x.png", "y.png")
    touch(ukb / "series", "x.1D", "y.1D")
    for folder, lines in {
        "ukb": ["format: ukbiobank", "image: T1", "table: t.csv"],
        "hcp": ["format: hcp", "image: T1w   # also there: T1w_mni, rest"],
        "pictures": ["format: images", 'pattern: "{participant}"'],
        "series": ["format: images"],
    }.items():
        name, text = suggest_entry(ukb / folder)
        assert all(line in text for line in lines), text
        assert describe(dataset(ukb, text.replace(name, "lab", 1)))["scans"] > 1


def test_the_fingerprint_follows_labels_and_images(ukb: Path, hcp: Path) -> None:
    for entry, table in ((UKB + "}", "ukb/t.csv"), (HCP + "}", "hcp/unrestricted_lab_1.csv")):
        first = dataset(ukb, entry).listing().fingerprint
        assert dataset(ukb, entry).listing().fingerprint == first
        (ukb / table).write_text((ukb / table).read_text().replace('1000002","1"', '1000002","0"').replace("100307,F", "100307,M"))
        assert dataset(ukb, entry).listing().fingerprint != first
