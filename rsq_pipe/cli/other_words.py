"""Other words: commands and options of other tools, and what to use instead."""

from __future__ import annotations

OTHER_COMMANDS = {
    **dict.fromkeys(("list", "ls", "ps"), "did you mean 'pipelines'?"),
    **dict.fromkeys(("check", "lint"), "did you mean 'validate'?"),
    **dict.fromkeys(("start", "up", "exec"), "did you mean 'run'?"),
    **dict.fromkeys(("retry", "replay", "errors", "failed"), "did you mean `dlq list` or `dlq replay`?"),
    **dict.fromkeys(("diff", "migrate"), "did you mean 'plan'?"),
    **dict.fromkeys(("ui", "web", "dashboard"), "did you mean 'serve'?"),
    **dict.fromkeys(("new", "create"), "did you mean 'init'?"),
    **dict.fromkeys(("stop", "down", "kill"), "a run stops on Ctrl-C or SIGTERM; `pause` holds a stage"),
    **dict.fromkeys(
        ("reset", "clear", "clean"), "`run --fresh` starts over; `delete` removes all that a pipeline has"
    ),
    "logs": "a run logs to standard error; `status` and `dlq list` say what failed",
    "help": "write `rsq-pipe --help`, or `--help` after a command",
    "version": "write `rsq-pipe --version`",
}
"""Command of other tools -> what to use here."""

OTHER_OPTIONS = {
    **dict.fromkeys(("--only", "--select", "--stages", "--task"), "name a stage with `--stage`"),
    **dict.fromkeys(
        ("--workers", "--parallel", "--jobs", "--threads"), "use `--processes`, or `workers` in a stage"
    ),
    **dict.fromkeys(("--reset", "--full-refresh", "--from-start", "--restart"), "`--fresh` starts over"),
    **dict.fromkeys(
        ("--dry-run", "--check"), "`rsq-pipe preview` shows what a run would make of the first records"
    ),
    **dict.fromkeys(
        ("--file", "--config", "--spec", "-f", "-c"), "name the pipeline's file without an option"
    ),
    **dict.fromkeys(
        ("--daemon", "--detach", "--background"), "run it under systemd or nohup: a run stays in front"
    ),
}
"""Option of `run` and its like in other tools -> what to use here."""
