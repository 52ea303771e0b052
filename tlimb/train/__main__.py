"""`python -m tlimb.train stage | worker | rank | anatomy | probe | weights`."""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tlimb.catalogue.own import trusted_folders
from tlimb.errors import TlimbError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, 1 (the stage failed), 2 (the input is wrong), 75 (stopped, state saved) or 130 (interrupted)."""
    parser = argparse.ArgumentParser(prog="python -m tlimb.train", description="Run one stage.yaml, or be a worker that runs many.")
    commands = parser.add_subparsers(dest="command", required=True)
    stage = commands.add_parser("stage", help="compute one stage, or go on where it was interrupted")
    stage.add_argument("config", type=Path, help="a stage.yaml")
    stage.add_argument("--out", type=Path, required=True, metavar="DIR", help="the result folder to make")
    stage.add_argument("--parent", dest="parents", type=Path, action="append", default=[], metavar="DIR", help="result folder of a parent")
    stage.add_argument("--datasets", type=Path, metavar="FILE", help="the datasets.yaml to use")
    stage.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    stage.add_argument("--state", type=Path, metavar="DIR", help="where unfinished work is kept")
    stage.add_argument("--scratch", type=Path, metavar="DIR", help="where copies of prepared data are made on this node")
    stage.add_argument("--set", dest="overrides", action="append", default=[], metavar="PATH=VALUE", help="change a field of the config")
    commands.add_parser("worker", help="run stages that standard input asks for, one JSON object a line")
    commands.add_parser("rank", help="train with others, as one of the processes that a stage on several devices starts")
    commands.add_parser("anatomy", help="layers and parameters of the architectures that standard input lists as JSON")
    commands.add_parser("probe", help="how long the stages that standard input lists as JSON take")
    weights = commands.add_parser("weights", help="look into a file of weights, or convert one that is trusted")
    weights.add_argument("action", choices=("inspect", "convert"))
    weights.add_argument("file", type=Path)
    weights.add_argument("--passport", type=Path, metavar="FILE", help="instead of the one beside the file")
    weights.add_argument("--out", type=Path, metavar="FILE", help="the safetensors file to write")
    options = vars(parser.parse_args(arguments))
    # Last on the path: a module of the user's must not stand in for one of a library.
    sys.path.extend(str(folder) for folder in trusted_folders())
    command = options.pop("command")
    try:
        if command == "worker":
            from tlimb.train.worker import work

            return work()
        if command == "rank":
            from tlimb.train.rank import take_part

            take_part()
        if command == "anatomy":
            from tlimb.train.anatomy import answer

            answer(sys.stdin, sys.stdout)
            return 0
        if command == "probe":
            return _probe()
        if command == "weights":
            return _weights(**options)
        return _stage(options)
    except KeyboardInterrupt:
        return 130
    except TlimbError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status


def _weights(action: str, file: Path, passport: Path | None, out: Path | None) -> int:
    from tlimb.catalogue.weights import find_weights
    from tlimb.train.foreign import convert
    from tlimb.train.weights import inspect

    found = find_weights(file, passport)
    if action == "convert":
        convert(file, out or file.with_suffix(".safetensors"))
        return 0
    shape = found.passport.get("input", {}).get("shape")
    document = inspect(file, found.passport.get("rename", {}), shape)
    print(json.dumps({"format": 1, "file": file.name, **document, "passport": dict(found.passport)}, indent=1, ensure_ascii=False))
    return 0


def _probe() -> int:
    from tlimb.train.probe import answer

    # Whatever else is printed must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    answer(sys.stdin, answers, {"cpu_s": time.process_time()})
    return 0


def _stage(options: dict[str, Any]) -> int:
    from tlimb.train.stage import run_stage
    from tlimb.train.stopping import StoppedError

    screen = os.fdopen(os.dup(2), "w", encoding="utf-8")
    config = options.pop("config")

    def show(event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            metrics = "  ".join(f"{name} {value:.4g}" for name, value in event["metrics"].items() if value is not None)
            print(f"epoch {event['epoch']}/{event['epochs']}  {metrics}".rstrip(), file=screen, flush=True)
        elif event["event"] == "warning":
            print(f"warning: {event['message']}", file=screen, flush=True)

    try:
        run_stage(config, options.pop("out"), emit=show, **options)
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_status
    except TlimbError:
        if os.environ.get("TLIMB_DEBUG"):
            traceback.print_exc()
        raise
    except Exception as error:
        if os.environ.get("TLIMB_DEBUG"):
            traceback.print_exc()
        raise TlimbError(f"{type(error).__name__}: {error}", "log.txt has the details; TLIMB_DEBUG=1 shows them here") from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
