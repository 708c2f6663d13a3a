"""Many processes, on one machine or several: starts them, joins them and ends them. Nothing here is learned."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import harness

import torch
import torch.distributed as dist

MAIN = "main.py"  # which the workers run
TIMEOUT = timedelta(minutes=5)  # how long a worker waits for the others, who may be evaluating or saving
LAUNCHED = "TORCHELASTIC_RUN_ID" in os.environ  # by torchrun, which starts and watches the workers,
RESTARTS = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))  # and if one has died, starts all of them anew


class Follower:
    """In place of harness.Run in all workers but the first: counts, and neither draws nor saves."""

    def __init__(self, kept: dict):
        self.kept = kept

    def restore(self, agent):
        """Give `agent` what the first worker's has, if that goes on with a run. Returns it."""
        if self.kept["agent"]:
            try:
                agent.load_state_dict(self.kept["agent"])
            except Exception as error:
                raise OSError("the first worker says why") from error
        return agent

    def steps(self, total_steps: int, by: int) -> Iterator[int]:
        """Count the steps of all workers, as the first one does."""
        for step in range(self.kept["step"], total_steps, by):
            yield step + by

    def log(self, step: int, values: dict[str, float]) -> None:
        pass

    def evaluate(self, step: int, keep_best: bool = False) -> None:
        pass


def rank() -> int:
    """The number of this worker, from 0; 0 also where there is but one."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many workers there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def together(n_workers: int) -> Callable:
    """Decorator: train(run, seed, total_steps) runs in `n_workers` processes, or in as many as torchrun has started.

    The first one, rank 0, has the run and tells the others about it. Raises OSError if a worker dies, and what a worker
    that is not the first says of numbers that are not finite.
    """

    def decorate(train: Callable) -> Callable:
        @functools.wraps(train)
        def train_together(run=None, seed: int = 0, total_steps: int = 0):
            others, cores = [], allowed_cores()
            try:
                store = connect(n_workers, others)
                told = [run and (seed, total_steps, {name: run.kept[name] for name in ("step", "agent")})]
                dist.broadcast_object_list(told)
                seed, total_steps, kept = told[0]
                return train(run or Follower(kept), seed, total_steps)
            except FloatingPointError as error:
                if not run:
                    store.set("error", str(error))
                raise
            except (dist.DistError, RuntimeError) as error:
                if not isinstance(error, dist.DistError) and "gloo" not in str(error):
                    raise
                if run and store.check(["error"]):
                    raise FloatingPointError(store.get("error").decode()) from error
                raise ConnectionError(f"a worker died, or cannot be reached ({str(error).splitlines()[0]})") from error
            finally:
                if dist.is_initialized():
                    dist.destroy_process_group()
                keep_to(cores)
                end(others)

        return train_together

    return decorate


def connect(n_workers: int, others: list[subprocess.Popen]) -> dist.Store:
    """Join the others; unless torchrun has started them, the first worker does that and adds them to `others`.

    Returns where all workers can leave word. Raises OSError if one dies meanwhile, and harness.Stopped at Ctrl-C.
    """
    if LAUNCHED:
        store, me, n_workers = next(dist.rendezvous("env://", timeout=TIMEOUT))
        store = dist.PrefixStore(f"restart {RESTARTS}", store)  # else the addresses of dead workers are found in it
        dist.init_process_group("gloo", store=store, rank=me, world_size=n_workers, timeout=TIMEOUT)
        return store
    me = int(os.environ.get("RANK", 0))
    port = int(os.environ["MASTER_PORT"]) if me else 0  # 0: any that is free
    n_workers = int(os.environ["WORLD_SIZE"]) if me else n_workers
    store = dist.TCPStore("127.0.0.1", port, is_master=not me, timeout=TIMEOUT, use_libuv=False)  # Windows has none
    if not me:
        others += [start(worker, n_workers, store.port) for worker in range(1, n_workers)]
    if me:
        store.add("ready", 1)
    last = time.monotonic() + TIMEOUT.total_seconds()
    while not me and store.add("ready", 0) < len(others):
        time.sleep(0.02)
        harness.check()
        if any(other.poll() is not None for other in others) or time.monotonic() > last:
            raise OSError("a worker died as it started")
    cores = sorted(allowed_cores())
    if len(cores) >= n_workers:  # one core for each, as with MPI: otherwise threads that wake up wait for a busy one
        keep_to({cores[(store.port + me) % len(cores)]})
    dist.init_process_group("gloo", store=store, rank=me, world_size=n_workers, timeout=TIMEOUT)
    return store


def allowed_cores() -> set[int]:
    """The cores that this process may run on; none where the system cannot say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def keep_to(cores: set[int]) -> None:
    """Run on these cores only, and with this thread all that it starts from now on; on any if there are none given."""
    if cores:
        os.sched_setaffinity(0, cores)


def start(worker: int, n_workers: int, port: int) -> subprocess.Popen:
    """Start one of the other workers of this machine; Ctrl-C and its like do not reach it."""
    environment = {"RANK": str(worker), "WORLD_SIZE": str(n_workers), "MASTER_PORT": str(port)}
    apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {"start_new_session": True}
    return subprocess.Popen([sys.executable, str(harness.FOLDER / MAIN)], env=os.environ | environment, **apart)


def end(others: list[subprocess.Popen]) -> None:
    """Give the other workers of this machine a moment to end by themselves, then end them."""
    last = time.monotonic() + 0.5
    for other in others:
        try:
            other.wait(max(0.0, last - time.monotonic()))
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()


def main(train: Callable) -> None:
    """Serve the command line in the first worker, and follow it in the others."""
    if int(os.environ.get("RANK", 0)) == 0:
        if RESTARTS and "--resume" not in sys.argv:
            sys.argv.append("--resume")
        return harness.main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which torchrun's workers hear; the first one sees to it
    torch.set_num_threads(1)
    try:
        train()
    except (OSError, FloatingPointError):
        sys.exit(2)  # the first one says why
    os._exit(0)  # at once: a thread of torch's has been seen to abort as Python ended, and with it the whole job
