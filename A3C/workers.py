"""Many processes: starts the workers, hands on what they report and ends them. Nothing here is learned."""

import contextlib
import multiprocessing.connection
import multiprocessing.resource_tracker
import signal
import time
from collections.abc import Callable, Iterator

import harness

import torch
import torch.multiprocessing

SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}


def reports(work: Callable, n_workers: int, *arguments: object) -> Iterator[dict[str, float]]:
    """Run work(rank, report, *arguments) in `n_workers` processes; yield what they pass to `report`, as it comes.

    Tensors in shared memory are shared with them, all else is copied. `report` ends a worker as soon as nobody listens
    any more: when this generator is closed, or this process has died, however it did. Raises OSError if a worker dies,
    and harness.Stopped at Ctrl-C.
    """
    context = torch.multiprocessing.get_context("spawn")  # the one way that Linux, macOS and Windows have in common
    multiprocessing.resource_tracker.ensure_running()  # which would undo what `deaf` does
    workers = {}
    try:
        for rank in range(n_workers):
            listen, speak = context.Pipe(duplex=False)
            workers[listen] = context.Process(target=begin, args=(work, rank, speak, *arguments), daemon=True)
            with deaf():
                workers[listen].start()
            speak.close()  # the worker has its own end; when that closes too, there is nothing more to come
        while True:
            harness.check()
            for listen in multiprocessing.connection.wait(list(workers), timeout=0.1):
                try:
                    report = listen.recv()
                except (EOFError, ConnectionError):
                    workers[listen].join(1)
                    raise OSError(f"a worker died (exit code {workers[listen].exitcode})") from None
                if isinstance(report, FloatingPointError):
                    raise report
                yield report
    finally:
        for listen in workers:
            listen.close()
        last = time.monotonic() + 0.5  # one that still imports its packages does not know yet that nobody listens
        for worker in workers.values():
            worker.join(max(0.0, last - time.monotonic()))
            worker.kill()
        for worker in workers.values():
            worker.join()


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Processes started meanwhile do not hear Ctrl-C and its like, which reach them all: the first one sees to it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin(work: Callable, rank: int, speak: multiprocessing.connection.Connection, *arguments: object) -> None:
    """The first that runs in a worker."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        try:
            work(rank, speak.send, *arguments)
        except FloatingPointError as error:  # with its name, and no traceback
            speak.send(error)
