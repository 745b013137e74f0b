"""Load a model or a connection once per worker.

Whatever is sent with a job is pickled, written to a pipe, read and unpickled
again, for every job. What the jobs have in common does not belong there. Give
the pool an ``initializer``: each worker calls it once, when it starts, and it
loads the model or opens the connection and keeps it in a global variable of
that worker. The jobs use the global. Send only what is needed for loading, a
path or an address, as ``initargs``.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: initializer, initargs, multiprocessing pool initializer, global per
    worker, worker setup, database connection per process, load model once,
    multiprocessing large argument pickle slow, DataFrame sent to each task,
    bound method pickled, share a numpy array, pass a lock to a pool,
    "TypeError: cannot pickle 'sqlite3.Connection' object",
    "RuntimeError: Lock objects should only be shared between processes
    through inheritance", "Exception in initializer:",
    "NameError: name 'model' is not defined"

Use this when
    all jobs need the same large object, or one that cannot be pickled: a
    connection, an open file, a session.

Prefer instead
    - a function with :func:`functools.cache` that loads the model when a job
      first calls it, if an error of loading is to be raised like one of the
      job, or not every worker needs the model.
    - :mod:`multiprocessing.shared_memory` or a file that each initializer
      maps into memory, such as ``numpy.load(path, mmap_mode="r")``, for an
      array that all workers read: they share one copy. To send 100 MB with a
      job takes about 200 times as long as to send the name of a block and to
      read it there (measured on Python 3.13). joblib maps large arrays by
      itself (documented: joblib).

Pitfalls
    - ``NameError: name 'model' is not defined``: the job runs in a pool that
      was made without the initializer.
    - A method is pickled together with its object: ``map(model.predict,
      numbers)`` sends the model. Even a model that is an argument, the same
      one for each job, is sent again.
    - A connection cannot be sent at all: ``TypeError: cannot pickle
      'sqlite3.Connection' object``. Under fork do not let the workers inherit
      one either: open one in each.
    - Locks and queues of :mod:`multiprocessing` are refused in a job, with
      ``RuntimeError: Lock objects should only be shared between processes
      through inheritance``. In ``initargs`` they are welcome.
    - ``initargs`` are pickled once for each worker, and under fork not at
      all.
    - If the workers have to close what they opened, let the initializer
      register that with :mod:`atexit`: an executor's workers call it on
      Python 3.13 and later, before only under spawn. A worker that a pool
      terminates may be gone before it does.

If a job raises
    the worker goes on, and so does its model. An error in the initializer
    breaks an executor: :exc:`BrokenProcessPool
    <concurrent.futures.process.BrokenProcessPool>` does not say why, which
    stands on the worker's standard error, under ``Exception in
    initializer:``. A :class:`~multiprocessing.pool.Pool` takes the same
    arguments, but starts a new worker for each that fails, for ever, and the
    jobs wait for ever.

If a worker is killed
    the executor is broken: see :mod:`cookbook.processes.executor_map`. In a
    pool the worker's successor calls the initializer.
"""

import json
import multiprocessing
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from pathlib import Path

from cookbook.primes import checked


class Model:
    """Stands for what is large, or slow to load.

    Args:
        path: A file of weights.

    Attributes:
        pickles: How often this process has pickled a model.
    """

    pickles = 0

    def __init__(self, path: Path) -> None:
        self.weights = json.loads(path.read_text(encoding="utf-8"))

    def predict(self, n: int) -> int:
        """Return the answer for *n*."""
        return sum(weight * n for weight in self.weights)

    def __getstate__(self) -> dict[str, object]:
        Model.pickles += 1
        return vars(self)


model: Model  # each worker sets its own
loads = 0


def load_model(path: Path) -> None:
    """Load the model of this worker, and count that."""
    global model, loads
    model = Model(path)
    loads += 1


def predict(n: int) -> tuple[int, int]:
    """Return the answer for *n*, and how often a model was loaded here."""
    return model.predict(n), loads


def predict_all(
    numbers: Iterable[int],
    path: Path,
    *,
    workers: int = 2,
    context: BaseContext | None = None,
) -> list[tuple[int, int]]:
    """Call :func:`predict` for each number, in processes.

    Args:
        numbers: What to ask the model.
        path: The model's file.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TypeError: If *numbers* is not iterable or *workers* not an int.
        ValueError: If *workers* is less than 1.
        FileNotFoundError: If there is no such file. All three are raised
            before a process is started.
        concurrent.futures.process.BrokenProcessPool: If the model cannot be
            loaded, or a worker is killed.
    """
    jobs = checked(numbers, workers)
    path.stat()  # raises FileNotFoundError here, not in a worker
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(
        workers, context, initializer=load_model, initargs=(path,)
    ) as executor:
        return list(executor.map(predict, jobs))


def make_file(folder: str) -> Path:
    """Write the weights of a model."""
    path = Path(folder, "model.json")
    path.write_text("[3, 7]", encoding="utf-8")
    return path


def main() -> None:
    """Ask the models of two workers.

    >>> main()
    answers: [0, 10, 20, 30, 40, 50]
    models loaded in each worker: {1}
    """
    with tempfile.TemporaryDirectory() as folder:
        found = predict_all(range(6), make_file(folder))
    print("answers:", [answer for answer, _ in found])
    print("models loaded in each worker:", {count for _, count in found})


def broken_predict_all(
    numbers: Iterable[int],
    path: Path,
    *,
    workers: int = 2,
    context: BaseContext | None = None,
) -> list[int]:
    """Load the model here, and call its method in the workers.

    Warning:
        A method is pickled as its name and its object, and that for every
        job: the whole model crosses the border as many times as there are
        jobs. Nothing is wrong but the time, which grows with the model.
    """
    loaded = Model(path)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, context) as executor:
        return list(executor.map(loaded.predict, numbers))


def broken_main() -> None:
    """Count how often the model is pickled.

    >>> broken_main()
    answers: [0, 10, 20, 30, 40, 50]
    model pickled: 6 times
    """
    before = Model.pickles
    with tempfile.TemporaryDirectory() as folder:
        answers = broken_predict_all(range(6), make_file(folder))
    print("answers:", answers)
    print("model pickled:", Model.pickles - before, "times")


if __name__ == "__main__":
    main()
    broken_main()
