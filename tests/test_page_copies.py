"""The copies view in Chromium: films of a seed, clips of known seconds of them, and both locked together."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import av
import numpy as np
import pytest
from browsing import Tab
from clips import library as open_library
from films import FPS, HEIGHT, WIDTH, film, write
from PIL import Image
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
CLIP, FILM = (f"document.querySelectorAll('.reel video')[{n}]" for n in (0, 1))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films: `mixed` holds seconds 2 to 6 of the first from its fourth on; browsers do not play `old tape`."""
    root = tmp_path_factory.mktemp("page")
    for seed in (1, 2):
        write(root / "films" / f"film{seed}.mp4", film(seed))
    write(root / "films" / "mixed.mp4", chain(film(3, 0, 4), film(1, 2, 6)))
    old(root / "films" / "old tape.avi", 5)
    write(root / "mirrored.mp4", film(1, 2.0, 6.0), lambda p: p[:, ::-1])
    write(root / "faster.mp4", film(2, 1.0, 7.0, speed=1.5))
    write(root / "tape.mp4", film(5, 1.0, 5.0))
    write(root / "other.mp4", film(9, 0, 3))
    Image.new("RGB", (64, 64)).save(root / "picture.jpg")
    with open_library(root / "library") as library:
        library.index(root / "films")
    return root


def old(path: Path, seed: int) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=FPS, options={"qscale": "3"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in film(seed):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        out.mux(stream.encode(None))


def look(tab: Tab, clip: Path, matches: int = 1) -> None:
    """Drop a clip into the copies view."""
    tab.open("?view=copies")
    tab.drop(clip, on=".copies")
    tab.page.wait_for_selector(".copies:not(.loading) .match")
    assert tab.find(".match").count() == matches, tab.find(".matches").inner_text()


def compare(tab: Tab, name: str) -> None:
    tab.find(".match", has_text=name).first.click()
    ready(tab)


def ready(tab: Tab) -> None:
    tab.until(f"{CLIP}.readyState >= 2 && {FILM}.readyState >= 2")
    tab.page.wait_for_selector(".matrix:not(.loading) .here", state="attached")


def times(tab: Tab) -> tuple[float, float]:
    """Of the elements: where clip and film are."""
    clip, film_ = tab.page.evaluate(f"[{CLIP}.currentTime, {FILM}.currentTime]")
    return clip, film_


def settled(tab: Tab) -> tuple[float, float]:
    tab.until(f"!{CLIP}.seeking && !{FILM}.seeking && {CLIP}.paused && {FILM}.paused")
    return times(tab)


def stopped_amid(tab: Tab) -> tuple[float, float]:
    """Play the match from its start, and let the page pause the video on the way; where both are then."""
    for _ in range(5):  # if the machine halts meanwhile, they come to their end
        tab.page.evaluate(f"{CLIP}.pause()")
        settled(tab)
        with tab.seen(f"!{CLIP}.paused && !{FILM}.paused && {CLIP}.currentTime > 0.5", then=f"{FILM}.pause();"):
            tab.page.keyboard.press("s")
        clip, there = settled(tab)
        if clip < 3.9:
            return clip, there
    raise AssertionError("they do not stop")


# ----------------------------------------------------------------------------------------------------- the matches


def test_a_dropped_clip_lists_its_matches(tab: Tab, place: Path) -> None:
    look(tab, place / "mirrored.mp4", 2)
    assert tab.find(".clip strong").inner_text() == "mirrored.mp4"
    assert tab.find(".answer").inner_text().startswith("2 matches in 2 videos")
    row = tab.find(".match", has_text="mixed.mp4")
    assert "mirrored" in row.inner_text() and "picture" in row.inner_text() and "%" in row.inner_text()
    told = str(row.get_attribute("aria-label"))
    assert told.startswith("0:00.0 to 0:04.0 of the clip is 0:04.0 to 0:08.0 of mixed.mp4"), told
    box = row.locator(".where span").bounding_box()
    whole = row.locator(".where").bounding_box()
    assert box is not None and whole is not None and box["width"] > 0.9 * whole["width"]
    assert tab.overflow() <= 0


def test_nothing_found_and_something_else_dropped(tab: Tab, place: Path) -> None:
    tab.open("?view=copies")
    assert "Drop a clip" in tab.find(".copies .hint").inner_text()
    tab.drop(place / "other.mp4", on=".copies")
    tab.page.wait_for_selector(".copies:not(.loading) .answer:has-text('No copies found.')")
    tab.drop(place / "picture.jpg", on=".copies")
    tab.find(".toast.bad", has_text="picture.jpg is not a video").wait_for()
    tab.page.goto(f"{tab.url}?view=copies&c=*gone:some.mp4")
    tab.find(".toast.bad", has_text="no longer on the server").wait_for()
    tab.expect("404")


def test_only_in_a_folder(tab: Tab, place: Path) -> None:
    look(tab, place / "mirrored.mp4", 2)
    tab.find(".asked input[type=text]").fill("mixed*")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_function("document.querySelectorAll('.match').length === 1")
    assert "mixed.mp4" in tab.find(".match").inner_text() and "in=mixed*" in tab.page.url


# ------------------------------------------------------------------------------------------------ locked together


def test_both_play_and_what_happens_to_one_happens_to_the_other(tab: Tab, place: Path) -> None:
    look(tab, place / "mirrored.mp4", 2)
    with tab.seen(f"!{CLIP}.paused && !{FILM}.paused && {CLIP}.currentTime > 0.5"):  # by itself
        compare(tab, "mixed.mp4")
    assert str(tab.page.evaluate(f"{CLIP}.src")).startswith("blob:")
    assert tab.page.evaluate(f"{CLIP}.classList.contains('flipped') && !{FILM}.classList.contains('flipped')")
    assert tab.page.evaluate(f"!{CLIP}.muted && {FILM}.muted")
    clip, there = stopped_amid(tab)
    assert there == pytest.approx(clip + 4, abs=0.15)
    tab.page.evaluate(f"{CLIP}.currentTime = 1.5")
    tab.until(f"Math.abs({FILM}.currentTime - 5.5) < 0.15")
    tab.page.evaluate(f"{FILM}.currentTime = 7")
    tab.until(f"Math.abs({CLIP}.currentTime - 3) < 0.15")
    assert tab.find(".pair .clock").inner_text() in ("0:03.0 ↔ 0:07.0", "0:02.9 ↔ 0:07.0", "0:03.0 ↔ 0:06.9")
    with tab.seen(f"!{CLIP}.paused"):
        tab.page.evaluate(f"{FILM}.play()")
    settled(tab)  # it stops at the end of the match by itself
    clip, there = times(tab)
    assert clip == pytest.approx(4, abs=0.3) and there == pytest.approx(clip + 4, abs=0.2)
    tab.find(".pair").get_by_label("Mirror the clip").click()
    assert not tab.page.evaluate(f"{CLIP}.classList.contains('flipped')")
    tab.find(".reel").nth(1).get_by_label("Sound on").click()
    assert tab.page.evaluate(f"{CLIP}.muted && !{FILM}.muted")
    slider = tab.find(".reel input").nth(1)
    slider.fill("5.0")
    tab.until(f"Math.abs({CLIP}.currentTime - 1) < 0.15 && Math.abs({FILM}.currentTime - 5) < 0.15")
    tab.find(".pair").get_by_label("Close").click()
    assert tab.find(".pair").is_hidden() and "n=" not in tab.page.url


def test_a_faster_clip_runs_beside_the_video_at_its_speed(tab: Tab, place: Path) -> None:
    look(tab, place / "faster.mp4")
    assert "1.5 × speed" in tab.find(".match").inner_text()
    compare(tab, "film2.mp4")
    tab.until(f"{CLIP}.currentTime > 1.2")
    assert tab.page.evaluate(f"{FILM}.playbackRate") == pytest.approx(1.5, abs=0.2)
    if not tab.page.evaluate(f"{CLIP}.paused"):  # on a busy machine they may be at their end by now
        tab.page.keyboard.press(" ")
    clip, there = settled(tab)
    assert there == pytest.approx(1 + 1.5 * clip, abs=0.25)


def test_the_picture_of_the_match_shows_where_it_is_and_a_click_goes_there(tab: Tab, place: Path) -> None:
    look(tab, place / "mirrored.mp4", 2)
    compare(tab, "mixed.mp4")
    tab.page.keyboard.press(" ")
    settled(tab)
    colours = tab.page.evaluate(
        "(() => { const c = document.querySelector('.matrix canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data;"
        " const s = new Set(); for (let i = 3; i < d.length; i += 4) s.add(d[i]); return s.size; })()"
    )
    assert colours > 20
    area = tab.find(".matrix .area")
    box = area.bounding_box()
    assert box is not None
    tab.page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 5)
    tab.until(f"Math.abs({CLIP}.currentTime - 3) < 0.2 && Math.abs({FILM}.currentTime - 7) < 0.25")
    area.focus()
    tab.page.keyboard.press("ArrowLeft")
    tab.until(f"Math.abs({CLIP}.currentTime - 2.8) < 0.2")
    tab.page.keyboard.press("Home")
    tab.until(f"{CLIP}.currentTime < 0.15")
    assert "↔" in str(area.get_attribute("aria-valuetext"))


def test_a_video_that_browsers_do_not_play_is_converted_beside_the_clip(tab: Tab, place: Path) -> None:
    look(tab, place / "tape.mp4")
    compare(tab, "old tape.avi")
    assert "/rendition?" in str(tab.page.evaluate(f"{FILM}.src"))
    tab.page.keyboard.press(" ")
    settled(tab)
    tab.page.evaluate(f"{CLIP}.currentTime = 2")
    assert tab.find(".pair .clock").inner_text() != ""
    tab.until("document.querySelectorAll('.reel input')[1].valueAsNumber > 2.7")
    assert float(tab.find(".reel input").nth(1).input_value()) == pytest.approx(3, abs=0.2)


# ------------------------------------------------------------------------------------------- from the library


def test_find_copies_of_a_video_and_the_address_brings_it_back(tab: Tab, browser: Browser) -> None:
    tab.open("?view=library")
    tab.find(".video", has_text="film1.mp4").get_by_label("Find copies").click()
    tab.page.wait_for_selector(".copies:not(.loading) .match")
    assert tab.find(".match").count() == 1
    assert re.match(
        r"0:0(1.9|2.0) – 0:0(6.0|5.9)\n0:0(3.9|4.0) – 0:0(7.9|8.0)", tab.find(".match .ranges").inner_text()
    )
    compare(tab, "mixed.mp4")
    assert "/stream" in str(tab.page.evaluate(f"{CLIP}.src"))
    assert tab.page.evaluate(f"{CLIP}.currentTime") >= 1.8
    other = Tab(browser, tab.page.url, locale="en-US")
    other.url = tab.url
    other.page.goto(tab.page.url)
    other.page.wait_for_selector(".match.current")
    ready(other)
    assert (
        other.find(".pair h2").inner_text() == "film1.mp4 ↔ mixed.mp4"
        and other.find(".clip strong").inner_text() == "film1.mp4"
    )
    other.close()


def test_find_copies_of_a_moment_in_the_player(tab: Tab, place: Path) -> None:
    mixed = tab.open("?view=library").find(".video", has_text="mixed.mp4")
    mixed.locator(".picture").click()
    tab.until("document.querySelector('.player video').readyState >= 2")
    tab.find(".player").get_by_text("Find copies").click()
    tab.page.wait_for_selector(".copies:not(.loading) .match")
    assert tab.find(".player").is_hidden() and "film1.mp4" in tab.find(".match").inner_text()


def test_find_copies_of_a_clip_of_a_search_and_after_a_reload_it_is_not_here(tab: Tab, place: Path) -> None:
    tab.open()
    with tab.answered():
        tab.drop(place / "mirrored.mp4")
    tab.find(".part").get_by_label("Find copies").click()
    tab.page.wait_for_selector(".copies:not(.loading) .match")
    compare(tab, "film1.mp4")
    assert str(tab.page.evaluate(f"{CLIP}.src")).startswith("blob:")
    tab.page.reload()
    tab.find(".reel .remark.bad", has_text="Choose it again").wait_for()
    tab.until(f"{FILM}.readyState >= 2")
    tab.page.keyboard.press(".")  # the video alone goes on
    tab.until(f"{FILM}.currentTime > 1.9")


def test_the_copies_within_the_library(tab: Tab) -> None:
    tab.open("?view=copies")
    tab.page.get_by_role("button", name="Copies within the library").click()
    tab.find(".copy-group").first.wait_for()
    group = tab.find(".copy-group").first
    assert "No file is touched" in tab.find(".answer").inner_text() and "Keep" in group.locator("h3").inner_text()
    assert sorted(group.locator(".name").all_inner_texts()) == ["film1.mp4", "mixed.mp4"]
    group.locator("button.match").click()
    ready(tab)
    names = tab.find(".pair h2").inner_text()
    assert "film1.mp4" in names and "mixed.mp4" in names and "c=library" in tab.page.url
    tab.page.keyboard.press(" ")
    clip, there = settled(tab)
    assert abs(abs(there - clip) - 2) < 0.25, "seconds 2 to 6 of the one are 4 to 8 of the other"
    tab.open()
    tab.search("blobs of colour")
    if tab.find(".fold").is_visible():
        tab.find(".fold").click()
    also = tab.find(".tile .also").first
    also.wait_for()
    assert also.inner_text() == "also in 1 more"
    assert (also.get_attribute("title") or "").startswith(("film1.mp4 ", "mixed.mp4 "))


def test_a_comparison_shows_how_far_it_is_and_can_be_left(tab: Tab) -> None:
    tab.open("?view=copies&c=library")
    tab.find(".copy-group").first.wait_for()
    again = tab.page.get_by_role("button", name="Compare again")
    tab.page.evaluate(_SEEN)
    # Both at once: the comparison may be done before another click comes.
    again.evaluate("""(again) => {
      again.click();
      [...document.querySelectorAll(".copies button")].find((b) => b.textContent === "Cancel").click();
    }""")
    tab.until("document.querySelector('.copies .answer').textContent === 'Stopped.'")
    assert tab.find(".copies progress").is_hidden() and tab.find(".copy-group").count() == 0
    tab.page.get_by_role("button", name="Copies within the library").click()
    tab.find(".copy-group").first.wait_for()
    again.click()
    tab.page.wait_for_selector(".copies:not(.loading) .copy-group")
    seen = tab.page.evaluate("window.seen")
    assert any(line.startswith(("Reading videos: ", "Comparing pairs of videos: ")) for line in seen), seen
    assert tab.find(".copies progress").is_hidden()


_SEEN = """() => {
  window.seen = [];
  const line = document.querySelector(".copies .answer");
  const watch = { childList: true, characterData: true, subtree: true };
  new MutationObserver(() => window.seen.push(line.textContent)).observe(line, watch);
}"""


def test_thumbs_are_noted(tab: Tab, place: Path) -> None:
    tab.open()
    tab.search("blobs of colour")
    if tab.find(".fold").is_visible():
        tab.find(".fold").click()
    tile = tab.find(".tile").first
    with tab.page.expect_response(lambda r: r.url.endswith("/judgements")) as told:
        tile.get_by_label("Wrong answer").click()
    said = told.value.json()
    assert told.value.status == 201 and said["query"] == "blobs of colour" and said["good"] is False
    tile.locator("[aria-label='Wrong answer'][aria-pressed=true]").wait_for()
    kept = (place / "library" / "judgements.jsonl").read_text(encoding="utf-8")
    assert "blobs of colour" in kept and said["video"] in kept
    tab.find(".not").fill("a cat")
    with tab.answered():
        tab.page.keyboard.press("Enter")
    assert tab.find(".tile").count() > 0 and tab.page.get_by_label("Wrong answer").count() == 0


# ------------------------------------------------------------------------------------- keyboard, phone, Chinese


def test_copies_with_the_keyboard_alone(tab: Tab) -> None:
    keys = tab.page.keyboard
    tab.open("?view=library")
    tab.find(".video", has_text="film1.mp4").get_by_label("Find copies").focus()
    keys.press("Enter")
    tab.page.wait_for_selector(".copies:not(.loading) .match")
    for _ in range(20):
        keys.press("Tab")
        if tab.page.evaluate("document.activeElement.matches('.match')"):
            break
    keys.press("Enter")
    ready(tab)
    with tab.seen(f"!{CLIP}.paused && !{FILM}.paused && {CLIP}.currentTime < 4"):
        keys.press("s")
    keys.press(" ")
    if settled(tab)[0] > 5:  # at the end of the match by then
        tab.page.evaluate(f"{CLIP}.currentTime = 3")
        tab.until(f"Math.abs({CLIP}.currentTime - 3) < 0.15 && Math.abs({FILM}.currentTime - 5) < 0.15")
        settled(tab)
    before = times(tab)
    keys.press(".")
    tab.until(f"{CLIP}.currentTime > {before[0]} + 0.03 && {FILM}.currentTime > {before[1]} + 0.03")
    keys.press("f")
    assert tab.page.evaluate(f"{CLIP}.classList.contains('flipped')")
    slider = tab.find(".reel input").first
    slider.focus()
    keys.press("Home")
    tab.until(f"{CLIP}.currentTime < 0.1")
    keys.press("Escape")
    assert tab.find(".pair").is_hidden()
    assert tab.page.evaluate("document.activeElement.matches('.match')")


def test_the_head_fits_on_a_phone(browser: Browser, url: str) -> None:
    tab = Tab(browser, url, 400, 800, is_mobile=True, has_touch=True, locale="en-US").open("?view=copies")
    last = tab.find(".top .icon").last.bounding_box()
    assert last is not None and last["x"] + last["width"] <= 400
    tab.close()


def test_copies_on_a_phone_in_chinese(browser: Browser, url: str, place: Path) -> None:
    tab = Tab(browser, url, 400, 800, is_mobile=True, has_touch=True, locale="zh-CN")
    look(tab, place / "mirrored.mp4", 2)
    assert tab.overflow() <= 0 and "镜像" in tab.find(".match").first.inner_text()
    tab.find(".match").first.tap()
    ready(tab)
    assert tab.overflow() <= 0
    for part in (".reel >> nth=0", ".reel >> nth=1", ".pair .knobs", ".pair header", ".matrix", ".top"):
        box = tab.find(part).bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 400, part
    above, below = tab.find(".reel").nth(0).bounding_box(), tab.find(".reel").nth(1).bounding_box()
    assert above is not None and below is not None and above["y"] + above["height"] <= below["y"]
    assert "亮处" in tab.find(".matrix figcaption").inner_text()
    last = tab.find(".top .icon").last.bounding_box()
    assert last is not None and last["x"] + last["width"] <= 400
    tab.close()
