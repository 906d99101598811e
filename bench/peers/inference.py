#!/usr/bin/env python3
"""Runs a model by onnxruntime's Python API over the test split; prints images a second.

usage: inference.py MODEL.onnx SHARDS BATCH THREADS SECONDS
"""
import json
import pathlib
import sys
import time

import numpy
import onnxruntime

model, folder, batch, threads, enough = sys.argv[1], pathlib.Path(sys.argv[2]), *map(float, sys.argv[3:6])
batch = int(batch)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
shards = json.loads((folder / "dataset.json").read_text())["splits"]["test"]["shards"]
images = numpy.concatenate([numpy.load(folder / shard["images"]["path"]) for shard in shards])
if session.get_inputs()[0].type == "tensor(float)":
    images = images.astype(numpy.float32)


def all_images():
    start = time.perf_counter()
    for first in range(0, len(images), batch):
        session.run(None, {name: images[first:first + batch]})
    return time.perf_counter() - start


all_images()
start, found = time.perf_counter(), []
while len(found) < 5 or time.perf_counter() - start < enough:
    found.append(all_images())
print(len(images) / sorted(found)[len(found) // 2])
