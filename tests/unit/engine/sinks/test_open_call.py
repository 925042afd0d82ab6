from rsq_pipe.engine.sinks.open_call import SILENT, OpenCall


def test_a_call_that_has_not_ended_is_shown_once_it_is_long() -> None:
    call = OpenCall("postgres table t")
    assert call.lasting(1000.0) is None

    call.begin(1000.0)

    assert call.lasting(1000.0 + SILENT - 0.1) is None
    assert call.lasting(1000.0 + SILENT) == ("a call to postgres table t is still running", 1000.0)
    call.end(1000.0 + 2 * SILENT)
    assert call.lasting(1000.0 + 2 * SILENT) is None


def test_a_long_call_that_failed_had_no_answer_since_it_began() -> None:
    call = OpenCall("postgres table t")
    call.begin(1000.0)
    call.end(1030.0)

    assert call.failed_since(1030.1) == 1000.0


def test_a_short_call_that_failed_had_no_answer_only_now() -> None:
    call = OpenCall("postgres table t")
    call.begin(1000.0)
    call.end(1000.2)

    assert call.failed_since(1060.0) == 1060.0
