"""The commands that README and docs show do what they say: run as they stand, in their order."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import sqlalchemy as sa

from s3import.cli import cli
from tests.cli.commands import ACCOUNT, Dump, json_lines, migrate, s3import, thread
from tests.databases import _execute, _fresh_name
from tests.server.api.services import TOKEN, open_service
from tests.server.api.serving import served

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("[!d]*/*.md"))]
NOT_RUN = {
    "pip": "installs from a registry; that its extras exist is tested below",
    "/opt/s3import/bin/pip": "as pip",
    "python3": "makes a virtual environment outside of the project",
    "install": "writes into /etc",
    "systemctl": "needs systemd, and to be root",
    "buildah": "needs a builder of containers",
    "podman": "needs a container engine",
    "make": "its targets are looked up by tests/test_docs.py",
    "export": "sets a variable for the commands behind it",
    "GRANT": "run below, as a whole",
    "ALTER": "as GRANT",
}
"""Commands that no test runs as they stand, and why."""
NOT_HERE = {
    "serve": "stays until it is stopped: tests/server/processes starts it",
    "worker": "stays too, and needs a broker: tests/server/workers starts it",
    "mapping": "needs DynamoDB: tests/readers/dynamodb runs it",
    "export": "as mapping",
    "sample": "writes a dump: tests/operations/sample runs it",
    "validate": "names its dump by its place: tests/operations/validate runs it",
}
"""Commands that are not run on a folder and a file of SQLite, by their first word, and why."""
FILLED = {"A": ACCOUNT, "CODE": "all_rejected", "NAME": "thread"}
SHELL_PAGES = [ROOT / "README.md", *(ROOT / f"docs/guides/{name}.md" for name in ("service", "undo", "files"))]
SHELL_LINE = re.compile(r"(?:/?[a-z][a-z0-9/_-]*) (?:-|[./'\"]|[a-z]+ |[a-zA-Z0-9_]+=)(?![^ ]*:$)")
SYNOPSIS = re.compile(r"\s*\[(?:--[^\]]*|\w+)\]")


def _lines(page: Path) -> Iterator[str]:
    """The lines of a page's indented blocks, a continued line as one."""
    text = re.sub(r" \\\n\s+", " ", page.read_text())
    return (line.strip() for line in text.splitlines() if line.startswith("    "))


def _commands(program: str) -> list[tuple[str, str]]:
    return [(page.name, line) for page in PAGES for line in _lines(page) if line.startswith(f"{program} ")]


def _words(line: str) -> list[str]:
    """A command's words, without a comment or an explanation behind it, and without what may be left out."""
    return shlex.split(re.split(r"\s{2,}", SYNOPSIS.sub("", line))[0], comments=True)


def _run_here(line: str) -> bool:
    return _words(line)[1] not in NOT_HERE and "--mapping" not in _words(line)


@pytest.mark.parametrize(("page", "line"), [one for one in _commands("s3import") if not _run_here(one[1])])
def test_the_other_commands_are_understood(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever types it meets no usage error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mapping.toml").touch()
    command: click.Command | None = cli
    words = _words(line)[1:]
    context = cli.make_context("s3import", list(words))
    words = [*context._protected_args, *context.args]
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        assert command is not None
        context = command.make_context(name, list(words), parent=context)
        words = [*getattr(context, "_protected_args", []), *context.args]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dump, and with databases that hold its recent pass (`recent.db`) or both (`all.db`), verified."""
    folder = tmp_path_factory.mktemp("imported")
    dump = Dump(folder / "dumps")
    dump.fill()
    dump.put("delta/threads/a.jsonl", json_lines(thread(2)))
    for passes in ("recent", "all"):
        database = f"sqlite:///{folder}/{passes}.db"
        assert migrate(dump, database, "--pass", passes).status == 0
        assert s3import("verify", "--account", ACCOUNT, "--database", database).status == 0
    return folder


@pytest.mark.parametrize(("page", "line"), [one for one in _commands("s3import") if _run_here(one[1])])
def test_every_command_works(page: str, line: str, imported: Path, tmp_path: Path) -> None:
    """Typed as it stands, its capitals filled in, after what it is meant for: it ends well."""
    words = [_filled(word, tmp_path) for word in _words(line)[1:]]
    database = "recent.db" if words[0] == "reset" else "all.db"  # people work in an account that is active
    shutil.copy(imported / database, tmp_path)
    where = {
        "S3IMPORT_DATABASE": f"sqlite:///{tmp_path}/{database}",
        "S3IMPORT_SOURCE": f"{imported}/dumps/{{account}}",
    }
    more = {"S3IMPORT_FILES_TO": str(tmp_path)} if words[0] == "files" else {"S3IMPORT_RETENTION_DAYS": "30"}
    more["S3IMPORT_CERTIFICATE_SECRET"] = "a secret of its own, for tests"
    ended = s3import(*words, **where, **more)
    assert ended.status == 0, ended.err


def _filled(word: str, folder: Path) -> str:
    return str(folder / "new") if word == "DIR" else FILLED.get(word, word).replace("s3://bucket", str(folder))


@pytest.mark.parametrize("page", sorted({page for page, _ in _commands("curl")}))
def test_requests_are_answered(page: str, sqlite_url: str) -> None:
    """Typed one after the other, each is understood, at the port that `serve` listens on by itself."""
    service = open_service(sqlite_url)
    with closing(service.database), served(service) as port:
        for name, line in _commands("curl"):
            if name == page:
                assert _ask(port, line) < 300, line


def _ask(port: int, line: str) -> int:
    """Do what the `curl` command does; the status of the answer."""
    words = _words(line)[1:]
    method, headers, body, url = "GET", {}, None, ""
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = re.sub(r"\$\w+", TOKEN, value)
        elif word in ("-d", "--json"):
            method, body = "POST", words.pop(0)
            headers |= {"Content-Type": "application/json"} if word == "--json" else {}
        elif not word.startswith("-"):
            url = word if "://" in word else f"http://{word}"
    place = urlsplit(url)
    assert place.port == _default_port()
    with closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request(method, f"{place.path}?{place.query}", body, headers)
        return connection.getresponse().status


def _default_port() -> int:
    serve = cli.commands["serve"]
    return int(str(next(option.default for option in serve.params if option.name == "port")))


def test_what_is_not_run_says_why() -> None:
    """Every command of the pages that shells understand is run by a test, or has a reason not to be."""
    known = {"s3import", "curl", *NOT_RUN}
    shown = {line.split()[0] for page in SHELL_PAGES for line in _lines(page) if SHELL_LINE.match(line)}
    assert shown - known == set()


def test_extras_exist() -> None:
    """What is installed in brackets is an extra of the distribution, which is named as it is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page in PAGES:
        for name, extra in re.findall(r"pip install '?([\w.-]+)\[(\w+)\]", page.read_text()):
            assert name in (".", project["name"])
            assert extra in project["optional-dependencies"]


def test_benchmarks_are_run_in_the_environment() -> None:
    """A module that a page has Python run is there, and so is the Python that finds it."""
    for page in PAGES:
        for python, module in re.findall(r"`(\S*python) -m ([\w.]+)", page.read_text()):
            assert python == ".venv/bin/python", page
            assert importlib.util.find_spec(module) is not None


def test_the_grants_of_postgresql_are_enough(postgres_database: sa.URL, dump: Dump) -> None:
    """With them one user makes the tables, and another one works with them, in a database that grants nothing else."""
    grants = [grant for grant in _grants() if "reamaze.*" not in grant and grant != _grant_of_sets()]
    _work_with_nothing_but(grants, postgres_database, "CREATE ROLE {} LOGIN PASSWORD 'p'", " WITH (FORCE)", dump)


def test_the_grants_of_mariadb_are_enough(mariadb_server: sa.URL, dump: Dump) -> None:
    """As those of PostgreSQL."""
    grants = [grant for grant in _grants() if "reamaze.*" in grant]
    _work_with_nothing_but(grants, mariadb_server, "CREATE USER {} IDENTIFIED BY 'p'", "", dump)


@pytest.fixture
def dump(tmp_path: Path) -> Dump:
    dump = Dump(tmp_path / "dumps")
    dump.fill()
    return dump


def _grants() -> list[str]:
    return [line for line in _lines(ROOT / "docs/guides/security.md") if line.startswith(("GRANT", "ALTER"))]


def _grant_of_sets() -> str:
    """The one that only makes imports faster; tests/writers/test_postgres_keys.py tries it."""
    return next(grant for grant in _grants() if "ON PARAMETER" in grant)


def _work_with_nothing_but(grants: list[str], server: sa.URL, create: str, drop: str, dump: Dump) -> None:
    """Make the tables as `owner`; import an account, prove it and take it back as `importer`."""
    name = _fresh_name()
    users = {role: f"u{name[-8:]}_{role}" for role in ("owner", "importer")}
    _execute(server, f"CREATE DATABASE {name}", autocommit=True)
    try:
        for user in users.values():
            _execute(server, create.format(user), autocommit=True)
        for grant in grants:
            named = grant.rstrip(";").replace("reamaze", name)
            for role, user in users.items():
                named = re.sub(rf"\b{role}\b", user, named)
            _execute(server.set(database=name), named, autocommit=True)
        owner, importer = (
            server.set(database=name, username=user, password="p").render_as_string(hide_password=False)
            for user in users.values()
        )
        assert s3import("db", "init", "--database", owner).status == 0
        assert migrate(dump, importer).status == 0
        for words in (["verify"], ["reset", "--yes", "--force"]):
            ended = s3import(*words, "--account", ACCOUNT, "--database", importer)
            assert ended.status == 0, ended.err
    finally:
        _execute(server, f"DROP DATABASE {name}{drop}", autocommit=True)
        for user in users.values():
            _execute(server, f"DROP USER IF EXISTS {user}", autocommit=True)
