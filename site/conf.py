"""Sphinx's settings for the book; build.py says what the pages are. BOOK_LANGUAGE is en or zh."""

import functools
import html
import json
import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import docutils.nodes
import sphinx.search.zh
from sphinx.application import Sphinx

ENGLISH = os.environ.get("BOOK_LANGUAGE", "en") == "en"

project = "Reinforcement learning, twenty algorithms" if ENGLISH else "强化学习：二十种算法"
html_title = project
language = "en" if ENGLISH else "zh_CN"
html_search_language = "en" if ENGLISH else "zh"
extensions = ["myst_parser", "sphinx_design", "sphinx_copybutton", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_dmath_allow_space = False
myst_dmath_double_inline = True
myst_heading_anchors = 4
myst_fence_as_directive: list[str] = []
suppress_warnings = ["myst.header"]  # a page may leave out a level of headings
html_theme = "furo"
html_theme_options = {"top_of_page_buttons": []}
html_favicon = "static/favicon.svg"
html_static_path = ["static"]
templates_path = ["templates"]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_copy_source = False
html_use_index = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_context = {"other": ("zh", "中文", "zh-CN") if ENGLISH else ("en", "English", "en")}
mathjax_path = "shared/tex-svg.js"
mathjax3_config = {
    "options": {"enableMenu": False},
    "svg": {"fontCache": "global"},
}
pygments_style = "default"
pygments_dark_style = "github-dark"
copybutton_exclude = ".linenos"

SPLIT = r"[a-zA-Z0-9_À-ÿΑ-ω]+|[一-鿿]+"


CHINESE = {
    "Previous": "上一页", "Next": "下一页", "Home": "首页", "On this page": "本页内容", "Back to top": "回到顶部",
    "Skip to content": "跳到正文", "Made with": "制作工具：",
}  # fmt: skip


class Chinese(sphinx.search.zh.SearchChinese):
    """Chinese has no spaces: the index holds each pair of neighbouring characters, and a query is cut alike."""

    js_splitter_code = f"""
function splitQuery(query) {{
  const found = [];
  for (const run of query.match(/{SPLIT}/g) || []) {{
    if (/^[一-鿿]/.test(run) && run.length > 1)
      for (let i = 0; i + 1 < run.length; i++) found.push(run.slice(i, i + 2));
    else found.push(run);
  }}
  return found;
}}
"""

    def split(self, input: str) -> list[str]:
        found = []
        for run in re.findall(SPLIT, input):
            chinese = "一" <= run[0] <= "鿿"
            found += [run[i : i + 2] for i in range(max(1, len(run) - 1))] + list(run) if chinese else [run]
        return found

    def word_filter(self, stemmed_word: str) -> bool:
        return stemmed_word not in self.stopwords

    def stem(self, word: str) -> str:
        return word if "一" <= word[0] <= "鿿" else super().stem(word)


def prepare_code(app: Sphinx, tree: docutils.nodes.document) -> None:
    """Lines of code get anchors, as model-12 for line 12 of model.py, and diagrams are left to Mermaid."""
    for block in tree.findall(docutils.nodes.literal_block):
        if block.get("language") == "mermaid":
            drawn = f'<pre class="mermaid">{html.escape(block.astext())}</pre>'
            block.replace_self(docutils.nodes.raw("", drawn, format="html"))
        elif block.get("linenos") and block.get("source", "").endswith(".py"):
            name = Path(block["source"]).stem
            block.setdefault("highlight_args", {}).update(lineanchors=name, anchorlinenos=True)


def link_words(app: Sphinx, tree: docutils.nodes.document, docname: str) -> None:
    """The first time that a page uses a word of the glossary, the word leads there and shows its meaning."""
    glossary = "notes/1-key-concepts"
    if docname == glossary or not (docname.startswith("notes/") or docname.endswith("/README")):
        return
    words = {word.lower(): (anchor, meaning) for word, anchor, meaning in words_of(app)}
    edge = r"\b" if ENGLISH else ""
    longest_first = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    pattern = re.compile(rf"{edge}({longest_first}){edge}", re.IGNORECASE)
    address = app.builder.get_relative_uri(docname, glossary)
    for text in list(tree.findall(docutils.nodes.Text)):
        if not isinstance(text.parent, docutils.nodes.paragraph):
            continue
        parts, end = [], 0
        for found in pattern.finditer(text):
            if found[0].lower() in words:
                anchor, meaning = words.pop(found[0].lower())
                parts += [docutils.nodes.Text(text[end : found.start()])]
                link = docutils.nodes.reference(
                    "", found[0], internal=True, refuri=f"{address}#{anchor}", classes=["word"]
                )
                link["reftitle"] = meaning
                parts, end = [*parts, link], found.end()
        if parts:
            text.parent.replace(text, [*parts, docutils.nodes.Text(text[end:])])


@functools.cache
def words_of(app: Sphinx) -> list[list[str]]:
    return json.loads((Path(app.srcdir) / "words.json").read_text())


def add_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict, tree: docutils.nodes.document | None
) -> None:
    if tree is not None and any("mermaid" in raw.astext()[:20] for raw in tree.findall(docutils.nodes.raw)):
        app.add_js_file("shared/mermaid.js")
    context["up"] = "../" * (pagename.count("/") + 1)


def translate(app: Sphinx) -> None:
    """Words of the theme that it has in English only."""
    words = app.builder.templates.environment.globals
    theirs = words["gettext"]
    words["gettext"] = lambda text: CHINESE.get(text.strip()) or theirs(text)


def copy_scripts(app: Sphinx) -> None:
    """MathJax and Mermaid, from their packages."""
    shared = Path(app.outdir) / "_static" / "shared"
    shared.mkdir(parents=True, exist_ok=True)
    for package, file in (("sphinx-mathjax-offline", "static/mathjax/tex-svg.js"), ("mermaidx", "assets/mermaid.js")):
        place = find_spec(package).submodule_search_locations[0]
        shutil.copy(Path(place) / file, shared)


def setup(app: Sphinx) -> None:
    app.add_search_language(Chinese)
    app.connect("doctree-read", prepare_code)
    app.connect("doctree-resolved", link_words)
    app.connect("html-page-context", add_scripts)
    app.connect("builder-inited", copy_scripts)
    if not ENGLISH:
        app.connect("builder-inited", translate)
