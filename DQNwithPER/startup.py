"""What comes first: signals, and whether all packages are there. The same file in every folder."""

import os
import signal
import sys
from pathlib import Path


def refuse(message: object) -> None:
    """End the program with one clear line and exit status 2."""
    line = " ".join(str(message).split())
    print("\r\x1b[K" * sys.stderr.isatty() + f"error: {line}", file=sys.stderr)  # over the progress bar
    sys.exit(2)


def leave(number: int, _: object) -> None:
    """The answer to Ctrl-C and its like where nothing can be lost: end at once."""
    print("stopped", file=sys.stderr)
    os._exit(128 + number)


def on_signals(answer) -> None:
    """Let `answer` see to Ctrl-C, to a request to end, and to the end of the terminal, unless nohup ignores that."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and (name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN):
            signal.signal(number, answer)


FOLDER = Path(__file__).resolve().parent
if Path(getattr(sys.modules["__main__"], "__file__", None) or "/").resolve().parent == FOLDER:
    on_signals(leave)  # the imports to come take seconds

NEEDED = {"filelock": "3.0", "gymnasium": "1.1", "imageio": "2.0", "matplotlib": "3.0", "numpy": "2.0"}
NEEDED |= {"tensorboardX": "2.6", "torch": "2.4", "tqdm": "4.0"}


def look_for_packages() -> None:
    """Refuse to begin if a package is missing or too old."""
    import importlib.metadata
    import importlib.util
    import re

    for package, needed in NEEDED.items():
        if importlib.util.find_spec(package) is None:
            refuse(f"the package {package} is missing; run: pip install -r requirements.txt")
        version = importlib.metadata.version(package)
        if [int(part) for part in re.findall(r"\d+", version)[:2]] < [int(part) for part in needed.split(".")]:
            refuse(f"{package} {version} is too old, {needed} or newer is needed; run: pip install -r requirements.txt")


look_for_packages()
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
