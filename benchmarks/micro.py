"""The cost of each stage of an informer per event, compared with a saved baseline.

    python benchmarks/micro.py                 # measures, and prints a table beside baseline.json
    python benchmarks/micro.py --compare       # the same; exits with 1 if a stage costs more than allowed
    python benchmarks/micro.py --save          # saves the measurements as the new baseline
    python benchmarks/micro.py --only whole    # only stages with this text in their names
    python benchmarks/micro.py --only "whole path, in order" --profile              # Python functions, by their own time
    python benchmarks/micro.py --only "whole path, in order" --callgrind FOLDER     # C functions, for callgrind_annotate

Each stage runs on one thread over pods of 5.4 KB, 46 events per batch, without a socket; "whole path" reads 512 KiB at a
time. Columns: CPU nanoseconds per event (the lowest of the rounds, with the cycle collector off), the same in units of a
fixed loop, and instructions, if valgrind is installed. If both sides have instructions of the same interpreter, these are
compared: a stage may take 5 % more. Otherwise units are compared, which vary more: 25 %. "whole path" costs more than the
sum of the stages, because its memory is not warmed by repetition.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import platform
import pstats
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _timing
from _stages import STAGES, Stage

BASELINE = Path(__file__).with_name("baseline.json")
_COUNTED = 460  # events whose instructions are counted: ten batches
_ALLOWED = {"instructions": 0.05, "units": 0.25}


def measure(stages: list[Stage], *, events: int, rounds: int, instructions: bool) -> dict[str, dict[str, float]]:
    """Returns the cost per event (or object) by stage: "ns", "units" and, if requested, "instructions"."""
    makers = {stage.name: partial(stage.make, events * stage.scale) for stage in stages}
    seconds, unit = _timing.cpu_times(makers, rounds)
    costs: dict[str, dict[str, float]] = {}
    for stage in stages:
        each = seconds[stage.name] / (events * stage.scale)
        costs[stage.name] = {"ns": round(each * 1e9, 1), "units": round(each / unit * 1e6, 2)}
    if instructions:
        names = [stage.name for stage in stages]
        for name, total in _timing.instructions_of([__file__, "--count", *names], names).items():
            costs[name]["instructions"] = round(total / (_COUNTED * STAGES[name].scale))
    return costs


def profile(stages: list[Stage], events: int) -> None:
    """Prints the Python functions in which each stage spends its time. The profiler makes small functions look slower."""
    for stage in stages:
        function = stage.make(events * stage.scale)
        profiler = cProfile.Profile()
        profiler.runcall(function)
        print(f"\n{stage.name}, {events * stage.scale:,} times\n")
        pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(25)


def callgrind(stages: list[Stage], folder: Path) -> None:
    """Writes a callgrind file per stage, and prints how to read it."""
    names = [stage.name for stage in stages]
    folder.mkdir(parents=True, exist_ok=True)
    totals = _timing.instructions_of([__file__, "--count", *names], names, keep=folder)
    for number, (name, total) in enumerate(totals.items(), 1):
        each = total / (_COUNTED * STAGES[name].scale)
        print(f"{name}: {each:,.0f} instructions each: callgrind_annotate {folder}/callgrind.out.{number}")


def environment() -> dict[str, str]:
    """Returns what must be equal for instruction counts to be comparable."""
    return {"python": platform.python_version(), "msgspec": version("msgspec"), "machine": platform.machine()}


def compare(costs: dict[str, Any], baseline: dict[str, Any]) -> dict[str, tuple[float, str]]:
    """Returns each stage's increase over a baseline (0.1 is 10 %), and the measure. New stages are left out."""
    same = baseline.get("environment") == environment()
    increases = {}
    for name, cost in costs.items():
        before = baseline.get("stages", {}).get(name)
        if before is None:
            continue
        # Another interpreter needs a different number of instructions for the same work.
        by = "instructions" if same and "instructions" in before and "instructions" in cost else "units"
        increases[name] = (cost[by] / before[by] - 1, by)
    return increases


def table(costs: dict[str, Any], increases: dict[str, tuple[float, str]]) -> str:
    """Formats the result of `measure` as a table."""
    lines = [
        "| stage | of | CPU ns | units | instructions | against the baseline |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, cost in costs.items():
        change = f"{increases[name][0]:+.1%}" if name in increases else ""
        counted = f"{cost['instructions']:,.0f}" if "instructions" in cost else ""
        unit = STAGES[name].unit
        lines.append(f"| {name} | {unit} | {cost['ns']:,.0f} | {cost['units']:.1f} | {counted} | {change} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", action="store_true", help="save the measurements as the baseline")
    parser.add_argument("--compare", action="store_true", help="exit with 1 if a stage costs more than allowed")
    parser.add_argument("--allowed", type=float, help="allowed increase in per cent (see above)")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="file of the baseline")
    parser.add_argument("--only", default="", help="only stages with this text in their names")
    parser.add_argument("--events", type=int, default=4600)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--no-instructions", action="store_true", help="CPU time only, even where valgrind is installed"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few events, one round, no instructions, to check that it runs"
    )
    parser.add_argument("--profile", action="store_true", help="print a profile instead of the table")
    parser.add_argument("--callgrind", type=Path, metavar="FOLDER", help="write callgrind files instead of the table")
    parser.add_argument("--count", nargs="+", metavar="STAGE", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.count:
        _timing.count_calls(STAGES[name].make(_COUNTED * STAGES[name].scale) for name in options.count)
        return 0
    stages = [stage for stage in STAGES.values() if options.only in stage.name]
    if not stages:
        parser.error(f"no stage has {options.only!r} in its name; the stages are {', '.join(STAGES)}")
    if options.profile:
        profile(stages, options.events)
        return 0
    if options.callgrind:
        callgrind(stages, options.callgrind)
        return 0
    return run(stages, options)


def run(stages: list[Stage], options: argparse.Namespace) -> int:
    """Measures, compares, prints, and saves if requested. Returns the exit code."""
    if options.quick:
        options.events, options.rounds, options.no_instructions = 92, 1, True
    instructions = _timing.has_valgrind() and not options.no_instructions
    costs = measure(stages, events=options.events, rounds=options.rounds, instructions=instructions)
    # With `--quick` the figures mean nothing, so they are compared only on request.
    has_baseline = options.baseline.exists() and (options.compare or not options.quick)
    baseline = json.loads(options.baseline.read_text()) if has_baseline else {}
    increases = compare(costs, baseline)
    print(table(costs, increases))
    if options.save:
        known = {name: cost for name, cost in baseline.get("stages", {}).items() if name in STAGES}
        saved = {"environment": environment(), "stages": {**known, **costs}}
        options.baseline.write_text(json.dumps(saved, indent=2) + "\n")
    elif baseline and baseline["environment"] != environment():
        print(f"\nThe baseline is of another environment ({baseline['environment']}): only units are compared.")
    regressions = {}
    for name, (much, by) in increases.items():
        if much > (_ALLOWED[by] if options.allowed is None else options.allowed / 100):
            regressions[name] = f"{much:.1%} more {by}"
    if options.compare:
        for name, much in regressions.items():
            print(f"{name}: {much} than the baseline", file=sys.stderr)
    return 1 if options.compare and regressions else 0


if __name__ == "__main__":
    sys.exit(main())
