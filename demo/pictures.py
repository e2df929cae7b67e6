"""Take the pictures of the README: the page over the demo's library, in Chromium. Run `make demo` first.

python demo/pictures.py [FOLDER]        # docs/images by default
"""

from __future__ import annotations

import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
ARGUMENTS = (
    "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update".split()
)
COLOURS = 192  # of a picture's palette: photographs stay good and the files small


@contextmanager
def server(library: Path, allowed: Path) -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "footage",
        "serve",
        "--library",
        str(library),
        "--allow-dir",
        str(allowed),
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = re.search(r"http://\S+?:\d+/", process.stderr.readline())
        assert found, process.stderr.read()
        for _ in range(600):
            try:
                urllib.request.urlopen(found[0] + "readyz", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


class Camera:
    """Opens pages and keeps what they show."""

    def __init__(self, browser: Browser, url: str, folder: Path) -> None:
        self.browser, self.url, self.folder = browser, url, folder

    def open(self, address: str, width: int = 1280, height: int = 760, **options: object) -> Page:
        context = self.browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(self.url + address)
        page.wait_for_selector(".footage.ready")
        if "q=" in address:
            page.wait_for_selector(".tile")
        page.wait_for_load_state("networkidle")
        return page

    def take(self, page: Page, name: str) -> None:
        time.sleep(0.4)  # transitions
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(self.folder / f"{name}.png", optimize=True)
        print(self.folder / f"{name}.png")


def play(page: Page) -> None:
    page.locator(".tile .picture").first.click()
    page.wait_for_function("document.querySelector('.player video').readyState >= 2")
    page.wait_for_function("document.querySelector('.tip') && document.querySelector('.heat').width > 0")
    page.mouse.move(5, 5)
    time.sleep(1.2)


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    library, videos = ROOT / "demo" / ".footage", ROOT / "demo" / "videos"
    if not library.exists():
        print("there is no demo library yet: run make demo", file=sys.stderr)
        return 2
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as empty:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        with server(library, videos) as url:
            searching(Camera(browser, url, folder))
            copies(Camera(browser, url, folder), videos)
        shutil.copytree(videos, Path(empty) / "holidays")
        for film in videos.iterdir():  # the same under other bytes, so that it takes a while
            for year in range(2015, 2025):
                box = b"\0\0\0\x10free" + year.to_bytes(8, "big")
                (Path(empty) / "holidays" / f"{year} {film.name}").write_bytes(film.read_bytes() + box)
        (Path(empty) / "holidays" / "damaged.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(2000))
        with server(Path(empty) / "library", Path(empty) / "holidays") as url:
            adding(Camera(browser, url, folder))
        browser.close()
    return 0


def searching(camera: Camera) -> None:
    page = camera.open("?q=a+motorcycle")
    page.locator(".fold").click()
    play(page)
    camera.take(page, "words")
    page.locator(".fold").click()
    box = page.locator(".strip").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 20)
    page.mouse.move(box["x"] + 0.82 * box["width"], box["y"] + 20)
    time.sleep(1)
    camera.take(page, "strip")
    page.locator(".player").get_by_label("Search for a part").click()
    area = page.locator(".boxes").bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + 0.2 * area["width"], area["y"] + 0.2 * area["height"])
    page.mouse.down()
    page.mouse.move(area["x"] + 0.55 * area["width"], area["y"] + 0.75 * area["height"], steps=4)
    camera.take(page, "box")
    page.mouse.up()
    page.wait_for_selector(".part >> nth=1")
    page.wait_for_selector(".tile")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(4000)  # until the hint is gone
    camera.take(page, "parts")

    page = camera.open("")
    with tempfile.TemporaryDirectory() as place:
        film = next(v for v in (ROOT / "demo" / "videos").iterdir() if v.name == "space-day.mp4")
        import av

        with av.open(str(film)) as container:
            frames = [f for f in container.decode(video=0) if 17 <= (f.time or 0) <= 18]
            picture = frames[0].to_image()
        picture.crop((40, 20, picture.width - 20, picture.height - 30)).save(Path(place) / "remembered.jpg")
        page.locator("input[type=file]").first.set_input_files(Path(place) / "remembered.jpg")
        page.wait_for_selector(".tile")
        page.wait_for_load_state("networkidle")
        play(page)
        camera.take(page, "picture")

    page = camera.open("?q=%E6%91%A9%E6%89%98%E8%BD%A6", locale="zh-CN", color_scheme="dark")
    play(page)
    camera.take(page, "chinese")
    page = camera.open("?q=a+cup+of+coffee", 400, 800, has_touch=True, is_mobile=True, device_scale_factor=2)
    play(page)
    camera.take(page, "phone")


def copies(camera: Camera, videos: Path) -> None:
    page = camera.open("?view=copies", 1280, 800)
    with tempfile.TemporaryDirectory() as place:
        clip = Path(place) / "seen elsewhere.mp4"
        attacked(videos / "bikes.mp4", clip)
        page.locator(".copies input[type=file]").set_input_files(clip)
        page.wait_for_selector(".match", timeout=120_000)
        page.locator(".match").first.click()
        page.wait_for_selector(".matrix:not(.loading)")
        page.wait_for_function("document.querySelector('.reel video').currentTime > 1.5")
        page.keyboard.press(" ")
        page.wait_for_function("![...document.querySelectorAll('.reel video')].some((v) => v.seeking)")
        camera.take(page, "copies")


def attacked(film: Path, clip: Path) -> None:
    """Seconds 2 to 7 of a film, mirrored and without its edges."""
    import av

    with av.open(str(film)) as source, av.open(str(clip), "w") as out:
        rate = source.streams.video[0].average_rate or 25
        stream = out.add_stream("libx264", rate=rate, options={"crf": "24"})
        stream.pix_fmt = "yuv420p"
        shown = source.streams.video[0]
        stream.width, stream.height = (n * 9 // 10 // 2 * 2 for n in (shown.width, shown.height))
        for frame in source.decode(video=0):
            if not 2 <= (frame.time or 0) < 7:
                continue
            picture = frame.to_image().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            picture = picture.crop((picture.width - stream.width, 0, picture.width, stream.height))
            out.mux(stream.encode(av.VideoFrame.from_image(picture)))
        out.mux(stream.encode(None))


def adding(camera: Camera) -> None:
    page = camera.open("")
    camera.take(page, "first-run")
    page.get_by_role("button", name="Add a folder").click()
    page.get_by_role("button", name="Index this folder").click()
    page.wait_for_selector(".job.running")
    page.wait_for_function("document.querySelectorAll('.video').length > 3 || document.querySelector('.job.done')")
    camera.take(page, "indexing")
    page.wait_for_selector(".job.done", timeout=300_000)
    page.wait_for_selector(".failures li")
    page.wait_for_load_state("networkidle")
    camera.take(page, "library")


if __name__ == "__main__":
    sys.exit(main())
