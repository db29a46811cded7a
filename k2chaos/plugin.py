"""
Chaos Toolkit's ``chaos run``, for several files at once and with an exit code by verdict.

Loaded by every ``chaos`` call through the entry-point group ``chaostoolkit.cli_plugins``, after
the built-in commands, by ``group.add_command(register)``: so `register` is a command, and has to
be called ``run``. Rules: nothing heavy is imported until an experiment is run; upstream's options
are taken from upstream's command, not retyped; a file that does not use k2chaos is upstream's.
"""

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from chaostoolkit.commands.run import run as upstream_run
from click.core import ParameterSource

_TYPED: Final = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
_RAW: Final = "k2chaos.raw"
_LOG_OPTIONS: Final = ("log_file", "no_log_file")
_NOT_PASSED_ON: Final = ("change_dir", "no_version_check", "log_file")

HELP: Final = """
Run the experiments in SOURCE..., files in JSON or YAML, one after the other.

Experiments that use k2chaos are all checked before the first one starts. Each runs in a process
of its own, keeps its evidence in its run folder (below $K2CHAOS_JOURNALS, else ./journals), and a
summary table ends the output. Ctrl-C, SIGTERM and SIGHUP end the running experiment, which puts
back what it broke, and leave out the remaining ones.

\b
Exit code, over several files the first present of 1, 4, 2, 3, 0:
  0 pass   1 fail   2 usage   3 inconclusive   4 the tool crashed

A file that does not use k2chaos, and a URL, run as Chaos Toolkit runs them and keep its exit
code; among several, each one's journal goes to ./journal-<name>.json.

\b
Examples:
  chaos run experiments/sink-kill.json
  chaos run experiments/*.json
"""


def run_command(more: tuple[click.Parameter, ...] = ()) -> click.Command:
    """The command ``run`` with upstream's options, *more* options, and several SOURCEs."""
    options = [_keeping_what_was_typed(one) for one in upstream_run.params if _is_option(one)]
    sources = click.Argument(["source"], nargs=-1, required=True)
    return click.Command(
        "run",
        params=[*options, *more, sources],
        callback=click.pass_context(_run),
        help=HELP,
        short_help="Run experiments; exit by verdict.",
    )


def _is_option(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option)


def _keeping_what_was_typed(option: click.Parameter) -> click.Parameter:
    """A copy of *option* that notes its value before upstream's callback changes it."""
    result = copy.copy(option)
    inner: Callable[[click.Context, click.Parameter, Any], Any] | None = option.callback

    def note(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        context.meta.setdefault(_RAW, {})[parameter.name] = value
        return inner(context, parameter, value) if inner else value

    result.callback = note
    return result


def _run(context: click.Context, /, **values: Any) -> Any:
    sources: tuple[str, ...] = values["source"]
    if _is_upstreams(context, sources):
        return upstream_run.callback(**{**values, "source": sources[0]})
    from k2chaos.last_line import exit_code_of

    context.exit(exit_code_of(lambda: _run_in_children(context, values)))
    return None


def _is_upstreams(context: click.Context, sources: tuple[str, ...]) -> bool:
    """One file that does not use k2chaos; or we are the child of upstream's own runtime."""
    if _in_runtime_child():
        return True
    if context.parent is None or not isinstance(context.parent.obj, dict) or len(sources) > 1:
        return False
    from k2chaos.errors import UsageError
    from k2chaos.experiment_file import is_url, read_experiment, uses_k2chaos

    if is_url(sources[0]):
        return False
    try:
        return not uses_k2chaos(read_experiment(sources[0]).tree)
    except UsageError:
        return False


def _in_runtime_child() -> bool:
    """Whether upstream (1.21) has started this process to run one experiment in it."""
    try:
        from chaostoolkit.runtime import in_runtime_child
    except ImportError:
        return False
    return bool(in_runtime_child())


def _run_in_children(context: click.Context, values: dict[str, Any]) -> int:
    import sys

    from k2chaos.launch.runner import Request, run_experiments

    chaos = context.parent if context.parent and isinstance(context.parent.obj, dict) else None
    has_own_log = chaos is not None and any(_was_typed(chaos, name) for name in _LOG_OPTIONS)
    if chaos is not None and not has_own_log:
        _leave_no_log()
    request = Request(
        sources=values["source"],
        chaos_options=_chaos_options(chaos) if chaos else (),
        run_options=_options(context, context.meta.get(_RAW, {}), ("journal_path", "pipeline")),
        journal_path=values["journal_path"] if _was_typed(context, "journal_path") else None,
        has_own_log=has_own_log,
        pipeline=values.get("pipeline"),
        variables=values.get("var") or {},
        is_dry=values.get("dry") is not None,
    )
    # `--output agent` (1.21) promises one JSON document on stdout, the child's.
    is_for_agent = values.get("output_format") == "agent"
    return run_experiments(request, sys.stderr if is_for_agent else sys.stdout)


def _was_typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) in _TYPED


def _options(
    context: click.Context, values: dict[str, Any], without: tuple[str, ...]
) -> tuple[str, ...]:
    """The options that were typed, as they would be typed again."""
    words: list[str] = []
    for option in context.command.params:
        name = option.name
        if not isinstance(option, click.Option) or name in without:
            continue
        if name in values and _was_typed(context, name):
            words += _words(option, values[name])
    return tuple(words)


def _words(option: click.Option, value: Any) -> list[str]:
    if option.is_flag:
        return [option.opts[0] if value else option.secondary_opts[0]]
    typed = value if option.multiple else [value]
    return [word for one in typed for word in (option.opts[0], str(one))]


def _chaos_options(chaos: click.Context) -> tuple[str, ...]:
    """Options of ``chaos`` itself. Its directory was changed to already; we are in it."""
    words = _options(chaos, chaos.params, _NOT_PASSED_ON)
    logs = [one for one in _log_handlers() if _was_typed(chaos, "log_file")]
    return (*words, "--log-file", logs[0].baseFilename) if logs else words


def _log_handlers() -> list[logging.FileHandler]:
    handlers = logging.getLogger("chaostoolkit").handlers
    return [one for one in handlers if isinstance(one, logging.FileHandler)]


def _leave_no_log() -> None:
    """
    Take away the log file that upstream has just begun in the working directory.

    Ours go to the run folders. A file with lines of an earlier command in it is not ours.
    """
    for handler in _log_handlers():
        logging.getLogger("chaostoolkit").removeHandler(handler)
        handler.close()
        path = Path(handler.baseFilename)
        if path.is_file() and path.read_text(encoding="utf-8").count("Running command '") == 1:
            path.unlink()


register: Final = run_command()
