"""What each stage of an informer costs an event, compared with a saved baseline.

    python benchmarks/micro.py                 # measures, and prints a table beside baseline.json
    python benchmarks/micro.py --compare       # the same, and ends with 1 if a stage is dearer than it may be
    python benchmarks/micro.py --save          # makes what was measured the baseline
    python benchmarks/micro.py --only whole    # stages whose names have this word
    python benchmarks/micro.py --only "whole path, in order" --profile              # Python's functions, by time of their own
    python benchmarks/micro.py --only "whole path, in order" --callgrind FOLDER     # for callgrind_annotate: C's functions

Each stage runs on one thread over 5.4 KB pods, 46 events a batch, without a socket. Columns: CPU nanoseconds an event (the
least of the rounds, the collector off); the same in units of a fixed loop; and instructions, where valgrind is installed.
Instructions are compared where both sides have them, of the same interpreter: a stage may take 5 % more. Else units are, which
are not so steady: 25 %. "whole path" is not the sum of the stages: it runs over memory that no stage before it has warmed.
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
    """Costs of an event (or object) by stage: "ns", "units" and, if asked for, "instructions"."""
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
    """Prints where each stage spends its time, in Python's functions; the profiler's own cost falls on the small ones."""
    for stage in stages:
        function = stage.make(events * stage.scale)
        profiler = cProfile.Profile()
        profiler.runcall(function)
        print(f"\n{stage.name}, {events * stage.scale:,} times\n")
        pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(25)


def callgrind(stages: list[Stage], folder: Path) -> None:
    """Leaves a file of callgrind's for each stage, and says how to read it."""
    names = [stage.name for stage in stages]
    folder.mkdir(parents=True, exist_ok=True)
    totals = _timing.instructions_of([__file__, "--count", *names], names, keep=folder)
    for number, (name, total) in enumerate(totals.items(), 1):
        each = total / (_COUNTED * STAGES[name].scale)
        print(f"{name}: {each:,.0f} instructions each: callgrind_annotate {folder}/callgrind.out.{number}")


def environment() -> dict[str, str]:
    """What a comparison of costs stands on."""
    return {"python": platform.python_version(), "msgspec": version("msgspec"), "machine": platform.machine()}


def compare(costs: dict[str, Any], baseline: dict[str, Any]) -> dict[str, tuple[float, str]]:
    """How much dearer each stage is than in a baseline (0.1 is a tenth), and by what that was told. New stages are left out."""
    same = baseline.get("environment") == environment()
    dearer = {}
    for name, cost in costs.items():
        before = baseline.get("stages", {}).get(name)
        if before is None:
            continue
        # Another interpreter takes other instructions for the same work, and as many nanoseconds more or less.
        by = "instructions" if same and "instructions" in before and "instructions" in cost else "units"
        dearer[name] = (cost[by] / before[by] - 1, by)
    return dearer


def table(costs: dict[str, Any], dearer: dict[str, tuple[float, str]]) -> str:
    """What `measure` gave, for people."""
    lines = [
        "| stage | of | CPU ns | units | instructions | against the baseline |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, cost in costs.items():
        change = f"{dearer[name][0]:+.1%}" if name in dearer else ""
        counted = f"{cost['instructions']:,.0f}" if "instructions" in cost else ""
        unit = STAGES[name].unit
        lines.append(f"| {name} | {unit} | {cost['ns']:,.0f} | {cost['units']:.1f} | {counted} | {change} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", action="store_true", help="make what was measured the baseline")
    parser.add_argument("--compare", action="store_true", help="end with 1 if a stage is dearer than allowed")
    parser.add_argument("--allowed", type=float, help="per cent that a stage may be dearer (see above)")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="its file")
    parser.add_argument("--only", default="", help="stages whose names have this word")
    parser.add_argument("--events", type=int, default=4600)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--no-instructions", action="store_true", help="CPU time only, even where valgrind is installed"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few events, one round, no instructions: does it run at all?"
    )
    parser.add_argument("--profile", action="store_true", help="print where the time goes, instead of the table")
    parser.add_argument("--callgrind", type=Path, metavar="FOLDER", help="keep callgrind's files, instead of the table")
    parser.add_argument("--count", nargs="+", metavar="STAGE", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.count:
        _timing.count_calls(STAGES[name].make(_COUNTED * STAGES[name].scale) for name in options.count)
        return 0
    stages = [stage for stage in STAGES.values() if options.only in stage.name]
    if not stages:
        parser.error(f"no stage has {options.only!r} in its name: there are {', '.join(STAGES)}")
    if options.profile:
        profile(stages, options.events)
        return 0
    if options.callgrind:
        callgrind(stages, options.callgrind)
        return 0
    return run(stages, options)


def run(stages: list[Stage], options: argparse.Namespace) -> int:
    """Measures and compares, prints, and saves if asked; returns the exit code."""
    if options.quick:
        options.events, options.rounds, options.no_instructions = 92, 1, True
    instructions = _timing.has_valgrind() and not options.no_instructions
    costs = measure(stages, events=options.events, rounds=options.rounds, instructions=instructions)
    # So few events say nothing of what one costs, but to who asks for it.
    has_baseline = options.baseline.exists() and (options.compare or not options.quick)
    baseline = json.loads(options.baseline.read_text()) if has_baseline else {}
    dearer = compare(costs, baseline)
    print(table(costs, dearer))
    if options.save:
        known = {name: cost for name, cost in baseline.get("stages", {}).items() if name in STAGES}
        saved = {"environment": environment(), "stages": {**known, **costs}}
        options.baseline.write_text(json.dumps(saved, indent=2) + "\n")
    elif baseline and baseline["environment"] != environment():
        print(f"\nThe baseline is of another environment ({baseline['environment']}): only units are compared.")
    too_dear = {}
    for name, (much, by) in dearer.items():
        if much > (_ALLOWED[by] if options.allowed is None else options.allowed / 100):
            too_dear[name] = f"{much:.1%} more {by}"
    if options.compare:
        for name, much in too_dear.items():
            print(f"{name}: {much} than the baseline", file=sys.stderr)
    return 1 if options.compare and too_dear else 0


if __name__ == "__main__":
    sys.exit(main())
