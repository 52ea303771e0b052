"""How scans look: slices in a child process, pixels and bars in a terminal, participants with their roles."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from tlimb.catalogue.datasets import find_datasets
from tlimb.catalogue.histogram import histogram
from tlimb.catalogue.listing import Dataset, Scan
from tlimb.cli import main
from tlimb.drawing.bars import bar, columns, spark
from tlimb.drawing.pixels import Pixels
from tlimb.errors import TlimbError
from tlimb.run import look
from tlimb.run.look import Looker
from tlimb.run.opening import open_recipe
from tlimb.run.subjects import role_counts, roles, roles_text, subject_table, subjects

SHAPE = (10, 12, 8)


def scan(*files: Path) -> Scan:
    return Scan("1", "", files, {}, "1", None)


def dataset(root: Path) -> Dataset:
    return Dataset("lab", "images", root)


def grey(pixels: Pixels, column: int, row: int) -> int:
    return pixels.colours[row * pixels.width + column][0]


def mean(pixels: Pixels, *, left: bool = False, upper: bool = False) -> float:
    """Of the left or the upper half."""
    rows = list(pixels.rows())
    kept = [row[: pixels.width // 2] if left else row for row in (rows[: pixels.height // 2] if upper else rows)]
    return float(np.mean([colour[0] for row in kept for colour in row]))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Bright at the right, the front and the top; stored as LPI, voxels of 2 x 1 x 3 mm."""
    image = np.zeros(SHAPE, np.int16)
    image[5:] += 100
    image[:, 6:] += 50
    image[:, :, 4:] += 25
    stored = nib.Nifti1Image(image, np.diag([2.0, 1.0, 3.0, 1.0]))
    codes = nib.orientations.axcodes2ornt("LPI")
    turned = stored.as_reoriented(nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), codes))
    nib.save(turned, tmp_path / "image.nii.gz")
    return tmp_path / "image.nii.gz"


@pytest.fixture(scope="module")
def looker() -> Looker:
    with Looker() as made:
        yield made


def test_three_slices_lie_as_their_letters_say_and_keep_their_millimetres(looker: Looker, volume: Path) -> None:
    said = looker.look(dataset(volume.parent), scan(volume), size=(40, 48))
    assert (said["kind"], said["shape"], said["orientation"], said["spacing_mm"]) == ("volume", [10, 12, 8], "LPI", [2.0, 1.0, 3.0])
    assert said["at"] == [5, 6, 4]
    assert said["value"] == 175
    sagittal, coronal, axial = map(Pixels.read, said["planes"])
    assert [plane.border for plane in (sagittal, coronal, axial)] == ["PASI", "LRSI", "LRAP"]
    assert axial.width / axial.height == pytest.approx(20 / 12, rel=0.1)
    assert coronal.width / coronal.height == pytest.approx(20 / 24, rel=0.1)
    assert mean(coronal, left=True) < mean(coronal), "the right is bright and lies at the right"
    assert mean(coronal, upper=True) > mean(coronal), "above is brighter"
    assert mean(axial, upper=True) > mean(axial), "the front is above"
    assert mean(sagittal, left=True) < mean(sagittal), "the front lies at the right"
    moved = looker.look(dataset(volume.parent), scan(volume), size=(40, 48), at=(0, 0, 0))
    assert moved["value"] == 0
    assert Pixels.read(moved["planes"][2]).cross == (2, 23)


def test_volumes_pictures_and_series_are_shown(looker: Looker, tmp_path: Path) -> None:
    from PIL import Image

    frames = np.zeros((*SHAPE, 3), np.float32)
    frames[..., 2] = 1 + np.arange(SHAPE[0])[:, None, None]
    nib.save(nib.Nifti1Image(frames, np.eye(4)), tmp_path / "bold.nii")
    Image.fromarray(np.dstack([np.full((4, 6), level, np.uint8) for level in (200, 100, 0)])).save(tmp_path / "colour.png")
    (tmp_path / "series.csv").write_text("a,b,c\n" + "\n".join(f"{n},{n % 2},5" for n in range(1000)) + "\n")
    lab = dataset(tmp_path)

    bold = looker.look(lab, scan(tmp_path / "bold.nii"), size=(20, 20), frame=2)
    assert (bold["frames"], bold["frame"], bold["value"]) == (3, 2, 6.0)
    assert "constant" in looker.look(lab, scan(tmp_path / "bold.nii"), size=(20, 20), frame=0)["notes"][0]
    colour = Pixels.read(looker.look(lab, scan(tmp_path / "colour.png"), size=(6, 4))["planes"][0])
    assert (colour.width, colour.height) == (6, 4)
    assert len(set(colour.colours)) == 1
    red, green, blue = colour.colours[0]
    assert red > green > blue
    series = looker.look(lab, scan(tmp_path / "series.csv"), size=(50, 40), at=[1])
    assert (series["kind"], series["shape"], series["at"]) == ("series", [3, 1000], [1])
    assert len(series["lines"]["region"]) == 400
    assert "1 of 3 regions are constant" in series["notes"][0]
    rising = next(Pixels.read(series["planes"][0]).rows())
    assert rising[0][0] < rising[25][0] < rising[-1][0]


def test_what_cannot_be_shown_is_said_and_the_next_file_is_shown(looker: Looker, volume: Path) -> None:
    lab = dataset(volume.parent)
    (volume.parent / "empty.nii.gz").touch()
    (volume.parent / "cut.nii.gz").write_bytes(volume.read_bytes()[:150])
    (volume.parent / "text.png").write_text("no picture")
    for name, words in (
        ("empty.nii.gz", "0 bytes"),
        ("cut.nii.gz", "cannot be read"),
        ("text.png", "cannot be read"),
        ("none.nii", "does not exist"),
    ):
        said = looker.look(lab, scan(volume.parent / name), size=(20, 20))
        assert words in said["error"], said
        assert said["error"].startswith(name)
    assert looker.look(lab, scan(volume), size=(20, 20))["value"] == 175


def test_a_child_that_dies_is_told_and_started_again(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = dataset(volume.parent)
    with Looker() as mine:
        mine.look(lab, scan(volume), size=(20, 20))
        assert mine._process is not None
        mine._process.kill()
        mine._process.wait()
        assert mine.look(lab, scan(volume), size=(20, 20))["value"] == 175
        mine.close()
        monkeypatch.setattr(look, "COMMAND", ("false",))
        with pytest.raises(TlimbError, match="ended with status 1"):
            mine.look(lab, scan(volume), size=(20, 20))


def test_demo_is_drawn_when_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets.yaml").write_text("tiny: {format: demo, participants: 3}\n")
    shown = CliRunner().invoke(main, ["data", "show", "tiny", "sub-0001"])
    assert shown.exit_code == 0, shown.output
    assert "40 x 48 x 40 voxels of 4 x 4 x 4 mm, RAS" in shown.output
    assert "sagittal S" in shown.output
    assert "@" in shown.output
    listed = CliRunner().invoke(main, ["data", "show", "tiny"]).output.splitlines()
    assert listed[0].split() == ["participant", "age", "sex", "image"]
    assert len(listed) == 4
    refused = CliRunner().invoke(main, ["data", "show", "tiny", "7"])
    assert refused.exit_code == 2
    assert "no image of '7'" in refused.output


def test_participants_have_the_roles_that_the_recipe_gives_them(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text("tiny: {format: demo, participants: 40}\nother: {format: demo, participants: 3}\n")
    (tmp_path / "card.tlr").write_text("split tiny into base 20, rest 20\npretrain resnet10 on tiny[base].age\n")
    opened = open_recipe(str(tmp_path / "card.tlr"))
    graph = opened.graph()
    found = roles(graph, opened.datasets["tiny"])
    counts = role_counts(found)
    assert {part: sum(roles.values()) for part, roles in counts.items()} == {"base": 20, "rest": 20}
    assert "base: " in roles_text(found)
    assert roles(graph, opened.datasets["other"]) == {}
    header, *rows = subject_table(opened.datasets["tiny"], subjects(opened.datasets["tiny"], found))
    assert header == ["participant", "role", "age", "sex", "image"]
    assert sum(row[1].startswith("base ") for row in rows) == 20


def test_bars_show_whatever_is_there() -> None:
    assert spark([0, 1, 1000]) == " ▁█"
    assert spark([0, 1, 8], ascii_only=True).isascii()
    assert spark([]) == ""
    assert columns([8, 4, 1], 2) == ["█  ", "██▂"]
    assert columns([0, 1, 100], 1, 2) == ["  ▁▁██"]
    assert [bar(share, 4) for share in (0, 0.001, 0.5, 1, 2)] == ["    ", "▏   ", "██  ", "████", "████"]
    assert bar(0.001, 4, ascii_only=True) == "#   "


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [
        ([5.0], [5, 5], [1]),
        ([1.0, 2.0, 2.0, 3.0], [1, 2, 3], [1, 3]),
        ([20.0, 50.0], [*range(20, 52, 2)], [1, *[0] * 13, 1]),
        ([0.1, 0.25], [round(0.1 + n / 100, 2) for n in range(16)], [1, *[0] * 13, 1]),
    ],
)
def test_histograms_have_round_borders(values: list[float], edges: list[float], counts: list[int]) -> None:
    assert histogram(values) == (edges, counts)


def test_histograms_count_everyone() -> None:
    values = [float(value) for value in np.random.default_rng(0).normal(50, 17, 997)]
    edges, counts = histogram(values)
    assert sum(counts) == 997
    assert len(edges) == len(counts) + 1 <= 17
    assert edges[0] <= min(values)
    assert max(values) <= edges[-1]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("place", "kind"),
    [("ixi_4mm_bids", "volume"), ("ixi_axial_png", "picture"), ("nitime_fmri", "volume"), ("bids_skeletons/ds000030", "0 bytes")],
)
def test_real_folders(real_data: Path, tmp_path: Path, place: str, kind: str, looker: Looker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["data", "add", str(real_data / place), "--name", "lab"]).exit_code == 0
    lab = find_datasets(tmp_path)["lab"]
    said = looker.look(lab, lab.listing().scans[0], size=(40, 40))
    assert kind in said.get("error", said.get("kind"))
