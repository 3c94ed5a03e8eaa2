"""connect: which client a URL leads to."""

import traceback

import pytest
from redis.sentinel import SentinelConnectionPool

from workbench.state import StoreUnavailableError, connect, connect_async


@pytest.mark.parametrize("make", [connect, connect_async])
def test_client_has_the_documented_settings(make):
    """In the form that they have today."""
    client = make("redis://:secret@127.0.0.1:1/3", timeout_s=0.5, max_connections=7)
    settings = client.connection_pool.connection_kwargs

    assert settings["decode_responses"] is True
    assert settings["health_check_interval"] == 30
    assert (settings["socket_timeout"], settings["socket_connect_timeout"]) == (0.5, 0.5)
    assert settings["retry"].get_retries() == 0
    assert (settings["db"], client.connection_pool.max_connections) == (3, 7)


@pytest.mark.parametrize("make", [connect, connect_async])
def test_sentinels_are_asked_for_the_primary(make):
    """Several, with a default port, a login and a database."""
    client = make("rediss+sentinel://u:p%40ss@one:26380,[::1]/flow/2?ssl_ca_certs=/ca.pem")
    pool = client.connection_pool
    sentinels = [
        (
            each.connection_pool.connection_kwargs["host"],
            each.connection_pool.connection_kwargs["port"],
        )
        for each in pool.sentinel_manager.sentinels
    ]
    settings = pool.connection_kwargs

    assert pool.service_name == "flow"
    assert sentinels == [("one", 26380), ("::1", 26379)]
    assert (settings["username"], settings["password"], settings["db"]) == ("u", "p@ss", 2)
    assert settings["ssl_ca_certs"] == "/ca.pem"
    assert isinstance(pool, SentinelConnectionPool) or make is connect_async


def test_cluster_of_which_no_node_answers_is_unavailable():
    """Its client looks at it when it is made."""
    with pytest.raises(StoreUnavailableError, match="no node"):
        connect("redis+cluster://127.0.0.1:1", timeout_s=0.2)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa/ssSECRET@h",
        "redis://:SECRET#x@h:1",
        "redis://u:SECRET#x@h:y",
        "redis+sentinel://u:pa/SECRET@h:x/main",
        "redis+cluster://u:SECRET]@[h:y",
        "redis://:SECRET\u2100@h:1",  # which urlsplit itself refuses, quoting it
        "redis+sentinel://h/main?socket_timeout=SECRET",
    ],
)
@pytest.mark.parametrize("make", [connect, connect_async])
def test_url_that_cannot_be_read_is_not_quoted(make, url):
    """What cannot be told apart may be the password; the error says how to write one."""
    with pytest.raises(ValueError, match="%2F") as caught:
        make(url)

    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["redis://:SECRET?x@h:1", "redis+cluster://h?SECRET=1"])
@pytest.mark.parametrize("make", [connect, connect_async])
def test_setting_that_is_not_known_is_refused_and_not_quoted(make, url):
    """It may be the rest of a password; found out at the first use it would be a TypeError."""
    with pytest.raises(ValueError, match="%3F") as caught:
        make(url)

    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("make", [connect, connect_async])
def test_settings_after_the_question_mark_win(make):
    """For each kind of address."""
    for url in ("redis://h?socket_timeout=7", "redis+sentinel://h/main?socket_timeout=7"):
        assert make(url).connection_pool.connection_kwargs["socket_timeout"] == 7


@pytest.mark.parametrize("make", [connect, connect_async])
def test_sentinels_are_spoken_to_as_the_server_is(make):
    """Over TLS if it is; with a login of their own, if they ask for one."""
    client = make("rediss+sentinel://u:p@one/flow?sentinel_password=other&ssl_ca_certs=/ca.pem")
    settings = client.connection_pool.sentinel_manager.sentinel_kwargs

    assert (settings["ssl"], settings["ssl_ca_certs"]) == (True, "/ca.pem")
    assert (settings["password"], settings.get("username")) == ("other", None)
    assert client.connection_pool.connection_kwargs["password"] == "p"


@pytest.mark.parametrize(
    "url", ["", "localhost:6379", "http://x", "redis+sentinel://one:26379", "redis+other://x"]
)
@pytest.mark.parametrize("make", [connect, connect_async])
def test_url_of_another_kind_is_refused(make, url):
    """The error names those that there are."""
    with pytest.raises(ValueError, match=r"redis\+cluster|name of the service"):
        make(url)
