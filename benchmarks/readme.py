"""Write what was measured (benchmarks/results) into the READMEs: the progress table, and each folder's measured lines.

python benchmarks/readme.py
"""

import json
import re
import statistics

from common import PARENT, RESULTS, ROOT

PAPER = {"TD3": (5514, 554)}  # mean, deviation on HalfCheetah at 100,000 steps, of the curves published with the paper
READMES = {"README.md": False, "README.zh-CN.md": True}


def result(name: str) -> dict | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def table_row(folder: str, zh: bool) -> tuple[str, str]:
    """Score (worst to best seed, how many solved) and seconds, as the progress table shows them.

    `beside` in a result says that another training ran on the second core: alone it would have taken less.
    """
    if not (data := result(folder)):
        return "", ""
    scores = [run["result"]["score"] for run in data["runs"]]
    solved = sum(run["result"]["solved"] for run in data["runs"])
    of = f"{solved} / {len(scores)}" if zh else f"{solved} of {len(scores)}"
    return f"{spread(scores, zh)}, {of}", f"{'≤ ' * data.get('beside', False)}{statistics.median(data['seconds']):.0f}"


def spread(scores: list[float], zh: bool) -> str:
    """The worst and the best score; all digits that matter."""
    digits = 0 if max(map(abs, scores)) > 2 else 2
    low, high = (f"{score:.{digits}f}" for score in (min(scores), max(scores)))
    return low if low == high else f"{low} {'至' if zh else 'to'} {high}"


def measured(folder: str, zh: bool) -> str:
    """The paragraph of a folder's README that tells how it learns."""
    data = result(folder)
    scores = [run["result"]["score"] for run in data["runs"]]
    solved = sum(run["result"]["solved"] for run in data["runs"])
    one, seconds = data["runs"][0]["result"], statistics.median(data["seconds"])
    machine, clock = (data[name].replace("(R)", "") for name in ("machine", "seconds_on"))
    first, n = data["runs"][0]["seed"], len(scores)
    command = f'`python benchmarks/curves.py "{folder}"' + f" --first {first}" * bool(first) + "`"
    times = len(data["seconds"])
    alone = f"alone ({'one run' if times == 1 else f'median of {times}'}, {clock})"
    alone_zh = (
        f"单独运行整条命令 {seconds:.0f} 秒（{'一次运行' if times == 1 else f'{times} 次运行的中位数'}，{clock}）"
    )
    if data.get("beside"):
        alone = f"with another training beside it ({clock})"
        alone_zh = f"旁边有另一个训练时整条命令 {seconds:.0f} 秒（{clock}）"
    if zh:
        return (
            f"**实测。** 种子 {first} 至 {first + n - 1}，各 {one['env_steps']:,} 个环境步：得分 {spread(scores, zh)}"
            f"（要求 {one['solved_score']:g}），{n} 个中 {solved} 个学会（{command}，{machine}）。{alone_zh}。"
            + extra(folder, zh)
            + on_mujoco(folder, zh)
        )
    return (
        f"**Measured.** Seeds {first} to {first + n - 1}, {one['env_steps']:,} environment steps each: scores "
        f"{spread(scores, zh)} (wanted: {one['solved_score']:g}), {solved} of {n} solved ({command} on {machine}). The "
        f"whole command takes {seconds:.0f} s {alone}." + extra(folder, zh) + on_mujoco(folder, zh)
    )


def mean_of_seeds(reached: dict[str, dict[str, float]], bits: str, zh: bool) -> str:
    """The share of goals reached, of the runs with as many bits; and how many runs, if not five."""
    runs = len(reached[bits])
    of = "" if runs == 5 else f"（{runs} 个种子）" if zh else f" ({runs} seed{'s' * (runs > 1)})"
    return f"{bits} {'位' if zh else 'bits'} {statistics.mean(reached[bits].values()):.2f}{of}"


def extra(folder: str, zh: bool) -> str:
    """What was measured of this folder alone."""
    if folder in ("QLearning", "Sarsa", "SarsaLambda") and (data := result("cliff")):
        other = "Sarsa" if folder != "Sarsa" else "QLearning"
        mine, theirs = (f"{data[name]['return_while_learning']:.1f}" for name in (folder, other))
        if zh:
            seeds = f"{data['seeds']} 个种子，`python benchmarks/cliff.py`"
            return f" 学习过程中前 500 回合的平均回报：{folder} {mine}，{other} {theirs}（{seeds}）。"
        return (
            f" Mean return over the first 500 episodes, while learning: {folder} {mine}, {other} {theirs} "
            f"({data['seeds']} seeds, `python benchmarks/cliff.py`)."
        )
    if folder == "DQNwithPER" and (data := result("speed-per")):
        uniform, prioritized = (f"{us / 1000:.2f}" for us in data["microseconds"].values())
        if zh:
            ratio = f"{data['ratio']:.2f} 倍（`python benchmarks/speed.py per`）"
            return f" 一次更新：均匀回放 {uniform} 毫秒，优先回放 {prioritized} 毫秒，{ratio}。"
        return (
            f" One update takes {uniform} ms with uniform and {prioritized} ms with prioritised replay, "
            f"{data['ratio']:.2f} times as long (`python benchmarks/speed.py per`)."
        )
    if folder == "DQNwithHER" and (data := result("bits")):
        with_her, without, *longer = data["goals reached"].values()
        told = [[mean_of_seeds(of, bits, zh) for bits in sorted(of, key=int)] for of in (with_her, without, *longer)]
        lines, command, episodes = list(map(", ".join, told)), "`python benchmarks/bits.py`", data["episodes"]
        if zh:
            lines = [line.replace(", ", "、") for line in lines]
            more = f"；至多三倍回合（`--times 3`）：{lines[2]}" if longer else ""
            return (
                f" 至多 {episodes:,} 个回合之后达到目标的比例（5 个种子的平均）。有事后经验：{lines[0]}{more}；"
                f"没有：{lines[1]}（{command}）。![图 1](bits.svg)"
            )
        more = f"; after up to three times as many (--times 3): {lines[2]}" if longer else ""
        return (
            f" Goals reached after at most {episodes:,} episodes, mean of 5 seeds. With hindsight: {lines[0]}{more}. "
            f"Without: {lines[1]} ({command}). ![figure 1](bits.svg)"
        )
    if folder == "A2C" and (data := result("speed-a2c")):
        ours, theirs = (f"{speed:,}" for speed in data["steps_per_second"].values())
        if zh:
            return (
                f" 8 个环境、每次 5 步时：每秒 {ours} 步，Stable-Baselines3 2.9.2 同样的网络和设置 {theirs} 步，"
                f"{data['ratio']:.1f} 倍（单线程，{data['rounds']} 轮交替的中位数，`python benchmarks/speed.py a2c`）。"
            )
        return (
            f" With 8 environments and 5 steps: {ours} steps per second; Stable-Baselines3 2.9.2 with the same network "
            f"and settings {theirs}; ratio {data['ratio']:.1f} (one thread, median of {data['rounds']} rounds in turn, "
            f"`python benchmarks/speed.py a2c`)."
        )
    if folder in ("PPO", "TRPO") and (data := result(f"speed-{folder.lower()}")):
        ours, theirs = (f"{speed:,}" for speed in data["steps_per_second"].values())
        library, what = {"PPO": "Stable-Baselines3", "TRPO": "sb3-contrib"}[folder], f"speed.py {folder.lower()}"
        if zh:
            return (
                f" 每秒 {ours} 步；{library} 2.9.2 同样的网络和设置 {theirs} 步，{data['ratio']:.1f} 倍（单线程，"
                f"{data['rounds']} 轮交替的中位数，`python benchmarks/{what}`）。"
            )
        return (
            f" {ours} steps per second; {library} 2.9.2 with the same network and settings {theirs}; ratio "
            f"{data['ratio']:.1f} (one thread, median of {data['rounds']} rounds in turn, `python benchmarks/{what}`)."
        )
    if folder in ("A3C", "DPPO") and (data := result(f"speed-{folder.lower()}")):
        what = f"speed.py {folder.lower()}"
        (few, one), (many, all_) = data["steps_per_second"].items()
        if zh:
            return (
                f" 每秒步数：{few.split()[0]} 个工作进程 {one:,}，{many.split()[0]} 个 {all_:,}，{data['ratio']:.2f} 倍"
                f"（{data['rounds']} 轮交替的中位数，`python benchmarks/{what}`）。"
            )
        return (
            f" Steps per second: {one:,} with one worker, {all_:,} with {many.split()[0]}, {data['ratio']:.2f} times "
            f"as many (median of {data['rounds']} rounds in turn, `python benchmarks/{what}`)."
        )
    speed = {"DeepDeterministicPolicyGradient": "ddpg", "TD3": "td3", "SAC": "sac"}.get(folder)
    if speed and (data := result(f"speed-{speed}")):
        ours, theirs = data["updates_per_second"].values()
        if zh:
            return (
                f" 两层 256、批 256、每步一次更新时：每秒 {ours} 次更新（含与环境的交互），"
                f"Stable-Baselines3 2.9.2 同样的设置 {theirs} 次，{data['ratio']:.1f} 倍（单线程，"
                f"{data['rounds']} 轮交替的中位数，`python benchmarks/speed.py {speed}`）。"
            )
        return (
            f" With two layers of 256, batch 256 and one update a step: {ours} updates per second, acting included; "
            f"Stable-Baselines3 2.9.2 with the same settings {theirs}; ratio {data['ratio']:.1f} (one thread, median "
            f"of {data['rounds']} rounds in turn, `python benchmarks/speed.py {speed}`)."
        )
    return ""


def on_mujoco(folder: str, zh: bool) -> str:
    """What main_mujoco.py, or main_push.py, reached."""
    if not (data := result(f"{folder}-mujoco")):
        return ""
    scores, steps = [run["result"]["score"] for run in data["runs"]], data["runs"][0]["result"]["env_steps"]
    picture, command = "![MuJoCo](mujoco.svg)", f"`python benchmarks/robots.py {folder}`"
    if folder in ("DIAYN", "DDPGwithHER"):
        command = f"{command[:-1]} --steps {steps} --seeds {len(scores)}`"
    if folder == "DDPGwithHER":
        told = f"{scores[0]:.2f}"
        if zh:
            return f" FetchPush-v4 上 {steps:,} 步之后（种子 0）：达到目标的比例 {told}（{command}）。{picture}"
        return (
            f" On FetchPush-v4 after {steps:,} environment steps (seed 0): goals reached {told} ({command}). {picture}"
        )
    if folder == "DIAYN":
        returns = sorted(statistics.mean(of) for of in data["skills"])
        told, low, high = f"{scores[0]:.2f}", f"{returns[0]:.0f}", f"{returns[-1]:.0f}"
        if zh:
            return (
                f" HalfCheetah-v5 上 {steps:,} 步之后（种子 0）：得分 {told}；按任务自身的奖励，"
                f"各技能的平均回报从 {low} 到 {high}（{command}）。{picture}"
            )
        return (
            f" On HalfCheetah-v5 after {steps:,} steps (seed 0): score {told}; by the reward of the task, which it "
            f"never saw, the skills' mean returns go from {low} to {high} ({command}). {picture}"
        )
    each, n = ", ".join(f"{score:,.0f}" for score in scores), len(scores)
    if zh:
        paper = "论文只画了曲线，没有给出这一步的数字"
        if folder in PAPER:
            mean, std = PAPER[folder]
            paper = f"论文随代码公布的曲线在这一步是 {mean:,} ± {std}（十个种子，HalfCheetah-v1）"
        return (
            f" HalfCheetah-v5 上 {steps:,} 步之后，种子 0 至 {n - 1}：平均回报（取途中评估最好的智能体）"
            f"{each.replace(', ', '、')}；{paper}"
            f"（{command}）。{picture}"
        )
    paper = "the paper draws a curve and gives no number for that step"
    if folder in PAPER:
        mean, std = PAPER[folder]
        paper = f"the curves published with the paper's code are at {mean:,} ± {std} there (ten seeds, HalfCheetah-v1)"
    return (
        f" On HalfCheetah-v5 after {steps:,} environment steps, seeds 0 to {n - 1}: mean returns {each} of the best "
        f"agent evaluated on the way; {paper} "
        f"({command}). {picture}"
    )


def compared(zh: bool) -> str:
    """The paragraph of the first README that compares with another library."""
    data = result("speed-dqn")
    ours, theirs = data["ours"], data["stable-baselines3"]
    if zh:
        return (
            f"LunarLander-v3 上的 DQN，种子 0，单线程，从开始到训练并评估完毕：这里 {ours['seconds']:.0f} 秒，平均回报 "
            f"{ours['score']:.0f}；Stable-Baselines3 2.9.2 用其 zoo 调好的超参数，{theirs['seconds']:.0f} 秒，平均回报 "
            f"{theirs['score']:.0f}。由 `python benchmarks/speed.py dqn` 在同一次运行中测得"
            f"{'，两者旁边都有另一个训练' * data.get('beside', False)}。"
        )
    return (
        f"DQN on LunarLander-v3, seed 0, one thread, from start to a trained and evaluated agent: "
        f"{ours['seconds']:.0f} s for a mean return of {ours['score']:.0f} here; {theirs['seconds']:.0f} s for "
        f"{theirs['score']:.0f} with Stable-Baselines3 2.9.2 and the settings tuned for it in its zoo. "
        f"Measured in one run by `python benchmarks/speed.py dqn`"
        f"{', both with another training beside them' * data.get('beside', False)}."
    )


def root(text: str, zh: bool) -> str:
    """The first README with the progress table and the comparison renewed."""
    for folder in PARENT:
        score, seconds = table_row(folder, zh)
        done = (ROOT / folder / "main.py").exists() and score
        mark = ("√" if zh else "yes") if done else ("未" if zh else "not yet")
        row = re.search(rf"^\| (?:\[{re.escape(folder)}\]\(<.*>\)|{re.escape(folder)}) \|.*$", text, re.M)[0]
        _, _, _, family, task, _, _, paper, _ = (cell.strip() for cell in row.split("|"))
        link = f"[{folder}](<{folder}>)" if done else folder
        text = text.replace(row, f"| {link} | {mark} | {family} | {task} | {score} | {seconds} | {paper} |")
    return re.sub(r"^(DQN on LunarLander|LunarLander-v3 上的 DQN).*$", lambda _: compared(zh), text, flags=re.M)


def renewed(path) -> str:
    """The text of a README with what is measured renewed."""
    text, zh = path.read_text(), READMES[path.name]
    if path.parent == ROOT:
        return root(text, zh)
    if not result(path.parent.name):
        return text
    return re.sub(r"^\*\*(Measured\.|实测。)\*\*.*$", lambda _: measured(path.parent.name, zh), text, flags=re.M)


def main() -> None:
    for name in READMES:
        for path in (ROOT / name, *ROOT.glob(f"*/{name}")):
            path.write_text(renewed(path))


if __name__ == "__main__":
    main()
