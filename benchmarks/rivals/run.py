#!/usr/bin/env python3
"""Runs clients side by side, each against a server of its own, several times, and prints a table of medians.

    python benchmarks/rivals/run.py                                # 10,000 pods, 50,000 events, 3 rounds
    python benchmarks/rivals/run.py --only ours,client_go_proto
    python benchmarks/rivals/run.py --sync-only --pods 100000 --only ours,client_go_proto
    python benchmarks/rivals/run.py --latency

Needs Go, and the clients: `pip install lightkube kr8s kopf`. `server/` plays a kube-apiserver for pods: it sends lists and
events that were rendered beforehand, so that only clients are measured. A client is a program in clients/ that prints one
line of JSON.
"""

import argparse
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIENTS = HERE / "clients"
# The clients that can report latencies and take a self-signed certificate.
ABLE = ("ours", "client_go", "client_go_list", "client_go_proto", "official_informer")
BUILD = Path(os.environ.get("BENCH_BUILD", Path(tempfile.gettempdir()) / "informer-bench"))


def build(names):
    """Builds the server and the Go client if it will run; quick when nothing changed."""
    BUILD.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", BUILD / "server", "."], cwd=HERE / "server", check=True)
    if any(name.startswith("client_go") for name in names):
        subprocess.run(["go", "build", "-o", BUILD / "client_go", "."], cwd=CLIENTS / "client_go", check=True)


def commands(python):
    """name -> (command, extra environment)"""
    found = {
        path.stem: ([python, str(path)], {}) for path in sorted(CLIENTS.glob("*.py")) if not path.stem.startswith("_")
    }
    go = [str(BUILD / "client_go")]
    found["client_go"] = go, {}
    found["client_go_list"] = go, {"KUBE_FEATURE_WatchListClient": "false"}
    found["client_go_proto"] = go, {"BENCH_CONTENT_TYPE": "application/vnd.kubernetes.protobuf"}
    return found


def serve(options, protobuf):
    command = [
        BUILD / "server",
        f"--pods={options.pods}",
        f"--events={options.events}",
        f"--coalesce={options.coalesce}",
    ]
    command += ["--tls"] * options.tls + ["--protobuf"] * protobuf + ["--every=2ms"] * options.latency
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = server.stdout.readline()
    if not line.startswith("listening on "):
        server.kill()
        sys.exit("the server did not start")
    return server, ("https://" if options.tls else "http://") + line.split()[-1]


def run_once(name, command, extra, options):
    server, url = serve(options, "BENCH_CONTENT_TYPE" in extra)
    try:
        env = (
            os.environ
            | extra
            | {
                "BENCH_URL": url,
                "BENCH_PODS": str(options.pods),
                "BENCH_EVENTS": str(options.events),
                "BENCH_SYNC_ONLY": "1" if options.sync_only else "0",
                "BENCH_LATENCY": "1" if options.latency else "0",
            }
        )
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=options.timeout)
        trusting = ssl._create_unverified_context() if options.tls else None
        stats = json.load(urllib.request.urlopen(url + "/stats", context=trusting))
    except subprocess.TimeoutExpired:
        return {"client": name, "error": f"not done in {options.timeout} s"}
    finally:
        server.kill()
        server.wait()
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        return {"client": name, "error": f"rc {done.returncode}: {last[0]}"}
    report = json.loads(lines[-1]) | {"client": name, "stats": stats}
    if report["final_objects"] != options.pods:
        report["error"] = f"ended with {report['final_objects']} pods, expected {options.pods}"
    if options.latency and report.get("latencies") != options.events:
        report["error"] = f"timed {report.get('latencies', 0)} events, expected {options.events}"
    return report


def median(reports):
    merged = dict(reports[-1])
    for key, value in merged.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            merged[key] = statistics.median(report[key] for report in reports)
    merged["runs"] = len(reports)
    merged["events_s_best"] = max(report.get("events_s", 0) for report in reports)
    return merged


def table(results, sync_only):
    good = [r for r in results if "error" not in r]
    good.sort(key=(lambda r: r["sync_s"]) if sync_only else (lambda r: -r["events_s"]))
    by_name = {r["client"]: r for r in good}
    what = "sync_s" if sync_only else "events_s"

    def ratio(row, base):
        if base not in by_name:
            return "-"
        faster = row[what] / by_name[base][what]
        return f"{1 / faster if sync_only else faster:.2f}x"

    head = ["client", "version", "sync s", "sync CPU s", "RSS MB", "peak MB", "KB/object"]
    if not sync_only:
        head += ["events/s", "(best)", "CPU us/event"]
    bases = ["official_informer", "client_go", "client_go_proto"]
    head += [f"vs {base}" for base in bases]
    rows = [head, ["---"] + ["---:" if i else "---" for i in range(1, len(head))]]
    for r in good:
        row = [r["client"], r["version"], f"{r['sync_s']:.2f}", f"{r['sync_cpu_s']:.2f}"]
        row += [f"{r['rss_mb_after_sync']:.0f}", f"{r['rss_peak_mb']:.0f}", f"{r['rss_per_object_kb']:.1f}"]
        if not sync_only:
            row += [f"{r['events_s']:,.0f}", f"{r['events_s_best']:,.0f}", f"{r['events_cpu_us']:.1f}"]
        rows.append(row + [ratio(r, base) for base in bases])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines += [f"{r['client']}: {r['error']}" for r in results if "error" in r]
    return "\n".join(lines)


def latency_table(results):
    lines = [
        "| client | version | p50 ms | p99 ms | max ms | CPU us/event |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in sorted((r for r in results if "error" not in r), key=lambda r: r["p50_ms"]):
        cells = [r["client"], r["version"], *(f"{r[key]:.2f}" for key in ("p50_ms", "p99_ms", "max_ms"))]
        lines.append("| " + " | ".join([*cells, f"{r['events_cpu_us']:.0f}"]) + " |")
    return "\n".join(lines + [f"{r['client']}: {r['error']}" for r in results if "error" in r])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=10000)
    parser.add_argument("--events", type=int, help="default: 50000, or 2000 with --latency")
    parser.add_argument("--coalesce", type=int, default=1, help="watch events per write of the server")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", help="clients, comma-separated")
    parser.add_argument("--skip", default="", help="clients to leave out, comma-separated")
    parser.add_argument("--sync-only", action="store_true", help="stop once the cache holds every pod")
    parser.add_argument("--latency", action="store_true", help="an event each 2 ms; ms from send to handler")
    parser.add_argument("--tls", action="store_true", help="over TLS, the certificate not verified")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs clients/*.py")
    parser.add_argument("--timeout", type=int, default=300, help="seconds for one run of one client")
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--json", help="write the medians to this file too")
    options = parser.parse_args()
    options.events = options.events or (2000 if options.latency else 50000)

    known = commands(options.python)
    able = [name for name in known if not (options.latency or options.tls) or name in ABLE]
    names = options.only.split(",") if options.only else able
    names = [name for name in names if name not in options.skip.split(",")]
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no such client: {', '.join(unknown)} (there are: {', '.join(known)})")
    if unable := [name for name in names if name not in able]:
        sys.exit(f"cannot do that: {', '.join(unable)} (can: {', '.join(able)})")
    if not options.no_build:
        build(names)
    runs = {name: [] for name in names}
    for _ in range(options.repeat):  # in rounds: a slow minute of the machine hits every client
        for name in names:
            if runs[name] and "error" in runs[name][-1]:
                continue
            runs[name].append(run_once(name, *known[name], options))
            print(json.dumps(runs[name][-1]), file=sys.stderr, flush=True)
    results = [r[-1] if "error" in r[-1] else median(r) for r in runs.values()]
    print(
        f"{options.pods} pods, {options.events} events, {options.coalesce} events a write, median of {options.repeat}"
    )
    print(latency_table(results) if options.latency else table(results, options.sync_only))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
