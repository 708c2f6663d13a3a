"""Write what was measured (benchmarks/results) into the READMEs: tables of data, between markers or in their cells.

python benchmarks/readme.py
"""

import json
import math
import re
import statistics

import ablations
import common
from common import FOLDERS, ROOT, Row

READMES = {"README.md": False, "README.zh-CN.md": True}
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
HEADINGS = {
    False: "| command | seeds | environment steps | score, worst … best | wanted | solved | seconds | measured on |",
    True: "| 命令 | 种子 | 环境步数 | 得分，最差 … 最好 | 要求 | 学会 | 秒 | 测量环境 |",
}
BEGIN_TASKS, END_TASKS = "<!-- other tasks -->", "<!-- end of other tasks -->"
TASK_HEADINGS = {
    False: "| algorithm | `ENV_ID` | `TOTAL_STEPS` | wanted | scores of the seeds | solved |",
    True: "| 算法 | `ENV_ID` | `TOTAL_STEPS` | 要求 | 各种子的得分 | 学会 |",
}
BEGIN_PIECES, END_PIECES = "<!-- pieces -->", "<!-- end of pieces -->"
PIECES_HEADINGS = {
    False: "| setting | score: median | worst … best | learned | at the bar after |",
    True: "| 设置 | 得分：中位数 | 最差 … 最好 | 学会 | 达到要求的步数 |",
}
EXCESS_HEADING = {False: "Q too high by", True: "Q 偏高"}
BEGIN_SOONER, END_SOONER = "<!-- sooner -->", "<!-- end of sooner -->"
SOONER_HEADINGS = {
    False: "| algorithm | task | ours: steps | seconds | theirs: steps | seconds | times sooner "
    "| learned: ours, theirs | measured on |",
    True: "| 算法 | 任务 | 这里：步数 | 秒 | 对方：步数 | 秒 | 快几倍 | 学会：这里，对方 | 测量环境 |",
}
COMMANDS = {common.MAIN: "curves.py {}", "main_mujoco.py": "robots.py {}", "main_push.py": "robots.py {}"}
COMMANDS |= {f"{env_id} main_mujoco.py": f"robots.py {{}} --env {env_id}" for env_id in ("Hopper-v5", "Walker2d-v5")}


def values(rows: list[Row], tag: str) -> list[float]:
    return [row.value for row in rows if row.tag == tag]


def spread(scores: list[float]) -> str:
    """The worst and the best score; all digits that matter."""
    digits = 0 if max(map(abs, scores)) > 2 else 2
    low, high = (f"{score:,.{digits}f}" for score in (min(scores), max(scores)))
    return low if low == high else f"{low} … {high}"


def solved(rows: list[Row]) -> str:
    return f"{sum(values(rows, 'solved')):.0f} / {len(values(rows, 'solved'))}"


def seconds(rows: list[Row]) -> str:
    """The median of the runs that were timed alone; else, with ≤, of those beside which another one ran."""
    if alone := values(rows, "seconds_alone"):
        return f"{statistics.median(alone):.0f}"
    beside = values(rows, "seconds")
    return f"≤ {statistics.median(beside):.0f}" if beside else ""


def seeds(rows: list[Row]) -> str:
    """From the first to the last; they follow each other."""
    first, last = min(row.seed for row in rows), max(row.seed for row in rows)
    return str(first) if first == last else f"{first} … {last}"


def table(folder: str, zh: bool) -> str:
    """The table of a folder's README: a row for each of its mains."""
    lines = [HEADINGS[zh], "|" + "---|" * 8]
    for variant, command in COMMANDS.items():
        if rows := common.read(folder, variant):
            score = next(row for row in rows if row.tag == "score")
            wanted = f"{common.bar(folder):g}" if variant == common.MAIN else ""
            done = solved(rows) if variant == common.MAIN else ""
            name = f'"{folder}"' if "(" in folder else folder
            cells = [f"`python benchmarks/{command.format(name)}`", seeds(rows), f"{score.env_steps:,}"]
            cells += [spread(values(rows, "score")), wanted, done, seconds(rows), score.machine]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tasks(zh: bool) -> str:
    """The table of the front page: folders on other tasks than their own."""
    runs, rows = json.loads((common.RESULTS / "tasks.json").read_text())["runs"], {}
    for run in runs:
        key = run["folder"], run["env_id"], f"{run['env_steps']:,}", f"{run['solved_score']:g}"
        rows.setdefault(key, []).append(run)
    lines = [TASK_HEADINGS[zh], "|" + "---|" * 6]
    for key, of in rows.items():
        digits = 0 if abs(of[0]["solved_score"]) > 2 else 2
        scores = ", ".join(f"{round(run['score'], digits) + 0.0:.{digits}f}" for run in of)  # + 0.0: no -0
        lines.append(f"| {' | '.join(key)} | {scores} | {sum(run['solved'] for run in of)} / {len(of)} |")
    return "\n".join(lines)


def pieces(folder: str, zh: bool) -> str:
    """The table of a folder's variants. The last column is the step of the first evaluation at the bar, median."""
    heading, lines = PIECES_HEADINGS[zh], []
    for variant in [ablations.AS_IT_IS, *ablations.VARIANTS.get(folder, {})]:
        if rows := common.read(folder, variant):
            scores, steps = values(rows, "score"), ablations.reached(rows, common.bar(folder))
            median = statistics.median_high(steps)
            name = ablations.CHINESE.get(variant, variant) if zh else variant
            cells = [name, spread([statistics.median(scores)]), spread(scores), solved(rows)]
            cells.append("-" if median == math.inf else f"{median:,}")
            if excess := values(rows, ablations.EXCESS):
                heading = f"{PIECES_HEADINGS[zh]} {EXCESS_HEADING[zh]} |"
                cells.append(f"{statistics.median(excess):+.2f}")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([heading, "|" + "---|" * (heading.count("|") - 1), *lines])


def sooner(runs: list[dict], zh: bool) -> str:
    """The table of the front page: when ours and another library learned a task, medians over the seeds.

    > stands before the end of a run that had not learned its task: it would have taken longer.
    """
    rows = {}
    for run in runs:
        rows.setdefault(run["folder"], {"ours": [], "theirs": []})[run["side"]].append(run)
    lines = [SOONER_HEADINGS[zh], "|" + "---|" * 9]
    for folder, sides in rows.items():
        if not all(sides.values()):
            continue  # half measured
        cells, medians, reached = [folder, sides["ours"][0]["env_id"]], [], []
        for of in sides.values():
            for what, digits in (("trained_steps", 0), ("seconds", 1)):
                missed, value = sorted((run["env_steps"] is None, run[what]) for run in of)[len(of) // 2]
                cells.append(f"{'> ' if missed else ''}{value:,.{digits}f}")
            medians.append((missed, value))
            reached.append(f"{sum(run['env_steps'] is not None for run in of)} / {len(of)}")
        (we_missed, ours), (they_missed, theirs) = medians
        bound = ("< " if we_missed else "") + ("> " if they_missed else "")
        cells.append("" if bound == "< > " else f"{bound}{theirs / ours:.1f}")
        machines = dict.fromkeys(run["machine"] for of in sides.values() for run in of)
        lines.append(f"| {' | '.join([*cells, ', '.join(reached), '; '.join(machines)])} |")
    return "\n".join(lines)


def progress(text: str) -> str:
    """The front page with the cells of the progress table renewed: score, solved, seconds."""
    for folder in FOLDERS:
        if rows := common.read(folder):
            cells = f"{spread(values(rows, 'score'))} | {solved(rows)} | {seconds(rows)}"
            row = rf"^(\| \[{re.escape(folder)}\]\(<.*?>\) \|[^|]*\|[^|]*\|)[^|]*\|[^|]*\|[^|]*(\|.*)$"
            text, found = re.subn(row, rf"\1 {cells} \2", text, flags=re.MULTILINE)
            assert found == 1, f"the front page has {found} rows of {folder}"
    return text


def renewed(path) -> str:
    """The text of a README with what is measured renewed."""
    text, zh = path.read_text(), READMES[path.name]
    if path.parent == ROOT:
        between = rf"(?s){BEGIN_TASKS}.*{END_TASKS}"
        text = re.sub(between, lambda _: f"{BEGIN_TASKS}\n{tasks(zh)}\n{END_TASKS}", text, count=1)
        if (measured := common.RESULTS / "solve.json").exists():
            new = f"{BEGIN_SOONER}\n{sooner(json.loads(measured.read_text())['runs'], zh)}\n{END_SOONER}"
            text, found = re.subn(rf"(?s){BEGIN_SOONER}.*{END_SOONER}", lambda _: new, text)
            assert found == 1, f"{path.name} has {found} places {BEGIN_SOONER} for what solve.py measured"
        return progress(text)
    if not common.read(path.parent.name):
        return text
    for begin, end, write in ((BEGIN, END, table), (BEGIN_PIECES, END_PIECES, pieces)):
        new = f"{begin}\n{write(path.parent.name, zh)}\n{end}"
        text = re.sub(rf"(?s){begin}.*{end}", lambda _, new=new: new, text, count=1)
    return text


def main() -> None:
    for name in READMES:
        for path in (ROOT / name, *ROOT.glob(f"*/{name}")):
            path.write_text(renewed(path))


if __name__ == "__main__":
    main()
