"""The project: where it is found, what dq.toml may say, secrets, and how declarations are loaded."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from dq import app
from dq.datasource.alchemy import with_driver
from dq.model.errors import ConfigError, UsageError
from dq.plugins import load_plugin
from dq.project import find_root, load_project
from dq.secret import Secret

MakeProject = Callable[..., Path]
SUITE = """\
from dq import Check, Rows, Suite, Table
{name} = Suite("{name}", Table("warehouse", "{name}"), checks=[Check("a", Rows("a > 0"))])
"""


def suite(name: str) -> str:
    """Return a file that declares one suite."""
    return SUITE.format(name=name)


# ------------------------------------------------------------------------------------------------------------- finding


def test_it_is_found_upwards_from_a_file_or_folder(make_project: MakeProject) -> None:
    root = make_project("", {"dags/deep/orders.py": ""})
    for path in ("", "dags/deep", "dags/deep/orders.py", "dags/deep/not_there.py"):
        assert find_root(root / path) == root


def test_without_a_path_dq_home_comes_first_then_the_working_directory(
    make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project("", {"dags/orders.py": ""})
    monkeypatch.chdir(root / "dags")
    assert find_root() == root
    other = tmp_path / "other"
    other.mkdir()
    (other / "dq.toml").touch()
    monkeypatch.setenv("DQ_HOME", str(other))
    assert find_root() == other
    assert find_root(root / "dags") == root, "a path that lies in a project says which"
    assert find_root(tmp_path) == other


def test_no_project_is_one_sentence_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^there is no dq.toml in .* or above it; make a project with `dq init`"):
        find_root(tmp_path)
    monkeypatch.setenv("DQ_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"^DQ_HOME is .*, but there is no dq.toml in it$"):
        find_root()


# ------------------------------------------------------------------------------------------------------------- dq.toml


def test_an_empty_file_means_the_defaults(make_project: MakeProject) -> None:
    project = load_project(make_project())
    assert project.environment == "dev"
    assert project.store.url.reveal_url() == f"sqlite:///{project.root}/var/dq.sqlite"
    assert (project.datasources, project.airflows, project.suites, project.failures) == ({}, {}, {}, ())


def test_everything_it_may_say(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_project(
        """
environment = "prod"
[store]
url = "env:STORE"
[datasources.warehouse]
url = "postgresql://reader@db:5432/w"
password = "env:PASSWORD"
timeout = "2m30s"
read_only = false
max_connections = 2
parallel = 1
[airflow.eu]
url = "https://airflow.example.org/eu"
user = "dq"
password = "env:PASSWORD"
timeout = "30s"
[airflow.us]
url = "env:AIRFLOW"
token = "env:PASSWORD"
[airflow.here]
url = "http://localhost:8080/"
[guard]
refuse_functions = ["my_sleep"]
[params]
floor = 10
""",
    )
    monkeypatch.setenv("STORE", "postgresql://u:pw@db/dq")
    monkeypatch.setenv("PASSWORD", "hunter2")
    project = load_project(root)
    warehouse = project.datasource_settings("warehouse")
    assert project.environment == "prod"
    assert project.store.url.reveal() == "postgresql://u:pw@db/dq"
    assert warehouse.password is not None
    assert (warehouse.url.reveal_url(), warehouse.password.reveal()) == ("postgresql://reader@db:5432/w", "hunter2")
    assert (warehouse.timeout, warehouse.read_only) == (timedelta(seconds=150), False)
    assert (warehouse.max_connections, warehouse.parallel) == (2, 1)
    eu, us, here = (project.airflows[name] for name in ("eu", "us", "here"))
    assert (eu.name, eu.url.reveal(), eu.user) == ("eu", "https://airflow.example.org/eu", "dq")
    assert eu.password is not None and us.token is not None
    assert (eu.password.reveal(), us.token.reveal()) == ("hunter2", "hunter2")
    assert (eu.timeout, us.timeout) == (timedelta(seconds=30), timedelta(seconds=10))
    assert (eu.token, us.user, us.password) == (here.token, here.user, here.password) == (None, None, None)
    assert (project.refuse_functions, project.params) == (("my_sleep",), {"floor": 10})
    assert "hunter2" not in repr(project)
    assert "pw" not in repr(project).replace("password", "").replace("PASSWORD", "")
    monkeypatch.setenv("DQ_ENVIRONMENT", "stage")
    assert load_project(root).environment == "stage"
    monkeypatch.setenv("DQ_ENVIRONMENT", "prod eu")
    with pytest.raises(ConfigError, match="DQ_ENVIRONMENT: it must be up to 60 letters"):
        load_project(root)


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("enviroment = 'x'", "dq.toml: enviroment: unknown key; did you mean 'environment'? known are "),
        ("[store]\nurll = 'sqlite://'", "dq.toml: store.urll: unknown key; did you mean 'url'? known are "),
        (
            "[datasources.w]\nulr = 'sqlite://'",
            "dq.toml: datasources.w.ulr: unknown key; did you mean 'url'? known are ",
        ),
        ("[datasources.w]\nurl = 'sqlite://'\nfoo = 1", "dq.toml: datasources.w.foo: unknown key; known are max_con"),
        ("[datasources.w]", "dq.toml: datasources.w.url: it is missing; give a text"),
        ("[datasources]\nw = 'sqlite://'", "dq.toml: datasources.w: it must be a table, [datasources.w]"),
        ("[guard]\nrefuse = []", "dq.toml: guard.refuse: unknown key; "),
        ("[guard]\nrefuse_functions = 'f'", "dq.toml: guard.refuse_functions: it must be a list of texts"),
        ("[guard]\nrefuse_functions = [1]", "dq.toml: guard.refuse_functions: it must be a list of texts"),
        ("environment = ''", "dq.toml: environment: it is empty"),
        ("environment = 1", "dq.toml: environment: it must be a text"),
        ('environment = "a\\nBcc: b"', "dq.toml: environment: it must be up to 60 letters, digits"),
        (f"environment = '{'e' * 61}'", "dq.toml: environment: it must be up to 60 letters, digits"),
        ("[datasources.w]\nurl='sqlite://'\ntimeout='x'", "dq.toml: datasources.w.timeout: 'x' is not a duration"),
        ("[datasources.w]\nurl='sqlite://'\nread_only=1", "dq.toml: datasources.w.read_only: it must be true or fa"),
        ("[datasources.w]\nurl='sqlite://'\nmax_connections=true", "dq.toml: datasources.w.max_connections: it must "),
        (
            "[datasources.w]\nurl='sqlite://'\nmax_connections=2\nparallel=3",
            "dq.toml: datasources.w.parallel: it is more than max_connections",
        ),
        ("[datasources.w]\nurl='sqlite://'\nmax_connections=0", "dq.toml: datasources.w.max_connections: it must "),
        ("a = ", "dq.toml: it is not TOML: "),
        (
            "[datasources.w]\nurl='postgresql://u:hunter2@db/w'",
            "dq.toml: datasources.w.url: the url holds a password; leave it out",
        ),
        ("[datasources.w]\nurl='postgresql://u:hunter2/x@db/w'", "dq.toml: datasources.w.url: the url holds a pas"),
        ("[datasources.w]\nurl='postgresql://db/w?user=u&password=hunter2'", "dq.toml: datasources.w.url: the url hol"),
        ("[datasources.w]\nurl='duckdb:///md:w?motherduck_token=hunter2'", "dq.toml: datasources.w.url: the url holds"),
        ("[datasources.w]\nurl='mssql+pyodbc:///?odbc_connect=PWD%3Dhunter2'", "dq.toml: datasources.w.url: the url h"),
        ("[store]\nurl='postgresql://u:hunter2@db/w'", "dq.toml: store.url: the url holds a password"),
        ("[airflow]\nurl='http://a'", "dq.toml: airflow.url: it must be a table, [airflow.url]"),
        ("[airflow.a]", "dq.toml: airflow.a.url: it is missing; give a text"),
        ("[airflow.a]\nurl='http://a'\nusr='u'", "dq.toml: airflow.a.usr: unknown key; did you mean 'user'?"),
        ("[airflow.a]\nurl='ftp://a'", "dq.toml: airflow.a.url: it is not an address with http or https, a host, and"),
        ("[airflow.a]\nurl='example.org:8080'", "dq.toml: airflow.a.url: it is not an address with http or https"),
        ("[airflow.a]\nurl='http:///api'", "dq.toml: airflow.a.url: it is not an address with http or https"),
        ("[airflow.a]\nurl='http://a/?x=1'", "dq.toml: airflow.a.url: it is not an address with http or https"),
        ("[airflow.a]\nurl='http://a b/'", "dq.toml: airflow.a.url: it has characters that an address cannot have"),
        ("[airflow.a]\nurl='http://u@a'", "dq.toml: airflow.a.url: it is not an address with http or https"),
        ("[airflow.a]\nurl='http://u:hunter2@a'", "dq.toml: airflow.a.url: the url holds a password"),
        ("[airflow.a]\nurl='env:A'\nuser='u'", "dq.toml: airflow.a.user: user and password come together"),
        ("[airflow.a]\nurl='env:A'\npassword='env:P'", "dq.toml: airflow.a.user: user and password come together"),
        ("[airflow.a]\nurl='env:A'\npassword='hunter2'", "dq.toml: airflow.a.password: a secret is never written"),
        ("[airflow.a]\nurl='env:A'\ntoken='hunter2'", "dq.toml: airflow.a.token: a secret is never written here"),
        (
            "[airflow.a]\nurl='env:A'\nuser='u'\npassword='env:P'\ntoken='env:T'",
            "dq.toml: airflow.a.token: give token, or user and password, not both",
        ),
        ("[airflow.a]\nurl='env:A'\ntimeout='0s'", "dq.toml: airflow.a.timeout: the duration '0s' is not"),
        ("[airflow.a]\nurl='env:A'\nuser=1", "dq.toml: airflow.a.user: it must be a text"),
        ("[airflow.'a b']\nurl='env:A'", "dq.toml: airflow.a b: it must be up to 60 letters, digits"),
        ("[airflow.'']\nurl='env:A'", "dq.toml: airflow.: it must be up to 60 letters, digits"),
        ("[store]\nurl='env:URL'\npassword='hunter2'", "dq.toml: store.password: a secret is never written here"),
    ],
)
def test_what_it_may_not_say_is_one_sentence_with_its_place(
    make_project: MakeProject, toml: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_project(make_project(toml))
    assert str(refused.value).startswith(sentence)
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_text_is_refused(make_project: MakeProject) -> None:
    root = make_project()
    (root / "dq.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"^dq.toml: it cannot be read: it is not text$"):
        load_project(root)


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("sqlite:///var/x.sqlite", "sqlite:///{root}/var/x.sqlite"),
        ("sqlite+pysqlite:///x.sqlite?timeout=5", "sqlite+pysqlite:///{root}/x.sqlite?timeout=5"),
        ("duckdb:///w.duckdb", "duckdb:///{root}/w.duckdb"),
        ("duckdb:////abs/w.duckdb", "duckdb:////abs/w.duckdb"),
        ("duckdb:///:memory:", "duckdb:///:memory:"),
        ("duckdb:///md:warehouse", "duckdb:///md:warehouse"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///", "sqlite:///"),
        ("sqlite:///file:x?mode=ro&uri=true", "sqlite:///file:x?mode=ro&uri=true"),
        ("postgresql://db/w", "postgresql://db/w"),
    ],
)
def test_relative_database_files_lie_in_the_project(url: str, resolved: str, tmp_path: Path) -> None:
    assert Secret(url, "here", tmp_path).reveal_url() == resolved.format(root=tmp_path)


def test_an_unknown_datasource_is_a_sentence(make_project: MakeProject) -> None:
    project = load_project(make_project("[datasources.warehouse]\nurl = 'sqlite://'"))
    with pytest.raises(ConfigError) as refused:
        project.datasource_settings("warehous")
    assert str(refused.value) == (
        "dq.toml: there is no [datasources.warehous]; did you mean 'warehouse'? known are warehouse"
    )


# ------------------------------------------------------------------------------------------------------------- secrets


def test_secrets_are_resolved_when_used_and_not_before(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project("[datasources.w]\nurl = 'env:DQ_TEST_URL'\npassword = 'file:secrets/w'")
    warehouse = load_project(root).datasource_settings("w")
    assert warehouse.password is not None
    with pytest.raises(ConfigError, match=r"^dq.toml: datasources.w.url: the environment variable DQ_TEST_URL is not"):
        warehouse.url.reveal()
    monkeypatch.setenv("DQ_TEST_URL", "")
    with pytest.raises(ConfigError, match=r"^dq.toml: datasources.w.url: the environment variable DQ_TEST_URL is em"):
        warehouse.url.reveal()
    monkeypatch.setenv("DQ_TEST_URL", "sqlite:///x.db")
    assert warehouse.url.reveal_url() == f"sqlite:///{root}/x.db"
    with pytest.raises(ConfigError, match=r"^dq.toml: datasources.w.password: the secret file w cannot be read: No"):
        warehouse.password.reveal()
    (root / "secrets").mkdir()
    (root / "secrets" / "w").write_text(" s3cret \n", encoding="utf-8")
    assert warehouse.password.reveal() == " s3cret "
    (root / "secrets" / "w").write_text("rotated\n", encoding="utf-8")
    assert warehouse.password.reveal() == "rotated"


def test_a_text_that_is_no_reference_is_not_shown_either() -> None:
    assert repr(Secret("hunter2", "here", Path())) == "Secret(...)"
    assert repr(Secret("env:NAME", "here", Path())) == "Secret(env:NAME)"


def test_an_unknown_store_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^here: there is no secret store 'vault'; known are airflow, env, file$"):
        Secret("vault:a/b", "here", Path()).reveal()


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install a package with a secret store: its entry point and its source."""

    def install(entry: str, source: str) -> None:
        site = tmp_path / "site"
        info = site / "acme_dq-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-dq\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[dq.secrets]\n{entry}\n", encoding="utf-8")
        (site / "acme_dq_secrets.py").write_text(source, encoding="utf-8")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, "acme_dq_secrets", raising=False)

    return install


def test_another_store_is_one_function_in_a_package(plugin: Callable[[str, str], None]) -> None:
    plugin("acme = acme_dq_secrets:get", "def get(name):\n    return name[::-1]\n")
    assert Secret("acme:drows", "here", Path()).reveal() == "sword"


def test_a_store_that_fails_never_shows_what_it_held(plugin: Callable[[str, str], None]) -> None:
    plugin("acme = acme_dq_secrets:get", "def get(name):\n    raise ValueError('hunter2')\n")
    with pytest.raises(ConfigError) as failed:
        Secret("acme:x", "here", Path()).reveal()
    assert str(failed.value) == "here: the secret store 'acme' failed with ValueError"
    assert failed.value.__cause__ is None


def test_a_plugin_that_does_not_load_names_its_package(plugin: Callable[[str, str], None]) -> None:
    plugin("acme = acme_dq_secrets:get", "import no_such_module_anywhere\n")
    with pytest.raises(ConfigError, match=r"^'acme' in dq.secrets, from the package acme-dq, does not load: Modul"):
        load_plugin("dq.secrets", "acme")


def test_a_plugin_may_not_take_a_name_that_is_taken(plugin: Callable[[str, str], None]) -> None:
    plugin("env = acme_dq_secrets:get", "def get(name):\n    return 'mine'\n")
    with pytest.raises(ConfigError, match=r"^'env' in dq.secrets is offered by several packages: acme-dq, dq-sla$"):
        load_plugin("dq.secrets", "env")


# -------------------------------------------------------------------------------------------------------- declarations


def test_suites_and_reconciliations_are_found_with_their_file(make_project: MakeProject) -> None:
    reconciliation = """
from dq import Reconciliation, Stage, Table
r = Reconciliation("flow", by="org", stages=[Stage("a", Table("w", "a")), Stage("b", Table("w", "b"))])
"""
    project = load_project(
        make_project("", {"checks/orders.py": suite("orders") + "again = orders\n", "reports/flow.py": reconciliation})
    )
    assert list(project.suites) == ["orders"]
    assert list(project.reconciliations) == ["flow"]
    assert project.failures == ()
    assert project.source_of("orders") == "checks/orders.py"
    assert project.source_of("flow") == "reports/flow.py"
    assert project.find("flow") is project.reconciliations["flow"]


def test_an_unknown_name_says_what_there_is_and_what_did_not_load(make_project: MakeProject) -> None:
    project = load_project(make_project("", {"checks/a.py": suite("orders"), "checks/b.py": "oops"}))
    with pytest.raises(UsageError) as refused:
        project.find("order")
    assert str(refused.value) == (
        "there is no suite or reconciliation 'order'; did you mean 'orders'? known are orders; "
        "what did not load: checks/b.py:1: NameError: name 'oops' is not defined"
    )
    with pytest.raises(UsageError):
        project.source_of("order")


FAILURES = {
    "a wrong check": (
        (
            'from dq import Check, Rows, Suite, Table\n\ns = Suite("orders", Table("w", "t"), checks=[\n'
            '    Check("x", Rows("a > 0"), severity="urgent"),\n])\n'
        ),
        "checks/bad.py:3: suite 'orders', check 'x': unknown severity 'urgent'",
    ),
    "thresholds out of order": (
        (
            'from dq import Check, Rows, Suite, Table\ns = Suite("orders", Table("w", "t"), checks=[\n'
            '    Check("x", Rows("a > 0"), warning=5, critical=1),\n])\n'
        ),
        "checks/bad.py:2: suite 'orders', check 'x': the thresholds are out of order",
    ),
    "an argument that is refused before the check is made": (
        (
            'from dq import Check, RowCount, Suite, Table, at_most\ns = Suite("orders", Table("w", "t"), checks=[\n'
            '    Check("x", RowCount(), critical=at_most("soon")),\n])\n'
        ),
        "checks/bad.py:3: suite 'orders', check 'x': 'soon' is not a duration",
    ),
    "a wrong keyword": (
        'from dq import Check, Rows\nc = Check("x", Rows("a"), severty="error")\n',
        "checks/bad.py:2: check 'x': TypeError: ",
    ),
    "several on one line": (
        (
            "from dq import Check, Rows, Suite, Table\n"
            's = Suite("orders", Table("w", "t"), checks=[Check("x", Rows("a")), Check("y", "a > 0")])\n'
        ),
        "checks/bad.py:2: suite 'orders', check 'y': 'a > 0' is not a kind of check",
    ),
    "no Python": ("def f(:\n", "checks/bad.py:1: it is not Python: "),
    "not text": ("\x00", "checks/bad.py"),
    "an exit": ("import sys\nsys.exit(3)\n", "checks/bad.py:2: SystemExit: 3"),
    "an address in an exception": (
        "raise ValueError('see postgresql://u:hunter2@db/w or so')\n",
        "checks/bad.py:1: ValueError: see (address) or so",
    ),
    "a sibling without a dot": (
        "from good import good\n",
        "checks/bad.py:1: a file beside it is imported with a dot: `from .good import ...`",
    ),
    "a module that is not there": (
        "import no_such_module_anywhere\n",
        "checks/bad.py:1: ModuleNotFoundError: No module named 'no_such_module_anywhere'",
    ),
    "a name that is taken in another file": (
        suite("good"),
        "checks/good.py: suite 'good': the name is already declared in checks/bad.py",
    ),
}


@pytest.mark.parametrize(("source", "sentence"), FAILURES.values(), ids=FAILURES)
def test_a_bad_file_is_one_sentence_and_takes_no_other_down(
    make_project: MakeProject, source: str, sentence: str
) -> None:
    project = load_project(make_project("", {"checks/bad.py": source, "checks/good.py": suite("good")}))
    assert "good" in project.suites
    assert len(project.failures) == 1
    assert project.failures[0].startswith(sentence)
    assert "\n" not in project.failures[0]
    assert "hunter2" not in project.failures[0]


def test_a_name_that_is_taken_in_the_other_folder_or_the_same_file_is_refused(make_project: MakeProject) -> None:
    twice = suite("twice") + 'other = Suite("twice", Table("w", "u"), checks=[Check("c", Rows("a"))])\n'
    project = load_project(
        make_project("", {"checks/a.py": suite("same"), "checks/b.py": twice, "reports/c.py": suite("same")})
    )
    assert project.failures == (
        "checks/b.py: suite 'twice': the name is already declared in checks/b.py",
        "reports/c.py: suite 'same': the name is already declared in checks/a.py",
    )


def test_a_file_whose_name_cannot_be_imported_is_refused(make_project: MakeProject) -> None:
    project = load_project(make_project("", {"checks/my-orders.py": suite("orders")}))
    assert project.failures == ("checks/my-orders.py: its name cannot be imported; use letters, digits and '_' only",)


def test_siblings_are_imported_relatively_and_a_suite_belongs_to_the_file_that_made_it(
    make_project: MakeProject,
) -> None:
    files = {
        "checks/all.py": "from .orders import orders\nfrom .tables import NAME\nassert NAME == 't'\n",
        "checks/orders.py": suite("orders"),
        "checks/tables.py": "NAME = 't'\n",
        "checks/zreports.py": "from ..reports.later import later\n",
        "reports/later.py": suite("later"),
    }
    project = load_project(make_project("", files))
    assert project.failures == ()
    assert dict(project.sources) == {"orders": "checks/orders.py", "later": "reports/later.py"}


def test_a_broken_sibling_is_told_once_at_its_own_line(make_project: MakeProject) -> None:
    files = {"checks/a.py": "from .b import x\n", "checks/b.py": "\nx = 1 / 0\n", "checks/c.py": suite("c")}
    project = load_project(make_project("", files))
    assert project.failures == ("checks/b.py:2: ZeroDivisionError: division by zero",)
    assert list(project.suites) == ["c"]


def test_the_blame_is_with_the_declaration_not_with_the_library_it_calls(make_project: MakeProject) -> None:
    library = "def boom():\n    raise ValueError('no')\n"
    project = load_project(make_project("", {"lib.py": library, "checks/a.py": "from ..lib import boom\n\nboom()\n"}))
    assert project.failures == ("checks/a.py:3: ValueError: no",)


def test_loading_reads_anew_and_leaves_the_import_path_alone(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    root = make_project("", {"checks/orders.py": suite("orders")})
    path = list(sys.path)
    assert list(load_project(root).suites) == ["orders"]
    (root / "checks" / "orders.py").write_text(suite("orders2"), encoding="utf-8")
    assert list(load_project(root).suites) == ["orders2"]
    # As long as before and in the same second: bytecode, told by time and length, would look fresh.
    (root / "checks" / "orders.py").write_text(suite("orders3"), encoding="utf-8")
    assert list(load_project(root).suites) == ["orders3"]
    (root / "checks" / "orders.py").unlink()
    assert list(load_project(root).suites) == []
    assert sys.path == path
    assert sys.dont_write_bytecode is False
    assert "orders" not in sys.modules


def test_bytecode_is_kept_with_the_hash_of_its_text_and_bad_files_leave_none(make_project: MakeProject) -> None:
    root = make_project("", {"checks/orders.py": suite("orders"), "checks/bad.py": "x = ("})
    (first, told) = (load_project(root), load_project(root))
    assert first.failures == told.failures == ("checks/bad.py:1: it is not Python: '(' was never closed",)
    (kept,) = (root / "checks" / "__pycache__").iterdir()
    header = kept.read_bytes()[:16]
    assert header[4:8] == b"\3\0\0\0", "checked by hash (PEP 552)"
    assert header[8:] == importlib.util.source_hash((root / "checks" / "orders.py").read_bytes())
    kept.write_bytes(b"")
    assert list(load_project(root).suites) == ["orders"]


def test_two_projects_with_equal_files_live_side_by_side(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "checks").mkdir(parents=True)
        (tmp_path / name / "dq.toml").touch()
        (tmp_path / name / "checks" / "orders.py").write_text(suite(f"orders_{name}"), encoding="utf-8")
    one, two = load_project(tmp_path / "one"), load_project(tmp_path / "two")
    assert (list(one.suites), list(two.suites)) == (["orders_one"], ["orders_two"])


def test_the_settings_alone_do_not_run_declarations(make_project: MakeProject) -> None:
    project = load_project(make_project("", {"checks/bad.py": "1 / 0"}), declarations=False)
    assert (project.suites, project.failures) == ({}, ())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("env:DQ_TEST_URL", "the environment variable DQ_TEST_URL is not set"),
        ("postgrsql://h/d", "there is no SQL dialect 'postgrsql'; did you mean 'postgresql'?"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_once_by_lint(make_project: MakeProject, url: str, said: str) -> None:
    two = (
        "from dq import Check, Rows, Suite, Table\n"
        "two = Suite('two', Table('w', 't', partition='d'), checks=[Check('a', Rows('x')), Check('b', Rows('y'))])\n"
    )
    root = make_project(f"[datasources.w]\nurl = '{url}'", {"checks/two.py": two})
    (problem,) = [p.sentence for p in app.lint(load_project(root)) if p.level == "error"]
    assert problem.startswith("checks/two.py: suite 'two': ") and said in problem


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
def test_an_address_that_names_no_driver_gets_the_one_that_the_extra_installs(scheme: str) -> None:
    assert with_driver(make_url(f"{scheme}://h/d")).drivername == f"{scheme}+pymysql"
    assert with_driver(make_url(f"{scheme}+other://h/d")).drivername == f"{scheme}+other"
