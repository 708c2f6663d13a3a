"""The pages' worked examples and quoted lines are those of the code."""

import re

import examples
import lineage
import pytest

PAGES = {  # the headings of the two sections
    "README.md": ("One update in numbers", "Formula and code"),
    "README.zh-CN.md": ("用数字走一遍更新", "公式与代码"),
}
NUMBER = r"-?\d+(?:\.\d+)?"
QUOTED = re.compile(r"\| (.+) \| `(\w+\.py)`: `([\w.]+)` \| `(.+)` \|")
SUM = re.compile(rf"(?=[-(\d])([-+·/()\d. ]*[+·/] [-+·/()\d. ]*|[-(\d][-+·/()\d. ]* - [-+·/()\d. ]*) = ({NUMBER})")


def section(folder: str, page: str, heading: str) -> str:
    text = (lineage.ROOT / folder / page).read_text()
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{folder}/{page} has no section {heading}"
    return found[1]


def rows_of(text: str) -> dict[str, list[str]]:
    """The numbers in each row of the section's tables, under the row's first cell; rows without numbers left out."""
    rows = {}
    for line in text.splitlines():
        if line.startswith("|"):
            name, *cells = (cell.strip() for cell in line.strip("| ").split(" | "))
            if numbers := [cell for cell in cells if re.fullmatch(NUMBER, cell)]:
                assert name not in rows, f"two rows are named {name}"
                rows[name] = numbers
    return rows


def is_printed(value: float, number: str) -> bool:
    """Whether `number` is `value`, rounded to its digits; with fewer than three of them after the point, exactly."""
    digits = len(number.partition(".")[2])
    rounded = f"{value:.{digits}f}"
    return float(rounded) == float(number) and (digits >= 3 or abs(value - float(number)) < 1e-5)


def check(text: str, values: dict[str, float | list[float]]) -> None:
    """Every value stands in the section, every number in a table is one of them, and every sum written out is right."""
    rows, text = rows_of(text), text.replace(r"\cdot", "·")
    for name, value in values.items():
        wanted = value if isinstance(value, list) else [value]
        numbers = rows.pop(name, None)
        if numbers is None:
            stated = rf"(?<![\w\\}}]){re.escape(name)} = (?:[-+·/()\d. ]+ = )?({NUMBER})(?![.\d]*\d| [-+·/])"
            numbers = re.findall(stated, text)
            assert numbers, f"{name} is not on the page"
            wanted = wanted * len(numbers)
        assert len(numbers) == len(wanted), f"{name} has {len(numbers)} numbers on the page and {len(wanted)} in fact"
        for number, value in zip(numbers, wanted, strict=True):
            assert is_printed(value, number), f"{name} is {value}, and {number} on the page"
    assert not rows, f"rows that nothing computes: {list(rows)}"
    for left, right in SUM.findall(text):
        value = eval(left.strip().replace("·", "*"), {"__builtins__": {}})
        assert is_printed(value, right), f"{left} is {value}, and {right} on the page"
    known = [abs(v) for value in values.values() for v in (value if isinstance(value, list) else [value])]
    for number in re.findall(r"(?<![\w.])\d+\.\d+", text):
        assert any(is_printed(value, number) for value in known), f"nothing computes {number}"


def changed(text: str) -> list[str]:
    """The section with one digit changed: each digit in turn of the numbers in tables and of those with a point."""
    places = set()
    for line in re.finditer(r"^\|.*$", text, re.MULTILINE):
        for cell in re.finditer(rf"(?<=\| ){NUMBER}(?= \|)", line[0]):
            places |= {line.start() + i for i in range(*cell.span())}
    for number in re.finditer(r"(?<![\w.])\d+\.\d+", text):
        places |= set(range(*number.span()))
    digits = [place for place in sorted(places) if text[place].isdigit()]
    return [text[:i] + str((int(text[i]) + 1) % 10) + text[i + 1 :] for i in digits]


@pytest.fixture(scope="module", params=examples.EXAMPLES)
def example(request):
    return request.param, examples.EXAMPLES[request.param]()


@pytest.mark.parametrize("page", PAGES)
def test_the_numbers_of_the_example_are_those_of_the_code(example, page):
    folder, values = example
    check(section(folder, page, PAGES[page][0]), values)


@pytest.mark.parametrize("page", PAGES)
def test_a_changed_digit_is_found(example, page):
    folder, values = example
    texts = changed(section(folder, page, PAGES[page][0]))
    assert len(texts) > 20
    for text in texts:
        with pytest.raises(AssertionError):
            check(text, values)


def quoted(folder: str, page: str) -> list[tuple[str, ...]]:
    """(formula, file, function, line) of each row of the section."""
    lines = [line for line in section(folder, page, PAGES[page][1]).splitlines() if line.startswith("|")][2:]
    rows = [QUOTED.fullmatch(line) for line in lines]
    assert all(rows), f"{folder}/{page}: {[line for line, row in zip(lines, rows, strict=True) if not row]}"
    return [row.groups() for row in rows]


@pytest.mark.parametrize("folder", examples.EXAMPLES)
def test_the_quoted_lines_stand_in_the_functions_named(folder):
    of_pages = [quoted(folder, page) for page in PAGES]
    for rows in of_pages:
        assert rows
        for _, file, function, line in rows:
            source = (lineage.ROOT / folder / file).read_text()
            lines = [text.strip() for text in lineage.text(source, function).splitlines()]
            without_comments = [text.split("  # ")[0] for text in lines]
            assert line in lines + without_comments, f"{file}: {function} has no line {line}"
    assert len({tuple(row[1:] for row in rows) for rows in of_pages}) == 1, "the two pages quote different lines"
