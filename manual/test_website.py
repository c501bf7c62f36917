"""The site that `make docs` makes, clicked and searched through in a browser without a window.

`make docs-test` runs this; `make test` does not, since it needs a browser.
"""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import threading
from collections.abc import Iterator

import pytest
from commands import CHECKOUT, commands
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

SITE = CHECKOUT / "build" / "site" / "html"
READERS = re.findall(r"(?m)^## (.*)$", (CHECKOUT / "docs" / "index.md").read_text())


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the site is served."""
    if not (SITE / "index.html").exists():
        pytest.fail("no site; `make docs` makes it")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_words: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        pytest.skip("not installed: chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A window of its own; whatever fails in it, or asks another host, fails the test."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(60_000)
    faults: list[str] = []

    def answered(response: Response) -> None:
        if response.status >= 400 or not response.url.startswith(address):
            faults.append(f"{response.status} {response.url}")

    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("requestfailed", lambda request: faults.append(request.url))
    opened.on("response", answered)
    opened.goto(f"{address}/index.html")
    yield opened
    opened.close()
    assert faults == []


def test_the_navigation_is_by_reader(page: Page) -> None:
    captions = page.locator(".sidebar-tree .caption-text").all_inner_texts()
    assert [text.casefold() for text in captions] == [text.casefold() for text in READERS]
    page.locator(".sidebar-tree").get_by_role("link", name="Networks", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Networks")
    page.locator("article").get_by_role("link", name="network-performance.md").first.click()
    expect(page.locator("h1")).to_contain_text("Performance of networks")


def test_every_page_of_the_navigation_is_there(page: Page, address: str) -> None:
    links = page.locator(".sidebar-tree a.reference.internal")
    names = {str(link.get_attribute("href")) for link in links.all()} - {"#"}
    assert len(names) > 30
    for name in names:
        answer = page.request.get(f"{address}/{name}")
        assert answer.ok, name
        assert "<h1>" in answer.text(), name


def test_search(page: Page) -> None:
    box = page.locator("input.sidebar-search")
    box.fill("keep_original_groups")
    box.press("Enter")
    expect(page.locator("#search-results li a").first).to_be_visible()
    page.locator("#search-results").get_by_role("link", name=re.compile("^Usage")).first.click()
    expect(page.locator("article")).to_contain_text("run.oci.keep_original_groups")


def test_the_library_and_the_commands(page: Page) -> None:
    page.locator("input.sidebar-search").fill("AsyncContainer")
    page.locator("input.sidebar-search").press("Enter")
    found = page.locator("#search-results").get_by_role("link", name=re.compile("AsyncContainer"))
    found.first.click()
    entry = page.locator('[id="ociruntime.api.AsyncContainer"]')
    expect(entry).to_be_visible()
    expect(page.locator('[id="ociruntime.api.Container.exec"]')).to_be_visible()
    page.locator(".sidebar-tree").get_by_role("link", name="Commands", exact=True).click()
    first, *others = commands()
    for option in first.options:
        expect(page.locator("article")).to_contain_text(f"--{option.name}")
    for command in others:
        page.locator("article").get_by_role("link", name=command.name, exact=True).first.click()
        expect(page.locator("h1")).to_contain_text(command.name)
        for option in command.options:
            expect(page.locator("article")).to_contain_text(f"--{option.name}")
        page.go_back()


def test_the_matrix_is_a_page(page: Page) -> None:
    page.locator(".sidebar-tree").get_by_role("link", name="Conformance", exact=True).click()
    page.locator("article").get_by_role("link", name="conformance.html").first.click()
    page.wait_for_url(re.compile(r"conformance\.html$"))
    expect(page.locator("table").first).to_be_visible()


def brightness(page: Page, what: str, of: str) -> float:
    """From 0 (black) to 1 of a colour that is shown."""
    colour = page.locator(what).first.evaluate(f"element => getComputedStyle(element).{of}")
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / (3 * 255)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    paper, letters = brightness(page, "body", "backgroundColor"), brightness(page, "body", "color")
    assert (paper < letters) == (scheme == "dark")
    assert abs(paper - letters) > 0.5
    toggle = page.locator(".theme-toggle:visible").first
    seen = set()
    for _ in range(3):
        toggle.click()
        seen.add(brightness(page, "body", "backgroundColor") < 0.5)
    assert seen == {True, False}


def test_on_a_telephone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(page.url.replace("index", "usage"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".mobile-header .nav-overlay-icon").click()
    link = page.locator(".sidebar-tree").get_by_role("link", name="Troubleshooting", exact=True)
    link.click()
    expect(page.locator("h1")).to_contain_text("Troubleshooting")
