"""Human Connectome Project: a folder per participant, the behavioural table and the restricted one with ages and families."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tlimb.catalogue.formats import NO_FAMILIES, Contents, Found, Problem, look, several
from tlimb.catalogue.tables import Record, Table, read_table
from tlimb.errors import InputError

KEYS = frozenset({"image", "behavioural", "restricted"})
REQUIRED = {"root": "the folder of the participants' folders, such as 100307"}
LABEL_KEYS: frozenset[str] = frozenset()
_REST = "MNINonLinear/Results/rfMRI_REST[12]_"
IMAGES = {
    "T1w": "T1w/T1w_acpc_dc_restore.nii.gz",
    "T1w_brain": "T1w/T1w_acpc_dc_restore_brain.nii.gz",
    "T1w_mni": "MNINonLinear/T1w_restore.2.nii.gz",
    "T2w": "T1w/T2w_acpc_dc_restore.nii.gz",
    "T2w_mni": "MNINonLinear/T2w_restore.2.nii.gz",
    "rest": f"{_REST}[LRAP][LRAP]/*.ptseries.nii",
    "rest_7T": "MNINonLinear/Results/rfMRI_REST[1-4]_7T_[AP][AP]/*.ptseries.nii",
}
"""Short names of images: their paths in a participant's folder; of `rest`, each run is a scan."""
PREDEFINED: Mapping[str, Mapping[str, Any]] = {
    "age": {"column": "Age_in_Yrs", "unit": "years"},
    "sex": {"column": "Gender", "classes": ["F", "M"]},
    "age_group": {"column": "Age", "classes": ["22-25", "26-30", "31-35", "36+"]},
}
FAMILY = "Family_ID"
SUBJECT = re.compile(r"\d{6}|HC[AD]\d{7}(?:_V\w+_MR)?")


def paths(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The path, or pattern with `*`, of each image in a participant's folder."""
    found = tuple(IMAGES.get(name, name) for name in several(options, "image", "T1w"))
    for path in found:
        if "/" not in path and "." not in path:
            raise InputError(f"hcp, image: '{path}' is unknown", f"write a path in a participant's folder, or one of {', '.join(IMAGES)}")
    return found


def channels(options: Mapping[str, Any]) -> int:
    """One per path."""
    return len(paths(options))


def read(place: str, root: Path, options: Mapping[str, Any]) -> Contents:
    """List the scans; each file that fits the path is one (runs), several paths are channels of one scan.

    Raises:
        InputError: there is no such folder, no participant or image in it, a table is wrong, or a run has several files that fit.
    """
    wanted = paths(options)
    if not root.is_dir():
        raise InputError(f"{place}: root {root} is not a folder", "correct root in datasets.yaml")
    subjects = sorted(folder for folder in root.iterdir() if SUBJECT.fullmatch(folder.name) and folder.is_dir())
    if not subjects:
        raise InputError(f"{place}: {root} holds no folder of a participant", "root must hold folders named by six digits, such as 100307")
    tables = [_rows(path) for path in _tables(place, root, options)]
    columns = tuple(dict.fromkeys(column for table, _ in tables for column in table.columns))
    first = tables[0][0].path if tables else root
    rows: dict[str, Record] = {}
    problems: list[Problem] = [problem for _, found in tables for problem in found[1]]
    for _, (of_table, _) in reversed(tables):
        rows |= {subject: Record(row.file, row.line, row.values, rows.get(subject)) for subject, row in of_table.items()}
    identity = [hashlib.sha256(table.path.read_bytes()).hexdigest() for table, _ in tables]
    found: list[Found] = []
    for folder in subjects:
        subject, _, rest = folder.name.partition("_")
        scans = _scans(place, root, folder, wanted)
        if not scans:
            message = f"{folder.name} has no {' and '.join(wanted)}"
            problems.append(Problem("participant-without-image", subject, folder.name, message))
        if scans and rows and subject not in rows:
            message = f"{subject} has an image, but no row in {first.name}"
            problems.append(Problem("image-without-participant", subject, folder.name, message))
        for scan in scans:
            own, wrong = look(subject, scan, root)
            identity += own
            problems += wrong
            found.append(Found(subject, rest.removesuffix("_MR"), scan, rows.get(subject)))
    if not found:
        raise InputError(
            f"{place}: none of the {len(subjects)} participants in {root} has {' and '.join(wanted)}",
            f"set image to a path that is there, or to one of {', '.join(IMAGES)}",
        )
    if tables and FAMILY not in columns and not options.get("family"):
        message = (
            f"there are no family ids: twins and siblings may be divided between training and test; {FAMILY} stands in the restricted table"
        )
        problems.append(Problem(NO_FAMILIES, "", first.name, message))
    labels = _labels(place, options, columns)
    participants = tuple(dict.fromkeys([*rows, *(scan.participant_id for scan in found)]))
    family = FAMILY if FAMILY in columns else None
    return Contents(first, columns, tuple(rows.values()), participants, tuple(found), tuple(problems), tuple(identity), labels, family)


def _scans(place: str, root: Path, folder: Path, wanted: Sequence[str]) -> list[tuple[Path, ...]]:
    matches = [sorted(folder.glob(path)) for path in wanted]
    for path, files in zip(wanted, matches, strict=True):
        if twice := next((pair for pair in pairwise(files) if pair[0].parent == pair[1].parent), None):
            raise InputError(
                f"{place}, image: {twice[0].parent.relative_to(root)} holds several files that fit: {twice[0].name}, {twice[1].name}",
                f"write image with more of the name, e.g. {path.rpartition('/')[0]}/*{twice[0].name[-24:]}",
            )
    if len(wanted) == 1:
        return [(file,) for file in matches[0]]
    if any(len(files) > 1 for files in matches):
        raise InputError(
            f"{place}, image: with several images, each is one file, but {folder.name} has more", "write their paths without *"
        )
    return [tuple(files[0] for files in matches)] if all(matches) else []


def _tables(place: str, root: Path, options: Mapping[str, Any]) -> list[Path]:
    """The behavioural and the restricted table: as the entry says, or as they are called in the root."""
    found = []
    for key, start in (("behavioural", "unrestricted"), ("restricted", "restricted")):
        if options.get(key):
            found.append(root / str(options[key]))
            continue
        named = sorted(path for path in root.glob("*.csv") if path.name.lower().startswith(start))
        if len(named) > 1:
            raise InputError(f"{place}: {root} holds {', '.join(path.name for path in named)}", f"write {key}: with the one to use")
        found += named
    return found


def _rows(path: Path) -> tuple[Table, tuple[dict[str, Record], list[Problem]]]:
    table = read_table(path)
    column = next((name for name in table.columns if name.casefold() in ("subject", "src_subject_id")), None)
    if column is None:
        raise InputError(f"{path}:1: column 'Subject' is absent", "it names the participants")
    rows: dict[str, Record] = {}
    problems = []
    for record in table.records:
        subject = record.get(column)
        where = f"{path.name}:{record.line}"
        if not subject:
            problems.append(Problem("bad-label", "", where, f"{where}: {column} is empty"))
        elif subject in rows:
            message = f"{subject} stands in lines {rows[subject].line} and {record.line} of {path.name}; the first counts"
            problems.append(Problem("duplicate", subject, where, message))
        else:
            rows[subject] = record
    return table, (rows, problems)


def _labels(place: str, options: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    given = options.get("labels")
    if given is None:
        return {name: spec for name, spec in PREDEFINED.items() if spec["column"] in columns}
    labels = {str(name): spec or PREDEFINED.get(str(name)) or {} for name, spec in given.items()}
    if labels.get("age") == PREDEFINED["age"] and "Age_in_Yrs" not in columns:
        raise InputError(
            f"{place}, labels.age: age in years (Age_in_Yrs) stands in the restricted table, which is not here",
            "write restricted: FILE, or use age_group, the ranges of the behavioural table",
        )
    return labels
