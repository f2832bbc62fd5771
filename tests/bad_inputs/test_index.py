"""Every bad input that was thought of has a test somewhere, or a reason why there is none.

The numbers are those of the list that the design began with: 74 inputs, each with the behaviour
that it deserves. Where ours differs, the reason stands behind the test.
"""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]


class Row(NamedTuple):
    """An input, the tests that hold its answer, and why the answer is another one, if it is."""

    what: str
    tests: str
    differs: str = ""


API, PAYLOADS, CLUSTERS, WORKERS, ERRORS, AROUND = (
    f"bad_inputs/test_{name}.py"
    for name in ("api", "payloads", "clusters", "workers", "exceptions", "environment")
)

# ruff: noqa: E501
ROWS = {
    1: Row("submit without a function", f"{API}::test_submit_without_a_function_is_refused"),
    2: Row("not callable", f"{API}::test_what_cannot_be_called_is_refused_at_submit"),
    3: Row("wrong arity", f"{API}::test_wrong_number_of_arguments_is_the_error_of_the_call"),
    4: Row("map of unequal lengths", "properties/test_map.py::test_map_stops_at_the_shortest_iterable"),
    5: Row("endless map", f"{API}::test_endless_input_is_read_in_bounded_portions"),
    6: Row("iterator that raises", f"{API}::test_input_that_fails_in_the_middle_leaves_the_executor_well"),
    7: Row("chunksize", f"{API}::test_senseless_chunksize_is_refused"),
    8: Row("max_workers, max_waiting",
           f"{API}::test_senseless_max_workers_is_refused "
           "outages/test_backpressure.py::test_what_cannot_be_meant_is_refused"),
    9: Row("unknown option", f"{API}::test_unknown_option_is_refused_with_the_nearest_name"),
    10: Row("negative timeout", f"{API}::test_negative_timeout_has_passed_already"),
    11: Row("timeout NaN, inf, text",
            f"{API}::test_timeout_that_is_no_number_is_refused "
            f"{API}::test_infinite_timeout_waits_for_as_long_as_it_takes"),
    12: Row("priority", f"{API}::test_unknown_option_is_refused_with_the_nearest_name",
            "there is no such option yet, so that any value of it is refused by its name"),
    13: Row("unhashable arguments", f"{API}::test_arguments_need_not_be_hashable"),
    14: Row("lambda, closure, partial, __main__",
            f"{API}::test_functions_of_every_make_can_be_submitted "
            "properties/test_types.py::test_functions_and_classes_of_main_travel"),
    15: Row("lock, socket, file, generator", f"{PAYLOADS}::test_thing_of_one_process_is_refused_by_its_path"),
    16: Row("pickling that raises or exits",
            f"{PAYLOADS}::test_object_that_fails_in_pickling_fails_its_future_only "
            f"{PAYLOADS}::test_interrupt_in_pickling_is_the_users"),
    17: Row("unpickling that raises", f"{PAYLOADS}::test_argument_that_fails_in_unpickling_fails_its_future_only"),
    18: Row("unpickling that kills",
            f"{PAYLOADS}::test_argument_that_kills_its_worker_in_unpickling_is_charged_to_its_call"),
    19: Row("unpickling without an end", "limits/test_timeouts.py::test_unpickling_counts"),
    20: Row("bottomless argument", f"{PAYLOADS}::test_bottomless_argument_is_refused"),
    21: Row("600 MB argument", f"{PAYLOADS}::test_payload_above_the_limit_is_refused_with_its_size",
            "the limit is 480 MiB by default: large values travel in chunks beside their calls"),
    22: Row("600 MB result", f"{PAYLOADS}::test_payload_above_the_limit_is_refused_with_its_size"),
    23: Row("window above memory",
            f"{PAYLOADS}::test_large_calls_in_number_all_arrive "
            "outages/test_backpressure.py::test_submit_waits_for_room_and_goes_on",
            "the program's own arguments wait in the program: `max_waiting` bounds how many"),
    24: Row("exception that holds a lock", f"{ERRORS}::test_exception_that_cannot_be_sent_keeps_its_name_and_text"),
    25: Row("awkward constructor", f"{ERRORS}::test_awkward_constructor_is_never_called_wrongly"),
    26: Row("class that the caller lacks", f"{ERRORS}::test_exception_of_a_class_that_the_caller_lacks_is_described"),
    27: Row("unprintable exception", f"{ERRORS}::test_unprintable_exception_has_a_traceback_all_the_same"),
    28: Row("cause, context, notes, groups",
            "properties/test_errors.py::test_cause_and_context_survive "
            "properties/test_errors.py::test_members_of_an_exception_group_survive"),
    29: Row("SystemExit", "properties/test_errors.py::test_code_of_system_exit_survives"),
    30: Row("KeyboardInterrupt in a call", f"{ERRORS}::test_exception_with_a_meaning_to_us_is_still_the_calls_own",
            "it stays a KeyboardInterrupt, as in the standard pools"),
    31: Row("GeneratorExit, CancelledError", f"{ERRORS}::test_exception_with_a_meaning_to_us_is_still_the_calls_own"),
    32: Row("StopIteration", "properties/test_map.py::test_stop_iteration_inside_a_map_does_not_end_it_silently"),
    33: Row("MemoryError by hand", f"{ERRORS}::test_exception_with_a_meaning_to_us_is_still_the_calls_own"),
    34: Row("real lack of memory",
            f"{ERRORS}::test_memory_that_does_not_exist_is_an_error_of_the_call "
            "faults/test_poison.py::test_row_18_out_of_memory"),
    35: Row("RecursionError", f"{ERRORS}::test_endless_recursion_is_an_error_of_readable_size"),
    36: Row("exit, segfault, abort, SIGKILL", f"{ERRORS}::test_call_that_kills_its_worker_is_lost_and_alone",
            "its name is WorkerLost, also after the last attempt: one error for one story"),
    37: Row("descriptors, folder, umask, signals", f"{WORKERS}::test_next_call_is_unharmed"),
    38: Row("much output", f"{WORKERS}::test_much_output_blocks_nobody"),
    39: Row("threads and children left", f"{WORKERS}::test_what_calls_leave_running_ends_with_the_cluster"),
    40: Row("fork that returns", f"{WORKERS}::test_call_that_forks_answers_once"),
    41: Row("nested calls", f"{WORKERS}::test_nested_calls_end_with_one_slot"),
    42: Row("a call that waits for itself", f"{PAYLOADS}::test_thing_of_one_process_is_refused_by_its_path",
            "it cannot: a future is of one process, and sending one is refused"),
    43: Row("result that cannot be pickled", f"{PAYLOADS}::test_result_that_cannot_travel_is_named"),
    44: Row("result that fails to unpickle", f"{PAYLOADS}::test_result_that_fails_in_unpickling_fails_its_future_only"),
    45: Row("future, generator, exception returned",
            f"{PAYLOADS}::test_result_that_cannot_travel_is_named "
            "properties/test_values.py::test_exception_that_is_returned_is_a_value"),
    46: Row("async def", "properties/test_asyncio.py::test_coroutine_functions_run_in_the_worker"),
    47: Row("submit after shutdown", f"{API}::test_everything_is_refused_after_shutdown"),
    48: Row("shutdown in every way",
            "properties/test_lifetimes.py::test_shutdown_may_be_repeated "
            "properties/test_lifetimes.py::test_shutdown_from_a_callback_ends "
            f"{API}::test_shutdown_from_a_finaliser_or_another_thread_ends"),
    49: Row("submit at exit", "properties/test_exits.py::test_submit_at_interpreter_exit_is_refused"),
    50: Row("forked child", "properties/test_lifetimes.py::test_forked_child_may_use_an_executor"),
    51: Row("pickled executor", "properties/test_types.py::test_pickling_an_executor_is_refused_with_a_hint"),
    52: Row("callback that raises or blocks",
            "properties/test_callbacks.py::test_callback_that_raises_is_logged_and_stops_no_other "
            "properties/test_callbacks.py::test_slow_callback_loses_nothing"),
    53: Row("cancel at any time", "properties/test_cancel.py::test_cancelled_call_never_has_an_effect"),
    54: Row("mixed waits", "properties/test_cancel.py::test_futures_of_all_kinds_mix_in_one_wait"),
    55: Row("Ctrl-C in the caller", "properties/test_exits.py::test_interrupt_reaches_the_user_at_once_and_nobody_else"),
    56: Row("wrong URL",
            f"{CLUSTERS}::test_url_that_means_no_server_is_refused_by_the_constructor "
            f"{CLUSTERS}::test_password_in_a_wrong_url_is_never_shown"),
    57: Row("no server", f"{CLUSTERS}::test_server_that_is_not_there_is_named"),
    58: Row("wrong password, no permission",
            f"{CLUSTERS}::test_wrong_password_is_refused_at_once "
            f"{CLUSTERS}::test_user_without_permission_is_refused"),
    59: Row("not Redis, old, cluster, replica, loading",
            f"{CLUSTERS}::test_server_that_is_no_redis_is_named "
            f"{CLUSTERS}::test_server_that_cannot_do_the_work_is_named "
            f"{CLUSTERS}::test_replica_is_named "
            f"{CLUSTERS}::test_server_that_loads_its_data_is_waited_for_and_named"),
    60: Row("wrong, missing, rotated key",
            f"{CLUSTERS}::test_caller_with_another_secret_is_refused_at_once "
            "security/test_rotation.py::test_the_old_secret_is_refused_in_the_end"),
    61: Row("TLS on a plain port, and the reverse",
            f"{CLUSTERS}::test_tls_on_a_plain_port_is_named "
            "security/test_tls.py::test_plain_redis_on_a_tls_port_is_named"),
    62: Row("nobody listens", f"{CLUSTERS}::test_queue_without_a_worker_is_reported"),
    63: Row("another Python", f"{CLUSTERS}::test_node_that_does_not_fit_is_refused_at_once"),
    64: Row("another version", f"{CLUSTERS}::test_node_that_does_not_fit_is_refused_at_once",
            "only the version of the wire must agree; pickles by value are tried"),
    65: Row("module that workers lack", f"{CLUSTERS}::test_module_that_workers_lack_is_named"),
    66: Row("the script's own modules", f"{CLUSTERS}::test_shipped_module_needs_not_be_there"),
    67: Row("clocks that are wrong", "faults/test_clocks.py::test_row_17_wrong_clocks"),
    68: Row("two executors, one name", f"{WORKERS}::test_executors_with_functions_of_one_name_do_not_mix"),
    69: Row("names with a meaning", f"{CLUSTERS}::test_queue_name_with_a_meaning_is_refused"),
    70: Row("foreign job ids", "", "durable jobs are a later chapter"),
    71: Row("a million submits",
            "outages/test_backpressure.py::test_submit_waits_for_room_and_goes_on "
            "outages/test_backpressure.py::test_submit_refuses_if_told_so"),
    72: Row("progress", "test_progress.py::test_progress_of_a_running_call_is_seen"),
    73: Row("signal handlers, threads, loops in the caller",
            f"{AROUND}::test_nothing_of_the_callers_process_is_replaced "
            f"{AROUND}::test_executor_works_beside_a_running_event_loop"),
    74: Row("no room, no home, few descriptors",
            f"{AROUND}::test_embedded_cluster_needs_little "
            f"{AROUND}::test_few_descriptors_are_enough_or_named"),
}  # fmt: skip


def test_no_input_is_missing() -> None:
    """Each of the 74 has a test, or says why not."""
    assert list(ROWS) == list(range(1, 75))
    assert [number for number, row in ROWS.items() if not (row.tests or row.differs)] == []


@pytest.mark.parametrize("number", [number for number, row in ROWS.items() if row.tests])
def test_named_tests_exist(number: int) -> None:
    """An index that leads nowhere is worse than none."""
    for test in ROWS[number].tests.split():
        file, _, name = test.partition("::")

        assert re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(), re.MULTILINE), test
