#!/usr/bin/env python3
"""Judges the runs of a sweep on the test split, once, and prints a Markdown table.

usage: judge.py SWEEP.toml         (after `train sweep SWEEP.toml`; needs Python 3.11, scipy and ORT_DYLIB_PATH)

A run's model is exported and evaluated where its report is missing. The interval is Student's t over the seeds.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tomllib

from scipy import stats

BIN = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"


def judge(run, dataset):
    """The test accuracy and the validation accuracy of a run."""
    report = run / "report" / "report.json"
    training = run / "training.json"
    if not report.exists() or report.stat().st_mtime < training.stat().st_mtime:
        subprocess.run([BIN / "export", "-q", "--run", run], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([BIN / "evaluate", "-q", "--run", run, "--dataset", dataset], check=True,
                       stdout=subprocess.DEVNULL)
    quality = json.loads(report.read_text())["overall"]["without_duplicates"]
    return quality["accuracy"]["value"], json.loads(training.read_text())["valid_accuracy"]


def spread(values):
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{100 * mean:.2f}"
    reach = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{100 * mean:.2f} ± {100 * reach:.2f}"


sweep = tomllib.loads(pathlib.Path(sys.argv[1]).read_text())
runs = pathlib.Path(sweep["runs"])
names = [variant["name"] for variant in sweep.get("variant", [])] or sorted(path.name for path in runs.iterdir())
print("| variant | seeds | validation accuracy, % | test accuracy, % |")
print("|---|---|---|---|")
for name in names:
    judged = [judge(runs / name / f"seed-{seed}", sweep["dataset"].replace("{seed}", str(seed))) for seed in sweep["seeds"]
              if (runs / name / f"seed-{seed}" / "training.json").exists()]
    if judged:
        test, valid = zip(*judged)
        print(f"| {name} | {len(judged)} | {spread(valid)} | {spread(test)} |")
