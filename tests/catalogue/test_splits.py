"""Roles: stable, disjoint, by family, and clear about what cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlimb.catalogue.splits import Role, Split, assign, select
from tlimb.errors import InputError

people = st.dictionaries(st.text("abcdef0123456789", min_size=1, max_size=6), st.sampled_from("pqrstuvwxyz"), min_size=1, max_size=60)


def crowd(count: int) -> dict[str, str]:
    return {f"{number:04d}": f"{number:04d}" for number in range(count)}


def test_roles_are_pinned_so_that_published_results_keep_their_test_set() -> None:
    roles = assign(crowd(12), Split(val=0.3, test=0.3))
    assert [(who, info.role) for who, info in sorted(roles.items())] == PINNED


PINNED = [
    (f"{number:04d}", role)
    for number, role in enumerate(["train", "train", "val", "test", "train", "train", "train", "train", "train", "train", "train", "train"])
]


@given(people, people, st.integers(0, 5))
def test_fractions_never_change_a_role_when_participants_are_added(first: dict[str, str], more: dict[str, str], seed: int) -> None:
    split = Split(parts=(("base", 0.5), ("target", 0.25)), val=0.2, test=0.2, seed=seed)
    before = assign(first, split)
    after = assign({**more, **first}, split)
    assert all(after[who] == role for who, role in before.items())


@given(people, st.integers(0, 5))
def test_a_family_is_never_divided(members: dict[str, str], seed: int) -> None:
    roles = assign(
        members, Split(parts=(("base", 0.5), ("few", max(1, len(members) // 4))), seed=seed) if len(members) > 40 else Split(seed=seed)
    )
    by_family: dict[str, set[Role]] = {}
    for who, family in members.items():
        by_family.setdefault(family, set()).add(roles[who])
    assert all(len(seen) == 1 for seen in by_family.values())


def test_shares_come_close_to_the_fractions() -> None:
    roles = assign(crowd(20_000), Split(parts=(("base", 0.4),)))
    share = {role: sum(info.role == role for info in roles.values()) / 20_000 for role in ("train", "val", "test")}
    assert share["val"] == pytest.approx(0.15, abs=0.01)
    assert share["test"] == pytest.approx(0.15, abs=0.01)
    assert sum(info.part == "base" for info in roles.values()) / 20_000 == pytest.approx(0.4, abs=0.01)
    base_test = [info for info in roles.values() if info.part == "base" and info.role == "test"]
    assert len(base_test) / 8000 == pytest.approx(0.15, abs=0.02)


def test_counts_are_exact_and_disjoint_and_the_rest_has_no_part() -> None:
    roles = assign(crowd(100), Split(parts=(("base", 60), ("target", 20), ("test", 15))))
    parts = [info.part for info in roles.values()]
    assert {part: parts.count(part) for part in ("base", "target", "test", None)} == {"base": 60, "target": 20, "test": 15, None: 5}


def test_a_part_named_test_is_the_only_test_set_and_every_part_shares_it() -> None:
    roles = assign(crowd(100), Split(parts=(("base", 60), ("target", 20), ("test", 15))))
    members = {who for who, info in roles.items() if info.part == "test"}
    assert {who for who, info in roles.items() if info.role == "test"} == members
    assert set(select(roles, "base", "test")) == set(select(roles, "target", "test")) == set(select(roles, None, "test")) == members
    assert {roles[who].part for who in select(roles, "base", "val")} == {"base"}
    assert not select(roles, "test", "train")
    assert not select(roles, "test", "val")


def test_a_part_named_train_validates_on_those_that_no_part_claims() -> None:
    roles = assign(crowd(100), Split(parts=(("train", 60), ("test", 10))))
    assert len(select(roles, "train", "train")) == 60
    assert {roles[who].part for who in select(roles, "train", "val")} == {None}


def test_fewer_training_participants_are_a_subset_of_more() -> None:
    roles = assign(crowd(100), Split())
    few, many = select(roles, None, "train", 10), select(roles, None, "train", 40)
    assert len(few) == 10
    assert many[:10] == few
    labelled = set(many[3:])
    assert select(roles, None, "train", 5, labelled) == many[3:8]


def test_a_smaller_count_is_a_subset_of_a_larger_one() -> None:
    def base(count: int) -> set[str]:
        return {who for who, info in assign(crowd(100), Split(parts=(("base", count),))).items() if info.part == "base"}

    assert base(20) < base(50)


def test_the_seed_draws_other_roles() -> None:
    assert assign(crowd(50), Split(seed=1)) != assign(crowd(50), Split(seed=2))


def test_too_large_parts_are_refused_with_the_numbers() -> None:
    with pytest.raises(InputError, match="base 10000, target 500 asks for 10500 participants, but there are 185"):
        assign(crowd(185), Split(parts=(("base", 10000), ("target", 500))))
    with pytest.raises(InputError, match=r"but there are 20, .* outside the parts given as fractions"):
        assign(crowd(20), Split(parts=(("base", 0.5), ("target", 19))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": (("a", 5), ("a", 6))}, "part 'a' stands twice"),
        ({"parts": (("a", 0),)}, "part 'a' has the amount 0"),
        ({"parts": (("a", 1.5),)}, "part 'a' has the amount 1.5"),
        ({"parts": (("a", 0.6), ("b", 0.6))}, "add up to 1.2"),
        ({"val": 0.5, "test": 0.5}, "leave nobody to train on"),
    ],
)
def test_impossible_splits_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Split(**arguments)  # type: ignore[arg-type]


def test_a_split_survives_stage_yaml() -> None:
    split = Split(parts=(("base", 100), ("rest", 0.5)), val=0.2, test=0.1, seed=3)
    assert Split.read(split.document()) == split
    assert Split.read({}) == Split()
    with pytest.raises(InputError, match="unknown key 'tset'"):
        Split.read({"tset": 0.2})
