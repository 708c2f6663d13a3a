"""The site in a real browser: every page, in both languages. Needs Chromium; without it these tests are skipped."""

import http.server
import itertools
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote, unquote, urldefrag, urljoin

import lineage
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install -r requirements-dev.txt")
pytestmark = [
    pytest.mark.xdist_group("site"),
    pytest.mark.skipif(CHROMIUM is None, reason="the site's tests need Chromium: apt install chromium"),
]

SITE = lineage.ROOT / "build" / "notes"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
FOUND = {  # words, and a page that the search has to find for each
    "en": {
        "importance sampling": "PPO", "experience replay": "DeepQLearningNetwork(DQN)", "hindsight": "DQNwithHER",
        "temperature": "SAC", "eligibility trace": "SarsaLambda", "Buffon": "1-key-concepts", "detach": "5-experience",
        "discriminator": "DIAYN", "Fisher": "TRPO", "Retrace": "ACER",
    },
    "zh": {
        "经验回放": "DeepQLearningNetwork(DQN)", "重要性采样": "PPO", "事后经验": "DQNwithHER", "温度": "SAC",
        "资格迹": "SarsaLambda", "投针": "1-key-concepts", "detach": "5-experience", "判别器": "DIAYN",
        "信赖域": "TRPO", "目标网络": "DeepQLearningNetwork(DQN)",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def site():
    """The address of the site, built anew and served on localhost."""
    built = subprocess.run(
        [sys.executable, "site/build.py"], cwd=lineage.ROOT, capture_output=True, text=True, timeout=600
    )
    assert built.returncode == 0, built.stderr
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=str(SITE))

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page that notes errors of the console and requests that leave the site."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(120_000)
    opened.faults = []
    opened.on("console", lambda said: opened.faults.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("response", lambda got: opened.faults.append(f"{got.status}: {got.url}") if got.status >= 400 else None)
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on("requestfailed", lambda request: opened.faults.append(f"failed: {request.url}"))
    opened.on(
        "request",
        lambda sent: (
            None if "//127.0.0.1:" in sent.url or sent.url.startswith("data:") else opened.faults.append(sent.url)
        ),
    )
    yield opened
    opened.close()


def addresses(language: str) -> list[str]:
    return sorted(str(path.relative_to(SITE)) for path in (SITE / language).rglob("*.html"))


def ready(page, address: str) -> None:
    page.goto(address)
    page.wait_for_function(
        "!document.querySelector('.math') || (window.MathJax && MathJax.startup && MathJax.startup.promise)"
    )
    page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true")
    page.wait_for_function("[...document.querySelectorAll('pre.mermaid')].every(drawn => drawn.querySelector('svg'))")


def test_every_page_in_the_browser(site, page):
    assert len(addresses("en")) == len(addresses("zh")) > 45
    for name in addresses("en") + addresses("zh"):
        ready(page, site + quote(name))
        assert not page.faults, f"{name}: {page.faults}"
        unrendered = page.evaluate("""[...document.querySelectorAll('.math')].filter(math =>
            !math.querySelector('mjx-container svg') || math.querySelector('[data-mml-node="merror"]'))
            .map(math => math.textContent)""")
        assert not unrendered, f"{name}: {unrendered}"
        text = page.evaluate("""[...document.querySelectorAll('article p, article li, article td, article th')]
            .filter(part => !part.closest('.math, pre, code')).map(part => {
                const copy = part.cloneNode(true);
                copy.querySelectorAll('.math, pre, code, mjx-container').forEach(inner => inner.remove());
                return copy.textContent;
            }).join('\\n')""")
        assert "$" not in text, f"{name}: a formula is left as source: {re.findall('.{40}[$].{40}', text)}"
        levels = page.evaluate(
            "[...document.querySelectorAll('article :is(h1, h2, h3, h4, h5)')].map(heading => +heading.tagName[1])"
        )
        assert all(after <= before + 1 for before, after in itertools.pairwise([0, *levels])), (
            f"{name}: headings {levels}"
        )
        assert page.evaluate("[...document.querySelectorAll('article img')].every(picture => picture.alt)"), (
            f"{name}: no alt text"
        )
        assert page.evaluate("document.documentElement.lang").startswith(name[:2])


def test_every_link_leads_somewhere(site, page):
    places: dict[str, set[str]] = {}
    links = []
    for name in addresses("en") + addresses("zh"):
        text = (SITE / name).read_text()
        places[name] = set(re.findall(r'\bid="([^"]+)"', text)) | set(re.findall(r'<a name="([^"]+)"', text))
        links += [(name, href) for href in re.findall(r'\bhref="([^"]+)"', text)]
    for name, href in links:
        if not re.match(r"https?:|mailto:|data:", href):
            target, anchor = urldefrag(urljoin(f"/{name}", href.replace("&amp;", "&")))
            target = unquote(target.partition("?")[0])[1:]
            assert (SITE / target).exists(), f"{name} links to {href}"
            if anchor and target.endswith(".html"):
                assert unquote(anchor) in places[target], f"{name} links to {href}"


@pytest.mark.parametrize("language", FOUND)
def test_the_search_finds(site, page, language):
    for words, wanted in FOUND[language].items():
        page.goto(f"{site}{language}/search.html?q={quote(words)}")
        page.wait_for_function("document.querySelector('#search-results .search-summary, #search-results p')")
        page.wait_for_function(
            "!/Searching|搜索中|正在搜索/.test(document.querySelector('#search-results h2').textContent)"
        )
        found = page.evaluate(
            "[...document.querySelectorAll('#search-results li a')].map(link => decodeURIComponent(link.href))"
        )
        assert any(wanted in link for link in found), f"{words}: {found}"
    page.goto(f"{site}{language}/search.html?q={quote({'en': 'xyzzy', 'zh': '瑜珈'}[language])}")
    page.wait_for_timeout(500)
    assert not page.query_selector("#search-results li a")


def test_the_switch_leads_to_the_same_page(site, page):
    for name in addresses("en"):
        other = re.search(r'<a class="switch"[^>]* href="([^"]+)"', (SITE / name).read_text())[1]
        assert unquote(urljoin(f"/{name}", other)) == f"/zh/{name[3:]}"
    page.goto(f"{site}en/PPO/README.html")
    page.click("a.switch")
    assert page.url.endswith("/zh/PPO/README.html")
    page.click("a.switch")
    assert page.url.endswith("/en/PPO/README.html")


def test_a_formula_leads_to_its_line_of_code(site, page):
    page.goto(f"{site}en/PPO/README.html")
    link = page.locator("article table a[href^='#agent-']").first
    link.click()
    place = "document.getElementById(location.hash.slice(1))"
    page.wait_for_function(f"{place} && {place}.offsetParent !== null")  # its tab is open
    page.wait_for_function(f"(top => 0 <= top && top < 900)({place}.getBoundingClientRect().top)")


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_nothing_is_wider_than_the_screen(site, page, width):
    page.set_viewport_size({"width": width, "height": 800})
    for name in (
        "en/index.html",
        "en/PPO/README.html",
        "zh/SAC/README.html",
        "en/TD3/diff.html",
        "en/tree.html",
        "en/curves.html",
    ):
        ready(page, site + name)
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, f"{name} is {too_wide} px too wide at {width}"
        beside = page.locator(".diff-wide").first
        if beside.count():
            assert beside.is_visible() == (width == 1600)


def test_the_site_is_small(site):
    assert sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) < 30e6


def test_contrast_in_light_and_dark(site, page):
    page.goto(f"{site}en/PPO/README.html")
    for theme in ("light", "dark"):
        page.evaluate(f"document.body.dataset.theme = '{theme}'")
        ratios = page.evaluate("""() => {
            const light = (colour) => {
                const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(c => c / 255)
                    .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
                return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
            };
            const behind = (part) => {
                for (; part; part = part.parentElement) {
                    const colour = getComputedStyle(part).backgroundColor;
                    if (!/rgba\\(0, 0, 0, 0\\)|transparent/.test(colour)) return colour;
                }
                return 'rgb(255, 255, 255)';
            };
            const low = [];
            for (const part of document.querySelectorAll('article :is(p, a, td, th, h2), .highlight span')) {
                if (!part.textContent.trim()) continue;
                const [a, b] = [light(getComputedStyle(part).color), light(behind(part))].sort((x, y) => y - x);
                const ratio = (a + 0.05) / (b + 0.05);
                if (ratio < 4.5) low.push([part.className, part.textContent.slice(0, 20), ratio]);
            }
            return low;
        }""")
        assert not ratios, f"{theme}: {ratios[:10]}"


def test_the_folder_of_pages_is_whole(site):
    for language in ("en", "zh"):
        for folder, parent in lineage.PARENT.items():
            assert (SITE / language / folder / "README.html").exists()
            assert (SITE / language / folder / "diff.html").exists() == (parent is not None)
    assert Path(SITE / "index.html").exists()
