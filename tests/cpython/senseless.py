"""The tests of CPython that make no sense for calls in other processes, each with its reason.

Of the 93 distinct ones in 3.11 they are 26; the other 67 are fair. Where a test looks at private
attributes, the public behaviour that it is about has a test of our own.
"""

_THREADS = "looks at the private list of the pool's threads"
_PROCESSES = "looks at the private table of the pool's processes"
_SHARED = "the callable and the test share memory"
_SEMAPHORE = "and passes a semaphore that only children of this process inherit"
_CONTEXT = "looks at the private start method"
_PROXY = "passes a proxy whose key only children of this process inherit"

SENSELESS = {
    # Thread pools: 13.
    "ThreadPoolShutdown.test_context_manager_shutdown": _THREADS,
    "ThreadPoolShutdown.test_del_shutdown": _THREADS,
    "ThreadPoolShutdown.test_shutdown_no_wait": _THREADS,
    "ThreadPoolShutdown.test_thread_names_assigned": _THREADS,
    "ThreadPoolShutdown.test_thread_names_default": _THREADS,
    "ThreadPoolShutdown.test_threads_terminate": f"{_THREADS}, {_SHARED}",
    "ThreadPoolExecutor.test_default_workers": "looks at the private number of workers",
    "ThreadPoolExecutor.test_executor_map_current_future_cancel": f"{_SHARED}: an event and a log",
    "ThreadPoolExecutor.test_hang_global_shutdown_lock": f"{_SHARED}: the pool submits to itself",
    "ThreadPoolExecutor.test_idle_thread_reuse": _THREADS,
    "ThreadPoolExecutor.test_map_submits_without_iteration": f"{_SHARED}: a list of what finished",
    "ThreadPoolExecutor.test_saturation": f"{_THREADS}, {_SHARED}",
    "ThreadPoolWait.test_pending_calls_race": f"{_SHARED}: an event",
    # Process pools: 13.
    "Shutdown.test_context_manager_shutdown": _PROCESSES,
    "Shutdown.test_del_shutdown": _PROCESSES,
    "Shutdown.test_processes_terminate": f"{_PROCESSES}, {_SEMAPHORE}",
    "Shutdown.test_shutdown_no_wait": _PROCESSES,
    "Executor.test_idle_process_reuse_multiple": _PROCESSES,
    "Executor.test_idle_process_reuse_one": _PROCESSES,
    "Executor.test_killed_child": _PROCESSES,
    "Executor.test_max_tasks_per_child": _PROCESSES,
    "Executor.test_max_tasks_per_child_defaults_to_spawn_context": _CONTEXT,
    "Executor.test_max_workers_too_large": "is about a limit of Windows",
    "Executor.test_ressources_gced_in_workers": _PROXY,
    "Executor.test_saturation": f"{_PROCESSES}, {_SEMAPHORE}",
    "ExecutorDeadlock.test_shutdown_deadlock_pickle": "joins a private thread of the pool",
}

#: The same for tests that came after 3.11.
LATER = {
    "ThreadPoolExecutor.test_process_fork_from_a_threadpool": f"{_SHARED}: the test case itself",
    "Shutdown.test_shutdown_gh_132969_case_1": "joins a private thread of the pool",
    "Shutdown.test_shutdown_gh_132969_case_2": "joins a private thread of the pool",
    "ExecutorDeadlock.test_gh105829_should_not_deadlock_if_wakeup_pipe_full": (
        "replaces private parts of the standard pool"
    ),
}
