"""
Contract: what each connector promises where things go wrong, and the tests that show it.

A new connector is not whole until it has one: test_contract.py asks for it, and for the tests that it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["source", "sink"]


class Shown(NamedTuple):
    """Name a test: its file below tests/, its function, and the case of it, where there are several."""

    file: str
    test: str
    case: str = ""


class Nothing(NamedTuple):
    """Say why there is nothing to show."""

    why: str


Proof = Shown | Nothing


@dataclass(frozen=True)
class Contract:
    """
    Say where a connector's promises are shown.

    Args:
        server: What the tests talk to.
        kill: Its process is killed, at moments that a seed chooses.
        woken: A paused process is woken beside its successor.
        away: What it talks to is away for a while, or stands still.
        bad: One bad record among good ones.
        login: Wrong credentials.
        missing: What it is to read or write is not there.
    """

    server: str
    kill: Proof
    woken: Proof
    away: Proof
    bad: Proof
    login: Proof
    missing: Proof


_RESUME = "integration/engine/test_resume.py"
_FOREIGN = "integration/engine/test_foreign_streams.py"
_KAFKA_SOURCE = "integration/engine/test_kafka_source.py"
_MQTT = "integration/engine/test_mqtt.py"
_DLT = "integration/engine/test_dlt.py"
_MADE = "integration/engine/test_made_sources.py"
_COMMANDS = "integration/engine/test_commands.py"
_CDC = "integration/connectors/test_postgres_cdc.py"
_CDC_RUNS = "e2e/test_postgres_cdc.py"
_POSTGRES_SOURCE = "integration/connectors/test_postgres_source.py"
_POSTGRES_SINK = "e2e/test_postgres_sink.py"
_OBJECT_SOURCE = "integration/connectors/test_object_source.py"
_OBJECT_RUNS = "e2e/test_objects.py"
_HTTP_SOURCE = "e2e/test_http_source.py"
_WEBHOOK = "e2e/test_webhook.py"
_REACH = "integration/connectors/test_reach.py"

INGEST = Shown("chaos/test_chaos.py", "test_nothing_is_lost_or_duplicated_or_condemned")
"""A source's position moves in the step that stores its records, whichever source it is."""
ONE_READER = Shown(_RESUME, "test_a_source_and_a_sink_that_stand_by_take_over")
"""One process reads a source; what another stored meanwhile is refused by the position it expected."""
NO_SERVER = Nothing("it asks no server")
NO_LOGIN = Nothing("it asks for no credentials; a right that is missing is told as what is missing")
ROWS = Nothing("a row is a record; a value that JSON has not is written as text")
OWN_SERVER = Nothing("it is the pipeline's own server")


def _file_source(bad: Shown) -> Contract:
    missing = "test_pattern_without_a_file_is_an_error_that_names_pattern_and_folder"
    return Contract(
        "files", INGEST, ONE_READER, NO_SERVER, bad, NO_LOGIN, Shown("unit/connectors/test_files.py", missing)
    )


CONTRACTS: dict[tuple[Kind, str], Contract] = {
    ("source", "csv"): _file_source(
        Shown("unit/connectors/test_csv_source.py", "test_row_that_cannot_be_read_arrives_broken")
    ),
    ("source", "jsonl"): _file_source(
        Shown(
            "unit/connectors/test_jsonl_source.py",
            "test_line_that_is_not_a_record_arrives_broken_with_its_place_and_bytes",
        )
    ),
    ("source", "json"): _file_source(
        Shown(
            "unit/connectors/test_json_source.py",
            "test_broken_record_leaves_its_neighbours_alone_and_keeps_its_bytes",
        )
    ),
    ("source", "parquet"): _file_source(
        Shown(
            "unit/connectors/test_parquet_source.py",
            "test_row_with_an_infinite_number_is_a_dead_letter_among_its_neighbours",
        )
    ),
    ("source", "dlt"): Contract(
        server="a source of dlt's, in Python",
        kill=Shown(_DLT, "test_a_reading_that_was_cut_off_goes_on_exactly_though_it_is_out_of_order"),
        woken=ONE_READER,
        away=Shown(_DLT, "test_what_cannot_be_read_ends_the_run"),
        bad=Shown(_DLT, "test_what_is_no_record_is_a_dead_letter"),
        login=Nothing("dlt's sources have their own; what they raise ends the run"),
        missing=Shown(_DLT, "test_what_cannot_be_read_ends_the_run"),
    ),
    ("source", "exec"): Contract(
        server="commands",
        kill=Shown(
            _COMMANDS,
            "test_a_command_that_writes_the_same_each_time_goes_on_however_often_it_is_killed",
        ),
        woken=ONE_READER,
        away=Shown(_COMMANDS, "test_one_that_fails_is_run_again_and_behind_what_is_stored"),
        bad=Shown(_COMMANDS, "test_lines_of_json_are_records_and_others_dead_letters"),
        login=Nothing("a command says by its end that it may not"),
        missing=Shown(_COMMANDS, "test_a_program_or_folder_that_is_not_there_ends_the_run"),
    ),
    ("source", "generate"): Contract(
        server="none",
        kill=Shown(_MADE, "test_each_record_is_there_once_however_often_its_reader_is_killed"),
        woken=ONE_READER,
        away=NO_SERVER,
        bad=Shown(
            "unit/connectors/test_generate.py",
            "test_a_record_for_which_an_expression_has_no_value_is_broken_and_the_others_are_not",
        ),
        login=NO_SERVER,
        missing=NO_SERVER,
    ),
    ("source", "http"): Contract(
        server="a web service on loopback",
        kill=Shown(_HTTP_SOURCE, "test_kills_and_an_outage_lose_and_double_nothing"),
        woken=ONE_READER,
        away=Shown(_HTTP_SOURCE, "test_kills_and_an_outage_lose_and_double_nothing"),
        bad=Shown(_HTTP_SOURCE, "test_what_is_no_record_is_a_dead_letter_and_429_is_waited_for"),
        login=Shown(_HTTP_SOURCE, "test_wrong_credentials_and_broken_answers_end_the_run_and_tell_where"),
        missing=Shown(_HTTP_SOURCE, "test_wrong_credentials_and_broken_answers_end_the_run_and_tell_where"),
    ),
    ("source", "kafka"): Contract(
        server="noida-db 0.2.3",
        kill=Shown("chaos/test_kafka_chaos.py", "test_each_message_enters_once_whoever_is_killed"),
        woken=Shown("chaos/test_kafka_chaos.py", "test_each_message_enters_once_whoever_is_killed"),
        away=Shown(_KAFKA_SOURCE, "test_a_broker_that_is_away_for_ten_seconds_is_waited_for"),
        bad=Shown(
            _KAFKA_SOURCE, "test_what_is_no_record_is_a_dead_letter_as_it_came_and_takes_no_other_with_it"
        ),
        login=Shown(
            _KAFKA_SOURCE, "test_a_login_is_made_and_one_that_is_refused_ends_the_run_without_its_password"
        ),
        missing=Shown(_KAFKA_SOURCE, "test_a_topic_that_is_not_there_and_a_wrong_address_end_the_run"),
    ),
    ("source", "mqtt"): Contract(
        server="Mosquitto",
        kill=Shown(_MQTT, "test_no_message_is_lost_whoever_is_killed"),
        woken=Nothing("at least once: the broker sends to one of two, and again what was not acknowledged"),
        away=Shown(_MQTT, "test_no_message_is_lost_whoever_is_killed"),
        bad=Shown(_MQTT, "test_messages_are_read_those_too_that_came_between_two_runs"),
        login=Shown(_MQTT, "test_a_login_that_is_refused_ends_the_run"),
        missing=Shown(_MQTT, "test_a_wrong_address_ends_the_run"),
    ),
    ("source", "objects"): Contract(
        server="moto, as S3",
        kill=Shown(
            _OBJECT_RUNS, "test_kills_of_workers_and_a_store_that_stands_still_lose_and_double_nothing"
        ),
        woken=ONE_READER,
        away=Shown(_OBJECT_SOURCE, "test_a_store_that_stands_still_is_waited_for"),
        bad=Shown(
            _OBJECT_SOURCE, "test_what_is_no_record_is_told_with_its_place_and_its_neighbours_are_read"
        ),
        login=Shown(_OBJECT_SOURCE, "test_credentials_that_are_wrong_are_told_without_the_secret"),
        missing=Shown(
            _OBJECT_SOURCE,
            "test_a_pattern_without_objects_a_missing_bucket_and_too_many_objects_are_told",
        ),
    ),
    ("source", "postgres"): Contract(
        server="PostgreSQL",
        kill=Shown(_POSTGRES_SINK, "test_rows_go_from_one_table_to_another_and_changes_follow"),
        woken=ONE_READER,
        away=Shown(_POSTGRES_SINK, "test_postgres_is_away_for_a_while_and_the_run_waits_for_it"),
        bad=ROWS,
        login=Shown(_REACH, "test_a_table_that_is_missing_or_closed_and_wrong_credentials_are_told"),
        missing=Shown(_POSTGRES_SOURCE, "test_a_wrong_name_ends_the_source"),
    ),
    ("source", "postgres_cdc"): Contract(
        server="PostgreSQL",
        kill=Shown(
            _CDC_RUNS, "test_kills_of_workers_and_of_postgres_beside_writers_lose_and_double_no_change"
        ),
        woken=Shown(_CDC, "test_a_paused_reader_that_wakes_up_after_another_took_over_moves_nothing"),
        away=Shown(
            _CDC_RUNS, "test_kills_of_workers_and_of_postgres_beside_writers_lose_and_double_no_change"
        ),
        bad=ROWS,
        login=Shown(_CDC, "test_a_user_without_the_right_is_told_how_to_get_it"),
        missing=Shown(_CDC, "test_what_is_missing_or_anothers_is_an_error_that_says_what_to_do"),
    ),
    ("source", "python"): Contract(
        server="a function",
        kill=Shown(_MADE, "test_each_record_is_there_once_however_often_its_reader_is_killed"),
        woken=ONE_READER,
        away=Shown(_MADE, "test_a_function_that_raises_ends_the_run_once_what_it_yielded_is_through"),
        bad=Shown(
            "unit/connectors/test_python_source.py", "test_what_is_no_record_is_broken_and_the_others_go_on"
        ),
        login=Nothing("what the function raises ends the run"),
        missing=Shown(_MADE, "test_a_function_that_raises_ends_the_run_once_what_it_yielded_is_through"),
    ),
    ("source", "schedule"): Contract(
        server="the clock",
        kill=Shown(_MADE, "test_no_time_is_lost_or_doubled_however_often_its_reader_is_killed"),
        woken=Shown(_MADE, "test_two_processes_fire_each_time_once"),
        away=NO_SERVER,
        bad=Nothing("it makes its records itself"),
        login=NO_SERVER,
        missing=Shown("unit/connectors/test_schedule.py", "test_what_is_no_schedule_says_why"),
    ),
    ("source", "stream"): Contract(
        server="Redis, Valkey",
        kill=INGEST,
        woken=INGEST,
        away=INGEST,
        bad=Shown(
            _FOREIGN,
            "test_a_value_of_another_type_is_a_dead_letter_with_its_raw_fields_and_takes_no_other_down",
        ),
        login=OWN_SERVER,
        missing=Nothing("a stream that is not there yet is empty"),
    ),
    ("source", "webhook"): Contract(
        server="requests on loopback",
        kill=Shown(_WEBHOOK, "test_what_was_answered_200_is_there_after_kills_and_once"),
        woken=Shown(_WEBHOOK, "test_a_standby_listens_once_the_process_that_did_is_killed"),
        away=Nothing("others come to it; a pipeline that is full answers 503"),
        bad=Shown(_WEBHOOK, "test_objects_arrays_and_lines_are_stored_and_what_is_broken_is_refused_whole"),
        login=Shown(_WEBHOOK, "test_a_token_and_a_signature_are_asked_for"),
        missing=Shown(_REACH, "test_a_port_that_is_taken_is_told"),
    ),
}
"""(source or sink, type) -> what is shown of it."""
