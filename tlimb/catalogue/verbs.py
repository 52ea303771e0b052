"""The statements of the language as data: which verbs exist, what form each has and which clauses it takes."""

from dataclasses import dataclass
from typing import Literal

ArchitectureUse = Literal["required", "optional", "none"]


@dataclass(frozen=True, slots=True)
class Verb:
    """A statement of the language.

    `form` is the start symbol of its grammar. For training statements: `clauses` are those that may follow, `required` those that
    must, `scenario` the catalogue word of the scenario that it runs (a method given by `via` replaces it), `trains` whether
    weights change, `continues` whether it goes on from the nearest training statement above when it has no `from`, `keeps_heads` whether
    it goes on with the heads too.
    """

    word: str
    form: str
    usage: str
    help: str
    clauses: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    architecture: ArchitectureUse = "none"
    scenario: str | None = None
    trains: bool = False
    continues: bool = False
    keeps_heads: bool = False


_VERBS = (
    Verb("tlr", "version", "tlr 1", "The version of the language; optional, the first line."),
    Verb(
        "about",
        "about",
        'about title="…", author="…"',
        "Title, author, license, doi, description: carried into configs, reports and bundles.",
    ),
    Verb("data", "data", "data COMPONENT [for DATASET]", "The DataModule of every stage that follows, or of one data set."),
    Verb("augment", "augment", "augment COMPONENT, …", "Train-time augmentations, in order."),
    Verb("split", "split", "split DATASET into NAME AMOUNT, …", "Disjoint subject-level parts; an amount is a count or a fraction."),
    Verb(
        "set", "set", "set PATH = VALUE", "Override any field of the component configs, for all stages or for one (set NAME.PATH = VALUE)."
    ),
    Verb("sweep", "sweep", "sweep PATH in [V1, V2, …]", "One axis of the grid of variants; several sweeps multiply."),
    Verb("search", "search", "search METHOD N [by METRIC]", "Draw N variants from the axes, in rounds, instead of the full grid."),
    Verb("repeat", "repeat", "repeat N", "N seeds per variant; results are reported as mean and sd over them."),
    Verb("rank", "rank", "rank by METRIC", "Order the variants by a validation metric."),
    Verb(
        "train",
        "training",
        "train ARCH on TARGETS",
        "Train from scratch: the control arm of a transfer experiment.",
        clauses=("on", "with", "as", "allow"),
        required=("on",),
        architecture="required",
        scenario="supervised",
        trains=True,
    ),
    Verb(
        "pretrain",
        "training",
        "pretrain ARCH on TARGETS | pretrain ARCH on DATASET via METHOD",
        "Supervised or self-supervised pre-training.",
        clauses=("on", "via", "with", "as", "allow"),
        required=("on",),
        architecture="required",
        scenario="supervised",
        trains=True,
    ),
    Verb(
        "finetune",
        "training",
        'finetune [freeze LAYER] [unfreeze LAYER at EPOCH] [elastic ALPHA] on TARGETS [from STAGE or "FILE"]',
        "New heads on the encoder of the stage above, of a named stage, or of a checkpoint file.",
        clauses=("on", "freeze", "unfreeze", "elastic", "from", "with", "as", "allow"),
        required=("on",),
        scenario="supervised",
        trains=True,
        continues=True,
    ),
    Verb(
        "multitask",
        "training",
        "multitask ARCH on T1 + T2 + …",
        "One encoder, one head per target; 2*ukb.age + ukb.sex weights the losses.",
        clauses=("on", "freeze", "elastic", "from", "with", "as", "allow"),
        required=("on",),
        architecture="optional",
        scenario="supervised",
        trains=True,
        continues=True,
    ),
    Verb(
        "semisupervise",
        "training",
        "semisupervise [ARCH] on TARGETS using DATASET via METHOD",
        "Labelled and unlabelled data in one loop.",
        clauses=("on", "using", "via", "freeze", "from", "with", "as", "allow"),
        required=("on", "using", "via"),
        architecture="optional",
        trains=True,
        continues=True,
        keeps_heads=True,
    ),
    Verb(
        "adapt",
        "training",
        "adapt [ARCH] on SOURCE_TARGETS to DATASET via METHOD",
        "Unsupervised domain adaptation: labelled source, unlabelled target.",
        clauses=("on", "to", "via", "freeze", "from", "with", "as", "allow"),
        required=("on", "to", "via"),
        architecture="optional",
        trains=True,
        continues=True,
        keeps_heads=True,
    ),
    Verb(
        "evaluate",
        "training",
        "evaluate on TARGETS [from STAGE]",
        "Test a trained stage on other data, without training.",
        clauses=("on", "from", "with", "as", "allow"),
        required=("on",),
        continues=True,
    ),
)

VERBS = {verb.word: verb for verb in _VERBS}
FORMS = {verb.word: verb.form for verb in _VERBS}

CLAUSES = {
    "freeze": "freeze LAYER: everything before LAYER stays as it is; `freeze only LAYER` freezes that layer alone; none; all",
    "unfreeze": "unfreeze LAYER at EPOCH [lr VALUE]: LAYER and all after it train from that epoch on",
    "elastic": "elastic ALPHA: pull the encoder towards the weights it starts from (L2-SP)",
    "on": "on TARGETS: what is learned or tested, e.g. ukb.age, ukb[base].sex, 2*ukb.age + ukb.sex",
    "using": "using DATASET: unlabelled data",
    "to": "to DATASET: the unlabelled target domain",
    "via": "via METHOD: the method of self-supervised, semi-supervised or domain-adaptive training",
    "from": 'from STAGE or "FILE": where the encoder comes from',
    "with": "with KEY=VALUE, …: settings of this stage",
    "as": "as NAME: the stage's name",
    "allow": 'allow overlap "REASON": waive the check that no evaluation subject was seen upstream; printed in every report',
}
"""The clauses in the order in which they are best written; they may stand in any."""
