"""Register the deployments of flows/prefect.yaml with an installation's settings."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.prefect.environment import ROOT
from flows.settings import Settings
from pipeline.errors import PointerprintError, WorkerError

PREFECT_FILE = ROOT / "flows" / "prefect.yaml"


def deployments(settings: Settings, file: Path | None) -> dict[str, Any]:
    """Return flows/prefect.yaml as this installation has it.

    Schedules and work pool are the settings', and the settings' file is a parameter, so that
    several installations can share a server.
    """
    content = yaml.safe_load(PREFECT_FILE.read_text())
    content["pull"] = [
        {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
    ]
    for deployment in content["deployments"]:
        deployment["work_pool"] = {"name": settings.server.pool, "work_queue_name": "default"}
        if file is not None:
            deployment["parameters"] = {"settings": str(file)}
        if deployment["schedules"]:
            flow = deployment["entrypoint"].partition(":")[2]
            deployment["schedules"] = _schedules(getattr(settings.schedule, flow), settings)
    content.pop("definitions")
    return content


def _schedules(cron: str, settings: Settings) -> list[dict[str, Any]]:
    return [{"cron": cron, "timezone": settings.schedule.timezone, "active": True}] if cron else []


def names(content: Mapping[str, Any]) -> list[str]:
    """Return the deployments' names as Prefect's commands take them."""
    return [f"{d['entrypoint'].partition(':')[2]}/{d['name']}" for d in content["deployments"]]


def register(settings: Settings, file: Path | None, environ: Mapping[str, str]) -> list[str]:
    """Make the work pool if need be, and register all deployments on the server in `environ`.

    In processes of its own: Prefect takes its settings from the environment when it is imported.
    """
    content = deployments(settings, file)
    _prefect(
        ["work-pool", "create", settings.server.pool, "--type", "process", "--overwrite"], environ
    )
    with tempfile.TemporaryDirectory() as folder:
        rendered = Path(folder) / "prefect.yaml"
        rendered.write_text(yaml.safe_dump(content, sort_keys=False))
        _prefect(["--no-prompt", "deploy", "--prefect-file", str(rendered), "--all"], environ)
    return names(content)


def _prefect(arguments: list[str], environ: Mapping[str, str]) -> None:
    """Run a command of Prefect's in the checkout, or raise with the last line it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=ROOT, env=dict(environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        printed = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["nothing"]
        raise WorkerError(
            f"prefect {arguments[0]}",
            f"it exited with {done.returncode}: {printed[-1].strip()}",
            f"is there a server at {environ.get('PREFECT_API_URL')}?",
        )


def check_server(url: str | None) -> str:
    """Return the server's address, or raise if none is known."""
    if url is None:
        raise PointerprintError(
            "deploy",
            "no Prefect server is known",
            "`pointerprint serve` starts one; or set PREFECT_API_URL, or server.api_url",
        )
    return url
