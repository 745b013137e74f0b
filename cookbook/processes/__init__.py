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
open files, sockets and locks are not; send what is needed to make them, and
make them in the worker.

process
    a running program with its own interpreter and memory.

worker
    a process that is started to run jobs for another, its parent.

pool
    a fixed number of workers and the queues that lead to and from them.

executor
    an object that takes jobs and gives a future for each; it may run them in
    threads or in processes.

future
    stands for an answer that may not be there yet; reading it waits, and
    raises what the job raised.

start method
    the way in which a worker comes to be: fork, spawn or forkserver.

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
    "main_guard",
    "start_methods",
    # Handing out work
    "several_arguments",
    "worker_state",
    "results_as_they_come",
    "pool_or_executor",
    "recycle_workers",
    "chunk_size",
    "lazy_input",
    "progress_bar",
    "parallel_for",
    # When something fails
    "worker_exceptions",
    "dead_worker",
    "ctrl_c_pools",
    "orphans",
    "stuck_worker",
    "nested_pools",
    # What crosses the border
    "pickling",
    "shared_memory",
    "big_data",
    "shared_counter_processes",
    "manager",
    "events_between_processes",
    "queues_and_pipes",
    # Living in a system
    "logging_from_workers",
    "random_seeds",
    "one_file_many_writers",
    "how_many_workers",
    "repl_and_notebook",
    "async_and_processes",
    "oversubscription",
]
