"""Callaway-Sant'Anna, doubly robust with one covariate: this package against its peers, in the same run.

    python benchmarks/callaway_santanna.py [--size large] [--peers diff-diff csdid] [--rounds 3]

Each peer gets an environment of its own under benchmarks/out/ (made by pip at the first call). Packages take turns,
round by round, each in a fresh process that simulates the same panel, makes one warm-up call and then three timed ones,
from data frame to event-study table with the overall effect. The figure is CPU seconds (smallest of the three), because
machines are shared; the table shows the ratio to this package, median over rounds.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
HERE = Path(__file__).parent
PEERS = {"diff-diff": ["diff-diff", "pandas"], "csdid": ["csdid"], "differences": ["differences"]}
TASKS = ("analytic", "bootstrap")
DRAWS = 999


def groupeffect_call(frame, draws):
    """Our package: read, design, fit, aggregate twice, infer."""
    import groupeffect as ge

    columns = ge.Columns(unit="id", time="t", outcome="y", cohort="g", never=(0,), covariates=("x",))
    panel = ge.read_panel(frame, columns)
    fit = ge.fit(ge.did.CallawaySantAnna(method="dr"), panel, ge.staggered_design(panel, comparison="never_treated"))
    strategy = ge.MultiplierBootstrap(draws=draws, seed=1) if draws else ge.ClusterRobust()
    table = fit.aggregate(ge.by_event_time()).infer(strategy).tidy()
    overall = fit.aggregate(ge.overall()).infer(ge.ClusterRobust()).tidy()
    return float(overall.estimate[0]), float(overall.std_error[0]), len(table)


def diff_diff_call(frame, draws):
    """diff-diff, with its own bootstrap."""
    from diff_diff import CallawaySantAnna

    fit = CallawaySantAnna(estimation_method="dr", n_bootstrap=draws, seed=1)
    result = fit.fit(frame, "y", "id", "t", "g", covariates=["x"])
    table = result.aggregate("event_study")
    return float(result.att), float(result.se), len(table) if hasattr(table, "__len__") else 0


def csdid_call(frame, draws):
    """csdid, with its own bootstrap."""
    from csdid.att_gt import ATTgt

    boot = draws > 0
    cells = ATTgt(
        "y", "t", "id", "g", frame, control_group="nevertreated", xformla="y~x", biters=draws or 1, cband=boot
    )
    cells = cells.fit(est_method="dr", bstrap=boot)
    overall = cells.aggte("simple", bstrap=boot, cband=boot).atte
    cells.aggte("dynamic", bstrap=boot, cband=boot)
    error = overall["overall_se"]
    return float(overall["overall_att"]), float(error[0] if hasattr(error, "__len__") else error), 0


def differences_call(frame, draws):
    """differences, with its own bootstrap."""
    import numpy as np
    from differences import ATTgt

    indexed = frame.assign(g=frame["g"].where(frame["g"] > 0, np.nan)).set_index(["id", "t"])[["y", "x", "g"]]
    fit = ATTgt(data=indexed, cohort_column="g")
    fit.fit("y ~ x", est_method="dr", boot_iterations=draws, random_state=1, n_jobs=1, progress_bar=False)
    fit.aggregate("event")
    overall = fit.aggregate("simple").to_numpy().ravel()
    return float(overall[0]), float(overall[1]), 0


CALLS = {
    "groupeffect": groupeffect_call,
    "diff-diff": diff_diff_call,
    "csdid": csdid_call,
    "differences": differences_call,
}


def cpu_seconds():
    """CPU time of this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def worker(peer, task, size):
    """Time one package in this process; print one JSON line."""
    import warnings

    from data import SIZES, staggered_panel

    warnings.simplefilter("ignore")
    frame = staggered_panel(*SIZES[size])
    draws = DRAWS if task == "bootstrap" else 0
    CALLS[peer](frame, draws)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = [], []
    for _ in range(3):
        start, started = cpu_seconds(), time.perf_counter()
        estimate, error, _rows = CALLS[peer](frame, draws)
        cpu.append(cpu_seconds() - start)
        wall.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = {"cpu": min(cpu), "wall": min(wall), "estimate": estimate, "std_error": error, "peak_mb": peak / 1024}
    print(json.dumps(line | {"grown_mb": (peak - before) / 1024}))


def python_of(peer):
    """Interpreter of a package's environment, made if it is not there."""
    if peer == "groupeffect":
        return sys.executable
    folder = HERE / "out" / f"venv-{peer}"
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making an environment for {peer} ...", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS[peer]], check=True)
    return str(python)


def measure(peer, task, size, limit):
    """One fresh process; None if it fails or takes too long."""
    command = [python_of(peer), __file__, "--worker", peer, task, size]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=os.environ, check=True)
    except subprocess.TimeoutExpired:
        return f"over {limit} s"
    except subprocess.CalledProcessError as error:
        return f"failed: {error.stderr.strip().splitlines()[-1][:80]}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    """Take turns and print the table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="large", choices=("small", "medium", "large"))
    parser.add_argument("--peers", nargs="*", default=["diff-diff", "csdid"], choices=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=300)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(*args.worker)
        return
    print("| task | size | package | CPU s | wall s | peak MB | ratio to groupeffect (CPU) | overall estimate (se) |")
    print("|---|---|---|---|---|---|---|---|")
    for task in args.tasks:
        rows = {peer: [] for peer in ["groupeffect", *args.peers]}
        for _ in range(args.rounds):
            for peer in rows:
                rows[peer].append(measure(peer, task, args.size, args.limit))
        own = [row["cpu"] for row in rows["groupeffect"]]
        for peer, found in rows.items():
            if any(isinstance(row, str) for row in found):
                print(
                    f"| {task} | {args.size} | {peer} | {next(row for row in found if isinstance(row, str))} | | | | |"
                )
                continue
            ratio = statistics.median(row["cpu"] / mine for row, mine in zip(found, own, strict=True))
            cpu, wall, peak = (statistics.median(row[key] for row in found) for key in ("cpu", "wall", "peak_mb"))
            last = found[-1]
            print(
                f"| {task} | {args.size} | {peer} | {cpu:.2f} | {wall:.2f} | {peak:.0f} "
                f"| {ratio:.2f} | {last['estimate']:.4f} ({last['std_error']:.5f}) |"
            )


if __name__ == "__main__":
    main()
