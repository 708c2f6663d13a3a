"""Folders run as a person runs them: `python main.py`, or the same in a process that has imported torch already.

A start of Python with torch takes seconds. So a server imports the packages once, and each process is a fork of it: a
process of its own, with its own group as a terminal gives it, that can get signals, be killed, and run out of disk.
"""

import contextlib
import ctypes
import functools
import importlib
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import changed
from folders import importable

NOTICES = ("steps/s", "Farama-Foundation", "torchrun")  # lines on stderr that are no errors

SHORT = 40  # steps of an episode, where runs are to be short


def python(folder, *arguments, **options):
    """Run main.py with the arguments in the folder; the finished process."""
    command = [sys.executable, "main.py", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, **options)


def refused(status, stderr, *words):
    """One clear line with these words, no traceback, exit status 2."""
    assert status == 2, stderr
    lines = [line for line in stderr.splitlines() if line.strip() and not any(n in line for n in NOTICES)]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert str(word) in lines[0], lines[0]
    return lines[0]


def files(path):
    """All that is in a folder, with what each file holds."""
    names = sorted(p for p in path.rglob("*") if "__pycache__" not in p.parts)
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else None for p in names}


def processes_in(folder) -> list[int]:
    """All processes that run in this folder: main.py's, and those that it has started."""
    found, path = [], os.path.realpath(folder)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(process / "cwd").removesuffix(" (deleted)") == path and state(process) != "Z":
                found.append(int(process.name))
    return found


def state(process: Path) -> str:
    return (process / "stat").read_text().rpartition(")")[2].split()[0]


def orphans(folder, seconds=2.0) -> list[int]:
    """Processes that still run in the folder after so many seconds."""
    last = time.monotonic() + seconds
    while (left := processes_in(folder)) and time.monotonic() < last:
        time.sleep(0.02)
    return left


class Server:
    """Starts main.py of any folder at once."""

    def __init__(self):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "PYTEST_CURRENT_TEST"):
            environment.pop(name, None)
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.server = subprocess.Popen([sys.executable, __file__], env=environment, start_new_session=True, **pipe)
        self.count, self.started = 0, []

    def ask(self, **request):
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def start(self, folder, *arguments, **limits):
        """Run main.py of the folder with these arguments. limits: file_size, ordinary (a user, not root)."""
        self.count += 1
        beside = folder.parent / f".{folder.name}-{os.getpid()}-{self.count}"
        request = {"folder": str(folder), "arguments": [*map(str, arguments)], "said": str(beside)}
        self.started.append(process := Started(self, self.ask(**request, **limits), beside, folder))
        return process

    def run(self, folder, *arguments, timeout=120, **limits):
        """The same, to its end."""
        process = self.start(folder, *arguments, **limits)
        process.wait(timeout)
        return process

    def close(self):
        """End what it has started and what still runs."""
        while self.started:
            self.started.pop().close()


@functools.cache
def server() -> Server:
    """The one of these tests."""
    return Server()


class Started:
    """A process that runs main.py."""

    def __init__(self, server, pid, beside, folder):
        self.server, self.pid, self.beside, self.folder, self.status = server, pid, beside, folder, None
        self.began = time.monotonic()

    def poll(self):
        if self.status is None:
            self.status = self.server.ask(ended=self.pid)
        return self.status

    def wait(self, seconds):
        """Its exit status, or minus the signal that has ended it."""
        last = time.monotonic() + seconds
        while self.poll() is None:
            assert time.monotonic() < last, f"{self.folder} still runs: {self.stdout} {self.stderr}"
            time.sleep(0.01)
        return self.status

    def send(self, number):
        """Send a signal as a terminal does: to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.wait(10)

    @property
    def stdout(self):
        return Path(f"{self.beside}.out").read_text()

    @property
    def stderr(self):
        return Path(f"{self.beside}.err").read_text()

    def close(self):
        """End it and all that it has started."""
        for pid in processes_in(self.folder) if self.folder.exists() else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.poll() is None:
            self.kill()


def serve() -> None:
    """Answer requests, a line each, until there are no more. Returns in a process that has to run main.py."""
    ended = {}
    for line in sys.stdin:
        request = json.loads(line)
        if (pid := request.get("ended")) is not None:
            if pid not in ended:
                found, status = os.waitpid(pid, os.WNOHANG)
                ended |= {pid: os.waitstatus_to_exitcode(status)} if found else {}
            print(json.dumps(ended.get(pid)), flush=True)
        elif pid := os.fork():
            print(pid, flush=True)
        else:
            become(request)
            return


def become(request) -> None:
    """Make this process the one that was asked for."""
    os.setsid()
    if sys.platform == "linux":  # it ends with the server, should the tests be ended
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.chdir(request["folder"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(f"{request['said']}.{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    if size := request.get("file_size"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if request.get("ordinary"):
        give_up_root()
    main = os.path.join(request["folder"], "main.py")
    sys.argv, sys.path[0] = ["main.py", *request["arguments"]], request["folder"]
    runpy.run_path(main, run_name="__main__")


def give_up_root() -> None:
    """From now on this process may read and write only what the rights of files say, also if it is root's."""
    libc, header = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, twice
    assert libc.capget(header, sets) == 0
    sets[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0


def prepared(folder: str, path: Path, edits: dict[str, str] | None = None, **constants: object) -> Path:
    """A copy of the folder in which runs are short. edits: lines of the plumbing that are to be others."""
    new = changed.copy(folder, path, changed.quick(folder, **constants))
    main = (new / "main.py").read_text()
    if "max_episode_steps" not in main:
        made = "render_mode=render_mode)"
        assert made in main
        (new / "main.py").write_text(main.replace(made, f"{made[:-1]}, max_episode_steps={SHORT})", 1))
    edits = {"FINAL_EPISODES = 100": "FINAL_EPISODES = 2"} | (edits or {})
    for old, line in edits.items():
        (file,) = [file for file in (new / "harness.py", new / "checkpoint.py") if old in file.read_text()]
        file.write_text(file.read_text().replace(old, line))
    return new


class Ended(BaseException):
    """os._exit was called."""


@contextlib.contextmanager
def no_exit(monkeypatch):
    """A process that would end at once raises SystemExit; signals are answered as before in the end."""

    def leave(status):
        raise Ended(status)

    answers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with monkeypatch.context() as patch:
        patch.setattr(os, "_exit", leave)
        try:
            yield patch
        except Ended as ended:
            raise SystemExit(ended.args[0]) from None
        finally:
            for number, answer in answers.items():
                signal.signal(number, answer)


def command(rooms, monkeypatch, *arguments) -> int:
    """Serve a command line in this process; the exit status."""
    try:
        with no_exit(monkeypatch) as patch, importable(rooms.harness.FOLDER.name, rooms):
            patch.setattr(sys, "argv", ["main.py", *map(str, arguments)])
            patch.setitem(sys.modules, "__main__", rooms.main)
            rooms.harness.main()
    except SystemExit as end:
        return end.code
    finally:
        rooms.harness.signals.clear()
    return 0


PACKAGES = (
    "filelock", "gymnasium", "gymnasium.envs.box2d", "gymnasium_robotics", "imageio", "matplotlib.figure",
    "matplotlib.backends.backend_agg", "matplotlib.patches", "pygame", "tensorboardX", "torch", "torch._dynamo",
    "torch.distributed", "torch.multiprocessing", "tqdm",
)  # fmt: skip


if __name__ == "__main__":
    for package in PACKAGES:
        importlib.import_module(package)
    serve()
