"""The JSON Schema and the reference page are those committed, and the schema agrees with the loader."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from yamlcore import CCoreLoader

from rsq_pipe.spec.models import StageSettings, Tuning
from rsq_pipe.spec.reference import reference_page
from rsq_pipe.spec.schema import pipeline_schema, schema_text

ROOT = Path(__file__).parents[3]
WRONG = Path(__file__).parent / "wrong"
SPECS = sorted(
    path
    for path in [*ROOT.glob("pipelines/*.yaml"), *ROOT.glob("examples/**/*.yaml")]
    if not path.name.endswith("_test.yaml")
)
# What only the loader can see: names of other stages, code, the environment, order, sums of settings.
BEYOND_SCHEMA = {
    "bad_explode_names",
    "bad_expressions",
    "dates_of_numbers",
    "bad_handlers",
    "at_signs_in_passwords",
    "bad_host_ports",
    "long_names",
    "names_that_would_depend_on_time",
    "sinks_in_folders",
    "settings_that_do_nothing",
    "timeouts_that_bound_nothing",
    "too_large_values",
    "bad_names_of_made_records",
    "bad_lookup_files",
    "bad_ports",
    "bad_aggregate_fields",
    "bad_select_fields",
    "bad_sql_several",
    "cycle",
    "cycle_through_a_stream",
    "cycle_through_dead_letters",
    "defaults_and_stage_disagree",
    "duplicate_key",
    "duplicate_stage",
    "fuse_where_it_cannot_be",
    "fuse_with_state",
    "nothing_to_read",
    "ranks_in_aggregate",
    "own_key_as_stream",
    "read_twice",
    "reading_a_sink",
    "reading_no_output",
    "reads_itself",
    "route_without_port",
    "unknown_from",
    "unknown_port",
    "unread_outputs",
    "unset_variables",
}
NOT_YAML = {
    "brackets_in_braces",
    "alias_bomb",
    "keys_that_are_no_text",
    "colon_in_text",
    "empty",
    "recursive_alias",
    "tab",
    "two_documents",
    "unclosed_bracket",
    "templates_of_other_tools",
    "unclosed_quote",
    "undefined_alias",
    "unknown_tag",
}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = pipeline_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def parse(spec: Path) -> Any:
    return yaml.load(spec.read_text(), CCoreLoader)


def test_the_committed_schema_is_the_one_the_models_give() -> None:
    assert (ROOT / "docs/schema/pipeline.schema.json").read_text() == schema_text(), (
        "run: rsq-pipe schema --output ..."
    )


def test_the_committed_reference_page_is_the_one_the_models_give() -> None:
    assert (ROOT / "docs/reference/spec.md").read_text() == reference_page(), (
        "run: rsq-pipe schema --format markdown"
    )


def test_each_group_that_the_reference_page_names_has_a_section_of_that_name() -> None:
    page = reference_page()
    headings = "\n".join(line for line in page.splitlines() if line.startswith("#"))

    assert [name for name in re.findall("group `([^`]+)`", page) if f"`{name}`" not in headings] == []
    assert "`evict`" in page


def test_each_setting_of_a_stage_is_on_the_reference_page() -> None:
    page = reference_page()

    settings = {field.alias or name for name, field in StageSettings.model_fields.items()}
    after = page.partition("## Stages")[2]
    assert [name for name in sorted(settings - {*Tuning.model_fields}) if f"| `{name}` |" not in after] == []
    assert [name for name in Tuning.model_fields if f"| `{name}` |" not in page] == []


def test_every_setting_is_described() -> None:
    schema = pipeline_schema()
    groups = {"Pipeline": schema, **schema["$defs"]}

    silent = [
        f"{name}.{key}"
        for name, group in groups.items()
        for key, field in group.get("properties", {}).items()
        if key != "type" and "description" not in field and "$ref" not in field
    ]

    assert silent == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec.relative_to(ROOT)))
def test_the_schema_accepts_the_pipelines_we_ship(
    validator: jsonschema.Draft202012Validator, spec: Path
) -> None:
    validator.validate(parse(spec))


@pytest.mark.parametrize(
    "name", sorted({spec.stem for spec in WRONG.glob("*.yaml")} - BEYOND_SCHEMA - NOT_YAML)
)
def test_the_schema_refuses_what_the_loader_refuses(
    validator: jsonschema.Draft202012Validator, name: str
) -> None:
    assert not validator.is_valid(parse(WRONG / f"{name}.yaml"))


@pytest.mark.parametrize(
    "name",
    sorted(
        BEYOND_SCHEMA - {"bad_expressions", "bad_handlers", "bad_ports", "duplicate_key", "duplicate_stage"}
    ),
)
def test_the_schema_leaves_to_the_loader_what_only_that_can_see(
    validator: jsonschema.Draft202012Validator, name: str
) -> None:
    validator.validate(parse(WRONG / f"{name}.yaml"))


ZEROS = [
    "{source: {type: generate, count: 0, fields: {n: n}}}",
    "{from: a, map: {m: n}, rate: 1/s, burst: 0}",
    "{from: a, map: {m: n}, on_error: {dlq: {max: 5%, over: 0}}}",
    "{from: a, dedupe: {key: n, max_keys: 0}}",
    "{from: a, aggregate: {compute: {c: count()}, max_keys: 0}}",
    "{join: {left: a, right: {stream: s}, on: n, max_keys: 0}}",
    "{from: a, lookup: {table: {file: {path: t.csv, max_rows: 0}}, key: n, as: t}}",
    "{from: a, sink: {type: redis, kind: list, key: l, max: 0}}",
]


@pytest.mark.parametrize("stage", ZEROS)
def test_the_schema_knows_where_none_is_too_few(
    validator: jsonschema.Draft202012Validator, stage: str
) -> None:
    start = "version: 1\npipeline: p\nstages:\n  a: {source: {type: stream, stream: in}}\n  b: "

    assert not validator.is_valid(yaml.load(start + stage, CCoreLoader))
    for many in ("1", "10k", "2M"):
        validator.validate(yaml.load(start + stage.replace(": 0", f": {many}"), CCoreLoader))


def test_the_schema_lets_variables_stand_for_values(validator: jsonschema.Draft202012Validator) -> None:
    several = {"rate": "${R}", "burst": "${B}", "fuse": "${F}", "breaker": "${P}", "timeout": "${T}"}
    rotate = {"size": "${S}", "records": "${R}", "every": "${E}"}
    validator.validate(
        {
            "version": 1,
            "pipeline": "${NAME}",
            "max_backlog": "${BACKLOG:-500}",
            "keep": "${KEEP}",
            "telemetry": {"journal": "${J}", "sample": "${S}"},
            "stages": {
                "read": {"source": {"type": "jsonl", "path": "${FILE}"}, "workers": "${WORKERS}"},
                "once": {"dedupe": {"key": "n", "within": "${W}", "max_keys": "${MOST}"}, **several},
                "keep": {"sink": {"type": "redis", "kind": "list", "key": "l", "max": "${M}", "ttl": "${T}"}},
                "out": {"from": "once", "sink": {"type": "jsonl", "path": "out", "rotate": rotate}},
            },
        }
    )
