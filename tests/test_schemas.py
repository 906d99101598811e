"""The fields of every JSON artifact are those of its schema version, in `tests/schemas.json`.

Where they have changed: raise the artifact's `SCHEMA_VERSION` if an old reader would be misled, and write the file anew with
`WRITE_SCHEMAS=1 PYTHONPATH=.cache/test-packages python3 -m pytest tests/test_schemas.py`.
"""

import json
import os
import pathlib

from safetensors import safe_open

SCHEMAS = pathlib.Path(__file__).with_name("schemas.json")
# Their keys are data.
MAPS = ("arguments", "inputs", "files", "converted", "hyperparameters")


def fields(value, place=""):
    """The paths of all values, without what the data decides: an element stands for all, and any key of a map for all."""
    if isinstance(value, dict):
        for key, inner in value.items():
            below = f"{place}.{key}".lstrip(".")
            yield from [f"{below}.*"] if key in MAPS and isinstance(inner, dict) else fields(inner, below)
    elif isinstance(value, list):
        yield f"{place}[]"
        for inner in value:
            yield from fields(inner, f"{place}[]")
    else:
        yield place


def schema(documents):
    """Of documents of one kind, which together have all fields. What is `null` in one may be more in another."""
    found = {field for document in documents for field in fields(document)}
    longer = {field for field in found if any(other != field and other.startswith((f"{field}.", f"{field}[")) for other in found)}
    return {"schema_version": documents[0]["schema_version"], "fields": sorted(found - longer)}


def description(path, key):
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()[key])


def test_every_artifact_has_the_fields_of_its_schema_version(chain, run_directory, asked_run):
    data = chain.folder / "data/sample"
    places = {
        "source.json": [data / "raw/source.json"],
        "dataset.json": [data / "shards/dataset.json"],
        "training.json": [run / "training.json" for run in (run_directory, asked_run)],
        "cross-validation.json": [asked_run / "cross-validation.json"],
        "export.json": [run / "export.json" for run in (run_directory, asked_run)],
        "report.json": [run / "report/report.json" for run in (run_directory, asked_run)],
        "timings.json": [run / "report/timings.json" for run in (run_directory, asked_run)],
    }
    found = {kind: schema([json.loads(path.read_text()) for path in paths]) for kind, paths in places.items()}
    for kind, key in [("checkpoint", "checkpoint"), ("training-state", "training_state")]:
        found[f"{kind}.safetensors"] = schema([description(run_directory / f"{kind}.safetensors", key)])
    if os.environ.get("WRITE_SCHEMAS"):
        SCHEMAS.write_text(json.dumps(found, indent=1) + "\n")
    expected = json.loads(SCHEMAS.read_text())
    assert found.keys() == expected.keys()
    for kind, schema_ in found.items():
        new, gone = (sorted(set(one["fields"]) - set(other["fields"]))
                     for one, other in [(schema_, expected[kind]), (expected[kind], schema_)])
        assert not new and not gone, f"{kind} has got {new} and lost {gone}: {__doc__}"
        assert schema_["schema_version"] == expected[kind]["schema_version"], kind
