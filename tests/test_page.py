"""report.html in headless Chromium, and what its words and figures must be whatever the data."""

import itertools
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree

import numpy
import pytest
from conftest import BINARIES, PROJECT, read
from PIL import Image
from playwright.sync_api import sync_playwright

WIDTHS = {"desk": 1280, "phone": 360}
FIGURES = {
    "accuracy", "accuracy-by-coverage", "accuracy-intervals", "confusion-counts", "confusion-rows", "first-layer-weights",
    "learning-rate", "loss", "precision-by-prevalence", "recall-and-precision", "reliability-before", "roc",
    "saliency",
}
AGAINST_ANOTHER = "against-another"
SECTIONS = ["how-good", "by-class", "by-bayes", "how-sure", "where-it-fails", "what-it-learned", "how-it-was-made"]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="session")
def browser():
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not path:
        pytest.fail("no Chromium was found\nhint: `apt-get install chromium`, or name one with CHROMIUM=/path/to/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


# Data to judge on: a folder of class folders each, training and test.


def image(generator, label, side=8):
    """A bright row or column for each class, and noise that tells any two images apart."""
    pixels = generator.integers(0, 60, (side, side), dtype=numpy.uint8)
    if label < side:
        pixels[label] = 255
    else:
        pixels[:, label % side] = 200
        pixels[label // side] = 255
    return pixels


def write_letters(folder, counts, side=8, moved=0):
    """Every class has the images of the one `moved` places behind it."""
    generator = numpy.random.default_rng(0 if folder.name == "train" else 1)
    for label, (name, images) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(images):
            pixels = image(generator, (label + moved) % len(counts), side)
            Image.fromarray(pixels).save(folder / name / f"{number} <b>&\"'.png")


def run(stage, *arguments):
    environment = {"ORT_DYLIB_PATH": str(PROJECT / ".cache/onnxruntime/libonnxruntime.so"), **os.environ}
    done = subprocess.run([BINARIES / stage, *map(str, arguments)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def evaluated(folder, train, test, *training, moved=0):
    """The report's folder, of a chain of the real binaries."""
    write_letters(folder / "train", train)
    write_letters(folder / "test", test, moved=moved)
    shards, chain = folder / "shards", folder / "run"
    run("preprocess", "--input", folder / "train", "--test-input", folder / "test", "--output", shards, "--name", "<i>&",
        "--valid-fraction", "0.25")
    run("train", "--dataset", shards, "--run", chain, "--hidden", "16", "--epochs", "4", "--batch-size", "32", *training)
    run("export", "--run", chain)
    run("evaluate", "--dataset", shards, "--run", chain)
    return chain / "report"


LETTERS = dict.fromkeys("ABC", 40)
SIXTY_TWO = [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", *(f"{letter}_" for letter in "abcdefghijklmnopqrstuvwxyz")]
HOSTILE = ["<img src=x onerror=alert(1)>", "\"&'<b>", "<script>alert(1)", "a name " * 17 + "!"]
ALL_WRONG, NONE_WRONG = "all wrong", "classes never predicted, and none wrong"
COMPARED = "two classes, compared without fonts"
SHARES = {ALL_WRONG: 0, NONE_WRONG: 1}
EXTREMES = {
    COMPARED: (dict.fromkeys("AB", 40), dict.fromkeys("AB", 10)),
    "a class that the test set lacks": (LETTERS, {"A": 10, "B": 10, "C": 0}),
    NONE_WRONG: (LETTERS, {"A": 10, "B": 0, "C": 0}, "--learning-rate", "0.02", "--epochs", "20"),
    ALL_WRONG: (LETTERS, dict.fromkeys("ABC", 10), "--learning-rate", "0.02", "--epochs", "20"),
    "one image": (LETTERS, {"A": 1, "B": 0, "C": 0}),
    "nothing learned": (LETTERS, dict.fromkeys("ABC", 10), "--learning-rate", "1e-12", "--epochs", "1"),
    "softmax regression": (LETTERS, dict.fromkeys("ABC", 10), "--hidden", "none"),
    "62 classes": (dict.fromkeys(SIXTY_TWO, 8), dict.fromkeys(SIXTY_TWO, 2)),
    "hostile names": (dict.fromkeys(HOSTILE, 20), dict.fromkeys(HOSTILE, 4)),
}


@pytest.fixture(scope="session", params=["sample", "every question asked", *EXTREMES])
def report(request, tmp_path_factory):
    """A report's folder."""
    if request.param == "sample":
        return request.getfixturevalue("run_directory") / "report"
    if request.param == "every question asked":
        return request.getfixturevalue("asked_run") / "report"
    train, test, *training = EXTREMES[request.param]
    folder = evaluated(tmp_path_factory.mktemp("extreme"), train, test, *training, moved=int(request.param == ALL_WRONG))
    if request.param == COMPARED:
        shards, other = folder.parent.parent / "shards", folder
        folder = folder.parent / "compared"
        run("evaluate", "--dataset", shards, "--run", folder.parent, "--compare", other, "--output", folder)
    accuracy = json.loads((folder / "report.json").read_text())["overall"]["without_duplicates"]["accuracy"]
    if request.param in SHARES:
        assert accuracy["value"] == SHARES[request.param]
    return folder


@pytest.fixture(scope="session")
def screen(browser):
    """A page that shows one address after another, and what the browser has to say against the one of `asked`."""
    page = browser.new_page()
    asked, complaints = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.on("requestfailed", lambda failed: complaints.append(failed.url))
    page.on("request", lambda request: request.url.startswith("data:") or [request.url] == asked or complaints.append(request.url))
    return page, asked, complaints


@pytest.fixture
def opened(screen, report):
    """Opens a page of the report's folder; gives what the browser had to say against it."""
    page, asked, complaints = screen

    def opened(name, width=1280, scheme="light"):
        page.goto("about:blank")
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        complaints.clear()
        asked[:] = [(report / name).as_uri()]
        page.goto(*asked)
        return page, complaints
    return opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_the_screen_and_chromium_has_nothing_against_it(opened, report, width, scheme):
    for name in ["report.html", "timings.html"]:
        page, complaints = opened(name, WIDTHS[width], scheme)
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        wide = page.evaluate("""[...document.querySelectorAll('main *')].filter(element =>
            !element.closest('.scroll') && element.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)""")
        assert wide == []
        background, ink = page.evaluate("[getComputedStyle(document.documentElement).backgroundColor, "
                                        "getComputedStyle(document.body).color]")
        assert (brightness(background) > brightness(ink)) == (scheme == "light")
        page.wait_for_function("[...document.images].every(image => image.complete)")
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0 && image.alt)")
        assert page.locator("script").count() == 0
        assert complaints == []


def brightness(colour):
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])


def test_every_figure_is_there_with_a_title_words_and_a_file(opened, report):
    page, _ = opened("report.html")
    shown = page.evaluate("""[...document.querySelectorAll('svg.figure')].map(svg => {
        const text = name => document.getElementById(svg.getAttribute(name)).textContent;
        const box = svg.getBoundingClientRect();
        return [svg.closest('figure').id, text('aria-labelledby'), text('aria-describedby'), box.width > 100 && box.height > 40];
    })""")
    names = [name.removeprefix("figure-") for name, *_ in shown]
    # There is none after a temperature where none is better than 1.
    is_fitted = json.loads((report / "report.json").read_text())["calibration"]["after"] is not None
    assert set(names) == FIGURES | ({"reliability-after"} if is_fitted else set()) and len(set(names)) == len(names)
    assert all(title and words and is_visible for _, title, words, is_visible in shown)
    without_label = page.evaluate("""[...document.querySelectorAll('svg.figure')].filter(svg =>
        svg.querySelector('line.axis') && ![...svg.querySelectorAll('text.label')].some(label => label.textContent))
        .map(svg => svg.closest('figure').id)""")
    assert without_label == []
    assert sorted(path.stem for path in (report / "figures").iterdir()) == sorted(names)
    for name in names:
        file = report / "figures" / f"{name}.svg"
        root = xml.etree.ElementTree.parse(file).getroot()
        assert root.tag == f"{SVG}svg" and root.find(f"{SVG}title").text and root.find(f"{SVG}desc").text
        page, complaints = opened(f"figures/{name}.svg")
        assert page.evaluate("document.documentElement.getBoundingClientRect().width > 100")
        assert complaints == []


def test_what_is_drawn_lies_within_its_figure(opened):
    page, _ = opened("report.html")
    outside = page.evaluate("""[...document.querySelectorAll('svg.figure')].flatMap(svg => {
        const box = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('text, rect, circle, path, image')].filter(mark => {
            const at = mark.getBoundingClientRect();
            return at.left < box.left - 2 || at.right > box.right + 2 || at.top < box.top - 2 || at.bottom > box.bottom + 2;
        }).map(mark => svg.closest('figure').id + ': ' + mark.outerHTML);
    })""")
    assert outside == []


def test_no_figure_of_the_page_is_not_a_number(opened, report):
    page, _ = opened("report.html")
    assert not re.search(r"\b(NaN|inf|Infinity|None|null)\b", page.locator("body").inner_text())
    sources = [report / "report.html", *(report / "figures").iterdir()]
    for source in sources:
        assert not re.search(r"[\" ,(>LM]-?(NaN|inf)\b", source.read_text()), source
    undefined = json.loads((report / "report.json").read_text())["undefined"]
    told = page.locator("#undefined tbody tr").count()
    assert told == len(undefined)


def absent(value, path=()):
    """The paths of what is null. A part of a list that has a class, a split or a name is called so in its path."""
    if value is None:
        yield ".".join(path)
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from absent(part, (*path, name))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            names = part if isinstance(part, dict) else {}
            yield from absent(part, (*path, names.get("class") or names.get("split") or names.get("name") or str(place)))


# Of Bayes' theorem, where what it is applied to is explained.
APPLIED_TO = {"recall": "recall", "says_and_is": "recall", "false_alarm_rate": "false_alarm_rate",
              "says_and_is_not": "false_alarm_rate", "counted_precision": "precision"}


def test_what_is_absent_is_said_to_be_with_the_reason(report):
    """But for what was not asked for, and what is of no image, of which the number stands beside it."""
    found = json.loads((report / "report.json").read_text())
    undefined = found.pop("undefined")
    reasons = {one["figure"]: one["reason"] for one in undefined}
    assert all(reasons.values()) and len(reasons) == len(undefined)
    classes = found["model"]["classes"]
    for bin_ in [bin_ for when in ("before", "after") for bin_ in (found["calibration"][when] or {}).get("equal_width", [])]:
        if bin_["accuracy"]["total"] == 0:
            assert bin_.pop("mean_confidence") is None and bin_.pop("accuracy")["value"] is None
    unexplained = []
    for path in absent(found):
        path = re.sub(r"(\.precision\.|\.thresholds\.)(\d+)$", lambda place: place[1] + classes[int(place[2])], path)
        applied = re.fullmatch(r"bayes\.classes\.(.*)\.(\w+)", path, re.DOTALL)
        applied = applied and f"by_class.classes.{applied[1]}.{APPLIED_TO.get(applied[2])}"
        path = re.sub(r"^learned\.first_layer\.\d+\.", "learned.first_layer.", path)
        repeated = re.sub(r"\.(posterior_after_images|precision_by_prevalence)\.\d+$", ".posterior", path)
        is_asked = not re.fullmatch(r"comparison|bayes\.estimated_prior|making\..*|.*\.font", path, re.DOTALL)
        if is_asked and applied not in reasons and not any(repeated.startswith(figure) for figure in reasons):
            unexplained.append(path)
    assert unexplained == []


def test_a_network_without_a_hidden_layer_is_not_said_to_have_one(opened, report):
    page, _ = opened("report.html")
    is_regression = not json.loads((report / "report.json").read_text())["model"]["hidden"]
    assert page.locator(".meta").inner_text().startswith("Softmax regression" if is_regression else "A multilayer perceptron")
    learned = page.locator("#what-it-learned")
    words = "its pixels" if is_regression else "what the last hidden layer makes of it"
    assert f"By the distance of {words} from the class's mean." in learned.inner_text()
    assert ("active for" in learned.inner_html().replace("active for an image", "")) != is_regression


def test_every_section_and_every_note_is_reached(opened, report):
    page, _ = opened("report.html")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(set(ids)) == len(ids)
    links = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(link => link.getAttribute('href').slice(1))")
    assert set(links) <= set(ids)
    files = page.evaluate("[...document.querySelectorAll('a')].map(link => link.getAttribute('href')).filter(to => to[0] != '#')")
    assert len(files) >= len(FIGURES) and [to for to in files if not (report / to).is_file()] == []
    is_compared = json.loads((report / "report.json").read_text())["comparison"] is not None
    expected = [*SECTIONS, *([AGAINST_ANOTHER] if is_compared else [])]
    assert [name for name in ids if name in {*SECTIONS, AGAINST_ANOTHER}] == expected
    assert page.locator("h1").count() == 1 and page.locator("nav").count() == 1


def test_names_are_words_and_nothing_else(opened, report):
    page, _ = opened("report.html")
    classes = json.loads((report / "report.json").read_text())["model"]["classes"]
    rows = page.locator("#by-class table").first.locator("tbody tr th").all_inner_texts()
    assert [name.strip() for name in rows] == [*classes, "macro average", "weighted average"]
    assert page.locator("main b").count() == 0 and page.locator("img[onerror]").count() == 0


# The sample's report.


def test_the_page_says_what_the_report_counts(browser, chain):
    folder = chain.run() / "report"
    report = json.loads((folder / "report.json").read_text())
    page = browser.new_page(java_script_enabled=False)
    page.goto((folder / "report.html").as_uri())
    words = page.locator(".verdict").inner_text().replace("\u00a0", " ")
    accuracy = report["overall"]["without_duplicates"]["accuracy"]
    assert f"names {accuracy['count']} rightly: {100 * accuracy['value']:.1f} %" in words
    cells = page.locator("#by-class table").first.locator("tbody tr").first.locator("td").all_inner_texts()
    first = report["by_class"]["classes"][0]
    assert cells[:2] == [str(first["support"]), str(first["predicted"])]
    assert cells[2].split()[0] == f"{100 * first['recall']['value']:.1f}"
    def ends(interval):
        return " to ".join(f"{100 * end:.1f}" for end in interval)

    came = report["overall"]["as_it_came"]
    row = page.locator("#how-good table tbody tr").first.locator("td").all_inner_texts()
    assert [cell.strip() for cell in row[:4]] == [
        f"{100 * accuracy['value']:.1f}", ends(accuracy["wilson_95"]), ends(accuracy["jeffreys_95"]),
        ends(report["overall"]["without_duplicates"]["intervals"]["accuracy_95"]),
    ]
    assert row[4].split("\n") == [f"{100 * came['accuracy']['value']:.1f}", ends(came["intervals"]["accuracy_95"])]
    errors = report["failures"]["confident_errors"]
    shown = page.locator("#where-it-fails .gallery li")
    issues = sum(min(len(issues["images_found"]), 48) for issues in report["failures"]["label_issues"])
    assert shown.count() == len(errors) + len(report["failures"]["unsure_successes"]) + issues
    assert errors[0]["file"] in shown.first.inner_text()
    page.close()


def test_the_page_of_times_says_what_the_clock_said(browser, chain):
    folder = chain.run() / "report"
    timings = json.loads((folder / "timings.json").read_text())
    page = browser.new_page(java_script_enabled=False)
    page.goto((folder / "timings.html").as_uri())
    rows = {row.locator("th").inner_text(): row.locator("td").inner_text() for row in page.locator("tbody tr").all()}
    page.close()
    assert rows["provider"].startswith(f"{timings['provider']}, {timings['threads']} thread")
    assert rows["device"] == timings["device"] and f"model name\t: {timings['device']}\n" in open("/proc/cpuinfo").read()
    assert rows["throughput"].startswith(f"{timings['images_per_second']:,.0f} images/s in batches of {timings['batch_size']}")
    for name, latency in [(f"latency of a batch of {timings['batch']['images']}", timings["batch"]),
                          ("latency of one image", timings["one_image"])]:
        median, slowest = (float(ms) for ms in re.findall(r"([\d.e-]+) ms", rows[name].replace("\u00a0", " ")))
        numpy.testing.assert_allclose([median, slowest], [1e3 * latency["median_seconds"],
                                                          1e3 * latency["percentile_99_seconds"]], rtol=0.01)
    assert [stage["stage"] for stage in timings["stages"]] == ["fetch", "preprocess", "export"]
    assert {"fetch", "preprocess", "export", "training steps"} <= rows.keys()


def test_the_pictures_of_the_galleries_have_the_pixels_of_their_images(browser, asked_run, shards):
    failures = json.loads((asked_run / "report" / "report.json").read_text())["failures"]
    lists = [("test", failures["confident_errors"]), ("test", failures["unsure_successes"])]
    lists += [(issues["split"], issues["images_found"][:48]) for issues in failures["label_issues"]]
    assert [split for split, _ in lists] == ["test", "test", "train", "valid", "test"]
    page = browser.new_page()
    page.goto((asked_run / "report" / "report.html").as_uri())
    shown = page.evaluate("""() => Promise.all([...document.querySelectorAll('#where-it-fails .gallery img')].map(async image => {
        image.loading = 'eager';  // One that is not in view is not loaded, and is waited for in vain.
        await image.decode();
        const canvas = Object.assign(document.createElement('canvas'), {width: image.naturalWidth, height: image.naturalHeight});
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        return [...context.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, index) => index % 4 == 0);
    }))""")
    page.close()
    images = {split: read(shards, split, "images") for split in ("train", "valid", "test")}
    expected = [images[split][found["row"]].ravel() for split, listed in lists for found in listed]
    numpy.testing.assert_array_equal(shown, expected)


def test_the_page_and_its_figures_are_the_same_bytes_each_time(chain, shards, tmp_path):
    names = ["report.html", *(f"figures/{path.name}" for path in (chain.run() / "report" / "figures").iterdir())]
    run("evaluate", "--run", chain.run(), "--dataset", shards, "--output", tmp_path, "--threads", "1")
    for name in names:
        assert (tmp_path / name).read_bytes() == (chain.run() / "report" / name).read_bytes(), name


# The colours.


# What the eye receives of red, green and blue light where one kind of cone is missing: G. M. Machado, M. M. Oliveira,
# L. A. F. Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, severity 1.
SIGHT = {
    "full": numpy.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = numpy.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # IEC 61966-2-1.


def linear(colour):
    """Linear red, green and blue (IEC 61966-2-1)."""
    parts = numpy.array([int(colour[place:place + 2], 16) / 255 for place in (1, 3, 5)])
    return numpy.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def luminance(colour):
    """WCAG 2.2, "relative luminance"."""
    return XYZ[1] @ linear(colour)


def lab(colour, sight):
    """CIE L*a*b*, to the white of the screen."""
    seen = numpy.clip(numpy.asarray(SIGHT[sight]) @ linear(colour), 0, 1)
    ratio = XYZ @ seen / XYZ.sum(axis=1)
    x, y, z = numpy.where(ratio > (6 / 29) ** 3, numpy.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return numpy.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def schemes():
    style = (PROJECT / "evaluate/src/page/svg/figure.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    schemes = list(filter(None, (dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in blocks)))
    assert len(schemes) == 2 and schemes[0].keys() == schemes[1].keys()
    return schemes


def test_words_and_marks_stand_out_from_the_paper_in_both_schemes():
    for colours in schemes():
        for name in colours.keys() - {"paper", "field", "rule"}:
            bright, dark = sorted([luminance(colours[name]), luminance(colours["paper"])], reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, name  # WCAG 2.2, 1.4.3.


@pytest.mark.parametrize("sight", SIGHT)
def test_curves_are_told_apart_by_colour_however_one_sees(sight):
    """A difference of 2.3 is just noticed (M. Mahy, L. Van Eycken, A. Oosterlinck, 1994); each has a dash of its own too."""
    for colours in schemes():
        for one, other in itertools.combinations(["first", "second", "third"], 2):
            difference = numpy.linalg.norm(lab(colours[one], sight) - lab(colours[other], sight))
            assert difference > 15, (one, other)


@pytest.mark.parametrize("sight", SIGHT)
def test_pictures_of_weights_and_saliency_are_read_however_one_sees(sight):
    source = (PROJECT / "evaluate/src/page/picture.rs").read_text()

    def colours(name):
        text = re.search(rf"const {name}: [^=]*= (.*);", source)[1]
        triples = re.findall(r"\[(\d+)\.0, (\d+)\.0, (\d+)\.0\]", text)
        return [lab("#" + "".join(f"{int(part):02x}" for part in triple), sight) for triple in triples]

    # Below and above 0 differ from one another as from the white of 0.
    for one, other in itertools.combinations([*colours("BELOW"), *colours("ABOVE"), lab("#ffffff", sight)], 2):
        assert numpy.linalg.norm(one - other) > 30
    # The more, the lighter.
    lightness = [colour[0] for colour in colours("STOPS")]
    assert len(lightness) == 4 and (numpy.diff(lightness) > 10).all()
