"""The command line: one short function a command; each calls one job.

No NumPy, pandas, JAX or Prefect is loaded until a command needs it: `--help` waits for none.
"""

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Toml

from flows import cli_site
from flows.console import (
    CODE,
    QUIET,
    Stopped,
    print_epoch,
    print_notes,
    print_throughput,
    progress,
    stoppable,
    stopped_text,
)
from model.config import RunConfig
from pipeline.config import AbstainIs, Task, WindowConfig
from pipeline.errors import ConfigError, NotFoundError, PointerprintError
from pipeline.readers.common.tabular import parse_columns
from rasterize.canvas import Canvas

FormatName = Literal["auto", "csv", "jsonl", "parquet", "balabit", "sapimouse", "rrweb", "posthog"]

EVERYWHERE = """Everywhere: --quiet shows no progress, NO_COLOR=1 no colours; -h, --help explains a
command. Results go to stdout, all else to stderr."""
SETTINGS = """Settings of the model: --task owner, --seed 1, --train.epochs 20 and so on,
or a TOML with --config. `pointerprint settings` prints them all and what they are for."""


def _version() -> str:
    from importlib.metadata import version

    return version("pointerprint")


app = App(
    name="pointerprint",
    help="Fraud detection that looks at how a mouse moves.",
    help_format="plaintext",  # Markdown would cost a third of the time
    help_epilogue=EVERYWHERE,
    version=_version,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `main` says more of it
)

Columns = Annotated[
    str | None,
    Parameter(help="The log's names for ours: `session_id=sid,t_ms=ts`; t_s, t_us, t_iso too."),
]
Format = Annotated[FormatName, Parameter(help="The log's format; `auto` recognises it.")]
RunDate = Annotated[str | None, Parameter(help="YYYY-MM-DD; default: today, UTC.")]
AsJson = Annotated[bool, Parameter(negative=(), help="Print JSON instead of a table.")]


@app.command
def ingest(
    *logs: Path,
    to: Path,
    format: Format = "auto",
    columns: Columns = None,
    labels: Annotated[Path | None, Parameter(help="CSV or Parquet: session_id,label.")] = None,
    date: RunDate = None,
    strict: Annotated[bool, Parameter(negative=(), help="Any bad row is an error.")] = False,
    json: AsJson = False,
) -> None:
    """Read logs, clean them, and add their sessions to the store `--to`."""
    from flows.jobs.inputs import today
    from pipeline.ingest.ingest import ingest_logs
    from pipeline.sessions.labels import read_labels
    from pipeline.storage.paths import as_path

    _require(logs, "ingest", "LOG")
    known = read_labels(labels).to_pydict() if labels else None
    with progress("reading", "files") as show:
        report = ingest_logs(
            logs,
            to,
            format=format,
            columns=parse_columns(columns),
            labels=dict(zip(known["session_id"], known["label"], strict=True)) if known else None,
            ingest_date=date or today(),
            strict=strict,
            progress=show,
        )
    _print_json(report.to_json()) if json else print(
        "\n".join([*report.summary(), str(as_path(to))])
    )


@app.command
def draw(
    source: Path,
    *,
    to: Path,
    session: Annotated[
        list[str] | None,
        Parameter(negative=(), help="Only this one, with all its windows; --print: one or two."),
    ] = None,
    format: Format = "auto",
    columns: Columns = None,
    limit: Annotated[int, Parameter(help="Pictures on the sheet, at most.")] = 12,
    model: Annotated[
        Path | None,
        Parameter(
            help="A RUN: as its model sees them, and what raised the score; with --print, how they "
            "differ from their account, or from the people it was trained on."
        ),
    ] = None,
    large: Annotated[
        bool, Parameter(negative=(), help="One session, whole, in one large picture.")
    ] = False,
    print_: Annotated[
        bool,
        Parameter(name="--print", negative=(), help="A session's print beside its path, or two."),
    ] = False,
    canvas: Canvas = Canvas(),
    window: WindowConfig = WindowConfig(),
) -> None:
    """Draw sessions of a log or store to a PNG with a legend: their paths, or a print."""
    _prepare()
    from flows.jobs.draw import draw as draw_paths
    from flows.jobs.draw_print import draw_print

    names, ids = parse_columns(columns), session or []
    if print_ and large:
        raise ConfigError("draw", "--print and --large", "choose one of them")
    if print_:
        print(draw_print(source, to, ids, canvas, window, format, names, model))
        return
    if len(ids) > 1:
        raise ConfigError("draw", f"{len(ids)} sessions", "--print compares two; else name one")
    only = ids[0] if ids else None
    print(draw_paths(source, to, only, canvas, window, limit, format, names, model, large))


@app.command
def simulate(
    store: Path,
    *,
    to: Path,
    bots: Annotated[str | None, Parameter(help="Names, with commas between; default: all.")] = None,
    per_session: Annotated[int, Parameter(help="Twins of each session.")] = 1,
    seed: int = 0,
) -> None:
    """Make bots in the likeness of a store's sessions: same plan and clock, another hand."""
    from flows.jobs.simulate import simulate as job
    from pipeline.simulate.generators import BOT_NAMES
    from pipeline.storage.paths import as_path

    names = tuple(bots.split(",")) if bots else BOT_NAMES
    n_twins = job(store, to, names, per_session, seed)
    print(f"{n_twins:,} simulated sessions\n{as_path(to)}")


@app.command(help_epilogue=SETTINGS)
def train(
    *stores: Path,
    to: Annotated[Path, Parameter(help="A new folder for the trained model: the RUN.")],
    simulate: Annotated[
        bool, Parameter(negative=(), help="Add simulated bots: legitimate sessions suffice.")
    ] = False,
    feedback: Annotated[
        list[Path] | None,
        Parameter(help="SCORES beside which labels were fed back; the stores' own count anyway."),
    ] = None,
    resume: Annotated[bool, Parameter(negative=(), help="Go on where it was cut short.")] = False,
    config: Annotated[Path | None, Parameter(help="A TOML with any of the settings.")] = None,
    settings: Annotated[RunConfig, Parameter(name="*", show=False)] = RunConfig(),
) -> None:
    """Train on the labelled sessions of stores; print the figures on the sessions held out."""
    _prepare()
    _require(stores, "train", "STORE")
    from flows.jobs.progress import finish
    from flows.jobs.train import TrainJob
    from flows.jobs.train import train as train_model
    from model.text import evaluation_text
    from pipeline.storage.paths import as_path

    job = TrainJob(stores, to, settings, simulate, resume, tuple(feedback or ()))
    evaluation = finish(train_model(job), print_epoch)
    print(evaluation_text(evaluation))
    print(as_path(to))


@app.command
def enroll(
    *stores: Path,
    model: Annotated[Path, Parameter(help="A RUN trained with --task owner.")],
    device: Annotated[str, Parameter(help="A name: an account may have a profile for each.")] = "",
    json: AsJson = False,
) -> None:
    """Make or extend the profiles of accounts from their legitimate sessions, without training."""
    _prepare()
    from flows.jobs.enroll import enroll as job

    _require(stores, "enroll", "STORE")
    profiles = job(stores, model, device)
    if json:
        _print_json(profiles.to_dict("records"))
    else:
        print(profiles.to_string(index=False, float_format="{:.2f}".format))


@app.command
def score(
    *sources: Path,
    model: Annotated[
        Path, Parameter(help="The RUN that train made, or a folder of models: its champion.")
    ],
    to: Annotated[Path, Parameter(help="The SCORES folder.")],
    date: RunDate = None,
    format: Format = "auto",
    columns: Columns = None,
    history: Annotated[
        list[Path] | None,
        Parameter(help="Earlier sessions that may have been replayed; they aren't scored."),
    ] = None,
    replays: Annotated[bool, Parameter(help="Compare sessions with each other.")] = True,
    workers: Annotated[int, Parameter(help="Processes that score at the same time.")] = 1,
    scheduler: Annotated[
        str | None, Parameter(help="Score on a Dask cluster: tcp://HOST:PORT.")
    ] = None,
    budget: Annotated[
        float | None, Parameter(help="Of false alarms, one the model knows; default: its own.")
    ] = None,
    abstain_is: Annotated[
        AbstainIs, Parameter(help="Whether sessions that can't be judged are for review.")
    ] = "review",
    profile: Annotated[
        Path | None, Parameter(help="A folder for where the time went: a trace and a list.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Score every session of logs or stores into the Parquet partition of a day."""
    _prepare()
    from flows.jobs.inputs import today
    from flows.jobs.progress import finish
    from flows.jobs.score import ScoreJob
    from flows.jobs.score import score as score_sessions
    from flows.jobs.summary import summary_json, summary_lines
    from model.device import profiled
    from pipeline.scores.partitions import read_manifest

    _require(sources, "score", "LOG|STORE")
    job = ScoreJob(
        sources,
        model,
        to,
        date or today(),
        format,
        parse_columns(columns),
        tuple(history or ()),
        replays,
        workers,
        scheduler,
        budget,
        abstain_is,
    )
    began = time.monotonic()
    with profiled(profile), progress("scoring", "sessions") as show:
        partition = finish(score_sessions(job), lambda now: show(now.done, now.total))
    manifest = read_manifest(partition)
    print_throughput(manifest["n_sessions"], "sessions", time.monotonic() - began)
    if json:
        _print_json(summary_json(partition, manifest))
    else:
        print_notes(summary_lines(manifest))
        print(partition)


@app.command
def evaluate(
    scores: Path,
    *,
    labels: Annotated[Path, Parameter(help="session_id,label[,account_id].")],
    store: Annotated[
        list[Path] | None, Parameter(help="Stores of these sessions: adds the best single feature.")
    ] = None,
    to: Annotated[Path | None, Parameter(help="A folder for the figures and plots.")] = None,
    json: AsJson = False,
) -> None:
    """Compare scores with labels: AUC, EER, TPR at 1 % FPR and more, with intervals."""
    from flows.jobs.evaluate import evaluate as job
    from model.text import evaluation_text

    evaluation = job(scores, labels, tuple(store or ()), to)
    _print_json(evaluation.to_json()) if json else print(evaluation_text(evaluation))


@app.command
def audit(
    *stores: Path,
    labels: Annotated[
        Path | None, Parameter(help="session_id,label; they count before the stores' own.")
    ] = None,
    scores: Annotated[
        Path | None, Parameter(help="SCORES of these sessions: adds the model's row.")
    ] = None,
    task: Annotated[
        Task | None, Parameter(help="Default: the one that most of the frauds stand for.")
    ] = None,
    to: Annotated[
        Path | None, Parameter(help="A folder for figures, plot and the sessions decided.")
    ] = None,
    seed: int = 0,
    json: AsJson = False,
) -> None:
    """Say how far one gets without looking at the path: by clock, screen, length alone."""
    from flows.jobs.audit import audit as job
    from model.text import audit_text

    _require(stores, "audit", "STORE")
    found = job(stores, labels, scores, to, task, seed)
    _print_json(found.to_json()) if json else print(audit_text(found))


@app.command
def report(
    scores: Path,
    *,
    to: Annotated[Path, Parameter(help="The page, HTML; beyond 1,000 cases, more beside it.")],
    date: Annotated[str | None, Parameter(help="YYYY-MM-DD; default: the last day scored.")] = None,
    labels: Annotated[
        Path | None, Parameter(help="session_id,label: shown, and compared with the scores.")
    ] = None,
    store: Annotated[
        list[Path] | None,
        Parameter(help="Stores or logs of the sessions; default: where they were scored from."),
    ] = None,
    model: Annotated[
        Path | None, Parameter(help="The RUN; default: where it was when it scored.")
    ] = None,
    limit: Annotated[int, Parameter(help="Cases, at most, the highest scores first.")] = 10_000,
) -> None:
    """Make a page of a day's cases to look through: what moved how, why, and a verdict on each."""
    _prepare()
    from flows.jobs.report import report as job

    with progress("drawing", "cases") as show:
        pages = job(scores, to, date, labels, tuple(store or ()), model, limit, show)
    print("\n".join(map(str, pages)))


@app.command
def demo(
    *,
    sample_data: Annotated[Path, Parameter(help="The checkout's folder.")] = Path("sample_data"),
    to: Annotated[Path, Parameter(help="A folder for all that is made.")] = Path("out/demo"),
) -> None:
    """Go the whole way on the recordings in sample_data/: pictures, training, scores, a report."""
    _prepare()
    from flows.jobs.demo import demo as job

    print(job(sample_data, to, print_epoch))


@app.command
def info(*, json: AsJson = False) -> None:
    """Say what is installed, which devices there are, and what would be used."""
    _prepare()
    from flows.jobs.info import info_text, installation

    found = installation()
    _print_json(found) if json else print(info_text(found))


@app.command
def settings(
    *,
    config: Annotated[Path | None, Parameter(help="A TOML whose settings are shown.")] = None,
    values: Annotated[RunConfig, Parameter(name="*", show=False)] = RunConfig(),
) -> None:
    """Print every setting of `train`, its value and what it is for, as a TOML for --config."""
    from flows.run_settings import settings_toml

    print(settings_toml(values), end="")


@app.command
def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print a script that lets a shell complete commands and options."""
    print(app.generate_completion(shell=shell))


cli_site.add_to(app)


def _config_file(arguments: Sequence[str]) -> tuple[Toml, ...]:
    """Return the TOML that `--config` names, as the settings a command line may override."""
    words = [word for argument in arguments for word in _option_and_value(argument)]
    if "--config" not in words[:-1]:
        return ()
    path = Path(words[words.index("--config") + 1])
    if not path.is_file():
        from pipeline.storage.paths import require_local

        require_local(path, "--config")
        raise NotFoundError(path, "there is no such file", "--config takes a TOML")
    return (Toml(path, use_commands_as_keys=False),)


def _option_and_value(argument: str) -> list[str]:
    """Split `--option=value` in two; anything else stays whole."""
    return argument.split("=", 1) if argument.startswith("--") else [argument]


def _require(paths: Sequence[Path], command: str, what: str) -> None:
    """Exit as wrong usage does if no path was named."""
    if not paths:
        print(f"usage: pointerprint {command} {what}...: name at least one", file=sys.stderr)
        raise SystemExit(2)


def _prepare() -> None:
    """Set JAX up, before anything imports it."""
    from model.device import prepare_jax

    prepare_jax()


def _print_json(content: object) -> None:
    print(json.dumps(content, indent=2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error the user can mend is one line, not a traceback."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    quiet = "--quiet" in arguments
    arguments = [argument for argument in arguments if argument != "--quiet"]
    token = QUIET.set(quiet)
    try:
        with stoppable():
            app.config = _config_file(arguments)
            app(arguments, exit_on_error=False, print_error=True)
    except CycloptsError:
        sys.exit(2)
    except (Stopped, KeyboardInterrupt) as stopped:
        number = signal.SIGTERM if isinstance(stopped, Stopped) else signal.SIGINT
        print(stopped_text(number, arguments), file=sys.stderr)
        sys.exit(CODE + number)
    except PointerprintError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    finally:
        QUIET.reset(token)
