"""Checkpoints as a bad disk, a bad copy or somebody's hand makes them."""

import copy
import random
import re
from collections.abc import Iterator

import numpy as np
import torch


def damaged(content: bytes, rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """The bytes of a file with one damage each: a bit flipped, the end cut off, a block of zeros, bytes added."""
    n = len(content)
    headers = [match.start() for match in re.finditer(b"PK\x01\x02", content)]  # of the archive's table of contents
    largest = max(headers, key=lambda header: content[header + 24 : header + 28][::-1])
    yield "a folder in place of a file", flipped(content, largest + 38, 4)  # what zipfile reads, and torch does not
    for i in range(count - 1):
        kind = i % 8
        if kind < 4:
            place, bit = rng.randrange(n), rng.randrange(8)
            yield f"bit {bit} of byte {place}", flipped(content, place, bit)
        elif kind == 4:
            end = rng.choice([0, 1, n - 1, rng.randrange(n), rng.randrange(n)])
            yield f"cut at {end}", content[:end]
        elif kind < 7:
            size = rng.choice([1, 16, 512, 4096])
            start = rng.randrange(n)
            new = content[:start] + bytes(min(size, n - start)) + content[start + size :]
            yield f"{size} zeros at {start}", new
        else:
            start, other = rng.randrange(n), rng.randrange(n)
            new = content[:start] + content[other : other + 64] + content[start + 64 :]
            yield f"64 bytes at {start} from {other}", new


def flipped(content: bytes, place: int, bit: int) -> bytes:
    """The same with one bit flipped."""
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


WRONG = (None, "text", 3, 3.5, -1, [], {}, b"bytes", torch.zeros(2), np.zeros(2), {"a": 1}, (1, 2))


def unfit(kept: dict, rng: random.Random, count: int) -> Iterator[tuple[str, dict]]:
    """What the file holds with one entry of another kind or shape, or missing."""
    yield "nothing in it", {}
    yield "a list", [kept]
    for name, value in (("agent", {}), ("best", {"a": 1}), ("evaluating", {"a": 1}), ("seed", -1), ("step", -5)):
        yield f"{name} {value}", kept | {name: value}
    entries = [path for path in paths(kept) if path[0] != "settings" and "param_groups" not in path[:-1]]
    entries = [path for path in entries if path[-2:] != ("noise", "x")]  # which is as what was last drawn
    for _ in range(count):
        new, path = copy.deepcopy(kept), rng.choice(entries)  # main.py's settings and optimizers' take their place
        parent = new
        for key in path[:-1]:
            parent = parent[key]
        old, how = parent[path[-1]], rng.choice(["other", "other", "missing", "shape", "kind"])
        if how == "shape" and isinstance(old, torch.Tensor | np.ndarray) and old.ndim:
            parent[path[-1]] = old[: max(0, len(old) - 1)] if rng.random() < 0.5 else old[None]
        elif how == "kind" and isinstance(old, torch.Tensor | np.ndarray):
            parent[path[-1]] = old.double() if isinstance(old, torch.Tensor) else old.astype(np.float32)
        elif how == "missing" and isinstance(parent, dict):
            del parent[path[-1]]
        else:
            how, parent[path[-1]] = "other", rng.choice([wrong for wrong in WRONG if type(wrong) is not type(old)])
        yield f"{how} {path}", new


def paths(part: object, path: tuple = ()) -> Iterator[tuple]:
    """Where all entries of nested dicts and lists stand."""
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths(value, (*path, key))
