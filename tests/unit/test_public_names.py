"""The public names: all of them resolve, and editors see what the program finds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rsq_pipe

# What programs written for the reference library import.
REFERENCE = {
    "ConsumerConfig",
    "ConsumerGroup",
    "ConsumerInfo",
    "ConsumerMetrics",
    "DLQHandler",
    "JsonSerializer",
    "MsgpackSerializer",
    "PendingEntry",
    "PickleSerializer",
    "ProducerMetrics",
    "RetryHandler",
    "Serializer",
    "StreamClient",
    "StreamConsumer",
    "StreamMessage",
    "StreamProducer",
    "StreamStats",
}


@pytest.mark.parametrize("name", rsq_pipe.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert hasattr(rsq_pipe, name)


def test_the_reference_librarys_names_are_public() -> None:
    assert set(rsq_pipe.__all__) >= REFERENCE


def test_every_error_is_public() -> None:
    from rsq_pipe import errors

    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.RsqPipeError)
    }
    assert tree <= set(rsq_pipe.__all__)


def test_type_checkers_see_what_the_program_finds() -> None:
    tree = ast.parse(Path(str(rsq_pipe.__file__)).read_text())
    declared = {
        alias.name: str(node.module)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert declared == rsq_pipe._HOME
    assert set(rsq_pipe.__all__) == {*declared, "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'StreamQueue'"):
        _ = rsq_pipe.StreamQueue


def test_a_listing_shows_names_not_loaded_yet() -> None:
    assert set(dir(rsq_pipe)) >= set(rsq_pipe.__all__)
