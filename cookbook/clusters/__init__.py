"""Beyond one machine.

A cluster is several machines that work for one program. With an engine such as
Dask the interface is the one that you know, an executor with ``map`` and
``submit``; with a queue, workers take jobs when they are free. What is new is
that the network is slow, that a machine can vanish in the midst of a job, and
that whoever reaches the scheduler's port can run code on all of it.

First make sure that one machine is not enough: a bigger one needs none of
this. The engines here are installed apart; each page says at its top which.

scheduler
    the process that knows all workers and hands the jobs out.
worker
    a process, on any machine, that runs jobs for a scheduler.
client
    the program that sends jobs to the scheduler and waits for the answers.
broker
    a server that keeps messages until a worker takes them.
at least once
    a job that was handed out and not confirmed is handed out again: it may run
    twice.
idempotent
    run twice, it has the effect of running once.
scatter
    send data to the workers before the jobs that need it.
serialization
    turning objects into bytes for the network; pickle is one way.
TLS
    encrypts a connection, and proves by a certificate that the other side
    belongs to the same authority, or who it is if the name in it is compared.
"""

__all__ = [
    # An executor on an engine
    "executor_on_a_cluster",
    "survive_a_lost_worker",
    "move_code_not_data",
    "real_cluster",
    # Other engines
    "ray_and_mpi",
    # Queues of jobs
    "job_queue",
    "queue_between_machines",
]
