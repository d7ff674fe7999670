"""Workers are processes of one command that share a search: beside this one on its machine, or as jobs of Slurm."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lrlab.refusal import Refused


@contextmanager
def beside(
    words: Sequence[str], count: int, logs: Path, environment: Mapping[str, str]
) -> Iterator[Callable[[], list[Path]]]:
    """Meanwhile `count` more processes work at the command `lrlab words`, each with a log; in the end they are stopped.

    What comes back waits for them to end by themselves, and returns the logs of those that failed.
    """
    logs.mkdir(parents=True, exist_ok=True)
    workers: dict[Path, subprocess.Popen[bytes]] = {}
    try:
        for i in range(count):
            path = logs / f"worker-{i + 1}.log"
            with path.open("ab") as log:
                command = [sys.executable, "-m", "lrlab", *words]
                # a session of its own: Ctrl-C stops this process, which then asks each of them once to save and stop
                workers[path] = subprocess.Popen(
                    command, stdout=log, stderr=log, env=dict(environment), start_new_session=True
                )
        yield lambda: [path for path, worker in workers.items() if worker.wait() != 0]
    finally:
        for worker in workers.values():
            worker.terminate()
        for worker in workers.values():
            worker.wait()


class Worker:
    """The command `lrlab words` as a job; one that ran out of its time is queued again, and goes on."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)

    def __call__(self) -> None:
        if code := subprocess.run([sys.executable, "-m", "lrlab", *self.words]).returncode:
            raise SystemExit(code)

    def checkpoint(self) -> Any:
        """What submitit queues in its place."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def submit(words: Sequence[str], count: int, logs: Path, slurm: Mapping[str, Any]) -> list[Any]:
    """Submit `count` jobs that work at the command; what comes back knows their `job_id`.

    Args:
        words: of the command, after `lrlab`.
        count: of jobs.
        logs: a folder that the whole cluster sees.
        slurm: what each job gets, by sbatch's names: {"partition": "gpu", "time": 60, "gpus_per_node": 1}; time in minutes.

    Raises `Refused` where there is no Slurm, or it knows no such name.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise Refused("--slurm needs submitit, which is not installed; write pip install 'lrlab[sweep]'") from None
    try:
        executor = submitit.SlurmExecutor(logs)
    except RuntimeError:
        raise Refused(
            "--slurm: there is no Slurm here (no srun); write --workers N for processes of this machine"
        ) from None
    try:
        executor.update_parameters(job_name="lrlab", **slurm)
    except ValueError as error:
        raise Refused(
            f"--slurm: {str(error).splitlines()[0]}; write options of sbatch, such as partition=gpu,time=60,gpus_per_node=1"
        ) from None
    with executor.batch():
        return [executor.submit(Worker(words)) for _ in range(count)]
