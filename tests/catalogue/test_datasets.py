"""Data sets: what the catalogue finds, reads, refuses and suggests."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tlimb.catalogue.datasets import Dataset, add_entry, describe, dump_datasets, find_datasets, suggest_entry
from tlimb.errors import InputError


def bids(root: Path, table: str, images: dict[str, bytes]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    if table:
        (root / "participants.tsv").write_text(table.replace(" ", "\t"), encoding="utf-8")
    for name, content in images.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def image(participant: str, session: str = "", entities: str = "", suffix: str = "T1w") -> str:
    folder = f"sub-{participant}/" + (f"ses-{session}/" if session else "")
    stem = f"sub-{participant}" + (f"_ses-{session}" if session else "") + entities
    return f"{folder}anat/{stem}_{suffix}.nii.gz"


def dataset(folder: Path, text: str, name: str = "lab") -> Dataset:
    (folder / "datasets.yaml").write_text(text, encoding="utf-8")
    return find_datasets(folder)[name]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    table = "participant_id age sex dx site family\nsub-1 20 M 1 A f1\nsub-2 n/a female 2 A f1\n3 40.5 f 1.0 B n/a\nsub-4 50 M 2 B n/a\n"
    bids(tmp_path / "bids", table, {image("1"): b"x", image("2"): b"x", image("3"): b"", image("5"): b"x"})
    return tmp_path


LAB = """
lab:
  format: bids
  root: bids
  labels:
    age: {column: age, unit: years}
    sex: {column: sex, classes: [F, M]}
    group: {column: dx, classes: {control: 1, patient: 2}}
  family: family
  site: site
"""


def test_a_bids_folder_is_joined_with_its_table(lab: Path) -> None:
    listing = dataset(lab, LAB).listing()
    assert {scan.participant_id: dict(scan.labels) for scan in listing.scans} == {
        "1": {"age": 20.0, "sex": "M", "group": "control"},
        "2": {"age": None, "sex": "F", "group": "patient"},
        "3": {"age": 40.5, "sex": "F", "group": "control"},
        "5": {"age": None, "sex": None, "group": None},
    }
    assert listing.groups == {"1": "family f1", "2": "family f1", "3": "3", "5": "5"}
    assert [scan.site for scan in listing.scans] == ["A", "A", "B", None]
    assert listing.label_counts == {"age": 2, "sex": 3, "group": 3}
    assert {(problem.kind, problem.participant_id) for problem in listing.problems} == {
        ("zero-byte", "3"),
        ("participant-without-image", "4"),
        ("image-without-participant", "5"),
    }


def test_describe_counts_participants_labels_and_problems(lab: Path) -> None:
    document = describe(dataset(lab, LAB))
    assert (document["participants"], document["with_image"], document["scans"], document["groups"]) == (5, 4, 4, 3)
    assert document["labels"]["age"] | {"sd": round(document["labels"]["age"]["sd"], 3)} == {
        "kind": "number",
        "column": "age",
        "unit": "years",
        "n": 2,
        "missing": 2,
        "mean": 30.25,
        "sd": 14.496,
        "min": 20.0,
        "max": 40.5,
        "histogram": {"edges": [20.0, 22.0, 24.0, 26.0, 28.0, 30.0, 32.0, 34.0, 36.0, 38.0, 40.0, 42.0], "counts": [1, *[0] * 9, 1]},
    }
    assert document["labels"]["sex"]["classes"] == {"F": 2, "M": 1}
    assert document["sites"] == {"A": 2, "B": 1}


def test_wrong_values_are_named_with_their_line_and_count_as_missing(lab: Path) -> None:
    with (lab / "bids/participants.tsv").open("a") as table:
        table.write("sub-5\told\tX\t3\tB\tn/a\n")
    listing = dataset(lab, LAB).listing()
    messages = [problem.message for problem in listing.problems if problem.kind == "bad-label"]
    assert messages == [
        "participants.tsv:6: 5, age: 'old' in column 'age' is not a number",
        "participants.tsv:6: 5, sex: 'X' in column 'sex' is none of the classes F, M",
        "participants.tsv:6: 5, group: '3' in column 'dx' is none of the classes control, patient",
    ]


@pytest.mark.parametrize(
    ("cells", "classes", "expected"),
    [
        ("M F m f", "[F, M]", ["M", "F", "M", "F"]),
        ("male FEMALE Male M", "[F, M]", ["M", "F", "M", "M"]),
        ("1 2 1.0 02", "{male: 1, female: 2}", ["male", "female", "male", "female"]),
        ("0 1 M F", "{female: 0, male: 1}", ["female", "male", "male", "female"]),
        ("a b c n/a", "{ab: [a, b], c: c}", ["ab", "ab", "c", None]),
        ("1 2 NaN NA", "[1, 2]", ["1", "2", None, None]),
        ("yes no No -", "[no, yes]", ["yes", "no", "no", None]),
        ("3 1 2 null", None, [3.0, 1.0, 2.0, None]),
        ("low high low n/a", None, ["low", "high", "low", None]),
        ("TRUE FALSE true N/A", None, ["TRUE", "FALSE", "TRUE", None]),
        ("control 2 Control", "{control: 1, patient: 2}", ["control", "patient", "control"]),
    ],
)
def test_label_values(tmp_path: Path, cells: str, classes: str | None, expected: list[object]) -> None:
    values = cells.split()
    table = "participant_id value\n" + "".join(f"sub-{number} {cell}\n" for number, cell in enumerate(values))
    bids(tmp_path / "bids", table, {image(str(number)): b"x" for number in range(len(values))})
    spec = f"classes: {classes}" if classes else "column: value"
    found = dataset(tmp_path, f"lab: {{format: bids, root: bids, labels: {{value: {{{spec}}}}}}}")
    assert [scan.labels["value"] for scan in found.listing().scans] == expected


def test_a_mostly_numeric_column_is_a_number_with_a_wrong_value_not_a_category(tmp_path: Path) -> None:
    bids(tmp_path / "bids", "participant_id age\nsub-1 20\nsub-2 89+\nsub-3 41\n", {image(name): b"x" for name in "123"})
    found = dataset(tmp_path, "lab: {format: bids, root: bids, labels: {age: {column: age}}}")
    assert found.labels["age"].kind == "number"
    assert [problem.kind for problem in found.listing().problems] == ["bad-label"]


def test_sessions_and_runs_are_scans_of_their_own_with_the_labels_of_the_session(tmp_path: Path) -> None:
    root = bids(
        tmp_path / "bids",
        "participant_id sex age\nsub-1 F 30\nsub-2 M 40\n",
        {image("1", "a"): b"x", image("1", "b", "_run-1"): b"x", image("1", "b", "_run-2"): b"x", image("2", "a"): b"x"},
    )
    (root / "sub-1/sub-1_sessions.tsv").write_text("session_id\tage\nses-a\t30\nses-b\t32\n")
    entry = "lab: {format: bids, root: bids, labels: {age: {unit: years}, sex: {classes: [F, M]}}}"
    listing = dataset(tmp_path, entry).listing()
    assert [(scan.participant_id, scan.session, scan.labels["age"], scan.labels["sex"]) for scan in listing.scans] == [
        ("1", "a", 30.0, "F"),
        ("1", "b", 32.0, "F"),
        ("1", "b", 32.0, "F"),
        ("2", "a", 40.0, "M"),
    ]
    one = dataset(tmp_path, entry.replace("root: bids", "root: bids, session: b")).listing()
    assert [(scan.participant_id, scan.session) for scan in one.scans] == [("1", "b"), ("1", "b")]


def test_several_suffixes_are_channels_of_one_scan(tmp_path: Path) -> None:
    files = [image("1"), image("1", suffix="FLAIR"), image("2"), image("3", entities="_run-1"), image("3", entities="_run-2")]
    files.append(image("3", entities="_run-2", suffix="FLAIR"))
    bids(tmp_path / "bids", "", dict.fromkeys(files, b"x"))
    found = dataset(tmp_path, "lab: {format: bids, root: bids, image: [T1w, FLAIR]}")
    assert found.channels == 2
    assert [[path.name for path in scan.images] for scan in found.listing().scans] == [
        ["sub-1_T1w.nii.gz", "sub-1_FLAIR.nii.gz"],
        ["sub-3_run-2_T1w.nii.gz", "sub-3_run-2_FLAIR.nii.gz"],
    ]
    assert [problem.message for problem in found.listing().problems] == ["sub-2 lacks FLAIR for a scan", "sub-3 lacks FLAIR for a scan"]


def test_a_table_lists_images_by_path(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in "ab":
        (tmp_path / "images" / f"{name}.npy").write_bytes(b"x")
    rows = [
        "file;subject;visit;age",
        "images/a.npy;sub-a;ses-1;30",
        "images/b.npy;b;2;",
        "images/c.npy;c;1;5",
        ";d;1;5",
        "images/a.npy;a;3;30",
    ]
    (tmp_path / "labels.csv").write_text("\ufeff" + "\r\n".join(rows), encoding="utf-8")
    listing = dataset(
        tmp_path, "lab: {format: table, table: labels.csv, path: file, participant: subject, session: visit, labels: {age: {unit: years}}}"
    ).listing()
    assert [(scan.participant_id, scan.session, scan.labels["age"]) for scan in listing.scans] == [("a", "1", 30.0), ("b", "2", None)]
    assert Counter(problem.kind for problem in listing.problems) == {"participant-without-image": 2, "duplicate": 1}


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ("{format: bidz, root: bids}", "lab, format: unknown format 'bidz'", "did you mean 'bids'"),
        ("{root: bids}", "lab: key 'format' is absent", "bids, table, images, hcp, ukbiobank, demo"),
        ("{format: bids, rot: bids}", "lab: unknown key 'rot'", "did you mean 'root'"),
        ("{format: bids}", "lab: key 'root' is absent", "root"),
        ("{format: table}", "lab: key 'table' is absent", "table"),
        ("{format: bids, root: nowhere}", "nowhere is not a folder", "root"),
        ("{format: bids, root: '${NO_SUCH_VARIABLE}/x'}", "NO_SUCH_VARIABLE is not set", "export"),
        ("{format: bids, root: bids, image: T2w}", "holds no image \\*_T2w", "that are there: T1w"),
        ("{format: bids, root: bids, labels: {age: {colum: age}}}", "labels.age: unknown key 'colum'", "did you mean 'column'"),
        ("{format: bids, root: bids, labels: {age: {column: Age}}}", "has no column 'Age'", "did you mean 'age'"),
        ("{format: bids, root: bids, labels: {age: {column: age, classes: [F]}}}", "at least two classes", "male: 1"),
        ("{format: bids, root: bids, labels: {age: {column: age, classes: {a: 1, b: 1}}}}", "'1' means both a and b", "one class"),
        ("{format: bids, root: bids, labels: {'my age': {column: age}}}", "'my age' cannot be a name", "letters"),
        ("{format: bids, root: bids, site: place}", "lab, site: .* has no column 'place'", "known: "),
        ("{format: bids, root: bids, labels: [age]}", "lab, labels: must be a mapping", "column"),
        ("{format: demo, participants: many}", "participants 'many'", ""),
        ("[1, 2]", "lab: must be a mapping", "docs/datasets.md"),
    ],
)
def test_a_wrong_entry_says_where_why_and_the_way_out(lab: Path, entry: str, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        dataset(lab, f"lab: {entry}").listing()
    assert hint in error.value.hint


def test_a_broken_entry_leaves_the_others_usable(lab: Path) -> None:
    (lab / "datasets.yaml").write_text(LAB + "broken: {format: bidz}\n")
    datasets = find_datasets(lab)
    assert list(datasets) == ["lab", "broken", "demo"]
    assert list(datasets.broken) == ["broken"]
    assert len(datasets["lab"].listing().scans) == 4
    with pytest.raises(InputError, match="unknown format 'bidz'"):
        datasets["broken"]


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not valid YAML"), ("- a", "must map names"), ("a: {format: demo}\na: {}", "'a' stands twice")]
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "datasets.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        find_datasets(tmp_path)
    assert str(tmp_path / "datasets.yaml") in error.value.message


def test_the_nearest_file_wins_for_each_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    places = {"config/tlimb": "a b c", "study": "a b", "study/recipes": "a"}
    for folder, names in places.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "datasets.yaml").write_text("".join(f"{name}: {{format: bids, root: here}}\n" for name in names.split()))
    datasets = find_datasets(tmp_path / "study/recipes")
    assert {name: str(datasets[name].root.parent.relative_to(tmp_path)) for name in "abc"} == {
        "a": "study/recipes",
        "b": "study",
        "c": "config/tlimb",
    }
    assert list(find_datasets(explicit=tmp_path / "study/datasets.yaml")) == ["a", "b", "demo"]
    with pytest.raises(InputError, match="no such file"):
        find_datasets(explicit=tmp_path / "none.yaml")


def test_the_fingerprint_follows_table_images_and_entry_but_not_the_place(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = dataset(lab, LAB).listing().fingerprint
    assert dataset(lab, LAB).listing().fingerprint == first
    moved = tmp_path_factory.mktemp("moved") / "there"
    lab.rename(moved)
    assert dataset(moved, LAB).listing().fingerprint == first
    assert dataset(moved, LAB.replace("[F, M]", "[M, F]")).listing().fingerprint != first
    file = moved / "bids" / image("1")
    os.utime(file, ns=(0, 0))
    touched = dataset(moved, LAB).listing().fingerprint
    assert touched != first
    (moved / "bids/participants.tsv").write_text((moved / "bids/participants.tsv").read_text() + "\n")
    assert dataset(moved, LAB).listing().fingerprint not in (first, touched)


def test_a_dumped_catalogue_means_the_same_elsewhere(
    lab: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_ROOT", str(lab))
    (lab / "datasets.yaml").write_text(LAB.replace("root: bids", "root: ${LAB_ROOT}/bids") + "small: {format: demo, participants: 5}\n")
    before = find_datasets(lab)
    text = dump_datasets(before, ["lab", "small", "demo"])
    monkeypatch.delenv("LAB_ROOT")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "datasets.yaml").write_text(text)
    after = find_datasets(elsewhere)
    assert "&" not in text
    for name in ("lab", "small", "demo"):
        assert after[name].listing().fingerprint == before[name].listing().fingerprint


def test_demo_always_exists_and_needs_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLIMB_CACHE", str(tmp_path))
    listing = find_datasets(tmp_path)["demo"].listing()
    assert len(listing.scans) == 120
    assert not listing.problems
    ages = [scan.labels["age"] for scan in listing.scans]
    assert all(isinstance(age, float) and 20 <= age <= 80 for age in ages)
    assert Counter(scan.labels["sex"] for scan in listing.scans).keys() == {"F", "M"}
    assert not any(tmp_path.iterdir())
    few = dataset(tmp_path, "lab: {format: demo, participants: 10}").listing()
    assert [scan.labels for scan in few.scans] == [scan.labels for scan in listing.scans[:10]]
    assert few.fingerprint != listing.fingerprint


def test_a_suggested_entry_works_as_it_is(lab: Path) -> None:
    (lab / "bids/participants.json").write_text('{"age": {"Units": "weeks"}}')
    name, text = suggest_entry(lab / "bids")
    assert name == "bids"
    assert yaml.safe_load(text)["bids"] == {
        "format": "bids",
        "root": str(lab / "bids"),
        "image": "T1w",
        "labels": {
            "age": {"column": "age", "unit": "weeks"},
            "sex": {"column": "sex", "classes": ["F", "M"]},
            "group": {"column": "dx", "classes": ["1", "2"]},
        },
        "site": "site",
        "family": "family",
    }


@pytest.mark.parametrize(
    ("levels", "expected"),
    [('{"gender": {"Levels": {"1": "male", "2": "Female"}}}', {"F": "2", "M": "1"}), ("{}", ["1", "2"]), ("not JSON", ["1", "2"])],
)
def test_a_coded_sex_is_named_by_the_sidecar_or_left_to_the_user(tmp_path: Path, levels: str, expected: object) -> None:
    root = bids(tmp_path / "2nd study", "participant_id gender\nsub-1 1\nsub-2 2\n", {image("1"): b"x", image("2"): b"x"})
    (root / "participants.json").write_text(levels)
    name, text = suggest_entry(root)
    assert name == "data_2nd_study"
    assert yaml.safe_load(text)[name]["labels"]["sex"] == {"column": "gender", "classes": expected}


def test_a_table_is_suggested_too(tmp_path: Path) -> None:
    (tmp_path / "scan list.csv").write_text("subject,file,Age,sex\na,a.png,3,M\n")
    _, text = suggest_entry(tmp_path / "scan list.csv")
    assert yaml.safe_load(text) == {
        "scan_list": {
            "format": "table",
            "root": str(tmp_path),
            "table": "scan list.csv",
            "path": "file",
            "participant": "subject",
            "labels": {"age": {"column": "Age", "unit": "years"}, "sex": {"column": "sex", "classes": ["F", "M"]}},
        }
    }
    assert suggest_entry(tmp_path)[1].partition("\n")[2] == text.partition("\n")[2]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no data set of a known layout"):
        suggest_entry(tmp_path / "empty")


def test_adding_an_entry_keeps_all_other_text(tmp_path: Path) -> None:
    file = tmp_path / "new" / "datasets.yaml"
    add_entry(file, "a", "a:\n  format: demo\n")
    file.write_text("# our data\na:   {format: demo}  # small\n")
    add_entry(file, "b", "b:\n  format: demo   # mine\n")
    assert file.read_text() == "# our data\na:   {format: demo}  # small\n\nb:\n  format: demo   # mine\n"
    assert [path.name for path in file.parent.iterdir()] == ["datasets.yaml"]
    with pytest.raises(InputError, match="there is an entry 'b' already"):
        add_entry(file, "b", "b: {}\n")
    file.write_text("{a: {format: demo}}\n")
    with pytest.raises(InputError, match="cannot be extended"):
        add_entry(file, "b", "b: {format: demo}\n")
    assert file.read_text() == "{a: {format: demo}}\n"


def test_the_catalogue_loads_without_numpy() -> None:
    code = "import sys, tlimb.catalogue.datasets, tlimb.catalogue.splits; print({'numpy', 'torch', 'nibabel', 'monai'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def real(name: str) -> Path:
    folder = os.environ.get("TLIMB_REAL_DATA")
    if not folder:
        pytest.skip("TLIMB_REAL_DATA is not set")
    return Path(folder) / name


@pytest.mark.real_data
def test_ixi_has_four_participants_without_labels(tmp_path: Path) -> None:
    name, text = suggest_entry(real("ixi_4mm_bids"))
    document = describe(dataset(tmp_path, text, name))
    assert (document["participants"], document["with_image"], document["problems"]) == (185, 185, [])
    assert {label: (entry["n"], entry["missing"]) for label, entry in document["labels"].items()} == {"age": (181, 4), "sex": (181, 4)}
    assert document["labels"]["sex"]["classes"] == {"F": 94, "M": 87}
    assert document["sites"] == {"HH": 185}


@pytest.mark.real_data
def test_skeletons_name_every_empty_file_and_every_participant_without_image(tmp_path: Path) -> None:
    name, text = suggest_entry(real("bids_skeletons/ds000030"))
    found = dataset(tmp_path, text, name)
    assert found.labels["sex"].column == "gender"
    assert Counter(problem.kind for problem in found.listing().problems) == {"zero-byte": 265, "participant-without-image": 7}
    name, text = suggest_entry(real("bids_skeletons/ds000228"))
    found = dataset(tmp_path, text, name)
    assert {label.column for label in found.labels.values()} == {"Age", "Gender"}
    assert found.listing().label_counts == {"age": 155, "sex": 155}


@pytest.mark.real_data
def test_the_table_of_pictures_has_the_same_people_as_the_bids_folder(tmp_path: Path) -> None:
    name, text = suggest_entry(real("ixi_axial_png/labels.csv"))
    pictures = dataset(tmp_path, text, name).listing()
    volumes = dataset(tmp_path, suggest_entry(real("ixi_4mm_bids"))[1], "ixi_4mm_bids").listing()
    assert len(pictures.scans) == 181
    assert pictures.groups.items() <= volumes.groups.items()
