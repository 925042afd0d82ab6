import errno

import pytest

from rsq_pipe.connectors.files.file_target import mend


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "; free some space there, and run again"),
        (errno.EROFS, "; make its file system writable, and run again"),
        (errno.EACCES, "; let this user write there, and run again"),
        (errno.ELOOP, ""),
        (None, ""),
    ],
)
def test_an_error_of_the_file_system_says_what_to_do(number: int | None, what: str) -> None:
    assert mend(OSError() if number is None else OSError(number, "text")) == what
