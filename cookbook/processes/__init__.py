"""Processes.

A process is a running program with an interpreter, a memory and a main thread
of its own. Several processes run Python code in parallel on every build, with
or without the GIL, and a worker that crashes does not take its parent along.
Here one process, the parent, starts a few workers, hands jobs to them and
collects the answers.

The price is paid in three places. Starting a worker starts an interpreter or
copies one. Every worker holds its own modules and data. And nothing is shared:
each argument is pickled, written to a pipe and read from it, and so is each
answer. Processes pay when the work in a job outweighs what is sent for it.

What crosses that border has to be picklable: numbers, strings, lists and
dicts of such, objects of classes at the top level of a module, and functions
defined there, which travel as a name. Lambdas, local functions, generators,
open files and locks are not; send what is needed to make them, and make them
in the worker.

process
    a running program with its own interpreter and memory.

worker
    a process that is started to run jobs for another, its parent.

pool
    workers that are kept for many jobs, and the queues that lead to and from
    them.

executor
    an object that takes jobs and gives a future for each; it may run them in
    threads, in processes, in interpreters or on a cluster.

future
    stands for an answer that may not be there yet. ``result()`` waits for it,
    ``await`` does in asyncio; both raise what the job raised.

start method
    the way in which a process is started: fork, spawn or forkserver.

fork
    copy the parent, with all that it holds, and only the thread that forks.

spawn
    start a fresh interpreter, which imports the main module.

forkserver
    fork a server that was started fresh and runs no other thread.

pickle
    the format that objects are turned into to cross from process to process.

main guard
    ``if __name__ == "__main__":``, which keeps a worker that imports the main
    module from running it.
"""

__all__ = [
    # First steps
    "pool_map",
    "executor_map",
    "pool_or_executor",
    "main_guard",
    "start_methods",
    # Handing out work
    "parallel_for",
    "several_arguments",
    "results_as_they_come",
    "chunk_size",
    "lazy_input",
    "worker_state",
    "recycle_workers",
    "progress_bar",
    # When something fails
    "worker_exceptions",
    "dead_worker",
    "stuck_worker",
    "ctrl_c_pools",
    "orphans",
    "nested_pools",
    # What crosses the border
    "pickling",
    "big_data",
    "shared_memory",
    "shared_counter_processes",
    "manager",
    "queues_and_pipes",
    "events_between_processes",
    # Living in a system
    "how_many_workers",
    "oversubscription",
    "random_seeds",
    "logging_from_workers",
    "one_file_many_writers",
    "async_and_processes",
    "repl_and_notebook",
]
