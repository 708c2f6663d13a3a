"""The book: its snippets run, its links lead somewhere, its two languages agree, and every topic has a place."""

import contextlib
import io
import itertools
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import lineage
import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

sys.path.insert(0, str(lineage.ROOT / "benchmarks"))
import bugs

CHAPTERS = [
    "1-key-concepts", "2-value-learning", "3-policy-learning", "4-requirements", "5-experience", "6-references",
    "7-open-questions",
]  # fmt: skip
PAGES = [f"{folder}/README" for folder in lineage.PARENT] + [f"notes/{chapter}" for chapter in CHAPTERS]
LANGUAGES = {"English": ".md", "Chinese": ".zh-CN.md"}
FILES = [page + ending for page in ["README", "CONTRIBUTING", *PAGES] for ending in LANGUAGES.values()]
PARSER = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, allow_space=False, double_inline=True)

# what the outline of the notes asks for, where it stands, and words that stand there in English and in Chinese
TOPICS = [
    ("agent, environment, model", "notes/1-key-concepts", "agent", "智能体"),
    ("Markov decision process", "notes/1-key-concepts", "Markov", "马尔可夫"),
    ("policy", "notes/1-key-concepts", "policy", "策略"),
    ("return and discount", "notes/1-key-concepts", "discount", "折扣"),
    ("state value, action value", "notes/1-key-concepts", "action value", "动作价值"),
    ("advantage", "notes/1-key-concepts", "advantage", "优势"),
    ("Bellman equation", "notes/1-key-concepts", "Bellman", "贝尔曼"),
    ("two sources of chance", "notes/1-key-concepts", "random", "随机"),
    ("trajectory", "notes/1-key-concepts", "trajectory", "轨迹"),
    ("density of the normal distribution", "notes/1-key-concepts", r"{\sigma \sqrt{2\pi}}", r"{\sigma \sqrt{2\pi}}"),
    ("sampling", "notes/1-key-concepts", "sample", "抽样"),
    ("Monte Carlo", "notes/1-key-concepts", "Monte Carlo", "蒙特卡洛"),
    ("Buffon's needle", "notes/1-key-concepts", "Buffon", "投针"),
    ("glossary", "notes/1-key-concepts", "Glossary", "词汇表"),
    ("TD learning", "notes/2-value-learning", "TD error", "TD 误差"),
    ("Q-learning", "QLearning/README", "Q-learning", "Q-learning"),
    ("Sarsa", "Sarsa/README", "cliff", "悬崖"),
    ("traces", "SarsaLambda/README", "trace", "迹"),
    ("experience replay", "DeepQLearningNetwork(DQN)/README", "replay", "经验回放"),
    ("target network", "DeepQLearningNetwork(DQN)/README", "target network", "目标网络"),
    ("Double DQN", "DeepQLearningNetwork(DQN)/README", "Double DQN", "Double DQN"),
    ("duelling", "DuelingDQN/README", "advantage", "优势"),
    ("prioritised replay", "DQNwithPER/README", "priorit", "优先"),
    ("policy gradient", "PolicyGradient(PG)/README", "policy gradient", "策略梯度"),
    ("three layouts of actor and critic", "ActorCritic/README", "layout", "布局"),
    ("DDPG", "DeepDeterministicPolicyGradient/README", "deterministic", "确定性"),
    ("A3C", "A3C/README", "process", "进程"),
    ("PPO", "PPO/README", "on-policy", "同策略"),
    ("TRPO", "TRPO/README", "KL", "KL"),
    ("SAC", "SAC/README", "soft", "软"),
    ("TD3", "TD3/README", "overestimat", "高估"),
    ("hindsight", "DQNwithHER/README", "hindsight", "事后"),
    ("hindsight, continuous", "DDPGwithHER/README", "hindsight", "事后"),
    ("DIAYN", "DIAYN/README", "skill", "技能"),
    ("packages", "notes/4-requirements", "numpy", "numpy"),
    ("Box2D", "notes/4-requirements", "Box2D", "Box2D"),
    ("families of tasks", "notes/4-requirements", "Atari", "Atari"),
    ("Tensor.to and leaves", "notes/5-experience", "leaf", "叶子"),
    ("detach and data", "notes/5-experience", ".data", ".data"),
    ("nn.Parameter", "notes/5-experience", "nn.Parameter", "nn.Parameter"),
    ("clone", "notes/5-experience", "clone()", "clone()"),
    ("no_grad, inference_mode, eval", "notes/5-experience", "inference_mode", "inference_mode"),
    ("zero_grad", "notes/5-experience", "zero_grad", "zero_grad"),
    ("requires_grad", "notes/5-experience", "requires_grad", "requires_grad"),
    ("item, tolist", "notes/5-experience", "tolist", "tolist"),
    ("in place", "notes/5-experience", "in-place", "原地"),
    ("hard and soft target updates", "notes/5-experience", "soft", "软"),
    ("TD against Monte Carlo", "notes/5-experience", "Monte Carlo", "蒙特卡洛"),
    ("family of policy gradients", "notes/5-experience", "family", "家族"),
    ("gallery of bugs", "notes/5-experience", "terminated", "terminated"),
    ("references", "notes/6-references", "mofanpy.com", "mofanpy.com"),
    ("what soft is", "notes/7-open-questions", "temperature", "温度"),
    ("A3C from memory", "notes/7-open-questions", "A3C", "A3C"),
    ("ACER with stored trajectories", "notes/7-open-questions", "Retrace", "Retrace"),
    ("copies of networks", "notes/7-open-questions", "copied", "复制"),
    ("graph networks", "notes/7-open-questions", "graph", "图神经网络"),
]  # fmt: skip

NEVER = {
    ".md": r"\b(whilst|thereof|wherein|hereby|penaty|Belman)\b|off-line|Deep Q-Learning is conservative",
    ".zh-CN.md": r"离线(?:的)?(?:策略|演员|A3C)|贝斯曼|代理|价值几何|保持不决|一幕|每幕|置信区间策略",
}


def text_of(page: str) -> str:
    return (lineage.ROOT / page).read_text()


def tokens(page: str) -> list:
    """Every token of the page, those inside a line too."""
    found = []
    for token in PARSER.parse(text_of(page)):
        found += [token, *(token.children or [])]
    return found


def heading_levels(page: str) -> list[str]:
    return [token.tag for token in tokens(page) if token.type == "heading_open"]


def formulas(page: str) -> list[str]:
    """Each formula without its words, which are in the page's language."""
    kinds = ("math_inline", "math_block", "math_inline_double", "math_block_label")
    found = [token.content for token in tokens(page) if token.type in kinds]
    return sorted(re.sub(r"\\text\{[^}]*\}|\s", "", formula) for formula in found)


def blocks(page: str, language: str) -> list[str]:
    return [token.content for token in tokens(page) if token.type == "fence" and token.info.strip() == language]


def without_words(source: str) -> str:
    """A snippet without its comments and without the words that it prints."""
    return re.sub(r"\s*#.*", "", re.sub(r"\"[^\"]*\"", '""', source))


def images(page: str) -> list[str]:
    return [token.attrs["src"] for token in tokens(page) if token.type == "image"]


def table_numbers(page: str) -> list[list[str]]:
    """The numbers in each row of each table."""
    lines = [line for line in text_of(page).splitlines() if line.startswith("|")]
    lines = [re.sub(r"\]\(<?[^)]*\)|`[^`]*`|\$[^$]*\$", "", line).replace("−", "-") for line in lines]
    return [sorted(re.findall(r"(?<![\w.,])-?\d+(?:,\d{3})*(?:\.\d+)?", line)) for line in lines]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the page's headings."""
    found: list[str] = []
    parsed = PARSER.parse(page.read_text())
    for token, inside in itertools.pairwise(parsed):
        if token.type == "heading_open":
            words = "".join(
                part.content for part in inside.children if part.type in ("text", "code_inline", "math_inline")
            )
            slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
            found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return set(found) | set(re.findall(r'<a (?:id|name)="([^"]+)"', page.read_text()))


def run(snippet: str, namespace: dict) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(snippet, "snippet", "exec"), namespace)
    return printed.getvalue()


@pytest.mark.parametrize("page", [page for page in FILES if (lineage.ROOT / page).exists()])
def test_the_snippets_print_what_the_page_says(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "snippet"}
    fences = [token for token in PARSER.parse(text_of(page)) if token.type == "fence"]
    for number, fence in enumerate(fences):
        if fence.info.strip() == "python":
            printed = run(fence.content, namespace)
            promised = [after.content for after in fences[number + 1 : number + 2] if after.info.strip() == "text"]
            assert printed == "".join(promised)


@pytest.mark.parametrize("page", FILES)
def test_links_and_pictures_lead_somewhere(page):
    place = lineage.ROOT / page
    for token in tokens(page):
        target = token.attrs.get("href") or token.attrs.get("src") if token.type in ("link_open", "image") else None
        if target and not re.match(r"https?:|mailto:", target):
            path, _, anchor = unquote(target).partition("#")
            file = (place.parent / path).resolve() if path else place
            assert file.exists(), f"{page} links to {target}"
            if anchor:
                assert anchor in anchors(file), f"{page} links to {target}, which has {sorted(anchors(file))}"
            elsewhere = (
                file.name.endswith(".md") and page.endswith(LANGUAGES["Chinese"]) and file.parent != place.parent
            )
            if elsewhere:
                assert file.name.endswith(LANGUAGES["Chinese"]), f"{page} links to the English {target}"


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_hold_the_same(page):
    english, chinese = (page + ending for ending in LANGUAGES.values())
    assert heading_levels(english) == heading_levels(chinese)
    assert formulas(english) == formulas(chinese)
    assert images(english) == images(chinese)
    assert table_numbers(english) == table_numbers(chinese)
    for language in ("python", "text"):
        of_pages = [[without_words(block) for block in blocks(name, language)] for name in (english, chinese)]
        assert of_pages[0] == of_pages[1]
    assert len(blocks(english, "mermaid")) == len(blocks(chinese, "mermaid"))


@pytest.mark.parametrize("page", FILES)
def test_words_that_are_never_used(page):
    found = re.search(NEVER[page[page.index(".") :]], text_of(page))
    assert not found, f"{page}: {found}"


@pytest.mark.parametrize("ending", LANGUAGES.values())
def test_previous_and_next_make_one_path(ending):
    folders = list(lineage.PARENT)
    policy = folders.index("PolicyGradient(PG)")
    chapters = [f"notes/{chapter}" for chapter in CHAPTERS]
    readme = [f"{folder}/README" for folder in folders]
    path = [*chapters[:2], *readme[:policy], chapters[2], *readme[policy:], *chapters[3:]]
    for before, page, after in zip(["README", *path[:-1]], path, [*path[1:], None], strict=True):
        foot = text_of(page + ending).rstrip().splitlines()[-1]
        links = [token.attrs["href"] for token in PARSER.parseInline(foot)[0].children if token.type == "link_open"]
        found = [((lineage.ROOT / page).parent / unquote(link)).resolve() for link in links]
        wanted = [(lineage.ROOT / (name + ending)).resolve() for name in (before, after) if name]
        assert found == wanted, f"the foot of {page}{ending} leads to {found}"


@pytest.mark.parametrize(("topic", "page", "english", "chinese"), TOPICS, ids=[topic[0] for topic in TOPICS])
def test_every_topic_of_the_outline_has_its_place(topic, page, english, chinese):
    for ending, words in zip(LANGUAGES.values(), (english, chinese), strict=True):
        assert words.lower() in text_of(page + ending).lower(), f"{page}{ending} says nothing of {words}"


@pytest.mark.parametrize("ending", LANGUAGES.values())
def test_the_gallery_of_bugs_shows_what_was_measured(ending):
    table = text_of(f"notes/5-experience{ending}").partition("<!-- bugs -->")[2].partition("<!-- end of bugs -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(bugs.BUGS) + 1)]
    for row, (name, bug) in zip(rows, bugs.BUGS.items(), strict=True):
        assert row[3:5] == [bugs.scores(name, side) for side in (bugs.RIGHT, bugs.WRONG)]
        test = bug.test.split()[1]
        named = row[5].strip("`")
        assert test in named or named in ("none", "无", "没有"), f"{name}: {named} is not {test}"
