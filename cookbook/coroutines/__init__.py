"""Coroutines.

A coroutine is a function that can pause where it says ``await``. While it
waits for a reply, a timer or another task, the event loop runs the other
tasks, all in one thread. So thousands of tasks can wait at the same time for
little memory, and between two awaits no other task can interfere.

The price is that every task must cooperate. One that computes for a second,
or makes a call that blocks, stops all others for that second. And nothing
overlaps by itself: a coroutine that is simply awaited runs to its end before
the next line starts. These two traps come first
(:mod:`cookbook.coroutines.blocking_call`,
:mod:`cookbook.coroutines.run_together`); the other recipes build on the way
out of them.

coroutine function
    a function defined with ``async def``; calling it returns a coroutine and
    runs none of its code yet.
coroutine
    what a call of a coroutine function returns, and in a loose sense that
    function: it can pause at an ``await`` and go on. It runs once, when it is
    awaited or when a task is made of it.
await
    to wait for a result, and to let other tasks run if it is not there yet.
event loop
    what runs the tasks of a thread in turns, one step of one task at a time.
task
    a coroutine that the event loop runs beside the others.
blocking call
    a call that keeps its thread until it returns, and with it the event loop
    of that thread.
future
    a result that may not be there yet; a task is one.
task group
    an ``async with`` block that does not end before all its tasks have ended.
exception group
    several exceptions raised as one; ``except*`` picks out its members.
cancellation
    a request to stop: :exc:`asyncio.CancelledError` is raised where the task
    awaits.
timeout
    a cancellation that comes when a time is over, and is raised as
    :exc:`TimeoutError`.
background loop
    an event loop in a thread of its own, for synchronous code.
runner
    keeps one event loop open for several calls from synchronous code.
default pool
    the threads that an event loop uses for :func:`asyncio.to_thread`.
graceful shutdown
    taking no new work, finishing what is under way, and ending by a deadline.
process group
    a program and those that it started, which can be sent one signal together.
debug mode
    asyncio's slower mode, which reports steps that take too long and
    coroutines that nobody awaited.
background task
    a task whose result nobody awaits.
exception handler
    what an event loop calls with an error that nobody caught.
async context manager
    what ``async with`` takes: it awaits as it opens something, and as it
    closes it.
async generator
    an ``async def`` function with ``yield``, or what a call of it returns: it
    can await between its items.
loop lag
    how much later than asked for the event loop comes back to a task.
top-level await
    ``await`` outside a function, which a notebook and ``python -m asyncio``
    allow.
framing
    saying where a message ends in a stream of bytes.
drain
    to wait until what was written has been taken, or nearly so.
deadline
    the moment by which something has to be done, on the clock of the event
    loop.
eager task
    a task that starts inside ``create_task``, before the loop comes round.
back-pressure
    what makes a fast producer wait for slow consumers.
cancellation request
    what ``cancel()`` leaves with a task; ``uncancel()`` takes one back.
worker process
    a process that computes for the one that started it, with an interpreter
    and a memory of its own.
shield
    what keeps a cancellation of the caller away from the task that it awaits.
drift
    what is added to each period, so that the turns come later and later.
semaphore
    a number of places; a task takes one, or waits until another gives one
    back.
back-off
    pauses between attempts that grow each time.
jitter
    a random part of a pause, so that many clients do not come back together.
hedged request
    a second request for the same thing, sent when the first takes long.
context variable
    a variable with a value of its own in each task.
loop factory
    a function that makes the event loop.
event loop policy
    a setting of the whole program that says which loop is made; deprecated
    from 3.14.
condition
    a lock with a queue of tasks that wait until the state it protects has
    changed.
"""

__all__ = [
    # Tasks
    "run_together",
    "task_groups",
    "gather_results",
    "as_they_finish",
    "first_result",
    "stop_a_group_early",
    "limit_concurrency",
    "rate_limit",
    "fetch_many",
    "lost_task",
    "forgotten_await",
    # Time and cancellation
    "timeouts",
    "cancellation",
    "shield",
    "retry",
    "periodic_task",
    # Blocking code
    "blocking_call",
    "to_thread",
    "cpu_bound",
    "find_what_blocks",
    # Sharing
    "async_lock",
    "queues",
    "events_and_conditions",
    "context_variables",
    # Resources
    "async_context",
    "async_generators",
    "streams",
    "subprocesses",
    "graceful_shutdown",
    # Loops, threads and tests
    "run_from_sync",
    "background_loop",
    "call_from_thread",
    "notebook_and_repl",
    "one_loop_per_thread",
    "policies_and_loops",
    "eager_tasks",
    "async_tests",
]
