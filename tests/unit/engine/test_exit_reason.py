import pytest

from rsq_pipe.engine.processes.supervisor import exit_reason


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (-9, "killed by SIGKILL, as by the system if memory runs out"),
        (-11, "killed by SIGSEGV"),
        (-200, "killed by signal 200"),
        (70, "it met a fault of rsq-pipe, or could have no more of what it needs: a line above says what"),
        (3, "its own code ended it with exit code 3, as os._exit does"),
    ],
)
def test_the_end_of_a_process_is_told_in_words(code: int, why: str) -> None:
    assert exit_reason(code, by_itself=False) == why


def test_a_process_that_ended_its_run_had_no_server() -> None:
    assert exit_reason(3, by_itself=True) == "the server is not reachable, or refuses the login"
