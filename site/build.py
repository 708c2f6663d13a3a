"""The book as a site: build/notes/ from the Markdown pages and the code of this repository.

    python site/build.py             build it
    python site/build.py --serve     build it, serve it on localhost and open the browser

The pages are the README.md of each folder and notes/*.md, in English and Chinese; no text stands here but headings and
labels. A page of a folder gets tabs with the code after its own text, and the difference to its parent as a page beside
it. Sphinx (conf.py) makes the HTML of both languages; pictures and scripts are kept once for both.
"""

import argparse
import difflib
import filecmp
import functools
import html
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import lineage
from lineage import ROOT

SOURCE, SITE = ROOT / "build" / "source", ROOT / "build" / "notes"

ENDING = {"en": ".md", "zh": ".zh-CN.md"}
READERS_FILES = ("model.py", "replay.py", "agent.py", "main.py", "env.py", "noise.py", "picture.py", "workers.py")
FOOT = r"\n(?:---\s*\n+)?(?:Previous|Next|上一[章页篇]|下一[章页篇])[^\n]*\s*\Z"
WORDS = {
    "en": {
        "code": "The code", "diff": "{child}: what changed from {parent}", "to diff": "All that changed from {parent}",
        "new": "New file", "gone": "Not in {child}", "same": "The other files are the same.", "curves": "All curves",
        "tree": "The family tree", "tree text": "Each line leads to the difference between a child and its parent.",
        "curves text": "Each picture leads to the page of its algorithm.", "back": "Back to {child}",
        "chapters": "The book", "more": "Overviews", "change": "How to change this repository", "file": "{file}",
    },
    "zh": {
        "code": "代码", "diff": "{child}：与 {parent} 的不同", "to diff": "与 {parent} 的全部不同之处",
        "new": "新文件", "gone": "{child} 中没有", "same": "其余文件相同。", "curves": "全部学习曲线",
        "tree": "家谱", "tree text": "每条连线通向子算法与父算法的对比。",
        "curves text": "每幅图通向它的算法的页面。", "back": "回到 {child}",
        "chapters": "全书", "more": "总览", "change": "如何修改本仓库", "file": "{file}",
    },
}  # fmt: skip


def short(folder: str) -> str:
    """DQN for DeepQLearningNetwork(DQN)."""
    named = re.search(r"\((.*)\)", folder)
    return named[1] if named else {"DeepDeterministicPolicyGradient": "DDPG"}.get(folder, folder)


def in_reading_order(chapters: list[str]) -> list[str]:
    """The pages of the book: chapter 2 is followed by the folders that learn values, chapter 3 by the others."""
    folders = list(lineage.PARENT)
    policies = folders.index("PolicyGradient(PG)")
    pages = [f"{folder}/README" for folder in folders]
    return [*chapters[:2], *pages[:policies], chapters[2], *pages[policies:], *chapters[3:]]


def page_of(text: str, language: str) -> str:
    """A page as the site has it: its links lead to pages of the site, and the theme makes its foot and its switch."""
    text = re.sub(FOOT, "\n", text)
    text = re.sub(r"^\[(?:中文|English)\]\([^)]*\)(?: · )?", "", text, flags=re.MULTILINE)
    if language == "zh":
        text = without_breaks(text.replace(".zh-CN.md", ".md"))
    names = "|".join(re.escape(folder) for folder in lineage.PARENT)
    text = re.sub(rf"\]\(<?((?:\.\./)?(?:{names}))/?>?\)", r"](<\1/README.md>)", text)
    return re.sub(r"(\]\(<?(?:\.\./)?)README\.md(#[^)>]*)?(>?\))", r"\1index.md\2\3", text)


def without_breaks(text: str) -> str:
    """Chinese has no spaces between words, so a new line in a paragraph must not become one."""
    parts = re.split(r"(^```.*?^```$|^    .*?$|^\|.*?$|^\$\$.*?\$\$$)", text, flags=re.MULTILINE | re.DOTALL)
    wide = r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
    return "".join(
        re.sub(rf"(?<={wide})\n *(?={wide})", "", part) if i % 2 == 0 else part for i, part in enumerate(parts)
    )


def with_lines_linked(text: str, folder: str) -> str:
    """In tables of formulas and lines, the name of a function becomes a link to its first line."""

    def link(found: re.Match) -> str:
        file, function = found[1], found[2]
        line = first_line(ROOT / folder / file, function) if file in READERS_FILES else None
        anchor = f"#{file.removesuffix('.py')}-{line}"
        return f'<a href="{anchor}"><code>{file}</code>: <code>{function}</code></a>' if line else found[0]

    return re.sub(r"`(\w+\.py)`: `([\w.]+)`", link, text)


def first_line(file: Path, name: str) -> int | None:
    """The number of the line on which a function begins; none for the head of a module."""
    function = name.rpartition(".")[2]
    lines = file.read_text().splitlines()
    after = next((i for i, line in enumerate(lines) if re.match(rf"class {name.partition('.')[0]}\b", line)), 0)
    found = [i for i, line in enumerate(lines) if re.match(rf"\s*(?:def|class) {function}\b", line) and i >= after]
    return found[0] + 1 if found else None


def code_of(folder: str, language: str) -> str:
    """The tabs with the folder's code."""
    tabs = []
    for name in READERS_FILES:
        if (ROOT / folder / name).exists():
            tabs.append(f"````{{tab-item}} {name}\n")
            tabs.append(f"```{{literalinclude}} {name}\n:language: python\n:linenos:\n```\n````\n")
    parent, words = lineage.PARENT[folder], WORDS[language]
    link = f"[{words['to diff'].format(parent=short(parent))}](diff.md)\n\n" if parent else ""
    return f"\n## {words['code']}\n\n{link}`````{{tab-set}}\n{''.join(tabs)}`````\n"


def side_by_side(old: Path, new: Path, names: tuple[str, str]) -> str:
    lines = [file.read_text().splitlines() if file.exists() else [] for file in (old, new)]
    table = difflib.HtmlDiff(tabsize=4).make_table(*lines, *names, context=True, numlines=3)
    table = re.sub(r'<td class="diff_next".*?</td>|<th class="diff_next">.*?</th>|<colgroup></colgroup>\s*', "", table)
    table = re.sub(r' (?:id|nowrap|rules|cellspacing|cellpadding)="[^"]*"| (?:nowrap|rules)\b', "", table)
    return table.replace('colspan="2" class="diff_header"', 'colspan="2" class="diff_header" scope="colgroup"')


def diff_page(folder: str, language: str) -> str:
    """All files in which a folder differs from its parent: side by side, or one after the other on a small screen."""
    parent, words = lineage.PARENT[folder], WORDS[language]
    child = short(folder)
    text = [f"# {words['diff'].format(child=child, parent=short(parent))}\n"]
    text.append(f"[{words['back'].format(child=child)}](README.md)\n")
    files = sorted({file.name for place in (folder, parent) for file in (ROOT / place).glob("*.py")})
    first = [name for name in READERS_FILES if name in files]
    for name in first + [name for name in files if name not in first]:
        old, new = ROOT / parent / name, ROOT / folder / name
        if old.exists() and new.exists() and old.read_text() == new.read_text():
            continue
        state = (
            ""
            if old.exists() and new.exists()
            else f" ({words['new'] if new.exists() else words['gone'].format(child=child)})"
        )
        text.append(f"## {name}{state}\n")
        if not new.exists():
            continue
        if not old.exists():
            text.append(f"```{{literalinclude}} {name}\n:language: python\n```\n")
            continue
        text.append(
            f"````{{container}} diff-narrow\n```{{literalinclude}} {name}\n:diff: ../{parent}/{name}\n```\n````\n"
        )
        beside = side_by_side(old, new, (f"{parent}/{name}", f"{folder}/{name}"))
        region = f'<div class="diff-wide" tabindex="0" role="region" aria-label="{html.escape(name)}">'
        text.append(f"```{{raw}} html\n{region}{beside}</div>\n```\n")
    return "\n".join([*text, words["same"], ""])


def tree(language: str) -> str:
    """The family tree as a drawing: every algorithm leads to its page, every line to a difference."""
    depth, row, rows = {}, {}, 0

    def place(folder: str, level: int) -> None:
        nonlocal rows
        children = [child for child, parent in lineage.PARENT.items() if parent == folder]
        depth[folder] = level
        row[folder] = rows
        for number, child in enumerate(children):
            rows += number > 0
            place(child, level + 1)

    for folder, parent in lineage.PARENT.items():
        if parent is None:
            place(folder, 0)
            rows += 1
    across, down, width, height = 150, 44, 112, 28
    drawn = []
    for folder, parent in lineage.PARENT.items():
        x, y = depth[folder] * across + 4, row[folder] * down + 8
        if parent:
            px, py = depth[parent] * across + 4 + width, row[parent] * down + 8 + height / 2
            line = f"M{px},{py} H{px + 16} V{y + height / 2} H{x}"
            label = html.escape(WORDS[language]["diff"].format(child=short(folder), parent=short(parent)))
            drawn.append(
                f'<a href="{folder}/diff.html" class="edge" aria-label="{label}"><title>{label}</title>'
                f'<path class="wide" d="{line}"/><path d="{line}"/></a>'
            )
        drawn.append(
            f'<a href="{folder}/README.html"><rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5"/>'
            f'<text x="{x + width / 2}" y="{y + 19}">{html.escape(short(folder))}</text></a>'
        )
    size = (max(depth.values()) + 1) * across, rows * down + 8
    label = html.escape(WORDS[language]["tree"])
    return (f'<div class="tree" tabindex="0" role="region" aria-label="{label}"><svg viewBox="0 0 {size[0]} {size[1]}" '
            f'width="{size[0]}" height="{size[1]}">{"".join(drawn)}</svg></div>')  # fmt: skip


def with_words_marked(text: str, language: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Chapter 1 with an anchor in each row of its glossary, and the glossary's words: word, anchor, meaning."""
    lines, words = text.splitlines(), []
    for number, line in enumerate(lines):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.replace(r"\|", "¦"))][1:-1]
        if len(cells) == 5 and re.search(r"[\u4e00-\u9fff]", cells[2]) and not cells[0].startswith(("symbol", "符号")):
            anchor = f"word-{len(words)}"
            lines[number] = line.replace("| ", f'| <a id="{anchor}"></a>', 1)
            meaning = re.sub(r"[$`\\{}*]|\]\([^)]*\)|\[", "", cells[3])
            names = re.split(r"[,，]\s*", cells[1] if language == "en" else cells[2])
            words += [(name, anchor, meaning) for name in names if len(name) > 1 and not name.startswith("its ")]
    return "\n".join(lines) + "\n", words


def stage(language: str) -> Path:
    """The pages of one language, with what belongs to them, as Sphinx reads them."""
    place, ending, words = SOURCE / language, ENDING[language], WORDS[language]
    shutil.rmtree(place, ignore_errors=True)
    chapters = sorted(
        f"notes/{file.name.removesuffix('.md')}"
        for file in (ROOT / "notes").glob("[0-9]*.md")
        if ".zh-CN" not in file.name
    )
    for page in in_reading_order(chapters):
        folder = str(Path(page).parent)
        text = page_of((ROOT / (page + ending)).read_text(), language)
        if page == chapters[0]:
            text, words_of = with_words_marked(text, language)
            place.mkdir(parents=True)
            (place / "words.json").write_text(json.dumps(words_of, ensure_ascii=False))
        if folder != "notes":
            text = with_lines_linked(text, folder) + code_of(folder, language)
        target = place / f"{page}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        for file in (ROOT / folder).iterdir():
            if file.suffix in (".py", ".svg", ".gif", ".png", ".webp"):
                shutil.copy(file, target.parent / file.name)
        if lineage.PARENT.get(folder):
            (place / folder / "diff.md").write_text("---\norphan: true\n---\n" + diff_page(folder, language))
    for name in ("LICENSE", "films.gif"):
        shutil.copy(ROOT / name, place)
    (place / "contributing.md").write_text(page_of((ROOT / f"CONTRIBUTING{ending}").read_text(), language))
    pictures = "\n".join(
        f"[![{short(folder)}](<{folder}/curve.svg>)](<{folder}/README.md>)\n" for folder in lineage.PARENT
    )
    (place / "curves.md").write_text(
        f"# {words['curves']}\n\n{words['curves text']}\n\n:::{{container}} curves\n{pictures}:::\n"
    )
    (place / "tree.md").write_text(f"# {words['tree']}\n\n{words['tree text']}\n\n{tree(language)}\n")
    entries = "\n".join(in_reading_order(chapters))
    index = page_of((ROOT / f"README{ending}").read_text(), language).replace("(CONTRIBUTING.md)", "(contributing.md)")
    index += f"\n```{{toctree}}\n:hidden:\n:caption: {words['chapters']}\n\n{entries}\n```\n"
    index += f"\n```{{toctree}}\n:hidden:\n:caption: {words['more']}\n\ntree\ncurves\ncontributing\n```\n"
    (place / "index.md").write_text(index)
    return place


def share(languages: list[str]) -> None:
    """Keep pictures and large scripts, which are the same in both languages, once."""
    for kind, name in (("_images", "images"), ("_static/shared", "shared")):
        first, *others = (SITE / language / kind for language in languages)
        for other in others:
            compared = filecmp.dircmp(first, other)
            assert not compared.diff_files + compared.left_only + compared.right_only, f"{kind} differs"
            shutil.rmtree(other)
        shutil.move(first, SITE / name)
        for language in languages:
            for page in (SITE / language).rglob("*.html"):
                page.write_text(re.sub(rf'(=")((?:\.\./)*){kind}/', rf"\1\2../{name}/", page.read_text()))


def stop(why: str) -> NoReturn:
    print(f"error: {why}", file=sys.stderr)
    sys.exit(2)


def build() -> None:
    if missing := [name for name in ("sphinx", "myst_parser", "furo") if not find_spec(name)]:
        stop(f"{', '.join(missing)} missing: pip install -r requirements-dev.txt")
    shutil.rmtree(SITE, ignore_errors=True)
    running = []
    for language in ENDING:
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", str(ROOT / "site")]
        where = [str(stage(language)), str(SITE / language), "-d", str(SOURCE / f"{language}-doctrees")]
        running.append(subprocess.Popen([*command, *where], env=os.environ | {"BOOK_LANGUAGE": language}))
    for process in running:
        process.wait()
    if any(process.returncode for process in running):
        sys.exit(2)
    share(list(ENDING))
    for language in ENDING:
        for name in ("_sources", ".buildinfo", "objects.inv"):
            path = SITE / language / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.copy(ROOT / "site" / "index.html", SITE / "index.html")
    shutil.rmtree(SOURCE)


def listen(port: int) -> http.server.ThreadingHTTPServer:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=SITE)
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        stop(f"port {port}: {getattr(error, 'strerror', None) or error}; name another: make read ARGS='--port 8123'")


def serve(server: http.server.ThreadingHTTPServer) -> None:
    address = f"http://127.0.0.1:{server.server_port}/"
    print(f"the book is at {address}; Ctrl-C ends it", flush=True)
    webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help="serve it on localhost and open the browser")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    server = listen(args.port) if args.serve else None  # a port that cannot be had is said before the build
    build()
    if server:
        serve(server)
    else:
        print(f"the book is in {SITE.relative_to(ROOT)}/; make read serves it")


if __name__ == "__main__":
    main()
