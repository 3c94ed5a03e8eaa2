"""Write docs/reference from the code: command line, run directory, rules, experiments, SLOs."""

import argparse
import inspect
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from loadtests.options import add_options
from workbench.checkout import example_run_dir, experiments_dir, slo_file
from workbench.cli import EXIT_CODES, app
from workbench.diagnostics.finding import RULES, Rule, remedies, sentence
from workbench.diagnostics.slo import TERMS, Term
from workbench.experiments.spec import KEYS, Experiment, Key, read_experiment
from workbench.flows.model import FLOWS
from workbench.plots.gallery import GALLERY, Exhibit
from workbench.plots.style import Chart
from workbench.runs.manifest import STATUSES
from workbench.runs.run import Run
from workbench.runs.schema import KEY_STATES, OUTCOMES, SCHEMA_VERSION, TABLES, Column
from workbench.server.faults.model import FAULTS

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
PICTURES = REFERENCE.parent / "images" / "gallery"
NOTE = "<!-- Written by `make docs` from the code: change it there. -->\n"
_HOLD = "../explanation/honest-figures.md#when-figures-do-not-hold"


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    return {
        "cli.md": command_line(),
        "run-directory.md": run_directory(),
        "rules.md": rules(),
        "experiments.md": experiments(),
        "load.md": load_by_hand(),
        "slo.md": objectives(),
    }


def gallery(chart_of: Callable[[Exhibit], Chart]) -> str:
    """The charts of the golden run, each with its words and how to draw it."""
    parts = [
        f"# Gallery\n\n{NOTE}",
        "Every chart of a run, here of the one that the tests are tried on: 18 s at a cap of 5 "
        "MiB. The title is the finding, and made of the data; so is the text below it, which is "
        "the picture's alternative text as well. The pictures turn dark with the page.\n",
        "```python\n"
        "from matplotlib.figure import Figure\n"
        "from workbench.plots.evictions import figure_eviction\n"
        "from workbench.plots.memory import draw_memory\n"
        "from workbench.runs.run import open_run\n\n"
        'run = open_run("latest")\n'
        "figure_eviction(run)  # a Chart: shown in a notebook as picture and words\n"
        "figure_eviction(run).svg()  # its text; save_png(path) writes it as a picture\n"
        "draw_memory(Figure().subplots(), run.samples)  # one panel, on an Axes of your own\n"
        "```\n\n"
        "A notebook's charts stay light. A page of your own that has a dark form has its charts "
        "follow by `:root { color-scheme: light dark; --chart-scheme: light dark; }`.\n",
    ]
    for each in GALLERY:
        chart = chart_of(each)
        room = each.figure.__module__
        panels = [
            getattr(import_module(f"workbench.plots.{file}"), name) for file, name in each.draws
        ]
        said = [f"- `{draw.__module__}.{_call(draw)}`: {_first_line(draw)}\n" for draw in panels]
        parts.append(
            f"## {each.question}\n\n"
            f"![{chart.title}. {chart.reading}](../images/gallery/{each.name}.svg)\n\n"
            f"**{chart.title}.** {chart.reading}\n\n"
            f"`{room}.{each.figure.__name__}`: {_first_line(each.figure)}\n\n" + "".join(said)
        )
    return "\n".join(parts)


def _call(draw: Callable[..., Any]) -> str:
    """Its name and what it takes: ``draw_memory(ax, samples)``."""
    taken = []
    for name, parameter in inspect.signature(draw).parameters.items():
        given = parameter.default is inspect.Parameter.empty
        taken.append(name if given else f"{name}={parameter.default!r}")
    return f"{draw.__name__}({', '.join(taken)})"


def _first_line(documented: Callable[..., Any]) -> str:
    told = (documented.__doc__ or "").strip().partition("\n\n")[0]
    return " ".join(told.replace("``", "`").split())


def command_line() -> str:
    """The help of every command."""
    commands = ["", *_with_subcommands()]
    parts = [f"# Command line\n\n{NOTE}"]
    for command in commands:
        name = f"workbench {command}".strip()
        parts.append(f"## {name}\n\n```\n{_help(command)}```\n")
    parts.append(
        "## Exit codes\n\n| code | meaning |\n| --- | --- |\n"
        + "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
        + "\n## Environment\n\n"
        "| variable | meaning |\n| --- | --- |\n"
        "| `REDIS_STATE_URL` | the server to load, as `--url` |\n"
        "| `WORKBENCH_RUNS` | where runs are kept, as `--out`; else `runs/` in the checkout |\n"
        "| `WORKBENCH_REDIS_SERVER` | the server program to start; else from PATH, else the "
        "embedded one |\n"
    )
    return "\n".join(parts)


def _with_subcommands() -> list[str]:
    group = typer.main.get_group(app)
    return [
        name
        for command, found in group.commands.items()
        for name in [command, *(f"{command} {each}" for each in getattr(found, "commands", ()))]
    ]


def command_names() -> list[str]:
    """The commands, in the order of the help."""
    return list(typer.main.get_group(app).commands)


def run_directory() -> str:
    """The files of a run directory and the columns of its tables."""
    parts = [
        f"# The run directory\n\n{NOTE}",
        "A run directory is written once while a run goes on, and sealed when it ends. What lies "
        "above the line below is never changed after that; what lies under it can be deleted and "
        f"made again. Schema version {SCHEMA_VERSION}.\n",
        "```\n"
        "manifest.json    status, experiment, seed, versions, host, server, phases, counts\n"
        "redis.conf       what the private server was started with\n"
        "operations/      Parquet parts; so are the next four\n"
        "keys/\n"
        "samples/\n"
        "events/\n"
        "generator/\n"
        "logs/            redis.log, locust.log, sampler.log\n"
        "--------------------------------------------------------------------------------------\n"
        "findings.json    workbench check\n"
        "report/          workbench report: executed notebooks and pages\n"
        "```\n",
        "## Status\n\n| status | meaning |\n| --- | --- |",
        *(f"| {name} | {meaning} |" for name, meaning in STATUSES.items()),
        "",
    ]
    for table in TABLES.values():
        parts += [
            f"## {table.name}\n\nOne row is {table.row}.\n",
            "| column | type | unit | meaning |\n| --- | --- | --- | --- |",
            *(
                f"| `{column.name}` | {_kind(column)} | {column.unit} | {column.meaning} |"
                for column in table.columns
            ),
            "",
        ]
    parts.append("## Outcomes\n\n| outcome | meaning |\n| --- | --- |")
    parts += [f"| {name} | {meaning} |" for name, meaning in OUTCOMES.items()]
    parts.append("\n## States of a key\n\n| state | meaning |\n| --- | --- |")
    parts += [f"| {name} | {meaning} |" for name, meaning in KEY_STATES.items()]
    return "\n".join(parts) + "\n"


def rules() -> str:
    """Every rule: its question, when it fails, what it rests on."""
    head = (
        f"# Rules\n\n{NOTE}\n"
        "Each rule gives *pass*, *fail*, *unknown* or *not applicable*. Where the generator was "
        "late or the run broke off, a pass that rests on it becomes *unknown*.\n"
    )
    return "\n".join([head, *(_rule(rule) for rule in RULES.values())])


def experiments() -> str:
    """The keys of an experiment file, and the experiments that there are."""
    defaults = {field.name: field.default for field in fields(Experiment)}
    parts = [
        f"# Experiments\n\n{NOTE}",
        "An experiment is a TOML file: `workbench run mine.toml` carries it out, `workbench config "
        "experiment mine.toml` shows it with every default filled in. A key that does not exist is "
        'refused with the nearest one that does. Durations are written as `"90s"`, `"1.5m"` or '
        '`"250ms"`, sizes as in redis.conf: `"64mb"`.\n',
    ]
    for table in ("", "server", "load", "habits"):
        parts += [
            f"## [{table}]\n" if table else "## At the top\n",
            "| key | kind | default | bounds | option | meaning |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_key(key, defaults[key.field]) for key in KEYS if key.table == table),
            "",
        ]
    parts.append(
        "## [mix]\n\nThe weight of each flow, by conversation; the scenario's own if left out. Or "
        '`mix = "suggested"`, at the top: weights, pauses and habits of a file in '
        "`loadtests/mixes`, where all that is assumed of people stands. "
        f"Flows: {', '.join(f'`{flow}`' for flow in FLOWS)}.\n\n"
        "## [settings]\n\n"
        "Further settings of the private server, by Redis's own names, such as "
        '`maxmemory-policy = "allkeys-lfu"`; they have the last word over the profile. What is of '
        "the place a server runs at is refused: files, addresses, logins, other servers.\n\n"
        "## [[faults]]\n\n"
        "What is done to the private server, one after the other: `fault` names it, `at` says when "
        "it begins, from the start of the measured phase, and `lasts` for how long. Each is put on "
        "record as an event of kind `fault`.\n\n"
        "| fault | what happens to the server |\n| --- | --- |\n"
        + "".join(f"| `{fault.name}` | {fault.meaning} |\n" for fault in FAULTS.values())
        + "\n"
        "## The experiments that are here\n\n"
        "| experiment | question |\n| --- | --- |"
    )
    for path in sorted(experiments_dir().glob("*.toml")):
        parts.append(f"| `{path.stem}` | {read_experiment(path).question} |")
    return "\n".join(parts) + "\n"


def load_by_hand() -> str:
    """The options of a load beside Locust's own."""
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    rows = [
        f"| `{each.option_strings[0]}` | {_default(each.default)} | {_cell(each.help or '')} |"
        for each in parser._actions
    ]
    return (
        "\n".join(
            [
                f"# A load by hand\n\n{NOTE}",
                "Every scenario of `loadtests/` is a locustfile: `locust -f loadtests/steady.py -H "
                "redis://127.0.0.1:7777`, with Locust's own options (`locust --help`) and these. "
                "Each is also a key of a `--config` file, without the dashes in front.\n",
                "| option | default | meaning |",
                "| --- | --- | --- |",
                *rows,
            ]
        )
        + "\n"
    )


def _default(value: object) -> str:
    return (
        ""
        if value in {None, ""} or value is False
        else f"`{value:g}`"
        if isinstance(value, int | float)
        else f"`{value}`"
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def objectives() -> str:
    """The keys of a file of objectives, when each is kept, and the file that is here."""
    parts = [
        f"# Service level objectives\n\n{NOTE}",
        "What is promised of the conversations stands in a TOML file; `workbench check --slo` and "
        "`workbench run --slo` hold a run against it, and say by how much a bound was broken: "
        "[how to run it in CI](../how-to/run-in-ci.md). Any of these keys may be left out, and "
        "promises nothing then. One that does not exist is refused with the nearest one that "
        "does.\n",
        "| key | kind | bound | what is bounded, in the measured phase |\n"
        "| --- | --- | --- | --- |",
        *(_term(term) for term in TERMS),
        "",
        'A duration is a text with its unit, such as `"250ms"`. A share is a number from 0 to 1: '
        "0.001 is one in a thousand.\n",
        "An objective is *kept* at its bound, *broken* beyond it, or *unknown*:\n",
        "- Fewer than 100 turns tell nothing, for the 99.9th percentile fewer than 1,000. Of lost "
        "updates one is enough.\n"
        f"- Where [the figures do not hold]({_HOLD}) or the run broke off, nothing is kept. What "
        "was lost or failed there was lost all the same; but responses and the delivered share are "
        "unknown where the load was late, since that is part of them.\n",
        f"These come with the load, in `loadtests/slo.toml`:\n\n```toml\n{slo_file().read_text()}"
        "```",
    ]
    return "\n".join(parts) + "\n"


def _term(term: Term) -> str:
    kind = {"count": "whole number"}.get(term.kind, term.kind)
    side = "at least" if term.at_least else "at most"
    return f"| `{term.name}` | {kind} | {side} | {term.meaning} |"


def _key(key: Key, default: object) -> str:
    unit = " s" if key.kind == "duration" else ""
    above = f"{key.least:,g}" + (f" to {key.most:,.12g}" if key.most < math.inf else " on")
    bounds = f"{above}{unit}" if key.least > -math.inf else ""
    given = "" if default in {None, MISSING, ""} else f"`{default}`{unit}".replace(".0`", "`")
    option = f"`{key.option}`" if key.option else ""
    return f"| `{key.name}` | {key.kind} | {given} | {bounds} | {option} | {key.meaning} |"


def _rule(rule: Rule) -> str:
    return (
        f"## {rule.id}\n\n{rule.title}\n\n"
        f"- Severity: {rule.severity}\n"
        f"- {rule.judge.__doc__}\n"
        f"- Why it matters: {sentence(rule.why)}\n"
        f"- Reads: {', '.join(rule.needs)}\n"
        f"- Rests on: {rule.source}\n" + _remedy(rule)
    )


def _remedy(rule: Rule) -> str:
    if rule.remedy is None:
        return "\nNothing of the server's is wrong where it fails.\n"
    rows = [f"| {where} | `{what}` |" for where, what in remedies(rule.remedy).items()]
    return "\n".join(["\n| where | what mends it |\n| --- | --- |", *rows, ""])


def _kind(column: Column) -> str:
    return "name" if "dictionary" in str(column.type) else str(column.type)


def _help(command: str) -> str:
    words = [Path(sys.executable).with_name("workbench"), *command.split(), "--help"]
    environment = {"PATH": "", "COLUMNS": "88", "TERM": "dumb"}
    reply = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    return reply.stdout


def write_gallery() -> None:
    """Draw the charts again, and write their page: this accepts a new look."""
    run = Run(example_run_dir())
    charts = {each.name: each.figure(run) for each in GALLERY}
    PICTURES.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES.glob("*.svg"):
        picture.unlink()
    for name, chart in charts.items():
        (PICTURES / f"{name}.svg").write_text(chart.svg())
    (REFERENCE / "gallery.md").write_text(gallery(lambda each: charts[each.name]))


if __name__ == "__main__":
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text)
    write_gallery()
