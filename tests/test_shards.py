"""NumPy and Pillow open what `preprocess` writes, and find in it what is said of it."""

import base64
import hashlib
import json
import subprocess

import numpy
import pytest
from conftest import BINARIES, PROJECT
from PIL import Image

SPLITS = ["train", "valid", "test"]


@pytest.fixture(scope="module")
def dataset(shards):
    return json.loads((shards / "dataset.json").read_text())


@pytest.fixture(scope="module")
def splits(shards, dataset):
    """Images, labels and names of each split, by NumPy."""
    found = {}
    for name in SPLITS:
        parts = [
            (numpy.load(shards / shard["images"]["path"]), numpy.load(shards / shard["labels"]["path"]),
             (shards / shard["names"]["path"]).read_text().splitlines())
            for shard in dataset["splits"][name]["shards"]
        ]
        images, labels, names = zip(*parts)
        found[name] = numpy.concatenate(images), numpy.concatenate(labels), sum(names, [])
    return found


def test_numpy_opens_the_shards_and_counts_what_dataset_json_says(dataset, splits):
    for name in SPLITS:
        images, labels, names = splits[name]
        said = dataset["splits"][name]
        assert images.dtype == labels.dtype == numpy.uint8
        assert images.shape == (said["images"], dataset["height"], dataset["width"])
        assert len(names) == len(labels) == said["images"]
        assert numpy.bincount(labels, minlength=len(dataset["classes"])).tolist() == said["images_by_class"]


def test_every_digest_is_sha256_of_the_file(shards, dataset):
    for name in SPLITS:
        for shard in dataset["splits"][name]["shards"]:
            for kind in ["images", "labels", "names"]:
                file = shard[kind]
                assert hashlib.sha256((shards / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    assert hashlib.sha256((shards / "removed.jsonl").read_bytes()).hexdigest() == dataset["removed_list"]


def test_every_row_is_what_pillow_reads_from_the_file_of_its_name(shards, dataset, splits):
    raw = shards.parent / "raw"
    for name in SPLITS:
        images, labels, names = splits[name]
        for image, label, file in zip(images[::17], labels[::17], names[::17]):
            assert (numpy.asarray(Image.open(raw / file)) == image).all(), file
            assert file.split("/")[-2] == dataset["classes"][label]


def test_mean_and_deviation_are_numpy_s(dataset, splits):
    pixels = splits["train"][0] / 255
    assert dataset["mean"] == pytest.approx(pixels.mean(), abs=1e-12)
    assert dataset["standard_deviation"] == pytest.approx(pixels.std(), abs=1e-12)


def test_no_image_is_in_two_places_and_no_font_in_two_splits(splits):
    digests = [hashlib.sha256(image.tobytes()).digest() for name in SPLITS for image in splits[name][0]]
    # In the test split the same pixels may stand under two labels; they are reported, not dropped.
    contested = len(splits["test"][0]) - len({image.tobytes() for image in splits["test"][0]})
    assert len(digests) - len(set(digests)) == contested
    fonts = {
        name: {base64.b64decode(file.split("/")[-1].removesuffix(".png"), altchars=b"-_") for file in splits[name][2]}
        for name in SPLITS
    }
    assert all(len(fonts[name]) > 10 for name in SPLITS)
    assert not (fonts["train"] & fonts["valid"] or fonts["train"] & fonts["test"] or fonts["valid"] & fonts["test"])


def test_an_archive_gives_the_bytes_of_its_unpacked_folders(chain, tmp_path):
    archive = PROJECT / "fetch" / "sample" / "notMNIST_sample.tar.gz"
    subprocess.run([BINARIES / "fetch", "-q", "--archive", archive, "--output", tmp_path / "raw"], check=True)
    for source, output in [(["--input", tmp_path / "raw"], "unpacked"), (["--archive", archive], "streamed")]:
        subprocess.run([BINARIES / "preprocess", "-q", *source, "--output", tmp_path / output], check=True)

    def artifacts(folder):
        """The files but for what the clock said."""
        return sorted(path.relative_to(folder) for path in folder.rglob("*")
                      if path.is_file() and not path.name.startswith("timings"))

    files = artifacts(tmp_path / "unpacked")
    assert len(files) >= 11
    assert files == artifacts(tmp_path / "streamed")
    for file in files:
        assert (tmp_path / "unpacked" / file).read_bytes() == (tmp_path / "streamed" / file).read_bytes(), file
