"""Many processes: starts the workers, hands on what they report and ends them. Nothing here is learned."""

import contextlib
import multiprocessing.connection
import signal
from collections.abc import Callable, Iterator

import torch
import torch.multiprocessing


def reports(work: Callable, n_workers: int, *arguments: object) -> Iterator[dict[str, float]]:
    """Run work(rank, report, *arguments) in `n_workers` processes; yield what they pass to `report`, as it comes.

    Tensors in shared memory are shared with them, all else is copied. `report` ends a worker as soon as nobody listens
    any more: when this generator is closed, or this process has died, however it did. Raises OSError if a worker dies.
    """
    context = torch.multiprocessing.get_context("spawn")  # the one way that Linux, macOS and Windows have in common
    workers = {}
    try:
        for rank in range(n_workers):
            listen, speak = context.Pipe(duplex=False)
            workers[listen] = context.Process(target=begin, args=(work, rank, speak, *arguments), daemon=True)
            workers[listen].start()
            speak.close()  # the worker has its own end; when that closes too, there is nothing more to come
        while True:
            for listen in multiprocessing.connection.wait(list(workers)):
                try:
                    yield listen.recv()
                except EOFError:
                    workers[listen].join(1)
                    raise OSError(f"a worker died (exit code {workers[listen].exitcode})") from None
    finally:
        for listen in workers:
            listen.close()
        for worker in workers.values():
            worker.join(5)
            worker.kill()


def begin(work: Callable, rank: int, speak: multiprocessing.connection.Connection, *arguments: object) -> None:
    """The first that runs in a worker."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one sees to it
    with contextlib.suppress(BrokenPipeError):
        work(rank, speak.send, *arguments)
