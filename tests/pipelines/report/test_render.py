"""The page: complete, self-contained, and safe with strangers' file names."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from PIL import Image

from pipelines.report.gather import Materials, shown
from pipelines.report.pictures import sample
from pipelines.report.render import render, render_closing
from pipelines.report.scores import score_charts
from pipelines.steps.events import Closed
from tagloom.artifacts.experiment import Outcome
from tagloom.v1 import trainer_pb2

from .conftest import EVIL, encoded, run_materials, score, verdict

VOID = {"meta", "img", "br", "link", "input", "hr"}
SVG_LEAVES = {"line", "circle", "polygon", "polyline", "path"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects what was met."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def test_the_page_tells_the_whole_story(materials: Callable[..., Materials]) -> None:
    page = Page(render(materials(), "experiment: cats"))
    for says in (
        "Cats & <others>",
        "9 squares cut from 1 photo (of 3 photos collected)",
        "The gate's sentence of photos-32, ada.",
        "Better than the start",
        "again.png duplicate",
        "Not an image.",
        "2,000 = 125 steps \N{MULTIPLICATION SIGN} 16",
        "12.34 % (mean of tensors)",
        "1 min 1 s",
        "kernel_efficientnet_lite0",
        "they are not FID or KID",
        "--network runs/photos-32-ada/snapshots/000002.000 --seeds 0-15 --out pictures",
        "<b>Ann</b>",
        "damaged.jpg",
        "no picture",
    ):
        assert says in page.text, says


def test_equivariance_is_in_decibels_and_higher_is_better(
    materials: Callable[..., Materials],
) -> None:
    run = run_materials("photos-32, ada")
    for snapshot, value in zip(run.evaluation.snapshots, (41.5, 43.0, 44.25), strict=True):
        snapshot.scores.append(score("eqt_int", value, 0.5))
    page = Page(render(materials(run), "experiment: cats"))
    for says in (
        "Equivariance to translation, dB (eqt_int): higher is better",
        "44.25 dB [43.75, 44.75]",
        "eqt_int EQ-T, in decibels: the generator is told to move its image",
        "(kernel_efficientnet_lite0): lower is better",
    ):
        assert says in page.text, says
    (chart,) = [c for c in score_charts([run]) if "eqt_int" in c.title]
    assert min(float(name) for _, name in chart.y_ticks) > 30  # not squeezed by a zero


def test_nothing_is_loaded_and_every_picture_is_inside(
    materials: Callable[..., Materials],
) -> None:
    html = render(materials(), "experiment: cats")
    page = Page(html)
    for tag, attributes in page.attributes:
        assert tag not in {"link", "iframe", "object"}
        for name in ("src", "href", "xlink:href", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/", "#")), (tag, value)
    assert "url(" not in html
    assert "@import" not in html
    pictures = [attributes for tag, attributes in page.attributes if tag == "img"]
    assert len(pictures) == 4 + 1 + 1 + 3 * 3 + 1 + 6
    for attributes in pictures:
        data = base64.b64decode(str(attributes["src"]).partition("base64,")[2])
        with Image.open(io.BytesIO(data)) as image:
            assert image.width == int(str(attributes["width"]))
        assert attributes["alt"]


def test_file_names_are_text_never_markup(materials: Callable[..., Materials]) -> None:
    html = render(materials(), "title: </pre><script>alert(2)</script>")
    page = Page(html)
    assert sum(tag == "script" for tag, _ in page.attributes) == 1
    assert EVIL.rsplit("/", 1)[-1] in page.text
    assert "alert(2)" in page.text


def test_a_missed_gate_is_said_and_the_best_run_leads(
    materials: Callable[..., Materials],
) -> None:
    made = materials(
        run_materials("scratch, none", passed=False, scale=0.1), run_materials("photos-32, ada")
    )
    page = Page(render(made, "experiment: cats"))
    assert "Not shown to be better" in page.text
    assert "Better than the start" in page.text
    assert "The best of 2 runs: a StyleGAN3-T 16 px generator" in page.text
    assert "of runs/photos-32-ada/snapshots/000002.000, the snapshot with the best" in page.text


def test_charts_show_every_snapshot_from_kimg_0_with_its_interval(
    materials: Callable[..., Materials],
) -> None:
    html = render(materials(), "experiment: cats")
    titles = re.findall(r"<title>(Kernel distance: [^<]*)</title>", html)
    assert [title.split(" at ")[1].split(" ")[0] for title in titles] == ["0", "1", "2"]
    assert titles[0].endswith("(95 % interval 0.95 to 1.05)")
    # From kimg 0, where p is 0, and at every tick.
    titles = re.findall(r"<title>p, how often[^<]*</title>", html)
    assert len(titles) == 21
    assert ": 0 at 0 kimg" in titles[0]
    assert ": 0.2 at 2 kimg" in titles[-1]


def test_constant_augmentation_is_constant_from_kimg_0(
    materials: Callable[..., Materials],
) -> None:
    run = run_materials("photos-32, fixed")
    run.run.options.augment = trainer_pb2.TrainingOptions.AUGMENT_FIXED
    run.run.options.augment_p = 0.3
    titles = re.findall(r"<title>p, how often[^<]*</title>", render(materials(run), "a: b"))
    assert ": 0.3 at 0 kimg" in titles[0]


def test_alarms_are_shown_with_when_they_were_raised(materials: Callable[..., Materials]) -> None:
    run = run_materials("photos-32, ada")
    message = "The discriminator overfits: use an earlier snapshot."
    run.run.alarms.add(message=message, first_kimg=2.512, last_kimg=2.912)
    run.run.alarms.add(message="Runaway.", active=True, first_kimg=3, last_kimg=3)
    text = Page(render(materials(run), "a: b")).text
    assert "The discriminator overfits: use an earlier snapshot (at 2.512 to 2.912 kimg)." in text
    assert "Runaway (at 3 kimg, still so at the end)." in text
    assert "Alarm" not in Page(render(materials(), "a: b")).text


@pytest.mark.parametrize(("ema_kimg", "says"), [(0.5, True), (5, False), (20, False)])
def test_a_short_moving_average_is_explained_where_it_is_short(
    materials: Callable[..., Materials], ema_kimg: float, says: bool
) -> None:
    run = run_materials("photos-32, ada")
    run.run.options.ema_kimg = ema_kimg
    text = Page(render(materials(run), "a: b")).text
    assert ("shorter than the usual 5 of this batch" in text) is says
    assert "In this run it reached 0.2." in text


def test_commands_find_the_store_that_the_report_is_about(
    materials: Callable[..., Materials],
) -> None:
    text = Page(render(materials(), "a: b", options="--store '/a b'")).text
    assert "000002.000 --seeds 0-15 --out pictures --store '/a b'" in text
    assert "tagloom verdicts d --overlays overlays --store '/a b'" in text
    assert ".venv/bin/tagloom" in text
    assert "--store" not in Page(render(materials(), "a: b")).text


@pytest.mark.parametrize(("side", "kind"), [(32, "PNG"), (128, "PNG"), (512, "WEBP")])
def test_small_samples_stay_the_very_png_large_ones_are_reduced(side: int, kind: str) -> None:
    png = encoded("PNG", (1, 2, 3), side)
    picture = sample(png, "seed 0")
    data = base64.b64decode(picture.uri.partition("base64,")[2])
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == kind
        assert image.width == picture.width == min(side, 128)
    assert (data == png) is (side <= 128)


def test_the_wall_of_rejected_photos_shows_every_reason_first() -> None:
    faces = [verdict(f"{i:064}", f"{i}.jpg", kept=False) for i in range(100)]
    rare = verdict("f" * 64, "rare.jpg", kept=False)
    rare.failed_checks[:] = ["text"]
    walls = shown([*faces, rare])
    assert len(walls) == 48
    assert rare in walls


def test_the_wall_of_kept_photos_shows_every_check_that_nearly_rejected_one() -> None:
    kept = [verdict(f"{i:064}", f"{i}.jpg", kept=True) for i in range(100)]
    rare = verdict("f" * 64, "rare.jpg", kept=True)
    rare.results[0].check = "text"
    walls = shown([*kept, rare])
    assert len(walls) == 48
    assert rare in walls


def test_the_page_counts_what_each_check_rejected_of_all_photos_not_only_of_those_listed(
    materials: Callable[..., Materials],
) -> None:
    made = materials()
    made.verdicts += [verdict(f"{i:064}", f"{i}.jpg", kept=False) for i in range(1200)]
    made.dataset.judged_count = 1203
    page = Page(render(made, "experiment: cats"))
    assert "faces \N{LESS-THAN OR EQUAL TO} 0.5 confidence 1,202 1,202" in page.text
    assert "Every score of the 400 photos nearest to a threshold, of 1,203" in page.text
    assert "Counted among" not in page.text
    made.dataset.judged_count = 99_999  # more than a report reads
    page = Page(render(made, "experiment: cats"))
    assert "Counted among the 1,203 photos nearest to a threshold." in page.text


def test_an_address_is_a_link_and_a_path_is_none(materials: Callable[..., Materials]) -> None:
    post = "https://www.instagram.com/p/CODE/?img_index=2"
    made = materials()
    made.verdicts[0].source = post
    made.verdicts[2].source = "javascript://www.example.com/%0Aalert(1)"
    page = Page(render(made, "experiment: cats"))
    links = {a["href"] for tag, a in page.attributes if tag == "a"}
    assert {link for link in links if link is None or not link.startswith("#")} == {post}
    assert "CODE, 2" in page.text


def test_what_is_missing_is_said_first(materials: Callable[..., Materials]) -> None:
    page = Page(render(materials(), "experiment: cats", notice=f"Not complete. {EVIL}"))
    assert f"Not complete. {EVIL}" in page.text
    assert "Incomplete" not in Page(render(materials(), "experiment: cats")).text


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_the_closing_page(materials: Callable[..., Materials], state: str) -> None:
    outcome = Outcome(
        label="scratch, ada",
        run="runs/r",
        evaluation="evaluations/e",
        best_snapshot="runs/r/snapshots/000002.000",
        kernel_distance=0.5,
        gate_passed=True,
        gate_sentence="It fell.",
    )
    closed = Closed(
        step="close",
        state=state,
        error=EVIL if state == "failed" else "",
        report="s3://tagloom/experiments/cats/report.html",
        collection="collections/c",
        outcomes=(outcome,),
    )
    page = Page(render_closing(materials().spec, closed))
    for says in ("Cats & <others>", "collections/c", "It fell.", "runs/r/snapshots/000002.000"):
        assert says in page.text
    if state == "failed":
        assert EVIL in page.text
    else:
        assert "The report lies at s3://tagloom/experiments/cats/report.html" in page.text
