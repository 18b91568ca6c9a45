"""`pytest --seic-chaos`: the table of a careless application, and of the example, which has no mistake."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from seic.testing._client_faults import FAULTS
from tests._support.documents import ROOT

_PLUGINS = ("--disable-plugin-autoload", "-p", "pytest_seic", "-p", "no:cacheprovider")
_ROW = re.compile(r"(\S.*?) {2,}(all pass|not met|(\d+) of (\d+) break)")
_TOKEN = ["token endpoint down", "token endpoint 503", "credentials refused", "page in place of a token"]
_API = ["API 503", "API 429", "API timeout", "connection lost"]


def run(pytester: pytest.Pytester, *options: str) -> tuple[dict[str, str], pytest.RunResult]:
    """Run the tests of the folder with faults; return the rows of the table, and the whole."""
    result = pytester.runpytest_subprocess(*_PLUGINS, "--seic-chaos", *options)
    rows = {match[1]: match[2] for line in result.outlines if (match := _ROW.fullmatch(line))}
    return rows, result


def broken(result: pytest.RunResult, test: str) -> list[str]:
    """Return the faults with which a test breaks."""
    found, fault = [], ""
    for line in result.outlines:
        if match := _ROW.fullmatch(line):
            fault = match[1]
        elif line.startswith("    ") and f"::{test}: " in line:
            found.append(fault)
    return found


def test_a_careless_application(pytester: pytest.Pytester) -> None:
    """Its own tests pass; each mistake is named under the faults that show it."""
    shutil.copy(Path(__file__).with_name("careless_app.py"), pytester.path / "test_app.py")
    rows, result = run(pytester)

    result.assert_outcomes(passed=4)
    assert [*rows] == [fault.name for fault in FAULTS]
    assert broken(result, "test_accounts") == [*_TOKEN, "API 503", "API 429", "API timeout", "connection lost"]
    assert broken(result, "test_orders") == ["token revoked", *_TOKEN, *_API]
    certificate = ["certificate refused", "certificate replaced", "clock ahead by an hour"]
    assert broken(result, "test_transfers") == ["token revoked", *_TOKEN, *_API, *certificate]
    assert broken(result, "test_cached") == []
    assert rows["store down"] == "not met"
    assert result.ret == 0


def test_the_example_survives(pytester: pytest.Pytester) -> None:
    """Real TLS, and problem details in place of failures."""
    for name in ("app.py", "test_app.py"):
        shutil.copy(ROOT / "docs/examples" / name, pytester.path / name)
    rows, result = run(pytester)

    result.assert_outcomes(passed=3)
    assert {name for name, text in rows.items() if text == "not met"} == {"store down"}
    assert not [text for text in rows.values() if text.endswith("break")], "\n".join(result.outlines)


_STATE = """
    import pytest, seic

    class FileStore(seic.MemoryStore):
        blocking = False

    @pytest.fixture(scope="module")
    def opened():
        return []

    @pytest.fixture
    def fresh(opened):
        opened.append(1)
        yield len(opened)

    class TestIt:
        async def test_store(self, seic_mock, fresh, seic_fault):
            seic_mock.add_response(times=None)
            async with seic.AsyncClient(seic_mock.config(store=FileStore())) as client:
                assert (await client.get("/x")).status_code == 200
            assert (fresh == 1) == (seic_fault is None)

    def test_without_requests():
        test_without_requests.runs = getattr(test_without_requests, "runs", 0) + 1
        assert test_without_requests.runs == 1

    @pytest.mark.xfail(strict=True)
    def test_that_fails_already(seic_mock):
        with seic.Client(seic_mock.config()) as client:
            client.token()
        assert False
"""


def test_each_run_has_fresh_fixtures(pytester: pytest.Pytester) -> None:
    """A test without a request, and one that does not pass, is not run again; a store that is down breaks nothing."""
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(_STATE)
    rows, result = run(pytester, "-p", "pytest_asyncio.plugin")

    result.assert_outcomes(passed=2, xfailed=1)
    assert rows["store down"] == "all pass"
    assert rows["API 503"] == "1 of 1 break"
    assert "TestIt::test_store" in result.stdout.str()


def test_each_fault_takes_place(pytester: pytest.Pytester) -> None:
    """Tests that see connections, token requests and calls of the store break with the fault that changes them."""
    pytester.makepyfile(
        """
        import asyncio
        import seic

        ACCOUNTS = "/v1/investments/accounts"

        def test_connections(seic_sandbox):
            with seic.Client(seic_sandbox.config(certificate=True)) as client:
                client.token()
                before = seic_sandbox.counts.connections
                client.get(ACCOUNTS)
                client.get(ACCOUNTS)
            assert seic_sandbox.counts.connections - before <= 1

        def test_token_requests(seic_mock):
            seic_mock.add_response(times=None)
            with seic.Client(seic_mock.config()) as client:
                client.get("/x")
                client.get("/x")
            assert seic_mock.token_requests <= 1

        async def call(config):
            async with seic.AsyncClient(config) as client:
                assert (await client.get(ACCOUNTS)).status_code == 200

        def test_certificates(seic_sandbox):
            asyncio.run(call(seic_sandbox.config(certificate=True)))
            assert len({one.thumbprint for one in seic_sandbox.received()}) == 1

        def test_alert(seic_sandbox):
            with seic.Client(seic_sandbox.config(certificate=True)) as client:
                client.token()
                try:
                    client.get(ACCOUNTS)
                except seic.CertificateError as error:
                    assert "_ALERT_" not in repr(error.__cause__)

        class Store(seic.MemoryStore):
            blocking = False
            saved = False

            def save(self, key, token):
                self.saved = True

        def test_store(seic_mock):
            store = Store()
            with seic.Client(seic_mock.config(store=store)) as client:
                client.token()
            assert store.saved or seic_mock.token_requests != 1
        """
    )
    _, result = run(pytester)

    result.assert_outcomes(passed=5)
    assert broken(result, "test_certificates")[-1:] == ["certificate replaced"]
    assert broken(result, "test_alert") == [*_TOKEN, "API timeout", "connection lost", "certificate refused"]
    assert "certificate replaced" in broken(result, "test_connections")
    assert "clock ahead by an hour" in broken(result, "test_token_requests")
    assert "store down" in broken(result, "test_store")


def test_results_of_several_processes(pytester: pytest.Pytester) -> None:
    """Workers of pytest-xdist share the tests."""
    text = """
        import seic

        def test_NAME(seic_mock):
            seic_mock.add_response(times=None)
            with seic.Client(seic_mock.config()) as client:
                assert client.get("/x").status_code == 200
    """
    pytester.makepyfile(test_one=text.replace("NAME", "one"), test_two=text.replace("NAME", "two"))
    rows, result = run(pytester, "-p", "xdist", "-n", "2")

    result.assert_outcomes(passed=2)
    assert rows["API 503"] == "2 of 2 break"
    assert broken(result, "test_one") == broken(result, "test_two") == [*_TOKEN, *_API]


def test_no_request_at_all(pytester: pytest.Pytester) -> None:
    """The table would be empty."""
    pytester.makepyfile("def test_it(): pass")
    _, result = run(pytester)

    result.stdout.fnmatch_lines(["No test that passed made a request of seic."])


def test_time_is_restored(pytester: pytest.Pytester) -> None:
    """Also after a test that moves it itself."""
    pytester.makepyfile(
        """
        import time
        import seic
        from seic._tokens.clock import SYSTEM_CLOCK

        def test_moved(seic_mock, seic_clock):
            seic_mock.add_response(times=None)
            with seic.Client(seic_mock.config()) as client:
                client.get("/x")
                seic_clock.advance(7200)
                client.get("/x")

        def test_after():
            assert abs(SYSTEM_CLOCK.wall() - time.time()) < 60
            assert abs(SYSTEM_CLOCK.monotonic() - time.monotonic()) < 60
        """
    )
    rows, result = run(pytester)

    result.assert_outcomes(passed=2)
    assert rows["clock ahead by an hour"] == "all pass"


def test_certificates_are_restored(pytester: pytest.Pytester) -> None:
    """A sandbox and a client that tests share are as before after each fault."""
    pytester.makeini("[pytest]\nseic_sandbox_scope = session")
    pytester.makepyfile(
        """
        import pytest
        import seic

        @pytest.fixture(scope="session")
        def client(seic_sandbox):
            with seic.Client(seic_sandbox.config(certificate=True)) as client:
                yield client

        def test_one(client):
            client.get("/v1/investments/accounts")

        def test_two(seic_sandbox, client, seic_fault):
            assert client.get("/v1/investments/accounts").status_code == 200
            assert not seic_sandbox.refused_certificates
            (own,) = seic_sandbox.issued_certificates
            assert seic_sandbox.received()[-1].thumbprint == own.thumbprint
        """
    )
    rows, result = run(pytester)

    result.assert_outcomes(passed=2)
    assert {"certificate refused", "certificate replaced"} <= {*broken(result, "test_two")}, rows
