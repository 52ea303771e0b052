"""What a reader sees: one recipe in every kind of text."""

from tlimb.drawing import boxes, rails
from tlimb.drawing.layout import lay_out
from tlimb.drawing.marks import Mark
from tlimb.drawing.picture import picture
from tlimb.drawing.segments import Look, ansi
from tlimb.recipe.parse import parse

RECIPE = parse(
    """pretrain resnet18 on ukb.age as brainage
finetune freeze layer4 on ukb.sex
evaluate on hcp.sex
finetune elastic 0.01 on ukb.sex from brainage
sweep finetune2.lr in [1e-4, 1e-3, 1e-2]
rank by val.auroc
"""
).recipe
MARKS = {"brainage": Mark("done", "mae 3.1"), "finetune": Mark("running", "4/10"), "finetune2": Mark("failed", "1✔ 1◌ 1✖")}

BOXES = """
╭─✔ brainage ───────╮   ┏━◐ finetune  4/10 ━━━━━━━━┓   ╭─○ evaluate ─╮   ╭─ rank ────╮
│ pretrain resnet18 │─┬▶┃ on ukb.sex freeze layer4 ┃──▶│ on hcp.sex  │─┬▶│ val.auroc │
│ on ukb.age        │ │ ┗━━━━━━━━━━━━━━━━━━━━━━━━━━┛   ╰─────────────╯ │ ╰───────────╯
╰───────── mae 3.1 ─╯ │ ╭─✖ finetune2 ×3 ──────────╮                   │
                      ╰▶│ on ukb.sex elastic 0.01  │───────────────────╯
                        │ sweep lr                 │
                        ╰─────────────── 1✔ 1◌ 1✖ ─╯
"""

NARROW = """
+- ukb ----+   +-v brainage +    +-* finetune +   +[b] evaluate+   +- rank ----+
| age, sex |.+>| pretrain ~ |--+>| on ukb.sex |-+>| on hcp.sex |-+>| val.auroc |
+----------+ : | on ukb.age | +|>| freeze la~ | : + it train~ -+ | +-----------+
             : +------------+ :| +------------+ :                |
             +................+| +- hcp ------+ :                |
                              :| | sex        |.+                |
                              :| +------------+                  |
                              :| +[a] fine~ x3+                  |
                              :+>| on ukb.sex |------------------+
                              +.>| elastic 0~ |
                                 | sweep lr   |
                                 +- 1v 1. 1x -+
"""

RAILS = """
✔    brainage      mae 3.1   pretrain resnet18 on ukb.age
├─◐  finetune      4/10      on ukb.sex freeze layer4
│ ○  evaluate                on hcp.sex
✖ │  finetune2 ×3  1✔ 1◌ 1✖  on ukb.sex elastic 0.01 sweep lr
•─╯  rank                    val.auroc
"""


def test_boxes() -> None:
    assert boxes.text(lay_out(picture(RECIPE), 110), Look(MARKS, selected="finetune")) == BOXES.strip("\n")


def test_narrow_boxes_in_ascii_with_data_and_letters() -> None:
    letters = {"finetune2": ("a", None), "evaluate": ("b", "it trains nothing")}
    layout = lay_out(picture(RECIPE, data=True), 80)
    assert boxes.text(layout, Look(MARKS, letters=letters, ascii_only=True)) == NARROW.strip("\n")


def test_rails() -> None:
    assert rails.text(rails.lay_out(picture(RECIPE)), Look(MARKS), 80) == RAILS.strip("\n")


def test_colours_change_no_character() -> None:
    rows = boxes.render(lay_out(picture(RECIPE)), Look(MARKS))
    coloured = ansi(rows)
    assert "\x1b[32m✔ \x1b[0m" in coloured
    assert "".join(part.partition("m")[2] if place else part for place, part in enumerate(coloured.split("\x1b["))) == boxes.text(
        lay_out(picture(RECIPE)), Look(MARKS)
    )
