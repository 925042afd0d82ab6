"""`--update` writes what a test's stages give into its file."""

from __future__ import annotations

import pytest
import yaml
from yamlcore import CCoreLoader

from rsq_pipe.testing.cases.updating import NotUpdatableError, updated
from tests.support.project import Project
from tests.unit.testing.case_project import run, written

UPDATED = """\
# of the shop
tests:
  # nothing is expected yet
  new:
    stage: route   # the last one
    given: [{total: 100}]
  wrong:
    stage: route
    given:
      - {total: 1}   # small
      - {total: 2}
    expect:
      # both
      small:
        - {total: 1}   # stays
        - total: 3   # goes above
      large: []   # none

  right:
    stage: check
    given: [{n: 1}]
    expect: {out: [{n: 1.0}]}   # kept as it is
"""


def test_update_rewrites_what_is_wrong_and_nothing_else(project: Project) -> None:
    file = written(project, "")
    file.write_text(UPDATED)
    stale = [(one.case, one.happened) for one in run(file).values() if not one.is_passed]

    new = updated(UPDATED, stale)

    file.write_text(new)
    assert all(result.is_passed for result in run(file).values())
    assert new == UPDATED.replace(
        "        - total: 3   # goes above\n", "        - {total: 2}   # goes above\n"
    ).replace(
        "    given: [{total: 100}]\n",
        "    given: [{total: 100}]\n    expect:\n      large:\n        - {total: 100}\n",
    )


def test_update_keeps_the_comments_of_what_it_rewrites(project: Project) -> None:
    text = """
          x:
            stage: check
            given: [{n: 1}, {n: 2}]
            expect:
              out:  # first
                # second
                - n: 0   # third
                  # fourth
                  m: 1
    """
    file = written(project, text)
    before = file.read_text()
    result = run(file)["x"]

    new = updated(before, [(result.case, result.happened)])

    file.write_text(new)
    assert run(file)["x"].is_passed
    assert all(word in new for word in ("# first", "# second", "# third", "# fourth"))


def test_update_keeps_to_the_fields_that_a_partial_test_names(project: Project) -> None:
    text = """
          x:
            stage: price
            match: partial
            given: [{price: 2, quantity: 3}]
            expect:
              out: [{total: 5}]
    """
    file = written(project, text)
    result = run(file)["x"]

    new = updated(file.read_text(), [(result.case, result.happened)])

    assert yaml.load(new, CCoreLoader)["tests"]["x"]["expect"] == {"out": [{"total": 6}]}


def test_update_refuses_what_it_cannot_write_without_changing_more(project: Project) -> None:
    text = """
          x:
            stage: check
            expect: {out: [&one {n: 2}]}
            given: [*one, {n: 1}]
    """
    file = written(project, text)
    result = run(file)["x"]

    with pytest.raises(NotUpdatableError):
        updated(file.read_text(), [(result.case, result.happened)])
