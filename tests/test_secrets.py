"""Secrets are in the environment and the settings; nothing that is said or kept holds one."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from tiny import untrained

from flows.console import JsonLines, Lines
from model.run import save_model
from pipeline.errors import ConfigError, LogError, PointerprintError, has_secret, without_secrets
from pipeline.storage.paths import as_path

DAY = "2026-11-01"
KEY, PASSWORD, AWS_KEY, AWS_SECRET, SIGNATURE = (
    "pnu_plantedapikey00000001", "planted-database-password", "AKIAPLANTEDKEYID0001",
    "planted/aws+secret/key0123456789", "plantedsignature0123456789abcdef",
)  # fmt: skip
SECRETS = (KEY, PASSWORD, AWS_SECRET, SIGNATURE)
DATABASE = f"postgresql+asyncpg://me:{PASSWORD}@127.0.0.1:9/prefect"
PRESIGNED = (
    f"https://bucket.s3.amazonaws.com/log.csv?X-Amz-Credential={AWS_KEY}%2F20261101"
    f"&X-Amz-Signature={SIGNATURE}"
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"can't reach {DATABASE}", "can't reach postgresql+asyncpg://me:***@127.0.0.1:9/prefect"),
        ("http://me:a@b:c@host/x", "http://me:***@host/x"),
        ("s3:/AKIA:hidden@bucket/x", "s3:/AKIA:***@bucket/x"),  # as a Path has it
        ("x?X-Amz-Signature=abc&part=1", "x?X-Amz-Signature=***&part=1"),
        ("a?api_key=abc b", "a?api_key=*** b"),
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200/api"),
        ("a@b.org at 10:30", "a@b.org at 10:30"),
        ("/srv/logs:old/me@work", "/srv/logs:old/me@work"),
        ("", ""),
    ],
)
def test_passwords_and_signatures_are_hidden_and_nothing_else(text, told):
    assert without_secrets(text, {}) == told
    assert has_secret(text) == (text != told)


def test_values_of_secret_variables_are_hidden_wherever_they_stand():
    environ = {
        "PREFECT_API_KEY": KEY, "AWS_SECRET_ACCESS_KEY": AWS_SECRET, "SHORT_TOKEN": "abc",
        "POINTERPRINT_SERVER__DATABASE_URL": DATABASE, "HOME": "/home/planted",
        "GOOGLE_APPLICATION_CREDENTIALS": "/etc/gcp.json", "MAX_TOKENS_READ": "100000",
    }  # fmt: skip
    text = f"{KEY} {AWS_SECRET} abc {PASSWORD} /home/planted /etc/gcp.json 100000"
    assert without_secrets(text, environ) == "*** *** abc *** /home/planted /etc/gcp.json 100000"


def test_errors_hide_them_in_every_part():
    error = PointerprintError(DATABASE, f"no {PRESIGNED}", f"is {DATABASE} right?")
    for part in (str(error), error.where, error.what, error.hint):
        assert not any(secret in part for secret in SECRETS)
    assert isinstance(LogError("a.csv", "bad"), PointerprintError)


@pytest.mark.parametrize(
    "url", [f"s3://{AWS_KEY}:{AWS_SECRET}@bucket/x", f"s3://bucket/x?X-Amz-Signature={SIGNATURE}"]
)
def test_credentials_in_a_path_are_refused_for_manifests_would_keep_them(url):
    for path in (url, Path(url)):
        with pytest.raises(ConfigError, match="credentials don't belong here") as caught:
            as_path(path)
        assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize("formatter", [Lines("%(message)s"), JsonLines()])
def test_logs_hide_them_in_messages_fields_and_tracebacks(formatter):
    try:
        raise OSError(f"no answer from {DATABASE}")
    except OSError:
        record = logging.LogRecord(
            "pipeline", logging.ERROR, __file__, 1, "%(url)s failed",
            ({"url": PRESIGNED},), sys.exc_info(),
        )  # fmt: skip
    line = formatter.format(record)
    assert "failed" in line
    assert "no answer" in line
    assert not any(secret in line for secret in SECRETS)


@pytest.fixture(scope="module")
def said_and_kept(tmp_path_factory):
    """Run commands that work and that fail, with secrets about, as talkative as they come.

    Give what they said, and the folder with all that they wrote.
    """
    folder = tmp_path_factory.mktemp("planted")
    save_model(untrained(), folder / "run")
    (folder / "run" / "_SUCCESS").touch()
    rows = "".join(f"a,{16 * i},{i * i % 700},{7 * i}\n" for i in range(60))
    (folder / "log.csv").write_text(f"session_id,t_ms,x,y\n{rows}a,never,1,1\n")
    (folder / "pointerprint.toml").write_text(
        f'mlflow_uri = "{DATABASE}"\nlogs = ["log.csv"]\nmodels = "run"\n'
        f'[server]\ndatabase_url = "{DATABASE}"\n[log]\nlevel = "debug"\nformat = "json"\n'
    )
    (folder / "wrong.toml").write_text(f'[server]\nport = "{DATABASE}"\n')
    environ = os.environ | {
        "PREFECT_API_KEY": KEY, "PREFECT_API_DATABASE_CONNECTION_URL": DATABASE,
        "PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_HOME": str(folder / "prefect"), "AWS_ACCESS_KEY_ID": AWS_KEY,
        "AWS_SECRET_ACCESS_KEY": AWS_SECRET, "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }  # fmt: skip
    run, settings = str(folder / "run"), str(folder / "pointerprint.toml")
    scores, day = str(folder / "scores"), ["--date", DAY]
    commands = [
        ["ingest", "log.csv", "--to", "store", *day],
        ["score", "log.csv", "--model", run, "--to", scores, *day],
        ["report", scores, "--to", "report.html"],
        ["info", "--json"],
        ["settings", "--settings", settings],
        ["settings", "--settings", settings, "--json"],
        ["settings", "--settings", "wrong.toml"],
        ["settings", "--set", f"server.prot={DATABASE}"],
        ["score", PRESIGNED, "--model", run, "--to", scores, *day],
        ["score", f"s3://{AWS_KEY}:{AWS_SECRET}@bucket/log.csv", "--model", run, "--to", scores],
        ["score", "log.csv", "--model", PRESIGNED, "--to", scores, *day],
        ["monitor", "--settings", settings, *day],
        ["deploy", "--settings", settings],
        ["backfill", "--settings", settings, "--start", DAY, "--end", DAY],
    ]
    said = {}
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "flows", *command], cwd=folder, capture_output=True, text=True,
            env=environ | {"PYTHONPATH": str(ROOT)}, check=False, timeout=300,
        )  # fmt: skip
        said[" ".join(command)] = (done.returncode, done.stdout + done.stderr)
    return said, folder


def test_no_command_says_a_secret(said_and_kept):
    said, _ = said_and_kept
    assert [status for status, _ in said.values()][:6] == [0] * 6, said
    assert all(status for status, _ in list(said.values())[6:]), said  # they fail, as meant
    for command, (_, text) in said.items():
        assert text.strip(), command
        assert not [secret for secret in SECRETS if secret in text], f"{command}:\n{text}"


def test_what_the_settings_show_is_all_but_the_password(said_and_kept):
    said, folder = said_and_kept
    shown = json.loads(said[f"settings --settings {folder / 'pointerprint.toml'} --json"][1])
    assert shown["server.database_url"]["value"] == DATABASE.replace(PASSWORD, "***")


def test_nothing_that_is_written_holds_a_secret(said_and_kept):
    _, folder = said_and_kept
    written = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("pointerprint.toml", "wrong.toml")
    ]
    assert {path.name for path in written} >= {"report.html", "_manifest.json", "config.json"}
    for path in written:
        content = path.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in content], path
