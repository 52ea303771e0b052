"""A checked recipe -> the stage graph: every variant walked through its steps, equal work found once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tlimb.catalogue.formats import NO_FAMILIES
from tlimb.catalogue.listing import Dataset
from tlimb.catalogue.metrics import METRICS, metric_names, split_metric
from tlimb.catalogue.registry import Catalogue
from tlimb.catalogue.splits import ROLES, Role, RoleName, assign, select
from tlimb.catalogue.splits import Split as SplitRule
from tlimb.configs.desugar import RATES, data_config, monitor, prepare_config, stage_config, with_rates
from tlimb.configs.weights import weights_config, weights_file, weights_warnings
from tlimb.errors import Diagnostic, InputError, RecipeError, Span
from tlimb.recipe.tree import About, Number, Rank, Recipe, Target, file_source, plain
from tlimb.stages.digest import Digests
from tlimb.stages.graph import Rank as RankRule
from tlimb.stages.graph import Run, Stage, StageGraph, Variant
from tlimb.stages.leakage import Use, overlap
from tlimb.stages.plan import Setting, Step, parts, steps
from tlimb.stages.search import Limits, Search, canonical, drawn, reduction, round_size, size
from tlimb.stages.search import seed as search_seed
from tlimb.stages.search import statement as search_statement
from tlimb.stages.sweep import Axis, Point, axes, points, seeds, settings


def build(
    recipe: Recipe,
    name: str,
    catalogue: Catalogue,
    datasets: Mapping[str, Dataset],
    overrides_from: int | None = None,
    trials: Sequence[Point] = (),
    limits: Sequence[Limits] = (),
) -> StageGraph:
    """The stage graph of a recipe that `check` found right; `set` statements from `overrides_from` on win over `with`.

    Args:
        trials: Of a search, the points that have been asked for; those of its first round are known without.
        limits: Of a search that stops trials early, the limits of each round so far.

    Raises:
        RecipeError: what only the data can tell: a role without subjects, an evaluation subject seen upstream.
    """
    return _Builder(recipe, name, catalogue, datasets, overrides_from, tuple(trials), tuple(limits)).build()


@dataclass(slots=True)
class _Builder:
    recipe: Recipe
    name: str
    catalogue: Catalogue
    datasets: Mapping[str, Dataset]
    overrides_from: int | None = None
    trials: tuple[Point, ...] = ()
    limits: tuple[Limits, ...] = ()
    stages: dict[str, Stage] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    memo: dict[Any, Stage] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the files of weights, as they are written."""
    digest: Digests = field(default_factory=Digests)
    like: dict[Any, dict[str, Any]] = field(default_factory=dict)
    """Configs of stages that differ from others in numbers of their optimizer only."""

    def build(self) -> StageGraph:
        todo, grid = steps(self.recipe, self.overrides_from), axes(self.recipe)
        by_name = {step.name: step for step in todo}
        about = {e.key: plain(e.value) for s in self.recipe.statements if isinstance(s, About) for e in s.entries}
        splits, roles = self._splits(todo)
        self._check_subjects(todo, by_name, roles)
        continued = {step.parent for step in todo if step.verb.trains}
        leaves = tuple(step.name for step in todo if step.verb.trains and step.name not in continued)
        binding = {step.name: self._axes_of(step, by_name, grid) for step in todo}
        variants: list[Variant] = []
        chosen = self._points(grid)
        for number, point in enumerate(chosen):
            limits = self._limits(number, grid)
            runs = []
            for seed in seeds(self.recipe):
                made: dict[str, Stage] = {}
                for step in todo:
                    key = (step.name, tuple(point[i] for i in binding[step.name]), seed)
                    if key not in self.memo:
                        self.memo[key] = self._stage(step, grid, point, seed, made, splits, about, limits.get(step.name, {}))
                    made[step.name] = self.memo[key]
                runs.append(Run(seed, {step: stage.digest for step, stage in made.items()}, leaves))
            needed = dict.fromkeys(d for run in runs for s in run.stages.values() for d in (*self.stages[s].parents, s))
            variants.append(Variant(f"v{len(variants) + 1}", settings(grid, point, self.recipe.text), tuple(runs), tuple(needed)))
        ordered = sorted(self.stages.values(), key=lambda stage: stage.kind not in ("prepare", "weights"))
        rank = self._rank(self.stages[variants[-1].runs[-1].stages[leaves[-1]]])
        searched = tuple(("fit" if step.verb.trains else "evaluate", step.name) for step in todo if binding[step.name])
        search = self._search(grid, chosen, rank, searched)
        if search and search.asha:
            early = [step for step in todo if step.name in leaves and binding[step.name]]
            self._check_early_stopping(search, [self.stages[run.stages[step.name]] for v in variants for run in v.runs for step in early])
        return StageGraph(self.name, self.recipe.text, about, rank, tuple(variants), tuple(ordered), tuple(self.warnings), search)

    def _points(self, grid: tuple[Axis, ...]) -> tuple[Point, ...]:
        """The whole grid; where the recipe searches, the trials given, or those of the first round."""
        asked = search_statement(self.recipe)
        if asked is None:
            return tuple(points(grid))
        trials = self._count(grid)
        return self.trials or drawn(grid, search_seed(self.recipe), (), round_size(asked, trials))

    def _search(
        self, grid: tuple[Axis, ...], known: tuple[Point, ...], rank: RankRule, steps: tuple[tuple[str, str], ...]
    ) -> Search | None:
        asked = search_statement(self.recipe)
        if asked is None:
            return None
        trials = self._count(grid)
        if asked.trials and trials < asked.trials:
            self.warnings.append(f"the axes have {trials} points, so the search has {trials} trials, not {asked.trials}")
        metric = asked.metric or rank.metric
        direction = rank.direction if metric == rank.metric else METRICS[split_metric(metric)[2]].direction
        reading = {stage.kind for stage in self.stages.values()} & {"prepare", "weights"}
        if all(axis.path.startswith(("scenario.", "trainer.", "compute.", "auxiliaries.")) for axis in grid):
            reading = set()
        return Search(
            method=asked.method,
            trials=trials,
            round=round_size(asked, trials),
            seed=search_seed(self.recipe),
            metric=metric,
            direction=direction,
            axes=grid,
            points=known,
            asha=reduction(asked),
            limits=tuple(self.limits) or ({},) if reduction(asked) else (),
            steps=(*((kind, kind) for kind in sorted(reading)), *steps),
            source=canonical(self.recipe, self.overrides_from) | {"weights": self.files},
        )

    def _limits(self, number: int, grid: tuple[Axis, ...]) -> Limits:
        """By what a trial is stopped early: what the rounds before its own have reached."""
        asked = search_statement(self.recipe)
        return self.limits[number // round_size(asked, self._count(grid))] if asked and self.limits else {}

    def _check_early_stopping(self, search: Search, stages: Sequence[Stage]) -> None:
        """A search that stops trials early has rounds, and its stages watch the metric that it improves."""
        asked = search_statement(self.recipe)
        assert asked is not None
        if search.rounds == 1:
            message = f"asha={search.asha} stops nothing: all {search.trials} trials are asked for at once, and none has others before it"
            hint = f"give a smaller round, e.g. {search.method}(round={max(1, search.trials // 4)}, asha={search.asha}), or more trials"
            raise RecipeError([Diagnostic("early-stopping", asked.span, message, hint)])
        _, *target, metric = search.metric.split(".")
        for stage in stages:
            scenario, heads = stage.config["scenario"], {head["name"]: head["kind"] for head in stage.config["targets"]}
            if not any(target in ([], [name]) and metric in metric_names(kind) for name, kind in heads.items()):
                continue  # not ranked
            monitored = str(scenario["init_args"]["monitor"])
            _, *watched, name = monitored.split(".")
            if name != metric or (target and watched and watched != target):
                message = f"asha stops trials by {search.metric}, but '{stage.name}' monitors {monitored}"
                hint = f'set scenario.monitor = "{search.metric}", or search by {monitored}'
                raise RecipeError([Diagnostic("early-stopping", asked.span, message, hint)])
            known = self.catalogue.parameters(scenario["class_path"])
            if known is not None and "give_up" not in {parameter.name for parameter in known}:
                message = f"'{stage.name}' cannot be stopped early: {scenario['class_path'].rpartition('.')[2]} takes no give_up"
                hint = "search without asha, or derive the scenario from tlimb.components.scenarios.Supervised"
                raise RecipeError([Diagnostic("early-stopping", asked.span, message, hint)])

    def _count(self, grid: tuple[Axis, ...]) -> int:
        """How many trials the search has: as many as it asks for and there are points."""
        asked = search_statement(self.recipe)
        assert asked is not None
        assert asked.trials is not None
        return int(min(asked.trials, size(grid)))

    def _axes_of(self, step: Step, by_name: Mapping[str, Step], grid: tuple[Axis, ...]) -> tuple[int, ...]:
        """The axes that a step or any step upstream of it depends on."""
        chain: list[Step] = [step]
        while chain[-1].parent is not None:
            chain.append(by_name[chain[-1].parent])
        return tuple(index for index, axis in enumerate(grid) if any(_binds(axis, link) for link in chain))

    def _stage(
        self,
        step: Step,
        grid: tuple[Axis, ...],
        point: Point,
        seed: int,
        made: Mapping[str, Stage],
        splits: Mapping[str, Mapping[str, Any]],
        about: Mapping[str, Any],
        limits: Mapping[int, float],
    ) -> Stage:
        swept: tuple[Setting, ...] = tuple(
            (axis.path, axis.value(choice)) for axis, choice in zip(grid, point, strict=True) if _binds(axis, step)
        )
        chosen = (*step.settings, *swept)
        parents = []
        read = tuple(
            (axis.path, choice) for axis, choice in zip(grid, point, strict=True) if axis.path.startswith("data.") and _binds(axis, step)
        )
        for name in dict.fromkeys(target.dataset for target in step.used):
            if (step.name, name, read) not in self.memo:
                self.memo[step.name, name, read] = self._add(prepare_config(step, self.datasets[name], self.catalogue, chosen))
            parents.append({"role": "data", "name": name, "digest": self.memo[step.name, name, read].digest})
        parent = made[step.parent] if step.parent is not None else self._read_file(step, chosen) if step.file is not None else None
        if parent is not None:
            parents.append({"role": "weights", "name": parent.name, "digest": parent.digest})
        rates = {path: plain(value) for path, value in swept if _is_rate(path) and isinstance(value, Number)}
        rest = tuple((axis.path, choice) for axis, choice in zip(grid, point, strict=True) if _binds(axis, step) and axis.path not in rates)
        kept = [id(parent.config[part]) for part in ("architecture", "targets") if part in parent.config] if parent else []
        key = (step.name, seed, rest, *kept, *(entry["digest"] for entry in parents if entry["role"] == "data"))
        if key in self.like and rates:
            config = with_rates(self.like[key], rates, parents)
        else:
            config = stage_config(
                step,
                chosen,
                seed,
                catalogue=self.catalogue,
                datasets=self.datasets,
                splits=splits,
                parents=parents,
                parent=parent.config if parent else None,
                about={"recipe": self.name, **about},
            )
            self.like[key] = dict(config)
        if early := {epoch: value for epoch, value in limits.items() if epoch < (config["trainer"]["init_args"]["max_epochs"] or 0)}:
            config["scenario"] = {**config["scenario"], "init_args": {**config["scenario"]["init_args"], "give_up": early}}
        return self._add(config)

    def _read_file(self, step: Step, chosen: tuple[Setting, ...]) -> Stage:
        """The stage that reads the file of weights a step starts from."""
        data, dataset = data_config(step, self.catalogue, chosen), self.datasets[step.targets[0].dataset]
        try:
            file = weights_file(step, chosen, self.catalogue)
            self.files[str(step.file)] = file.fingerprint
            config = weights_config(step, file, chosen, catalogue=self.catalogue, data=data, dataset=dataset)
        except InputError as error:
            source = file_source(step.statement)
            assert source is not None
            raise RecipeError([Diagnostic("unknown-source", source.span, error.message, error.hint)]) from error
        for warning in weights_warnings(step, file, catalogue=self.catalogue, data=data, dataset=dataset):
            if warning not in self.warnings:
                self.warnings.append(warning)
        return self._add(config)

    def _add(self, config: dict[str, Any]) -> Stage:
        if code := self.catalogue.own.code(config):
            config["code"] = code
        address = self.digest(config)
        if address not in self.stages:
            head = {key: config.pop(key) for key in ("tlimb", "kind", "name")}
            parents = tuple(parent["digest"] for parent in config["parents"])
            self.stages[address] = Stage(address, head["name"], head["kind"], parents, {**head, "digest": address, **config})
        return self.stages[address]

    def _rank(self, leaf: Stage) -> RankRule:
        for statement in self.recipe.statements:
            if isinstance(statement, Rank):
                return RankRule(statement.metric, METRICS[split_metric(statement.metric)[2]].direction)
        if (asked := search_statement(self.recipe)) and asked.metric:
            return RankRule(asked.metric, METRICS[split_metric(asked.metric)[2]].direction)
        metric = monitor(leaf.config["targets"])
        return RankRule(metric, "min" if metric == "val.loss" else METRICS[metric.rpartition(".")[2]].direction)

    # ------------------------------------------------------------------ subjects
    def _splits(self, todo: tuple[Step, ...]) -> tuple[dict[str, Mapping[str, Any]], dict[str, Mapping[str, Role]]]:
        """The split of every data set and each subject's role. A data set that no stage trains on is all test."""
        given = parts(self.recipe)
        trained = {target.dataset for step in todo if step.verb.trains for target in step.used}
        rules: dict[str, Mapping[str, Any]] = {}
        roles: dict[str, Mapping[str, Role]] = {}
        overrides = {path.removeprefix("split."): plain(value) for path, value in todo[0].settings if path.startswith("split.")}
        for name in dict.fromkeys(target.dataset for step in todo for target in step.used):
            listed = given.get(name, () if name in trained else (("test", 1.0),))
            try:
                rule = SplitRule(listed, **overrides)
                listing = self.datasets[name].listing()
                roles[name] = assign(listing.groups, rule)
            except InputError as error:
                raise RecipeError([Diagnostic("bad-split", self._span(todo, name), error.message, error.hint)]) from error
            rules[name] = rule.document()
            self.warnings += [f"{name}: {problem.message}" for problem in listing.problems if problem.kind == NO_FAMILIES]
        return rules, roles

    def _span(self, todo: tuple[Step, ...], dataset: str) -> Span:
        return next(target.dataset_span for step in todo for target in step.used if target.dataset == dataset)

    def _check_subjects(self, todo: tuple[Step, ...], by_name: Mapping[str, Step], roles: Mapping[str, Mapping[str, Role]]) -> None:
        found: list[Diagnostic] = []
        for step in todo:
            if step.statement.clause("to"):
                source, domain = (" + ".join(dict.fromkeys(map(_named, uses))) for uses in (step.targets, step.unlabelled))
                self.warnings.append(f"'{step.name}' is validated on subjects of {source}; no label of {domain} is used")
            for target in step.unlabelled:
                roles_needed: tuple[RoleName, ...] = ("train",) if step.targets else ("train", "val")
                found.extend(self._empty_roles(step, target, roles[target.dataset], roles_needed))
            for target in step.targets:
                found.extend(self._empty_roles(step, target, roles[target.dataset], ROLES if step.verb.trains else ("test",)))
                tested = Use(self.datasets[target.dataset], target.part, roles[target.dataset])
                link: Step | None = step
                while link is not None:
                    for other in link.used:
                        if link.verb.trains:
                            seen = Use(self.datasets[other.dataset], other.part, roles[other.dataset])
                            found.extend(self._overlap(step, link, overlap(seen, tested), target.span))
                    link = by_name[link.parent] if link.parent is not None else None
        if found:
            raise RecipeError(found)

    def _overlap(self, step: Step, upstream: Step, count: int, span: Span) -> list[Diagnostic]:
        if not count:
            return []
        message = f"{count} test subjects of '{step.name}' were seen by '{upstream.name}' in training or validation"
        if step.allow is not None:
            self.warnings.append(f"{message}; allowed: {step.allow}")
            return []
        hint = 'split both data sets the same way, or waive with: allow overlap "reason" (printed in every report)'
        return [Diagnostic("leakage", span, message, hint)]

    def _empty_roles(self, step: Step, target: Target, roles: Mapping[str, Role], needed: Sequence[RoleName]) -> list[Diagnostic]:
        dataset, part, label = target.dataset, target.part, target.label
        scans = self.datasets[dataset].listing().scans
        usable = {scan.participant_id for scan in scans if label is None or scan.labels.get(label) is not None}
        counts = {role: len(select(roles, part, role, among=usable)) for role in needed}
        missing = [role for role, count in counts.items() if not count]
        if not missing:
            return []
        where = _named(target)
        told = ", ".join(f"{count} {role}" for role, count in counts.items())
        message = f"'{step.name}' has no {' and no '.join(missing)} subjects in {where} ({told})"
        hint = f"divide it by counts, e.g. split {dataset} into train 12, val 4, test 4, or set split.val = 0.2"
        return [Diagnostic("no-subjects", target.span, message, hint)]


def _is_rate(path: str) -> bool:
    """Whether a number at the path changes nothing else of a config."""
    return path.startswith(RATES) and "." not in path.removeprefix(RATES)


def _binds(axis: Axis, step: Step) -> bool:
    """Whether an axis sets something of a step."""
    from_file = step.file is not None
    return axis.binds(step.name, trains=step.verb.trains, has_weights=from_file or step.parent is not None, from_file=from_file)


def _named(target: Target) -> str:
    return f"{target.dataset}[{target.part}]" if target.part else target.dataset
